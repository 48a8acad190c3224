"""What Python and NumPy may ask of a Tensor: its truth, its number, comparisons, and NumPy's own functions.

None of this is differentiated. Where gradients flow through a tensor, NumPy's functions are therefore refused: they
would give plain arrays, and the gradients would be lost without a word.
"""

from collections.abc import Callable
from numbers import Number
from typing import Any

import numpy as np

from minigan import errors, table
from minigan.errors import CutError, ShapeError
from minigan.ops.linear import matmul
from minigan.ops.math import add, div, mul, power, sub, value
from minigan.tensor import Tensor, has_graph

# What `array * tensor` asks NumPy for, in our operations.
ARITHMETIC = {np.add: add, np.subtract: sub, np.multiply: mul, np.divide: div, np.power: power, np.matmul: matmul}
# NumPy's functions whose results have no gradient anyway.
WITHOUT_GRADIENT = {
    *(np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.result_type),
    *(np.argmax, np.argmin, np.argsort, np.isfinite, np.isnan, np.isinf, np.sign, np.count_nonzero),
    *(np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal),
    *(np.array_equal, np.allclose, np.isclose, np.array_repr, np.array_str, np.array2string, np.may_share_memory),
}
# What minigan has instead, where its name is another.
INSTEAD = {
    "absolute": "abs",
    "amax": "max",
    "average": "mean",
    "clip": "minimum and minigan.ops.maximum",
    "dot": "matmul",
    "divide": "div",
    "hstack": "concatenate",
    "multiply": "mul",
    "negative": "neg",
    "ravel": "reshape",
    "square": "power",
    "stack": "reshape and minigan.ops.concatenate",
    "subtract": "sub",
    "vstack": "concatenate",
}


def number(x: Tensor) -> float:
    """float(x), for a tensor of one number; others raise TypeError."""
    if x.size != 1:
        raise TypeError(f"a Tensor of shape {x.shape} is not one number: take x.mean(), or one of them, x[i]")
    return x.item()


def is_true(x: Tensor) -> bool:
    """bool(x): whether one number is not 0; several raise ValueError."""
    if x.size != 1:
        raise ValueError(f"a Tensor of shape {x.shape} is neither true nor false: write (x > 0).all() or .any()")
    return x.item() != 0


def as_text(x: Tensor, spec: str) -> str:
    """f"{x:.3f}": one number is written as a number."""
    return format(number(x), spec) if spec or x.ndim == 0 else str(x)


def comparison(compare: Callable[[Any, Any], Any]) -> Callable[[Tensor, Any], Any]:
    """A comparison element by element: an array of True and False, of the shape that both broadcast to."""

    def compared(x: Tensor, other: Any) -> Any:
        if not isinstance(other, Tensor | Number | list | tuple) and not hasattr(other, "dtype"):
            return NotImplemented  # x == None and x == "text" are False, as everywhere in Python
        try:
            return compare(x.data, value(other))
        except ValueError:
            raise ShapeError(
                f"shapes {x.shape} and {np.shape(value(other))} cannot be compared: they do not fit"
            ) from None

    return compared


def to_array(x: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    """np.asarray(x): the values. One number is taken as a number even if it has a graph, as float(x) is."""
    if x.ndim and has_graph(x):
        raise CutError(errors.CUT.format("an array of this Tensor", "the operations of minigan.ops"))
    return np.asarray(x.numpy(), dtype)


def array_function(x: Tensor, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
    """np.clip(x, 0, 1) and the like: NumPy's function of the values (NEP 18). Raises CutError where gradients flow."""
    if function not in WITHOUT_GRADIENT and (has_graph(list(args)) or has_graph(list(kwargs.values()))):
        name = INSTEAD.get(function.__name__, function.__name__)
        ours = f"minigan.ops.{name}" if name.split()[0] in table.PLAIN else "the operations of minigan.ops"
        raise CutError(errors.CUT.format(f"np.{function.__name__}", ours))
    return function(*_values(args), **{name: _values(part) for name, part in kwargs.items()})


def array_ufunc(x: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """`array * tensor`, which is ours, and np.exp(tensor), which is NumPy's (NEP 13)."""
    if ufunc in ARITHMETIC and method == "__call__" and not kwargs:
        return ARITHMETIC[ufunc](*inputs)
    function = ufunc if method == "__call__" else getattr(ufunc, method)
    return array_function(x, function, (), inputs, kwargs)


def _values(part: Any) -> Any:
    """An argument with arrays in the place of tensors, in lists and tuples too."""
    if isinstance(part, list | tuple):
        return type(part)([_values(p) for p in part])
    return value(part)
