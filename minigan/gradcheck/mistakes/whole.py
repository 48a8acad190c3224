"""The whole gradient is off in one way: a sign, a factor, or the upstream gradient."""

from collections.abc import Iterator

import numpy as np

from minigan.gradcheck.mistakes.evidence import AGREE, FEW, Evidence, Mistake, axes_in_words, sets_of_axes


def not_finite(e: Evidence) -> Mistake | None:
    """NaN or infinity where the true gradient is an ordinary number."""
    bad = ~np.isfinite(e.analytic)
    if not bad.any():
        return None
    return Mistake(
        "not finite",
        f"{bad.sum()} of {bad.size} elements are not finite (nan or inf)",
        "look for a division by 0, a log or a square root at 0, or e to a large power in the derivative",
    )


def zero(e: Evidence) -> Mistake | None:
    """No gradient arrives at all."""
    if np.any(e.analytic):
        return None
    if e.order == 2:
        hint = "the derivative was computed on plain arrays; write it in operations, g * y and not g.data * y.data"
    else:
        hint = "was the argument cut off from the graph, with .data, .detach() or no_grad()? Or is a factor always 0?"
    return Mistake("zero", "the gradient is zero everywhere", hint)


def nearly_right(e: Evidence) -> Mistake | None:
    """All elements agree to a few digits."""
    known = np.isfinite(e.numeric)
    if not np.allclose(e.analytic[known], e.numeric[known], rtol=1e-2, atol=0):
        return None
    return Mistake(
        "nearly right",
        "it is nearly right, to a few digits",
        "float32 somewhere, an eps that only one of forward and backward has, or M - 1 instead of M",
    )


def sign_flipped(e: Evidence) -> Mistake | None:
    """-numeric."""
    if not e.agrees(-e.numeric):
        return None
    return Mistake(
        "sign flipped", "the sign is flipped", "a minus was lost or added; look at the order of subtractions"
    )


def upstream_forgotten(e: Evidence) -> Mistake | None:
    """sum_j J[j, i]: as if every g_j were 1."""
    if e.jacobian is None or not e.agrees(e.jacobian.sum(axis=0).reshape(e.x.shape)):
        return None
    return Mistake(
        "upstream forgotten",
        "the upstream gradient g was not used",
        "by the chain rule the gradient is g times the local derivative; a check with g = 1 would not have noticed",
    )


def upstream_twice(e: Evidence) -> Mistake | None:
    """sum_j g_j^2 J[j, i]."""
    if e.jacobian is None or not e.agrees((e.g.reshape(-1) ** 2 @ e.jacobian).reshape(e.x.shape)):
        return None
    return Mistake("upstream twice", "the upstream gradient g was multiplied in twice", "use g once")


def constant_factor(e: Evidence) -> Mistake | None:
    """c numeric, with one c for all elements: 2, 1/2, the size of an axis, or any other number."""
    c = _ratio(e.analytic, e.numeric)
    if c is None or np.isclose(c, 1, rtol=AGREE) or not e.agrees(c * e.numeric):
        return None
    too = "large" if abs(c) > 1 else "small"
    for factor in (2.0, 0.5):
        if np.isclose(c, factor, rtol=AGREE):
            what = "2" if factor == 2 else "1/2"
            return Mistake(
                f"factor {what}",
                f"it is {what} times what it should be",
                "count the terms: was the 2 of a square forgotten, or one path counted twice (or not at all)?",
            )
    for label, size in _sizes(e):
        if np.isclose(c, size, rtol=AGREE) or np.isclose(c, 1 / size, rtol=AGREE):
            return Mistake(
                "times N" if c > 1 else "1/N",
                f"it is {size} times too {too}, and N = {size} is {label}",
                "the derivative of a mean over N numbers has a 1/N that the derivative of a sum has not: "
                + ("is it missing?" if c > 1 else "is it one too many?"),
            )
    if np.isfinite(e.numeric).sum() < FEW:
        return None
    return Mistake("constant factor", f"it is {c:.4g} times what it should be", "a constant factor is wrong")


def _ratio(a: np.ndarray, b: np.ndarray) -> float | None:
    """The c for which c b is nearest to a, over the elements that are known in both."""
    known = np.isfinite(a) & np.isfinite(b)
    size = np.max(np.abs(b[known]), initial=0)  # the square of 1e-200 would be 0
    if size == 0:
        return None
    a, b = a[known] / size, b[known] / size
    return float(np.sum(a * b) / np.sum(b * b))


def _sizes(e: Evidence) -> Iterator[tuple[str, int]]:
    """Everything that a mean may have been taken over, with its size."""
    for label, shape in ((e.name, e.x.shape), ("the output", e.y.shape)):
        for axes in sets_of_axes(shape):
            size = int(np.prod([shape[i] for i in axes]))
            if len(axes) == len(shape) and len(axes) > 1:
                yield f"the number of elements of {label}", size
            else:
                batch = ", the batch" if axes == (0,) else ""
                yield f"the size of {axes_in_words(axes)} of {label}{batch}", size


def constant(e: Evidence) -> Mistake | None:
    """The same number everywhere."""
    if e.x.size < FEW or np.ptp(e.analytic) > 1e-9 * np.max(np.abs(e.analytic)):
        return None
    return Mistake(
        "constant",
        f"it is the same number everywhere, {e.analytic.flat[0]:.4g}",
        f"it must depend on where in {e.name} one looks; was a sum or mean taken over too much?",
    )
