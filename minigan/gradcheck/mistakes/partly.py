"""Only some elements are wrong, and where they are says something."""

import numpy as np

from minigan.gradcheck.mistakes.evidence import Evidence, Mistake


def only_on_one_side(e: Evidence) -> Mistake | None:
    """Right for positive x and wrong for negative x, or the other way round."""
    wrong, known = e.wrong(), np.isfinite(e.numeric)
    for side, word in ((e.x < 0, "negative"), (e.x > 0, "positive")):
        if np.array_equal(wrong, side & known) and wrong.sum() > 1 and not wrong[known].all():
            return Mistake(
                "one side",
                f"it is wrong only where {e.name} is {word}",
                "look at the case that covers these numbers",
            )
    return None


def only_at_one_end(e: Evidence) -> Mistake | None:
    """Wrong only at the first or the last place along an axis, or only at the border of an image."""
    wrong = e.wrong()
    for axis, size in enumerate(e.x.shape):
        places = np.unique(np.nonzero(wrong)[axis])
        if size > 2 and len(places) == 1 and places[0] in (0, size - 1):
            end = "first" if places[0] == 0 else "last"
            return Mistake(
                "one end",
                f"it is wrong only at the {end} place along axis {axis}",
                "look at where a loop or slice starts and ends, and at the padding",
            )
    if e.x.ndim == 4 and min(e.x.shape[2:]) > 2 and wrong.any() and not wrong[:, :, 1:-1, 1:-1].any():
        return Mistake("border", "it is wrong only at the border of the image", "look at the padding")
    return None
