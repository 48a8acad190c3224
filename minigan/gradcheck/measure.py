"""A derivative, measured.

Nudge one number x_i by a little and see what happens to the result:

    d f / d x_i  is nearly  (f(x + h e_i) - f(x - h e_i)) / (2 h)

In float64, with h = 1e-5, this central difference is often right to nine digits: cutting off Taylor's series leaves
an error of order h^2, rounding one of order 1e-16 / h.

Where one step h does not do, closer.py takes others: at kinks (such as the corner of |x|, where there is no
derivative), near poles, and where numbers are so large that rounding covers the change.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from minigan import ops
from minigan.errors import NoGradientError
from minigan.gradcheck.closer import DIGITS, STEP, Reading, Slopes, look_closer
from minigan.tensor import Tensor, grad

AT_MOST = 1000  # elements of an argument that are measured; of a larger one, so many are drawn
LARGE = 20_000  # with more numbers than this going in and out, a tenth of that
LARGEST_JACOBIAN = 4_000_000
MOST_OUTPUTS = 1000  # for a Jacobian of the gradient under test: each takes a backward pass
EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).smallest_subnormal)


@dataclass(frozen=True)
class Measured:
    """What was measured of one argument. The arrays have its shape."""

    numeric: np.ndarray  # the gradient by differences, with NaN where it is not known
    noise: np.ndarray  # how far off it may be
    steps: np.ndarray  # how far each element was nudged
    kinks: dict[int, tuple[float, float]]  # between which slopes the gradient lies at each kink
    unknown: dict[int, str]  # elements that could not be measured, and why

    def read(self, i: int, reading: Reading, size: float = 0, largest: float = 0) -> None:
        """Note what a closer look at element i has found; `size` and `largest` say which error is too much."""
        self.numeric.flat[i], self.noise.flat[i] = reading.numeric, reading.error
        self.kinks.pop(i, None), self.unknown.pop(i, None)
        if reading.at_corner:
            self.kinks[i] = reading.sides
        elif _unknown(reading.error, max(size, abs(reading.numeric)), largest):
            self.numeric.flat[i], self.unknown[i] = np.nan, reading.why
        else:
            self.steps.flat[i] = reading.step


class Point:
    """A function y = f(x, ...) at one point, with one upstream gradient g: what is differentiated is sum(g y).

    An argument is given by its number k. `order` is 2 where f is itself a derivative. `before` is then what was
    measured at order 1: where there was a kink or nothing was known, there is no second derivative.
    """

    def __init__(
        self,
        f: Callable[..., Tensor],
        arrays: list[np.ndarray],
        names: list[str],
        g: np.ndarray,
        order: int = 1,
        before: list[Measured] | None = None,
    ) -> None:
        self.f, self.arrays, self.names, self.g, self.order, self.before = f, arrays, names, g, order, before or []
        self.least = TINY  # rounding of sum(g y) is at least so much
        self.infinite = False  # whether a derivative of a lower order is infinite here, as that of sqrt at 0
        self.y = call(f, arrays).numpy()
        self.rounding = 10 * EPS * float(np.linalg.norm(g * self.y))  # of sum(g y), if all of y moves

    def analytic(self, k: int, in_between: list[np.ndarray] | None = None, g: np.ndarray | None = None) -> np.ndarray:
        """The gradient under test; with another call of f between forward and backward, or another g, if asked."""
        x = [Tensor(array.copy(), requires_grad=i == k) for i, array in enumerate(self.arrays)]
        y = self.f(*x)
        if in_between is not None:
            call(self.f, in_between)
        gradient = grad_or_none(y, x[k], Tensor((self.g if g is None else g).copy()))
        return np.zeros(x[k].shape) if gradient is None else gradient.numpy()

    def measure(self, k: int) -> Measured:
        """The same gradient by differences."""
        x, before = self.arrays[k], self.before[k] if k < len(self.before) else None
        steps = STEP * np.maximum(1.0, np.abs(x))
        measured = Measured(np.full(x.shape, np.nan), np.zeros(x.shape), steps, {}, {})
        for i in _chosen(x.size, self.y.size):
            if before and i in before.kinks:
                measured.kinks[i] = (-np.inf, np.inf)
            elif before and i in before.unknown:
                measured.unknown[i] = before.unknown[i]
            else:
                slopes = self.slopes(k, i, steps.flat[i])
                if slopes.bent:
                    measured.read(i, self.closer(k, i))
                else:
                    measured.numeric.flat[i], measured.noise.flat[i] = slopes.middle, slopes.noise
        return measured

    def nudged(self, k: int, i: int, step: float) -> tuple[np.ndarray, float]:
        """y with x_i + step instead of x_i; and the step that was taken, which is rounded."""
        arrays = list(self.arrays)
        arrays[k] = self.arrays[k].copy()
        arrays[k].flat[i] += step
        return call(self.f, arrays).numpy(), float(arrays[k].flat[i] - self.arrays[k].flat[i])

    def slopes(self, k: int, i: int, h: float, reached: np.ndarray | None = None) -> Slopes:
        """The slopes of sum(g y) to the left and to the right of x_i, and how far rounding can push them off.

        Rounding makes an error of about 1e-16 |y_j| in each y_j that moves (or that would move, if `reached` says so),
        so that of a slope is 1e-16 |g y| / h; and a slope itself is rounded, which counts where y moves far from 0.
        """
        (below, down), (above, up) = self.nudged(k, i, -h), self.nudged(k, i, h)
        left, right = np.sum(self.g * (self.y - below)) / -down, np.sum(self.g * (above - self.y)) / up
        moved = (self.g * self.y)[((above != self.y) | (below != self.y)) if reached is None else reached]
        noise = max(10 * EPS * float(np.linalg.norm(moved)), self.least) / h + 10 * EPS * float(abs(left) + abs(right))
        return Slopes(h, float(left), float(right), noise)

    def refined(self, k: int, measured: Measured, analytic: np.ndarray, largest: float, tolerance: float) -> Measured:
        """The same, after a closer look at each element that seems to be wrong, or of which little is known.

        `largest`, the largest gradient of any argument, says what counts as zero.
        """
        refined = Measured(
            *[np.copy(a) for a in (measured.numeric, measured.noise, measured.steps)],
            {**measured.kinks},
            {**measured.unknown},
        )
        numeric, noise = refined.numeric, refined.noise
        for i in np.flatnonzero(np.isnan(analytic)):  # an infinite slope may be right, NaN never is
            if self.order == 1:
                refined.unknown.pop(int(i), None)
            elif self.infinite:
                refined.read(int(i), Reading())
        size = np.maximum(np.abs(analytic), np.abs(numeric))
        apart = np.abs(analytic - numeric) > np.maximum(tolerance * size, noise)
        doubt = np.maximum(noise, self.rounding / 10 / measured.steps)
        for i in np.flatnonzero(apart | _unknown(doubt, size, largest)):
            refined.read(i, self.closer(k, i), abs(analytic.flat[i]), largest)
        return refined

    def closer(self, k: int, i: int) -> Reading:
        """A closer look at element i."""
        x, value = self.arrays[k], float(self.arrays[k].flat[i])
        nearest, reached = float(np.min(np.abs(x[x != 0]), initial=1.0)), self.reached(k, i)
        reading = look_closer(lambda h: self.slopes(k, i, h, reached), value, nearest)
        return replace(reading, sides=self.corner(k, i, reading.step)) if reading.at_corner else reading

    def corner(self, k: int, i: int, h: float) -> tuple[float, float]:
        """Between which slopes the gradient lies where x_i is at a corner, or at corners of several y_j."""
        (below, down), (above, up) = self.nudged(k, i, -h), self.nudged(k, i, h)
        left, right = self.g * (self.y - below) / -down, self.g * (above - self.y) / up
        return float(np.sum(np.minimum(left, right))), float(np.sum(np.maximum(left, right)))

    def reached(self, k: int, i: int) -> np.ndarray:
        """Which y_j depend on x_i, even where a nudge is lost in rounding: NaN in the place of x_i spreads to them."""
        try:
            return self.nudged(k, i, np.nan)[0] != self.y
        except Exception:  # f may refuse NaN
            return np.ones(self.y.shape, bool)

    def jacobian(self, k: int, steps: np.ndarray) -> np.ndarray | None:
        """J[j, i] = d y_j / d x_i, (y.size, x.size); None where it would be too large to look into."""
        size = self.arrays[k].size
        if self.y.size * size > LARGEST_JACOBIAN:
            return None
        pairs = [(self.nudged(k, i, h), self.nudged(k, i, -h)) for i, h in enumerate(steps.flat)]
        return np.stack([(above - below).ravel() / (up - down) for (above, up), (below, down) in pairs], axis=1)

    def analytic_jacobian(self, k: int) -> np.ndarray | None:
        """The same as the gradient under test has it, from one g for each y_j; None where that would take long."""
        if self.y.size > MOST_OUTPUTS or self.y.size * self.arrays[k].size > LARGEST_JACOBIAN:
            return None
        units = np.eye(self.y.size).reshape(-1, *self.y.shape)
        return np.stack([self.analytic(k, g=unit).ravel() for unit in units])

    def moved(self, name: str, array: np.ndarray) -> "Point":
        """The same function where the argument `name` is `array`."""
        arrays = [array if n == name else x for n, x in zip(self.names, self.arrays, strict=True)]
        return Point(self.f, arrays, self.names, self.g, self.order)

    def derivative(self, measured: list[Measured], rng: np.random.Generator) -> "Point":
        """The derivatives of f as a function themselves: all gradients in a row, as many numbers as x has together.

        It is a function of the arguments and of the upstream gradient, which comes last. `measured` is what is known
        of f. A derivative that is not finite, as that of sqrt at 0, has no derivative.
        """
        finite = [np.flatnonzero(np.isfinite(self.analytic(k))) for k in range(len(self.arrays))]

        def gradients(*tensors: Tensor) -> Tensor:
            *inputs, upstream = tensors
            leaves = [x if x.requires_grad else Tensor(x, requires_grad=True) for x in inputs]
            y, found = self.f(*leaves), []
            for x, kept in zip(leaves, finite, strict=True):
                gradient = grad_or_none(y, x, upstream, create_graph=any(t.requires_grad for t in tensors))
                if gradient is not None:
                    row = ops.reshape(gradient, (-1,))
                    found.append(row if kept.size == x.size else row[kept])
            return ops.concatenate(found) if found else Tensor(np.zeros(0))

        names = [f"{name}, order 2" for name in (*self.names, "g")]
        arrays = [*self.arrays, self.g]
        point = Point(gradients, arrays, names, random_upstream(call(gradients, arrays).shape, rng), 2, measured)
        point.least = 10 * EPS  # derivatives are sums whose terms may cancel, and rounding stays
        point.infinite = any(kept.size < x.size for kept, x in zip(finite, self.arrays, strict=True))
        return point


def random_upstream(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A random upstream gradient: not near 0, where it would hide an error, and never 1, as if it were not there.

    A single number is always negative, because a positive one is its own absolute value.
    """
    g = rng.choice([-1.0, 1.0], shape) * rng.uniform(1.1, 2.5, shape)
    return np.array(-np.abs(g) if g.size == 1 else g)


def call(f: Callable[..., Tensor], arrays: list[np.ndarray]) -> Tensor:
    """f of fresh tensors, so that nothing is left over from another call."""
    return f(*[Tensor(array.copy()) for array in arrays])


def grad_or_none(y: Tensor, x: Tensor, g: Tensor, create_graph: bool = False) -> Tensor | None:
    """d(sum g y)/dx, or None where x took no part in y."""
    try:
        return grad(y, x, g, create_graph)[0]
    except NoGradientError:
        return None


def _unknown(error: np.ndarray, size: np.ndarray, largest: float) -> np.ndarray:
    """Whether a derivative of this size, or 0, is hidden by the error of its measurement.

    0 is hidden where one that counts would be: one beside the largest gradient, or of 0.0001.
    """
    return (error > DIGITS * size) & (error > 1e-4 * min(largest or 1.0, 1.0))


def _chosen(size: int, outputs: int) -> list[int]:
    """All indices below `size`, or a random choice of them where there are too many, or each takes long."""
    count = AT_MOST if size + outputs <= LARGE else AT_MOST // 10
    if size <= count:
        return list(range(size))
    return sorted(np.random.default_rng(size).choice(size, count, replace=False).tolist())
