"""The check: the gradient under test beside the measured one, and a verdict on each argument."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from minigan.gradcheck import hidden
from minigan.gradcheck.inputs import argument_names, as_float64, check_arguments, find_problem
from minigan.gradcheck.measure import Measured, Point, call, random_upstream
from minigan.gradcheck.mistakes import Evidence, Mistake, find_mistake
from minigan.gradcheck.report import TOLERANCE, Line, Report
from minigan.tensor import Tensor


def gradcheck(f: Callable[..., Tensor], *inputs: Any, order: int = 1, seed: int = 0) -> Report:
    """Compare every derivative of `f(*inputs)` with central differences; says which is wrong, and the likely mistake.

    An element that cannot be measured, because rounding hides it or a pole is too near, is neither right nor wrong: the
    report says so, and counts in `measured` what was compared.

    f       takes Tensors and returns one Tensor, of any shape
    inputs  arrays, lists, numbers or Tensors of any shape; they are used in float64 and left as they are
    order   1, or 2 to check also that the derivatives can be differentiated again, and rightly
    seed    of the random upstream gradient

    Of an argument with more than 1000 elements, 1000 are drawn and checked. What f itself raises is passed on.
    Raises ValueError or TypeError for inputs that are no numbers.
    """
    check_arguments(f, inputs, order, seed)
    arrays = [as_float64(x, number) for number, x in enumerate(inputs)]
    names = argument_names(f, len(arrays))
    name = getattr(f, "__name__", type(f).__name__)
    rng = np.random.default_rng([seed, 20100])  # a stream of its own: g must not be an x that was drawn with `seed`
    with np.errstate(all="ignore"):  # the report speaks of nan and inf
        problem = find_problem(f, name, arrays, names)
        if problem:
            return Report(name, problem=problem)
        point = Point(f, arrays, names, random_upstream(call(f, arrays).shape, rng))
        lines, measured = _verdicts(point)
        if order == 2 and not any(line.mistake for line in lines):
            lines += _verdicts(point.derivative(measured, rng))[0]
    return Report(name, tuple(lines))


def _verdicts(point: Point) -> tuple[list[Line], list[Measured]]:
    """A line for each argument, and what was measured."""
    arguments = range(len(point.arrays))
    measured = [point.measure(k) for k in arguments]
    lines = []
    for k in arguments:
        line, measured[k] = _verdict(point, k, measured)
        lines.append(line)
    if len(lines) > 1 and not any(line.mistake for line in lines):
        lines = [replace(line, mistake=m) for line, m in zip(lines, hidden.together(point), strict=True)]
    return lines, measured


def _verdict(point: Point, k: int, measured: list[Measured]) -> tuple[Line, Measured]:
    """The line on argument k, and what was measured of it on a closer look."""
    name, shape = point.names[k], point.arrays[k].shape
    try:
        analytic = point.analytic(k)
    except NotImplementedError:  # an exercise that is not written yet: its runner says so
        raise
    except Exception as error:
        mistake = hidden.raised(error, shape, measured[k].numeric)
        return Line(name, np.full(shape, np.nan), mistake=mistake), measured[k]
    largest = max(_largest(gradient) for gradient in (analytic, *[m.numeric for m in measured]))
    here = point.refined(k, measured[k], analytic, largest, TOLERANCE)
    line = _compare(name, analytic, here)
    mistake = hidden.writes_into_its_input(point, k)
    if mistake is None and line.error > TOLERANCE:
        mistake = find_mistake(_evidence(point, k, analytic, [*measured[:k], here, *measured[k + 1 :]]))
    if mistake is None:
        mistake = _outside_a_kink(analytic, here.kinks)
    if mistake is None and 0 < len(here.kinks) == analytic.size:
        hint = "check at other inputs, away from kinks"
        mistake = Mistake("nothing compared", "nothing could be compared at these inputs: all are on a kink", hint)
    return replace(line, mistake=mistake or hidden.behind_right_numbers(point, k, analytic)), here


def _largest(gradient: np.ndarray) -> float:
    """The largest size of an element that is finite."""
    return float(np.max(np.abs(gradient[np.isfinite(gradient)]), initial=0))


def _compare(name: str, analytic: np.ndarray, measured: Measured) -> Line:
    """The relative errors |a - n| / max(|a|, |n|, floor).

    Near 0 a relative error says nothing: the floor is so much that rounding alone stays within the tolerance.
    """
    numeric, unknown = measured.numeric, np.zeros(analytic.shape, bool)
    unknown.flat[list(measured.unknown)] = True
    notes = {
        "kinks": len(measured.kinks),
        "unknown": len(measured.unknown),
        "why": " or ".join(sorted(set(measured.unknown.values()))),
    }
    floor = measured.noise / TOLERANCE
    errors = np.abs(analytic - numeric) / np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), floor)
    errors = np.where(np.isfinite(analytic), np.where((analytic == numeric), 0.0, errors), np.inf)
    errors[unknown] = np.nan
    if np.isnan(errors).all():
        return Line(name, errors, **notes)
    worst = np.unravel_index(int(np.nanargmax(errors)), errors.shape)
    place = tuple(int(i) for i in worst)
    return Line(name, errors, place, float(analytic[worst]), float(numeric[worst]), **notes)


def _evidence(point: Point, k: int, analytic: np.ndarray, measured: list[Measured]) -> Evidence:
    """All that is known of argument k, whose gradient is wrong."""
    x, names = point.arrays[k], point.names
    others = [i for i in range(len(names)) if i != k]
    return Evidence(
        analytic=analytic,
        numeric=measured[k].numeric,
        x=x,
        y=point.y,
        g=point.g,
        jacobian=point.jacobian(k, measured[k].steps),
        name=names[k],
        order=point.order,
        others={names[i]: point.arrays[i] for i in others},
        other_gradients={names[i]: measured[i].numeric for i in others if point.arrays[i].shape == x.shape},
        analytic_jacobian=lambda: point.analytic_jacobian(k),
        numeric_with=lambda name, array: point.moved(name, array).measure(k).numeric,
    )


def _outside_a_kink(analytic: np.ndarray, kinks: dict[int, tuple[float, float]]) -> Mistake | None:
    """At a kink, a gradient that does not lie between the slopes to its left and right."""
    for i, (low, high) in kinks.items():
        slack = 1e-4 * (high - low)
        if not low - slack <= analytic.flat[i] <= high + slack:
            place = tuple(int(j) for j in np.unravel_index(i, analytic.shape))
            sentence = (
                f"at the kink at {place} it is {analytic.flat[i]:.4g}, but the slopes to its sides are "
                f"{low:.4g} and {high:.4g}"
            )
            hint = "at a corner the gradient is one of the slopes, or between them"
            return Mistake("outside the kink", sentence, hint)
    return None
