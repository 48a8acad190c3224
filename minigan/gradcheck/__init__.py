"""Gradient checks: is a derivative right, and if not, what is wrong with it?

Four rooms, to be read in this order:

measure.py    a derivative as central differences, and its rounding error
check.py      `gradcheck` itself: both gradients side by side, and the verdict on each argument
report.py     the verdicts as a table
mistakes/     what each mistake would have given

Three more can wait: closer.py (other steps, where one step does not do: kinks, poles, large numbers), inputs.py (can
this function be checked at all?) and hidden.py (mistakes that no number shows).

Four things make the check trustworthy:

- The upstream gradient g is random. With g = 1 errors add up and cancel: batch norm passes with a term left out.
- Kinks are left out. At the corner of |x| or max(x, 0) there is no derivative; the gradient only has to lie between
  the slopes to the left and to the right.
- What cannot be measured is called neither right nor wrong: where rounding hides a change, or a pole is too near.
- The derivative of the derivative (order 2) is checked in the same way, because gradient penalties need it.
"""

from minigan.gradcheck.check import gradcheck
from minigan.gradcheck.report import Line, Report

__all__ = ["Line", "Report", "gradcheck"]
