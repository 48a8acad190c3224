"""A closer look at one element whose difference with the usual step h cannot be trusted.

Four things can be the matter, and other steps tell them apart:

- f bends sharply within h: at an eighth of h the error of a difference is a sixty-fourth, so smaller steps settle.
- x is nearer to a pole, a small norm or an edge than h: nonsense, until the step is smaller than that distance.
- f has a corner at x: the slopes to the left and to the right stay apart, however small the step is.
- y is so large that y + h equals y, or nearly: smaller steps make it worse, larger ones help, up to a third of x.

Where no step helps, nothing is known of this element: it is neither right nor wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

STEP = 1e-5  # the usual step, for numbers up to 1; a larger x is nudged by 1e-5 |x|
SETTLED = 1e-6  # relative: two steps that agree so well have found the derivative
DIGITS = 1e-2  # a derivative that is known to fewer digits than this is not known
FINER = 8.0  # each step is so many times smaller than the one before
SMALLEST = 1e-14  # the smallest step, for numbers up to 1
LARGER = 5  # so many larger steps: the last is a third of x or of 1

TOO_SHARP = "there is a pole, a jump or an edge so near that no step is small enough"
ROUNDED = "rounding hides what a small change of it does to the result"


@dataclass(frozen=True)
class Slopes:
    """The slopes of sum(g y) to the left and to the right of x, over one step."""

    step: float
    left: float
    right: float
    noise: float  # how far rounding can push them off

    @property
    def middle(self) -> float:
        """The central difference."""
        return (self.left + self.right) / 2

    @property
    def jump(self) -> float:
        """How far the two are apart; NaN where one is not finite."""
        return abs(self.right - self.left) if np.isfinite(self.left) and np.isfinite(self.right) else np.nan

    @property
    def bent(self) -> bool:
        """Whether they are further apart than a smooth curve bends within the step (and rounding pushes them)."""
        slack = 1e-3 * (abs(self.left) + abs(self.right)) + 10 * self.noise
        return not (self.jump <= slack < np.inf)


@dataclass(frozen=True)
class Reading:
    """What is known of one derivative: a number with its error, or the two slopes of a corner, or why nothing is."""

    numeric: float = np.nan
    error: float = np.inf
    step: float = np.nan
    corner: tuple[float, float] | None = None
    why: str = ""


def look_closer(slopes: Callable[[float], Slopes], first: Slopes, x: float, nearest: float, claim: float) -> Reading:
    """Measure the derivative at x with other steps than that of `first`.

    nearest  the size of the numbers around x, where x itself is 0
    claim    the gradient under test: what is zero in comparison with it needs no digits
    """
    smallest, size = SMALLEST * max(1.0, abs(x)), abs(x) or nearest
    tried, settled = _descend(slopes, first, smallest, claim)
    if (
        first.bent and not settled and not tried[-1].jump <= tried[-1].noise and size < STEP / 10
    ):  # steps that are small in comparison with a tiny x
        tried, settled = _descend(slopes, slopes(size / 100), size * 1e-7, claim)
    if settled:
        return Reading(tried[-1].middle, abs(tried[-1].middle - tried[-2].middle) + tried[-1].noise, tried[-1].step)
    straight, smooth = [s for s in tried if not s.bent], all(map(_is_smooth, tried, tried[1:]))
    best = _best(straight if len(straight) > 1 else tried if smooth else [s for s in tried if np.isfinite(s.jump)][-3:])
    if len(straight) < 2 or tried[-1].bent or not best.error <= DIGITS * abs(best.numeric):
        stairs = _best(_larger(slopes, first)) if _are_stairs(tried) else best
        if stairs.error <= DIGITS * abs(stairs.numeric):
            return stairs
    if tried[-1].bent and len(tried) > 1:
        corner = _corner(tried)
        if corner:
            return Reading(step=corner.step, corner=(corner.left, corner.right))
        return best if _is_smooth(tried[-2], tried[-1]) else Reading(why=TOO_SHARP)
    number = max(abs(best.numeric), abs(claim))
    nearly_right = best.error < abs(best.numeric - claim) < DIGITS * number
    if smooth and tried[0] is first and (nearly_right or not best.error <= 1e-3 * number):
        better = _best([*_larger(slopes, first), *tried])
        best = better if np.isfinite(better.error) else best
    return best


def _is_smooth(coarse: Slopes, fine: Slopes) -> bool:
    """Whether the slopes to the left and right come together as the step gets smaller, as those of x^2 do at 0."""
    return not coarse.bent or fine.jump < coarse.jump / 4


def _are_stairs(tried: list[Slopes]) -> bool:
    """Whether y may move in stairs, from rounding inside of f (float32, or a large number that cancels).

    Then the smallest steps meet no stair, or they agree less and less.
    """
    if tried[-1].middle == 0 or len(tried) < 3:
        return tried[-1].middle == 0
    last, before, long_before = (s.middle for s in tried[:-4:-1])
    return abs(last - before) > max(abs(before - long_before), tried[-1].noise)


def _larger(slopes: Callable[[float], Slopes], first: Slopes) -> list[Slopes]:
    """Some larger steps, the largest first; those that lead to numbers only."""
    larger = [slopes(first.step * FINER**n) for n in range(LARGER, 0, -1)]
    return [s for s in larger if np.isfinite(s.jump)]


def _descend(
    slopes: Callable[[float], Slopes], first: Slopes, smallest: float, claim: float
) -> tuple[list[Slopes], bool]:
    """Smaller and smaller steps, until they settle (then it says so), or rounding takes over."""
    tried, differences = [first], [0.0]
    while tried[-1].step > FINER * smallest:
        coarse = tried[-1]
        fine = slopes(coarse.step / FINER)
        if coarse.bent and coarse.jump <= 20 * fine.noise:
            break  # such a jump would be lost in rounding: that it is not seen any more says nothing
        if fine.bent and not coarse.bent and abs(fine.middle - coarse.middle) <= 0.02 * abs(coarse.middle):
            break  # a curve that bends more in a smaller step: stairs, from rounding inside of f
        tried.append(fine)
        if coarse.bent or fine.bent:
            continue
        differences.append(abs(fine.middle - coarse.middle))
        if _settled(coarse, fine, claim):
            return tried, True
        if differences[-1] <= fine.noise:
            break  # still smaller steps only add rounding
        if len(differences) == len(tried) > 2 and 2 * differences[-2] < differences[-1] < 0.1 * abs(fine.middle):
            break  # they agree less and less: rounding inside of f
    return tried, False


def _settled(coarse: Slopes, fine: Slopes, claim: float) -> bool:
    """Whether two steps agree, or both find nothing but rounding where the gradient under test is much more.

    If that is only nearly their number, more is asked for.
    """
    number = abs(fine.middle)
    if abs(fine.middle - coarse.middle) + fine.noise <= SETTLED * number:
        return not SETTLED * number < abs(claim - fine.middle) < DIGITS * number
    return 0 < max(abs(coarse.middle), number) <= fine.noise <= SETTLED * abs(claim)


def _corner(tried: list[Slopes]) -> Slopes | None:
    """The largest step that finds the corner or the jump which the last two find: both sides have settled, and apart.

    At a jump one side has settled and the other grows as 1 / step.
    """
    if len(tried) < 2 or not tried[-2].bent:
        return None
    last, before = tried[-1], tried[-2]
    found = [s for s in tried if abs(s.left - last.left) + abs(s.right - last.right) <= 0.1 * last.jump]
    if before in found:
        return found[0]
    sides = (last.left, before.left, last.right, before.right), (last.right, before.right, last.left, before.left)
    jumps = [a and abs(a - b) <= 1e-3 * abs(a) and abs(c) > 4 * abs(d) for a, b, c, d in sides]
    return last if any(jumps) else None


def _best(tried: list[Slopes]) -> Reading:
    """The step with the smallest error, of those that no smaller step contradicts.

    The error is how far the neighbours differ from it, and rounding; where the slopes stay apart, a corner may be near.
    """
    if len(tried) < 2:
        return Reading(why=TOO_SHARP)
    middles, noises, jumps = np.array([(s.middle, s.noise, s.jump) for s in tried]).T
    apart = np.abs(np.diff(middles))
    falls = [*((apart[:-1] / 1000 < apart[1:]) & (apart[1:] < apart[:-1] / 4)), False]
    turn = falls.index(False)  # from here on it is rounding that keeps them apart, perhaps more than y tells of
    noises *= max(1.0, 4 * float(np.max(apart[turn:] / noises[turn + 1 :])))
    errors = 4 * np.maximum(np.append(apart, 0), np.append(0, apart)) + noises
    corners = np.append(jumps[:-1] < 4 * np.maximum(jumps[1:], 10 * noises[1:]), tried[-1].bent)
    errors += np.where(corners, jumps / 2, 0)
    for i, middle in enumerate(middles):
        if np.any(np.abs(middles[i:] - middle) > 10 * noises[i:] + errors[i]):
            errors[i] = np.inf
    i = int(np.argmin(errors))
    if not np.isfinite(errors[i]):
        return Reading(why=TOO_SHARP)
    return Reading(float(middles[i]), float(errors[i]), tried[i].step)
