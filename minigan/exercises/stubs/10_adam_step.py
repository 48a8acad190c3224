"""Exercise adam_step (core, lesson optimizers_and_games): one step of Adam (Kingma and Ba, 2015).

What      Change one parameter, given its gradient. Adam remembers a running mean m of the gradient and a
          running mean v of its square, so that each number moves by about lr, however large its gradient is.
Start     The running means are
              m = b1 m + (1 - b1) g         v = b2 v + (1 - b2) g^2.
          Both start at 0. After t steps m is a weighted sum of t gradients, whose weights add up to only 1 - b1^t.
          Dividing makes means of them, with which theta moves:
              m_hat = m / (1 - b1^t)        v_hat = v / (1 - b2^t)
              theta = theta - lr m_hat / (sqrt(v_hat) + eps).
Shapes    theta, g, m, v: NumPy arrays of the same shape, which may be that of a bias, a matrix, or kernels.
          Every parameter has an m, v and t of its own. Change theta, m and v in place (`m *= b1`, `theta -= ...`
          or `m[...] = ...`, but not `m = ...`, which only gives the name m to a new array); nothing is
          returned. Leave g alone.
Example   At the first step, with eps small, theta moves by lr against the sign of g.
Use       self is the optimizer: self.lr, self.betas (the pair b1, b2) and self.eps. t is the number of steps
          that this parameter has made, this one included: 1 at the first.

Check it with `minigan exercise check adam_step`; stuck? `minigan exercise hint adam_step`.
"""

from typing import Any

import numpy as np


def adam_step(self: Any, theta: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, t: int) -> None:
    """Move theta by one step, its t-th, in place; m and v too are changed in place."""
    raise NotImplementedError("not written yet")
