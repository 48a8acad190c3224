"""Gradient checks: is a derivative right, and if not, what is wrong with it?

A derivative can be measured. Nudge one number x_i by a little and see what happens to the result:

    d f / d x_i  is nearly  (f(x + h e_i) - f(x - h e_i)) / (2 h)

In float64, with h = 1e-5, this central difference is often right to nine digits: cutting off Taylor's series leaves
an error of order h^2, rounding one of order 1e-16 / h. Three things make a check trustworthy:

- The upstream gradient g is random. With g = 1 errors add up and cancel: batch norm passes with a term left out.
- Kinks are left out. At the corner of |x| or max(x, 0) there is no derivative. A kink is found by its slopes to the
  left and to the right, which differ however small h is; there, the gradient only has to lie between them.
- The derivative of the derivative (order 2) is checked in the same way, for gradient penalties need it.
"""

import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from minigan.checks import check_integer
from minigan.errors import DerivativeError, MixedTypesError, NoGradientError
from minigan.mistakes import Evidence, Mistake, find_mistake, wrong_shape
from minigan.ops import sum
from minigan.tensor import Tensor, grad
from minigan.verdict import heading, paragraph

STEP = 1e-5  # h, for numbers up to 1; a larger x is nudged by h |x|
TOLERANCE = 1e-6  # the largest relative error that passes
AT_MOST = 1000  # elements of an argument that are checked; of a larger one, so many are drawn
LARGE = 20_000  # with more numbers than this going in and out, a tenth of that
LARGEST_JACOBIAN = 4_000_000
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Line:
    """The verdict on one argument. `errors` has its shape, with NaN where nothing was compared."""

    name: str
    errors: np.ndarray
    worst: tuple[int, ...] = ()  # where the largest error is
    analytic: float = np.nan  # the gradient under test there
    numeric: float = np.nan  # the central difference there
    kinks: int = 0  # elements that were not compared, for the function has a corner there
    mistake: Mistake | None = None

    @property
    def error(self) -> float:
        """The largest relative error, or NaN where nothing was compared."""
        known = self.errors[~np.isnan(self.errors)]
        return float(known.max()) if known.size else np.nan

    @property
    def verdict(self) -> str:
        """A few words for the table."""
        if self.mistake and not self.error > TOLERANCE:  # the numbers agree, or there are none
            return "WRONG"
        if self.mistake:
            return f"WRONG at {self.worst}: yours {self.analytic + 0.0:.6g}, numerical {self.numeric:.6g}"
        left_out = int(np.isnan(self.errors).sum()) - self.kinks
        notes = [f"{self.kinks} on a kink skipped"] * bool(self.kinks) + [f"{left_out} not checked"] * bool(left_out)
        return "right" + (f" ({', '.join(notes)})" if notes else "")

    def row(self) -> tuple[str, str, str, str]:
        """The cells of the table."""
        return self.name, str(self.errors.shape), "" if np.isnan(self.error) else f"{self.error:.1e}", self.verdict


@dataclass(frozen=True)
class Report:
    """What `gradcheck` found. In an `if` or `assert` it is true when every derivative is right.

    Print it in a terminal; as the last line of a notebook cell it shows as a table.
    """

    function: str
    lines: tuple[Line, ...] = ()
    problem: Mistake | None = None  # where nothing could be compared at all

    @property
    def passed(self) -> bool:
        """Whether every derivative is right."""
        return self.mistake is None

    @property
    def mistake(self) -> Mistake | None:
        """The first mistake, or None."""
        return self.problem or next((line.mistake for line in self.lines if line.mistake), None)

    def __bool__(self) -> bool:
        return self.passed

    def findings(self) -> list[tuple[str, Mistake]]:
        """Every mistake with the names of its arguments."""
        found = {self.problem: [self.function]} if self.problem else {}
        for line in self.lines:
            if line.mistake:
                found.setdefault(line.mistake, []).append(line.name)
        return [("; ".join(names), mistake) for mistake, names in found.items()]

    def __str__(self) -> str:
        text = [f"gradcheck of {self.function}: {'right' if self.passed else 'WRONG'}"]
        rows = [("argument", "shape", "error", "verdict")] * bool(self.lines) + [line.row() for line in self.lines]
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
        text += ["  ".join([*(c.ljust(w) for c, w in zip(row[:3], widths, strict=True)), row[3]]) for row in rows]
        for name, mistake in self.findings():
            text += f"{name}: {mistake}".splitlines()
        return "\n  ".join(text)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        verdict = heading(self.passed, "right" if self.passed else "wrong")
        html = [f"<p>gradcheck of <b>{escape(self.function)}</b>: {verdict}</p>"]
        if self.lines:
            rows = [("argument", "shape", "error", "verdict"), *[line.row() for line in self.lines]]
            style = "text-align:left;padding:2px 14px 2px 0"
            cells = ["".join(f"<td style='{style}'>{escape(cell)}</td>" for cell in row) for row in rows]
            html.append("<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>")
        for name, mistake in self.findings():
            html.append(paragraph(f"{name}: {mistake}"))
        return "".join(html)


def gradcheck(f: Callable[..., Tensor], *inputs: Any, order: int = 1, seed: int = 0) -> Report:
    """Compare every derivative of `f(*inputs)` with central differences; says which is wrong, and the likely mistake.

    f       takes Tensors and returns one Tensor, of any shape
    inputs  arrays, lists, numbers or Tensors of any shape; they are used in float64 and left as they are
    order   1, or 2 to check also that the derivatives can be differentiated again, and rightly
    seed    of the random upstream gradient

    Of an argument with more than 1000 elements, 1000 are drawn and checked. What f itself raises is passed on.
    Raises ValueError or TypeError for inputs that are no numbers.
    """
    if not callable(f):
        raise TypeError(f"gradcheck: f must be a function, not {type(f).__name__}")
    check_integer("gradcheck: the seed", seed, 0)
    if order not in (1, 2):
        raise ValueError(f"gradcheck: the order must be 1 or 2, not {order!r}")
    if not inputs:
        raise ValueError("gradcheck: give the inputs to differentiate at, such as gradcheck(f, x, y)")
    arrays = [_as_float64(x, number) for number, x in enumerate(inputs)]
    names = _argument_names(f, len(arrays))
    name = getattr(f, "__name__", type(f).__name__)
    rng = np.random.default_rng([seed, 20100])  # a stream of its own: g must not be an x that was drawn with `seed`
    with np.errstate(all="ignore"):  # the report speaks of nan and inf
        problem = _problem(f, name, arrays, names)
        if problem:
            return Report(name, problem=problem)
        y = _call(f, arrays)
        # Not near 0, where it would hide an error, and never 1, which does not show whether g was used.
        upstream = rng.choice([-1.0, 1.0], y.shape) * rng.uniform(1.1, 2.5, y.shape)
        check = _Check(f, arrays, names, np.array(-np.abs(upstream) if y.size == 1 else upstream))
        lines = check.lines()
        if order == 2 and not any(line.mistake for line in lines):
            lines += check.derivative(rng).lines()
    return Report(name, tuple(lines))


class _Check:
    """One function at one point, with one upstream gradient g: the number that is differentiated is sum(g y).

    `skip` says, for each argument, which elements sit on a kink of a lower order.
    """

    def __init__(
        self,
        f: Callable[..., Tensor],
        arrays: list[np.ndarray],
        names: list[str],
        upstream: np.ndarray,
        order: int = 1,
        skip: list[set[int]] | None = None,
    ) -> None:
        self.f, self.arrays, self.names, self.g, self.order = f, arrays, names, upstream, order
        self.y = _call(f, arrays).numpy()
        self.skip = skip or [set() for _ in arrays]
        self.kinks: list[set[int]] = [set() for _ in arrays]  # those that `lines` has found

    def lines(self) -> list[Line]:
        """The verdict on each argument."""
        lines = [self.line(k) for k in range(len(self.arrays))]
        if len(lines) > 1 and not any(line.mistake for line in lines):
            lines = [replace(line, mistake=m) for line, m in zip(lines, self.mistakes_together(), strict=True)]
        return lines

    def line(self, k: int) -> Line:
        """The verdict on argument k."""
        x, name = self.arrays[k], self.names[k]
        numeric, noise, kinks = self.differences(k)
        self.kinks[k] = set(kinks)
        try:
            analytic = self.analytic(k)
        except NotImplementedError:  # an exercise that is not written yet: its runner says so
            raise
        except Exception as error:
            return Line(name, np.full(x.shape, np.nan), mistake=_raised(error, x.shape, numeric))
        line = self.compare(k, analytic, numeric, noise, kinks)
        mistake = self.mistake_of_writing(k)
        if mistake is None and line.error > TOLERANCE:
            jacobian = self.jacobian(k)
            facts = (analytic, numeric, x, self.y, self.g, jacobian, name, self.order)
            mistake = find_mistake(Evidence(*facts, *self.others(k), partial(self.numeric_with, k)))
        return replace(
            line, mistake=mistake or _kink_mistake(analytic, kinks) or self.hidden_mistake(k, analytic, line)
        )

    def analytic(self, k: int, in_between: list[np.ndarray] | None = None) -> np.ndarray:
        """The gradient under test; with another call of f between forward and backward, if asked."""
        x = [Tensor(array.copy(), requires_grad=i == k) for i, array in enumerate(self.arrays)]
        y = self.f(*x)
        if in_between is not None:
            _call(self.f, in_between)
        gradient = _grad_or_none(y, x[k], Tensor(self.g.copy()))
        return np.zeros(x[k].shape) if gradient is None else gradient.numpy()

    def differences(self, k: int) -> tuple[np.ndarray, np.ndarray, dict[int, tuple[float, float]]]:
        """The numeric gradient (NaN where not known), the rounding error in it, and both slopes at each kink."""
        x = self.arrays[k]
        numeric, noises, kinks = np.full(x.size, np.nan), np.zeros(x.size), {}
        for i in _chosen(x.size, self.y.size):
            h = STEP * max(1.0, abs(x.flat[i]))
            left, right, noise = self.slopes(k, i, h)
            if i in self.skip[k]:
                kinks[int(i)] = (-np.inf, np.inf)
            elif self.is_kink(k, i, h, left, right, noise):
                kinks[int(i)] = (left, right)
            else:
                numeric[i], noises[i] = (left + right) / 2, noise
        return numeric.reshape(x.shape), noises.reshape(x.shape), kinks

    def slopes(self, k: int, i: int, h: float) -> tuple[float, float, float]:
        """The slopes of sum(g y) to the left and to the right of x_i, and how far rounding can push them off.

        Rounding makes an error of about 1e-16 |y_j| in each y_j that moves, so that of a slope is 1e-16 |g y| / h.
        """
        below, above = self.nudged(k, i, -h), self.nudged(k, i, h)
        left, right = np.sum(self.g * (self.y - below)) / h, np.sum(self.g * (above - self.y)) / h
        moved = (self.g * self.y)[above != below]
        least = 1e-3 if self.order == 1 else 1.0  # derivatives are sums whose terms may cancel, and rounding stays
        return float(left), float(right), 10 * EPS * max(least, float(np.linalg.norm(moved))) / h

    def nudged(self, k: int, i: int, step: float) -> np.ndarray:
        """y with x_i + step instead of x_i."""
        arrays = list(self.arrays)
        arrays[k] = self.arrays[k].copy()
        arrays[k].flat[i] += step
        return _call(self.f, arrays).numpy()

    def is_kink(self, k: int, i: int, h: float, left: float, right: float, noise: float) -> bool:
        """Whether the slopes to the left and right differ by more than a smooth curve bends within h.

        For a smooth function they differ by h f'', and by an eighth of that at h / 8. At a corner the difference stays;
        at a corner close by, that is no longer between x - h/8 and x + h/8, it vanishes.
        """
        jump, noise = abs(right - left), 10 * noise
        if not jump > 1e-3 * (abs(left) + abs(right)) + noise:
            return False
        near_left, near_right, _ = self.slopes(k, i, h / 8)
        nearer = abs(near_right - near_left)
        return nearer > jump / 4 + 8 * noise or nearer + 8 * noise < jump / 16

    def compare(
        self,
        k: int,
        analytic: np.ndarray,
        numeric: np.ndarray,
        noise: np.ndarray,
        kinks: dict[int, tuple[float, float]],
    ) -> Line:
        """The relative errors |a - n| / max(|a|, |n|, floor).

        Near 0 a relative error says nothing: the floor is a millionth of the largest gradient, and at least so
        much that rounding alone stays within the tolerance. `numeric` is made better where that clears a suspicion.
        """
        for i in np.flatnonzero(np.abs(analytic - numeric) > TOLERANCE * np.abs(analytic) + noise):
            self.refine(k, int(i), float(analytic.flat[i]), numeric, noise)
        largest = float(np.max(np.abs(numeric[np.isfinite(numeric)]), initial=0))
        floor = np.maximum(1e-6 * largest, noise / TOLERANCE)
        errors = np.abs(analytic - numeric) / np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), floor)
        errors = np.where(np.isfinite(analytic), np.where((analytic == numeric), 0.0, errors), np.inf)
        if np.isnan(errors).all():
            return Line(self.names[k], errors, kinks=len(kinks))
        worst = np.unravel_index(int(np.nanargmax(errors)), errors.shape)
        place = tuple(int(i) for i in worst)
        return Line(self.names[k], errors, place, float(analytic[worst]), float(numeric[worst]), len(kinks))

    def refine(self, k: int, i: int, analytic: float, numeric: np.ndarray, noise: np.ndarray) -> None:
        """Put a better difference into numeric[i], with a smaller h, if the disagreement is the difference's own fault.

        Where f bends sharply, the error of a difference falls with h, at least fourfold for an eighth of h. The
        error of a wrong derivative stays as it is.
        """
        h, error = STEP * max(1.0, abs(self.arrays[k].flat[i])), abs(analytic - numeric.flat[i])
        for _ in range(5):
            h /= 8
            left, right, rounding = self.slopes(k, i, h)
            middle = (left + right) / 2
            if not abs(analytic - middle) < error / 4:
                return
            error = abs(analytic - middle)
            if error <= TOLERANCE * abs(analytic) + rounding:
                numeric.flat[i], noise.flat[i] = middle, rounding
                return

    def jacobian(self, k: int) -> np.ndarray | None:
        """J[j, i] = d y_j / d x_i, (y.size, x.size); None where it would be too large to look into."""
        x = self.arrays[k]
        if self.y.size * x.size > LARGEST_JACOBIAN:
            return None
        steps = STEP * np.maximum(1.0, np.abs(x.ravel()))
        columns = [(self.nudged(k, i, h) - self.nudged(k, i, -h)).ravel() / (2 * h) for i, h in enumerate(steps)]
        return np.stack(columns, axis=1)

    def mistake_of_writing(self, k: int) -> Mistake | None:
        """A derivative must not change the arrays that it is given: others need them too."""
        x = [Tensor(array.copy(), requires_grad=i == k) for i, array in enumerate(self.arrays)]
        y, g = self.f(*x), Tensor(self.g.copy())
        value = y.numpy().copy()
        _grad_or_none(y, x[k], g)
        pairs = [("g, the upstream gradient", g, self.g), ("y, the output", y, value)]
        for name, tensor, array in [*pairs, *zip(self.names, x, self.arrays, strict=True)]:
            if not np.array_equal(tensor.numpy(), array):
                hint = "compute with new arrays (g * x), not in place (g.data *= x.data)"
                return Mistake("writes into its input", f"the derivative writes into {name}", hint)
        return None

    def mistakes_together(self) -> list[Mistake | None]:
        """For each argument: its gradient must not depend on whether others are computed in the same pass."""
        x = [Tensor(array.copy(), requires_grad=True) for array in self.arrays]
        y = self.f(*x)
        if y.requires_grad:
            y.backward(Tensor(self.g.copy()))
        together = [np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy() for tensor in x]
        hint = "does one derivative change or use up what another one needs?"
        mistake = Mistake("together", "it is another one when all arguments need a gradient at once", hint)
        same = [np.allclose(g, self.analytic(k), rtol=1e-9, atol=0, equal_nan=True) for k, g in enumerate(together)]
        return [None if agrees else mistake for agrees in same]

    def hidden_mistake(self, k: int, analytic: np.ndarray, line: Line) -> Mistake | None:
        """A mistake in spite of the right numbers: nothing compared, float32, or a value that the next call changes."""
        if analytic.size and np.isnan(line.error):
            hint = "check at other inputs, away from kinks and from the edge of where the function is defined"
            return Mistake("nothing compared", "nothing could be compared at these inputs", hint)
        if self.order == 1 and np.max(np.abs(analytic), initial=0) > 1e-9 and _is_float32(analytic):
            hint = "make arrays with the dtype of the input, x.dtype, and do not write float32 into the formula"
            return Mistake("float32", "the gradient was computed in float32, but the input is float64", hint)
        try:
            later = self.analytic(k, in_between=[0.9 * array for array in self.arrays])
        except Exception:  # f may not be defined at those other inputs
            return None
        if not np.array_equal(later, analytic):
            hint = "keep what the derivative needs in local variables, not in self or a global that all calls share"
            sentence = "it changes when the function is called once more before the gradient is computed"
            return Mistake("stale forward value", sentence, hint)
        return None

    def others(self, k: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The other arguments by name, and the numeric gradients of those that have the same shape."""
        rest = [i for i in range(len(self.arrays)) if i != k]
        alike = [i for i in rest if self.arrays[i].shape == self.arrays[k].shape]
        return {self.names[i]: self.arrays[i] for i in rest}, {self.names[i]: self.differences(i)[0] for i in alike}

    def numeric_with(self, k: int, name: str, array: np.ndarray) -> np.ndarray:
        """The numeric gradient for argument k if the argument `name` were `array`."""
        arrays = [array if n == name else x for n, x in zip(self.names, self.arrays, strict=True)]
        return _Check(self.f, arrays, self.names, self.g, self.order).differences(k)[0]

    def derivative(self, rng: np.random.Generator) -> "_Check":
        """A check of the derivatives themselves: of sum_k gradient_k . v_k with fixed random v, one number.

        It is a function of the arguments and of the upstream gradient, which comes last.
        """
        directions = [Tensor(rng.standard_normal(array.shape)) for array in self.arrays]

        def gradient_along(*tensors: Tensor) -> Tensor:
            *inputs, upstream = tensors
            leaves = [x if x.requires_grad else Tensor(x, requires_grad=True) for x in inputs]
            y = self.f(*leaves)
            total = Tensor(np.zeros(()))
            for x, v in zip(leaves, directions, strict=True):
                gradient = _grad_or_none(y, x, upstream, create_graph=any(t.requires_grad for t in tensors))
                total = total if gradient is None else total + sum(gradient * v)
            return total

        names = [f"{name}, order 2" for name in (*self.names, "g")]
        skip = [*self.kinks, set()]  # at a corner, f' jumps
        return _Check(gradient_along, [*self.arrays, self.g], names, np.ones(()), 2, skip)


def _problem(f: Callable[..., Tensor], name: str, arrays: list[np.ndarray], names: list[str]) -> Mistake | None:
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
    if not np.array_equal(_call(f, arrays).numpy(), y.numpy()):
        hint = "it draws random numbers or changes something that lasts; let each call start from the same state"
        return Mistake("not repeatable", f"{name} gives another value each time it is called", hint)
    return None


def _call(f: Callable[..., Tensor], arrays: list[np.ndarray]) -> Tensor:
    """f of fresh tensors, so that nothing is left over from another call."""
    return f(*[Tensor(array.copy()) for array in arrays])


def _grad_or_none(y: Tensor, x: Tensor, g: Tensor, create_graph: bool = False) -> Tensor | None:
    """d(sum g y)/dx, or None where x took no part in y."""
    try:
        return grad(y, x, g, create_graph)[0]
    except NoGradientError:
        return None


def _chosen(size: int, outputs: int) -> np.ndarray:
    """All indices below `size`, or a random choice of them where there are too many, or each takes long."""
    count = AT_MOST if size + outputs <= LARGE else AT_MOST // 10
    if size <= count:
        return np.arange(size)
    return np.sort(np.random.default_rng(size).choice(size, count, replace=False))


def _is_float32(array: np.ndarray) -> bool:
    return np.array_equal(array, array.astype(np.float32))


def _kink_mistake(analytic: np.ndarray, kinks: dict[int, tuple[float, float]]) -> Mistake | None:
    """At a kink, a gradient outside of the slopes to its left and right."""
    for i, slopes in kinks.items():
        low, high = sorted(slopes)
        slack = 1e-4 * (high - low)
        if not low - slack <= analytic.flat[i] <= high + slack:
            place = tuple(int(j) for j in np.unravel_index(i, analytic.shape))
            sentence = (
                f"at the kink at {place} it is {analytic.flat[i]:.4g}, but the slopes to its left and right are "
                f"{slopes[0]:.4g} and {slopes[1]:.4g}"
            )
            return Mistake(
                "outside the kink", sentence, "at a corner the gradient is one of the slopes, or between them"
            )
    return None


def _raised(error: Exception, shape: tuple[int, ...], numeric: np.ndarray) -> Mistake:
    """What an exception in a derivative says; one of minigan's own may hold what the derivative returned."""
    hint = "look at that line; if shapes are the trouble, print those of what it uses"
    if isinstance(error, DerivativeError):
        if isinstance(error.share, Tensor) and error.parent.shape == shape:
            return wrong_shape(shape, error.share.numpy(), numeric)
        if isinstance(error.share, np.ndarray):
            hint = "write the derivative in tensors: g * y, not g.data * y.data"
        if error.share is None:
            hint = "is a `return` missing?"
    package = str(Path(__file__).parent)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(package)]
    where = f" at {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return Mistake("raised", f"its derivative raised {type(error).__name__}{where}: {in_plain_words(error)}", hint)


def in_plain_words(error: BaseException) -> str:
    """What an exception says; NumPy's message for np.tanh(tensor) is turned into what to do."""
    if isinstance(error, TypeError) and "__array_ufunc__" in str(error):  # NumPy gives it no class of its own
        return "a NumPy function was given a Tensor; use the function of minigan.ops, or the array in it, x.data"
    return str(error)


def _as_float64(x: Any, number: int) -> np.ndarray:
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


def _argument_names(f: Callable[..., Tensor], count: int) -> list[str]:
    """The names of f's arguments, and "argument 2" where it has none."""
    try:
        parameters = [p for p in inspect.signature(f).parameters.values() if p.kind == p.POSITIONAL_OR_KEYWORD]
    except (TypeError, ValueError):
        parameters = []
    return [parameters[i].name if i < len(parameters) else f"argument {i}" for i in range(count)]
