"""A closer look at one element, where the difference with the usual step h cannot be trusted.

There is a pole or a corner nearer than h, f bends sharply, or y is so large that rounding hides what h does to it.
Which step is right? Write L(h) and R(h) for the slopes to the left and to the right, and D(h) = (L + R) / 2 for the
central difference. By Taylor's series, and with rounding of about eps |y| in each y,

    D(h) = f' + f''' h^2 / 6 + ... + eps |y| / h        R(h) - L(h) = f'' h + ... + eps |y| / h

So a large step cuts off too much of the series, and a small one suffers from rounding. Try steps, each 8 times smaller
than the one before, and see for each how far it may be off:

- At 8 h the error of cutting off is 64 times as large, at h / 8 that of rounding is 8 times as large. So D(h) differs
  from its neighbours by more than its own error; twice that, because they may agree by luck.
- Should they even be equal: the error is at least that of rounding, eps |y| / h.
- The sides of a smooth curve come together as h shrinks. Where they do not, a corner is near (or rounding is in the
  way), and f' may be anything between them.

The step with the smallest error is the best. Where even that is off by more than a per cent, or a finer step
contradicts it, this derivative could not be measured. Where both sides have settled, and apart, x is at a corner.

To judge a step by its neighbours is the idea of Ridders' method (Numerical Recipes, section 5.7).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

STEP = 1e-5  # the usual step, for numbers up to 1; a larger x is nudged by 1e-5 |x|
FINER = 8.0  # each step is so many times smaller than the one before
MANY = 12  # steps are tried in a row: from 1e-5 down to 1e-15
LARGER = FINER**6  # the largest step is so many times the usual one: 2.6, for numbers up to 1
SAFETY = 2.0  # the error is at most so many times the difference from the neighbours
SETTLED = 1e-6  # a derivative that is known so well (relative) needs no more steps
DIGITS = 1e-2  # one that is known less well than this is not known

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
        """How far the two are apart; infinite or NaN where one is not finite."""
        return abs(self.right - self.left)

    @property
    def bent(self) -> bool:
        """Whether they are further apart than a smooth curve bends within the step (and rounding pushes them)."""
        slack = 1e-3 * (abs(self.left) + abs(self.right)) + 10 * self.noise
        return not (self.jump <= slack < np.inf)


@dataclass(frozen=True)
class Reading:
    """What one step tells of a derivative, or in the end all of them."""

    numeric: float = np.nan
    error: float = np.inf
    step: float = np.nan
    why: str = TOO_SHARP  # what the error comes from
    drift: float = np.inf  # how far the slopes to the left and right still move from step to step
    sides: tuple[float, float] = (np.nan, np.nan)  # these slopes
    at_corner: bool = False

    def known(self, digits: float = DIGITS) -> bool:
        """Whether the error is small in comparison with the number."""
        return self.error < digits * abs(self.numeric)

    @property
    def jump(self) -> float:
        """How far the two slopes are apart."""
        return abs(self.sides[1] - self.sides[0])


def look_closer(slopes: Callable[[float], Slopes], x: float, nearest: float) -> Reading:
    """Measure the derivative at x with the best step; `nearest` is the size of the numbers around x, for x = 0."""
    usual, size = STEP * max(1.0, abs(x)), abs(x) or nearest
    tried = last = _descend(slopes, usual)
    if size < usual and not tried[-1].known(SETTLED):  # perhaps there is a pole at 0, nearer than all these steps
        last = _descend(slopes, size / FINER)
        tried = [*tried, *last]
    best, corner = _best(tried), min(last, key=lambda r: r.drift)
    if corner.drift < DIGITS * corner.jump < best.error:
        return replace(corner, numeric=np.nan, at_corner=True)
    if best.known(SETTLED):
        return best
    return _best([*tried, *_descend(slopes, usual * LARGER)])  # perhaps rounding is in the way


def _descend(slopes: Callable[[float], Slopes], largest: float) -> list[Reading]:
    """Read smaller and smaller steps, until the derivative is known well."""
    coarse, step, readings = slopes(largest), slopes(largest / FINER), []
    for n in range(2, MANY):
        fine = slopes(largest / FINER**n)
        readings.append(_read(coarse, step, fine))
        if readings[-1].known(SETTLED):
            break
        coarse, step = step, fine
    return readings


def _read(coarse: Slopes, step: Slopes, fine: Slopes) -> Reading:
    """What a step tells, between the one 8 times larger and the one 8 times smaller."""
    apart = max(abs(coarse.middle - step.middle), abs(step.middle - fine.middle))
    pairs = (coarse, step), (step, fine)  # from one to the next, the jump of a smooth curve falls to an eighth
    smooth = all(b.jump <= max(a.jump / 4, b.noise) for a, b in pairs)
    error = max(SAFETY * apart, step.noise) + (0 if smooth else max(step.jump, fine.jump) / 2)
    if not np.isfinite(error):
        return Reading()
    drift = abs(coarse.left - step.left) + abs(coarse.right - step.right) + step.noise
    why = ROUNDED if step.noise > error / 2 else TOO_SHARP
    return Reading(step.middle, error, step.step, why, drift, (step.left, step.right))


def _best(readings: list[Reading]) -> Reading:
    """The reading with the smallest relative error, or where none is known the smallest error."""
    known = [r for r in readings if r.known()]
    if known:
        best = min(known, key=lambda r: r.error / abs(r.numeric))
    else:
        best = min(readings, key=lambda r: r.error)  # the derivative may be 0
    for r in readings:
        felt = r.numeric != 0  # else rounding inside of f may have swallowed the step, as in (x + 1e8) - 1e8
        apart = abs(r.numeric - best.numeric)
        if r.step < best.step and felt and apart > r.error + best.error + DIGITS * abs(best.numeric):
            return Reading()  # a finer step contradicts it
    return best
