"""What is known of a wrong gradient, and how a mistake is described."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, combinations

import numpy as np

AGREE = 1e-4  # relative: a mistake is no rounding error, and its prediction is right to many more digits
FEW = 3  # below so many elements almost anything agrees with a free factor


@dataclass(frozen=True)
class Mistake:
    """A short name, one sentence that says what is wrong, and a hint where to look."""

    name: str
    sentence: str
    hint: str

    def __str__(self) -> str:
        return f"{self.sentence}.\n   hint: {self.hint}{'' if self.hint.endswith('?') else '.'}"


@dataclass(frozen=True)
class Evidence:
    """What was measured of one argument x of y = f(x, ...). Arrays are float64; NaN means "not known" (a kink)."""

    analytic: np.ndarray  # the gradient under test, in x's shape
    numeric: np.ndarray  # the same by finite differences
    x: np.ndarray
    y: np.ndarray
    g: np.ndarray  # the upstream gradient, in y's shape
    jacobian: np.ndarray | None  # (y.size, x.size); None where it is too large
    name: str
    order: int = 1  # 2 where y is itself a derivative
    others: dict[str, np.ndarray] = field(default_factory=dict)  # the other arguments, by name
    other_gradients: dict[str, np.ndarray] = field(default_factory=dict)  # ... and the numeric gradients of some
    numeric_with: Callable[[str, np.ndarray], np.ndarray] | None = None  # numeric, had another argument other values

    analytic_jacobian: Callable[[], np.ndarray | None] | None = None  # the Jacobian as the gradient under test has it

    def agrees(self, prediction: np.ndarray, target: np.ndarray | None = None) -> bool:
        """Whether the gradient under test (or `target`) is `prediction` in every element that is known."""
        target = self.analytic if target is None else target
        if target.shape != prediction.shape:
            return False
        known = np.isfinite(prediction) & np.isfinite(self.numeric)
        if not known.any():
            return False
        target, prediction = target[known], prediction[known]
        scale = np.maximum(np.abs(target), np.abs(prediction))
        return bool(np.all(np.abs(target - prediction) <= AGREE * scale + 1e-7 * np.max(scale)))

    def wrong(self) -> np.ndarray:
        """Where the gradient under test is wrong."""
        difference = np.abs(np.nan_to_num(self.analytic - self.numeric))
        size = np.nan_to_num(np.maximum(np.abs(self.numeric), np.abs(self.analytic)))
        return difference > AGREE * size + 1e-9 * np.max(size)

    def share_wrong(self) -> float:
        """How much of what is known is wrong, from 0 to 1."""
        return float(self.wrong().sum() / max(1, np.isfinite(self.numeric).sum()))


def sets_of_axes(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """All sets of axes longer than 1, the smaller sets first."""
    axes = [i for i, size in enumerate(shape) if size > 1]
    return chain.from_iterable(combinations(axes, n) for n in range(1, len(axes) + 1))


def axes_in_words(axes: tuple[int, ...]) -> str:
    """Such as "axis 1" or "axes (0, 2)"."""
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"
