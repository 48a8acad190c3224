"""A derivative, measured.

Nudge one number x_i by a little and see what happens to the result:

    d f / d x_i  is nearly  (f(x + h e_i) - f(x - h e_i)) / (2 h)

In float64, with h = 1e-5, this central difference is often right to nine digits: cutting off Taylor's series leaves
an error of order h^2, rounding one of order 1e-16 / h.

At a kink, such as the corner of |x|, there is no derivative. A kink is found by its slopes to the left and to the
right, which differ however small h is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minigan import ops
from minigan.errors import NoGradientError
from minigan.tensor import Tensor, grad

STEP = 1e-5  # h, for numbers up to 1; a larger x is nudged by h |x|
AT_MOST = 1000  # elements of an argument that are measured; of a larger one, so many are drawn
LARGE = 20_000  # with more numbers than this going in and out, a tenth of that
LARGEST_JACOBIAN = 4_000_000
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Measured:
    """What was measured of one argument. The arrays have its shape."""

    numeric: np.ndarray  # the gradient by differences, with NaN where it is not known
    noise: np.ndarray  # how far rounding can push it off
    kinks: dict[int, tuple[float, float]]  # the slopes to the left and to the right of each kink


class Point:
    """A function y = f(x, ...) at one point, with one upstream gradient g: what is differentiated is sum(g y).

    An argument is given by its number k. `order` is 2 where f is itself a derivative. `skip` says, for each argument,
    which elements sit on a kink of a lower order.
    """

    def __init__(
        self,
        f: Callable[..., Tensor],
        arrays: list[np.ndarray],
        names: list[str],
        g: np.ndarray,
        order: int = 1,
        skip: list[set[int]] | None = None,
    ) -> None:
        self.f, self.arrays, self.names, self.g, self.order = f, arrays, names, g, order
        self.skip = skip or [set() for _ in arrays]
        self.y = call(f, arrays).numpy()

    def analytic(self, k: int, in_between: list[np.ndarray] | None = None) -> np.ndarray:
        """The gradient under test; with another call of f between forward and backward, if asked."""
        x = [Tensor(array.copy(), requires_grad=i == k) for i, array in enumerate(self.arrays)]
        y = self.f(*x)
        if in_between is not None:
            call(self.f, in_between)
        gradient = grad_or_none(y, x[k], Tensor(self.g.copy()))
        return np.zeros(x[k].shape) if gradient is None else gradient.numpy()

    def measure(self, k: int) -> Measured:
        """The same gradient by differences."""
        x, kinks = self.arrays[k], {}
        numeric, noises = np.full(x.shape, np.nan), np.zeros(x.shape)
        for i in _chosen(x.size, self.y.size):
            left, right, noise = self.slopes(k, i, self.step(k, i))
            if i in self.skip[k]:
                kinks[i] = (-np.inf, np.inf)
            elif self.is_kink(k, i, left, right, noise):
                kinks[i] = (left, right)
            else:
                numeric.flat[i], noises.flat[i] = (left + right) / 2, noise
        return Measured(numeric, noises, kinks)

    def step(self, k: int, i: int) -> float:
        """How far x_i is nudged."""
        return STEP * max(1.0, abs(self.arrays[k].flat[i]))

    def nudged(self, k: int, i: int, step: float) -> np.ndarray:
        """y with x_i + step instead of x_i."""
        arrays = list(self.arrays)
        arrays[k] = self.arrays[k].copy()
        arrays[k].flat[i] += step
        return call(self.f, arrays).numpy()

    def slopes(self, k: int, i: int, h: float) -> tuple[float, float, float]:
        """The slopes of sum(g y) to the left and to the right of x_i, and how far rounding can push them off.

        Rounding makes an error of about 1e-16 |y_j| in each y_j that moves, so that of a slope is 1e-16 |g y| / h.
        """
        below, above = self.nudged(k, i, -h), self.nudged(k, i, h)
        left, right = np.sum(self.g * (self.y - below)) / h, np.sum(self.g * (above - self.y)) / h
        moved = (self.g * self.y)[above != below]
        least = 1e-3 if self.order == 1 else 1.0  # derivatives are sums whose terms may cancel, and rounding stays
        return float(left), float(right), 10 * EPS * max(least, float(np.linalg.norm(moved))) / h

    def is_kink(self, k: int, i: int, left: float, right: float, noise: float) -> bool:
        """Whether the slopes to the left and right differ by more than a smooth curve bends within h.

        For a smooth function they differ by h f'', and by an eighth of that at h / 8. At a corner the difference stays;
        at a corner close by, that is no longer between x - h/8 and x + h/8, it vanishes.
        """
        jump, noise = abs(right - left), 10 * noise
        if not jump > 1e-3 * (abs(left) + abs(right)) + noise:
            return False
        near_left, near_right, _ = self.slopes(k, i, self.step(k, i) / 8)
        nearer = abs(near_right - near_left)
        return nearer > jump / 4 + 8 * noise or nearer + 8 * noise < jump / 16

    def refined(self, k: int, measured: Measured, analytic: np.ndarray, tolerance: float) -> Measured:
        """The same, with better differences wherever they clear the gradient under test of a suspicion."""
        numeric, noise = measured.numeric.copy(), measured.noise.copy()
        for i in np.flatnonzero(np.abs(analytic - numeric) > tolerance * np.abs(analytic) + noise):
            better = self.better_difference(k, i, analytic.flat[i], numeric.flat[i], tolerance)
            if better is not None:
                numeric.flat[i], noise.flat[i] = better
        return Measured(numeric, noise, measured.kinks)

    def better_difference(
        self, k: int, i: int, analytic: float, numeric: float, tolerance: float
    ) -> tuple[float, float] | None:
        """The difference with a smaller h, and its noise, if the disagreement is the difference's own fault.

        Where f bends sharply, the error of a difference falls with h, at least fourfold for an eighth of h. The
        error of a wrong derivative stays as it is.
        """
        h, error = self.step(k, i), abs(analytic - numeric)
        for _ in range(5):
            h /= 8
            left, right, noise = self.slopes(k, i, h)
            middle = (left + right) / 2
            if not abs(analytic - middle) < error / 4:
                return None
            error = abs(analytic - middle)
            if error <= tolerance * abs(analytic) + noise:
                return middle, noise
        return None

    def jacobian(self, k: int) -> np.ndarray | None:
        """J[j, i] = d y_j / d x_i, (y.size, x.size); None where it would be too large to look into."""
        size = self.arrays[k].size
        if self.y.size * size > LARGEST_JACOBIAN:
            return None
        steps = [self.step(k, i) for i in range(size)]
        columns = [(self.nudged(k, i, h) - self.nudged(k, i, -h)).ravel() / (2 * h) for i, h in enumerate(steps)]
        return np.stack(columns, axis=1)

    def moved(self, name: str, array: np.ndarray) -> "Point":
        """The same function where the argument `name` is `array`."""
        arrays = [array if n == name else x for n, x in zip(self.names, self.arrays, strict=True)]
        return Point(self.f, arrays, self.names, self.g, self.order)

    def derivative(self, skip: list[set[int]], rng: np.random.Generator) -> "Point":
        """The derivatives of f as a function themselves: sum_k gradient_k . v_k with fixed random v, one number.

        It is a function of the arguments and of the upstream gradient, which comes last. `skip` has the kinks of f.
        """
        directions = [Tensor(rng.standard_normal(array.shape)) for array in self.arrays]

        def gradient_along(*tensors: Tensor) -> Tensor:
            *inputs, upstream = tensors
            leaves = [x if x.requires_grad else Tensor(x, requires_grad=True) for x in inputs]
            y = self.f(*leaves)
            total = Tensor(np.zeros(()))
            for x, v in zip(leaves, directions, strict=True):
                gradient = grad_or_none(y, x, upstream, create_graph=any(t.requires_grad for t in tensors))
                total = total if gradient is None else total + ops.sum(gradient * v)
            return total

        names = [f"{name}, order 2" for name in (*self.names, "g")]
        return Point(gradient_along, [*self.arrays, self.g], names, np.ones(()), 2, [*skip, set()])


def call(f: Callable[..., Tensor], arrays: list[np.ndarray]) -> Tensor:
    """f of fresh tensors, so that nothing is left over from another call."""
    return f(*[Tensor(array.copy()) for array in arrays])


def grad_or_none(y: Tensor, x: Tensor, g: Tensor, create_graph: bool = False) -> Tensor | None:
    """d(sum g y)/dx, or None where x took no part in y."""
    try:
        return grad(y, x, g, create_graph)[0]
    except NoGradientError:
        return None


def _chosen(size: int, outputs: int) -> list[int]:
    """All indices below `size`, or a random choice of them where there are too many, or each takes long."""
    count = AT_MOST if size + outputs <= LARGE else AT_MOST // 10
    if size <= count:
        return list(range(size))
    return sorted(np.random.default_rng(size).choice(size, count, replace=False).tolist())
