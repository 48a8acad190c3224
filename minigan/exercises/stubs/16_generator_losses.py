"""Exercise generator_losses (core, lesson saturation): the generator's two losses, and why one of them stalls.

What      The generator wants its fakes to be believed. Of the logits x of fakes, with D = sigmoid(x):
              minimax           mean of ln(1 - D), as small as possible: the game as it was first written;
              non-saturating    mean of -ln D, as small as possible: what everybody uses.
          Write both values, and both derivatives by hand.
Start     ln(1 - D) = -softplus(x) and -ln D = softplus(-x), and softplus' = sigmoid. Look at both slopes
          where D is sure that it sees fakes (x = -10, D = 0): which one still tells the generator where to
          go?
Shapes    fake (N, 1), N logits, or N logits in any other shape -> one number, of shape (). g is the gradient of
          that number, of shape () too; the gradient of `fake` has the shape of `fake`.
Example   At x = 0, D is 1/2; for N = 1 the values are -ln 2 and ln 2, and both slopes are -1/2.
Use       np.logaddexp(0, x.data) is softplus on an array, exact for any x. In the derivatives, sigmoid(fake)
          on tensors; fake.size is N.

Check it with `minigan exercise check generator_losses`; stuck? `minigan exercise hint generator_losses`.
"""

import numpy as np

from minigan import Tensor
from minigan.ops import sigmoid
from minigan.tensor import record


def minimax_generator(fake: Tensor) -> Tensor:
    """Mean of ln(1 - D(fake)), from logits."""

    def to_fake(g: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError("not written yet")

    raise NotImplementedError("not written yet")  # write here: value = ...
    return record(value, (fake, to_fake))


def non_saturating_generator(fake: Tensor) -> Tensor:
    """Mean of -ln D(fake), from logits."""

    def to_fake(g: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError("not written yet")

    raise NotImplementedError("not written yet")  # write here: value = ...
    return record(value, (fake, to_fake))
