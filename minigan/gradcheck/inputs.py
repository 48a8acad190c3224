"""Before anything is measured: can this function be checked at these inputs at all?"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.checks import check_integer
from minigan.errors import MixedTypesError
from minigan.gradcheck.measure import call
from minigan.gradcheck.mistakes import Mistake
from minigan.tensor import Tensor


def check_arguments(f: object, inputs: tuple[Any, ...], order: int, seed: int) -> None:
    """Raise a sentence for a call of `gradcheck` that makes no sense."""
    if not callable(f):
        raise TypeError(f"gradcheck: f must be a function, not {type(f).__name__}")
    check_integer("gradcheck: the seed", seed, 0)
    if order not in (1, 2):
        raise ValueError(f"gradcheck: the order must be 1 or 2, not {order!r}")
    if not inputs:
        raise ValueError("gradcheck: give the inputs to differentiate at, such as gradcheck(f, x, y)")


def as_float64(x: Any, number: int) -> np.ndarray:
    """A float64 copy of an input."""
    try:
        array = x.numpy() if isinstance(x, Tensor) else np.asarray(x)
    except ValueError:
        raise ValueError(f"gradcheck: input {number} must be numbers in rows of equal length") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"gradcheck: input {number} must be numbers, not {type(x).__name__}; bind others: lambda x: f(x, 2)"
        )
    return np.array(array, dtype=np.float64)


def argument_names(f: Callable[..., Tensor], count: int) -> list[str]:
    """The names of f's arguments, and "argument 2" where it has none."""
    try:
        parameters = [p for p in inspect.signature(f).parameters.values() if p.kind == p.POSITIONAL_OR_KEYWORD]
    except (TypeError, ValueError):
        parameters = []
    return [parameters[i].name if i < len(parameters) else f"argument {i}" for i in range(count)]


def find_problem(f: Callable[..., Tensor], name: str, arrays: list[np.ndarray], names: list[str]) -> Mistake | None:
    """What makes every comparison meaningless, if anything does."""
    tensors = [Tensor(array.copy()) for array in arrays]
    try:
        y = f(*tensors)
    except MixedTypesError:
        hint = "for a layer: for p in layer.state().values(): p.data = p.data.astype('float64')"
        return Mistake("float32", f"{name} computes with float32 tensors of its own, and a check needs float64", hint)
    if not isinstance(y, Tensor):
        says = f"{name} must return one Tensor, but it returned {type(y).__name__}"
        return Mistake("not a tensor", says, "compute with tensors; of several results pick one: lambda x: f(x)[0]")
    if y.dtype != np.float64:
        hint = "a float32 array comes in somewhere; make arrays with the dtype of the input, x.dtype"
        return Mistake("float32", f"{name} returned float32 for float64 inputs", hint)
    if not np.isfinite(y.numpy()).all():
        hint = "check at other inputs, away from the edge of where it is defined"
        return Mistake("not finite", f"the value of {name} is not finite (nan or inf) at these inputs", hint)
    for argument, tensor, array in zip(names, tensors, arrays, strict=True):
        if not np.array_equal(tensor.numpy(), array):
            hint = "compute with new arrays (x = x + 1), not in place (x += 1)"
            return Mistake("writes into its input", f"{name} writes into its argument {argument}", hint)
    if not np.array_equal(call(f, arrays).numpy(), y.numpy()):
        hint = "it draws random numbers or changes something that lasts; let each call start from the same state"
        return Mistake("not repeatable", f"{name} gives another value each time it is called", hint)
    return None
