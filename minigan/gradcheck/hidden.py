"""Mistakes that a comparison of numbers does not show: there are no numbers, or they agree by luck."""

import traceback
from pathlib import Path

import numpy as np

from minigan.errors import DerivativeError
from minigan.gradcheck.measure import Point, grad_or_none
from minigan.gradcheck.mistakes import Mistake
from minigan.gradcheck.mistakes.added_up import wrong_shape
from minigan.tensor import Tensor

PACKAGE = str(Path(__file__).parents[1])  # the folder of minigan


def raised(error: Exception, shape: tuple[int, ...], numeric: np.ndarray) -> Mistake:
    """What an exception in a derivative says; one of minigan's own may hold what the derivative returned."""
    hint = "look at that line; if shapes are the trouble, print those of what it uses"
    if isinstance(error, DerivativeError):
        if isinstance(error.share, Tensor) and error.parent.shape == shape:
            return wrong_shape(shape, error.share.numpy(), numeric)
        if isinstance(error.share, np.ndarray):
            hint = "write the derivative in tensors: g * y, not g.data * y.data"
        if error.share is None:
            hint = "is a `return` missing?"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(PACKAGE)]
    where = f" at {_in_words(frames[-1])}" if frames else ""
    return Mistake("raised", f"its derivative raised {type(error).__name__}{where}: {error}", hint)


def _in_words(frame: traceback.FrameSummary) -> str:
    """A place in a file, or in a notebook's cell, whose file has no name that anyone knows."""
    in_a_cell = frame.filename.startswith("<") or "ipykernel" in frame.filename
    return f"line {frame.lineno} of its cell" if in_a_cell else f"{Path(frame.filename).name}, line {frame.lineno}"


def writes_into_its_input(point: Point, k: int) -> Mistake | None:
    """A derivative must not change the arrays that it is given: others need them too."""
    x = [Tensor(array.copy(), requires_grad=i == k) for i, array in enumerate(point.arrays)]
    y, g = point.f(*x), Tensor(point.g.copy())
    value = y.numpy().copy()
    grad_or_none(y, x[k], g)
    pairs = [("g, the upstream gradient", g, point.g), ("y, the output", y, value)]
    for name, tensor, array in [*pairs, *zip(point.names, x, point.arrays, strict=True)]:
        if not np.array_equal(tensor.numpy(), array):
            hint = "compute with new arrays (g * x), not in place (g.data *= x.data)"
            return Mistake("writes into its input", f"the derivative writes into {name}", hint)
    return None


def behind_right_numbers(point: Point, k: int, analytic: np.ndarray) -> Mistake | None:
    """float32, or a value that the next call of the function changes."""
    if point.order == 1 and np.max(np.abs(analytic), initial=0) > 1e-9 and _is_float32(analytic):
        hint = "make arrays with the dtype of the input, x.dtype, and do not write float32 into the formula"
        return Mistake("float32", "the gradient was computed in float32, but the input is float64", hint)
    try:
        # Rolled too, so that a mask that was kept shows: a factor alone leaves all signs as they are.
        later = point.analytic(k, in_between=[0.9 * np.roll(array, 1) for array in point.arrays])
    except Exception:  # f may not be defined at those other inputs
        return None
    if not np.array_equal(later, analytic, equal_nan=True):
        hint = "keep what the derivative needs in local variables, not in self or a global that all calls share"
        sentence = "it changes when the function is called once more before the gradient is computed"
        return Mistake("stale forward value", sentence, hint)
    return None


def together(point: Point) -> list[Mistake | None]:
    """For each argument: its gradient must not depend on whether others are computed in the same pass."""
    x = [Tensor(array.copy(), requires_grad=True) for array in point.arrays]
    y = point.f(*x)
    if y.requires_grad:
        y.backward(Tensor(point.g.copy()))
    gradients = [np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy() for tensor in x]
    hint = "does one derivative change or use up what another one needs?"
    mistake = Mistake("together", "it is another one when all arguments need a gradient at once", hint)
    same = [np.allclose(g, point.analytic(k), rtol=1e-9, atol=0, equal_nan=True) for k, g in enumerate(gradients)]
    return [None if agrees else mistake for agrees in same]


def _is_float32(array: np.ndarray) -> bool:
    """Whether every number would fit into float32."""
    return bool(np.isfinite(array).all()) and np.array_equal(array, array.astype(np.float32))
