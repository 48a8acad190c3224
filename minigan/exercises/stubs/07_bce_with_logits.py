"""Exercise bce_with_logits (core, lesson layers_and_losses): the loss of a discriminator, exact at any logit.

What      softplus(x) = ln(1 + e^x), and with it the binary cross-entropy of logits. A logit x is the
          discriminator's raw output; its belief that an image is real is D = sigmoid(x) = 1 / (1 + e^-x). For
          a target t (1 for real, 0 for fake)
              loss = mean of  -t ln D - (1 - t) ln(1 - D).
Start     At x = -40, D is so small that computing 1 - D gives exactly 1, and at x = -1000, ln D is the log of
          0. From logits no number is lost: show that -ln D = softplus(-x) and -ln(1 - D) = softplus(x). In
          softplus itself, e^1000 overflows, so take the larger part out:  ln(1 + e^x) = max(x, 0) + ln(1 +
          e^-|x|).
Shapes    softplus: x and the result have the same shape.  bce_with_logits: logits (N, 1), or of any other
          shape, such as one logit for each patch of an image -> one number, the mean of all, of shape ().
Example   softplus(0) = ln 2 = 0.6931; softplus(100) = 100; softplus(-100) = 3.7e-44, not 0. A logit of -100
          with target 1 has the loss 100.
Use       In softplus, write the value on the array x.data, with np.maximum, np.log1p, np.exp and np.abs;
          log1p(z) is ln(1 + z), exact for tiny z. Its derivative is sigmoid x. In bce_with_logits, write with
          tensors: softplus and mean.

Check it with `minigan exercise check bce_with_logits`; stuck? `minigan exercise hint bce_with_logits`.
"""

import numpy as np

from minigan import Tensor
from minigan.ops import mean, sigmoid
from minigan.tensor import record


def softplus(x: Tensor) -> Tensor:
    """ln(1 + e^x), element by element."""

    def to_x(g: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError("not written yet")

    raise NotImplementedError("not written yet")  # write here: value = ...
    return record(value, (x, to_x))


def bce_with_logits(logits: Tensor, target: float) -> Tensor:
    """Mean of -t ln D - (1 - t) ln(1 - D), where D = sigmoid(logits), for a target t in [0, 1]."""
    raise NotImplementedError("not written yet")
