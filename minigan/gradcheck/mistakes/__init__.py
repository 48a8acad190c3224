"""What is wrong with a gradient? Each mistake here says what a wrong derivative would have given.

evidence.py   what was measured, and what a mistake is: read it first; the others can be read in any order
whole.py      the whole gradient is off in one way: a sign, a factor, the upstream gradient
misplaced.py  the right numbers in the wrong places
added_up.py   gradients that should have been added up
mixed_up.py   outputs act on other inputs than they do in the function: a wrong axis or order
missing.py    a factor or a term is missing
partly.py     only some elements are wrong

The check has measured what is true: the Jacobian J[j, i] = d y_j / d x_i by finite differences, and with it the
right gradient, numeric_i = sum_j g_j J[j, i], for the upstream gradient g. Most mistakes predict another answer from
the same facts: a flipped sign gives -numeric, a forgotten upstream gradient gives sum_j J[j, i]. If the gradient
under test agrees with a prediction in every element, that is the likely mistake. Others are a pattern: the same number
everywhere, or wrong only at the border.
"""

from collections.abc import Callable

from minigan.gradcheck.mistakes import added_up, misplaced, missing, mixed_up, partly, whole
from minigan.gradcheck.mistakes.evidence import Evidence, Mistake

__all__ = ["MISTAKES", "Evidence", "Mistake", "find_mistake"]

MISTAKES: tuple[Callable[[Evidence], Mistake | None], ...] = (  # the narrower ones before those that explain more
    whole.not_finite,
    whole.zero,
    whole.nearly_right,
    whole.sign_flipped,
    whole.upstream_forgotten,
    whole.upstream_twice,
    misplaced.wrong_argument,
    whole.constant_factor,
    misplaced.transposed,
    misplaced.flipped,
    missing.factor_missing,
    misplaced.slopes_swapped,
    added_up.overwritten,
    mixed_up.element_by_element,
    whole.constant,
    partly.only_at_one_end,
    partly.only_on_one_side,
    missing.factor_along_axis,
    missing.term_missing,
    mixed_up.wrong_axis,
    missing.mean_missing,
    misplaced.shifted,
    mixed_up.order,
    misplaced.other_argument_turned,
    misplaced.at_another_place,
)


def find_mistake(evidence: Evidence) -> Mistake:
    """The first mistake that explains every element of the gradient, or an honest "none of these"."""
    for explain in MISTAKES:
        mistake = explain(evidence)
        if mistake is not None:
            return mistake
    return Mistake(
        "none of these",
        "none of the known mistakes explains it",
        f"look at the worst element above, set all numbers but that one to 0, and work out its derivative by hand; "
        f"{evidence.share_wrong():.0%} of the elements are wrong",
    )
