"""Exercise batch_norm (core, lesson batch_norm_and_the_dcgan): batch norm, forward.

What      Bring every channel to mean 0 and variance 1 over the batch, then scale and shift it:
              x_hat = (x - mu) / sqrt(var + eps),    y = weight x_hat + bias.
          And let the running statistics follow, which stand in for the batch's when the network is used
          later.
Start     mu = mean of x and var = mean of (x - mu)^2: over the batch and, for images, over all pixels, but
          for each channel alone. The running ones move a little towards the batch's at each step: they keep
          (1 - momentum) of themselves and take momentum (0.1) of the new. The other way round, they would
          jump about with every batch.
Shapes    x (N, C) or (N, C, H, W), weight and bias (C,). `axes` are those of the mean; with keepdims=True the
          mean has shape (1, C) or (1, C, 1, 1) and so fits x. Returns y, a Tensor of x's shape, and the
          arrays mu and var of shape (C,), of x's dtype. update_running: two of the same shape, mostly (C,); an
          average of a network's weights follows them in the same way.
Example   x = [[1], [3]] with weight 1 and bias 0 gives nearly [[-1], [1]], mu [2], var [1]. running = 0,
          batch = 10, momentum = 0.1 give running = 1.
Use       mean(x, axes, keepdims=True), sqrt and reshape(weight, per_channel), on tensors: then the derivative
          comes by itself. tensor.data.reshape(-1) is an array (C,). Change running.data in place.

Check it with `minigan exercise check batch_norm`; stuck? `minigan exercise hint batch_norm`.
"""

from typing import Any

import numpy as np

from minigan import Tensor
from minigan.ops import mean, reshape, sqrt


def batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> tuple[Tensor, Any, Any]:
    """y = weight x_hat + bias, and the batch's mean and variance for each channel."""
    axes = (0, *range(2, x.ndim))  # (0,) or (0, 2, 3)
    per_channel = (1, -1, *[1] * (x.ndim - 2))  # the shape in which weight and bias fit x
    raise NotImplementedError("not written yet")


def update_running(running: Tensor, batch: np.ndarray, momentum: float) -> None:
    """Move the running statistic (C,) a little towards the batch's, in place."""
    raise NotImplementedError("not written yet")
