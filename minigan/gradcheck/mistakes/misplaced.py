"""The right numbers in the wrong places, or the right formula at the wrong place."""

from itertools import permutations, product

import numpy as np

from minigan.gradcheck.mistakes.evidence import Evidence, Mistake, axes_in_words, sets_of_axes


def wrong_argument(e: Evidence) -> Mistake | None:
    """The gradient of another argument of the same shape."""
    for other, gradient in e.other_gradients.items():
        if e.agrees(gradient) and not e.agrees(gradient, e.numeric):
            return Mistake(
                "wrong argument",
                f"this is the gradient of {other}, not of {e.name}",
                f"are the derivatives of {e.name} and {other} swapped?",
            )
    return None


def transposed(e: Evidence) -> Mistake | None:
    """The right numbers with the axes in another order."""
    for axes in permutations(range(e.x.ndim)):
        moved = np.transpose(e.numeric, axes)
        if list(axes) != sorted(axes) and e.agrees(moved) and not e.agrees(moved, e.numeric):
            return Mistake(
                "transposed", f"it is transposed: its axes come in the order {axes}", "a .T is missing or extra"
            )
    return None


def flipped(e: Evidence) -> Mistake | None:
    """The right numbers, read backwards along some axes."""
    for axes in sets_of_axes(e.x.shape):
        if e.agrees(np.flip(e.numeric, axes)) and not e.agrees(np.flip(e.numeric, axes), e.numeric):
            return Mistake(
                "flipped",
                f"it is read backwards along {axes_in_words(axes)}",
                "is a flip not undone, or a kernel turned round that should not be (or the other way)?",
            )
    return None


def shifted(e: Evidence) -> Mistake | None:
    """The right numbers, one place too far along one or two axes."""
    for axes in sets_of_axes(e.x.shape):
        if len(axes) > 2 or min(e.x.shape[i] for i in axes) < 3:
            continue
        for steps in product((-1, 1), repeat=len(axes)):
            moved = np.roll(e.numeric, steps, axes)
            for axis, step in zip(axes, steps, strict=True):
                np.moveaxis(moved, axis, 0)[0 if step == 1 else -1] = np.nan  # what came in from outside is not known
            if e.agrees(moved):
                return Mistake(
                    "shifted",
                    f"it is shifted by one along {axes_in_words(axes)}",
                    "an index or the padding is off by one, or a roll is not undone",
                )
    return None


def slopes_swapped(e: Evidence) -> Mistake | None:
    """Element by element, with two slopes, each on the wrong side."""
    if e.x.shape != e.y.shape:
        return None
    known = np.isfinite(e.numeric)
    true, found = (np.round(gradient[known] / e.g[known], 4) for gradient in (e.numeric, e.analytic))
    low, high = true.min(initial=np.inf), true.max(initial=-np.inf)
    if low < high and np.all((true == low) | (true == high)) and np.allclose(found, low + high - true):
        return Mistake(
            "slopes swapped",
            f"the two slopes, {low:.4g} and {high:.4g}, are swapped",
            "the condition that chooses between them points the wrong way",
        )
    return None


def other_argument_turned(e: Evidence) -> Mistake | None:
    """The gradient that f would have if another argument were transposed or read backwards."""
    for other, z in e.others.items():
        turns = [(f"turned round along {axes_in_words(axes)}", np.flip(z, axes)) for axes in sets_of_axes(z.shape)]
        turns += [("transposed", z.T)] if z.ndim == 2 and z.shape == z.T.shape else []
        for word, turned in turns:
            if not np.array_equal(z, turned) and e.agrees(e.numeric_with(other, turned)):
                return Mistake(
                    f"other argument {word.split()[0]}",
                    f"it is what it would be with {other} {word}",
                    f"compare how {other} is used here and in the forward pass",
                )
    return None


def at_another_place(e: Evidence) -> Mistake | None:
    """The gradient at y or at g instead of at x."""
    for label, place in (("y, the output,", e.y), ("g, the upstream gradient,", e.g)):
        if place.shape == e.x.shape and e.agrees(e.numeric_with(e.name, place)):
            return Mistake(
                "at another place", f"it is the derivative at {label} instead of at {e.name}", "swap the letter"
            )
    return None
