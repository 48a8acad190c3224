"""Exercise batch_norm_backward (challenge, lesson batch_norm_and_the_dcgan): batch norm's derivative in closed form.

What      The forward pass is here. Write the three derivatives yourself, as formulas: faster than what the
          chain rule gives for `batch_norm`, and the most famous exercise in backprop.
Start     With sigma = sqrt(var + eps) and h = weight g, which is the gradient at x_hat: moving x_i moves
              x_hat_i directly, by 1 / sigma;    every x_hat_j through mu,  d mu / d x_i = 1 / M;
              and every x_hat_j through sigma,  d sigma / d x_i = x_hat_i / M.
          Here x_hat_j = (x_j - mu) / sigma, and M numbers make up a channel. Add up the three paths:
              dL/dx_i = sum_j h_j d x_hat_j / d x_i = (1 / sigma) (h_i - ... - x_hat_i ...).
Shapes    x, g, x_hat (N, C) or (N, C, H, W); sigma (1, C) or (1, C, 1, 1); weight and bias (C,). Gradients:
          x's shape, (C,) and (C,).
Example   g the same for all: then nothing is left for x, because a shift of the whole channel changes
          nothing.
Use       mean(h, axes, keepdims=True), sum(g, axes), reshape(weight, per_channel), * and -, on tensors.

Check it with `minigan exercise check batch_norm_backward`; stuck? `minigan exercise hint batch_norm_backward`.
"""

from typing import Any

from minigan import Tensor
from minigan.ops import mean, reshape, sqrt, sum
from minigan.tensor import record


def batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> tuple[Tensor, Any, Any]:
    """y = weight x_hat + bias, and the batch's mean and variance for each channel."""
    axes = (0, *range(2, x.ndim))  # (0,) or (0, 2, 3)
    per_channel = (1, -1, *[1] * (x.ndim - 2))  # the shape in which weight and bias fit x

    def normalise() -> tuple[Tensor, Tensor]:
        """x_hat and sigma, in tensors."""
        centred = x - mean(x, axes, keepdims=True)
        sigma = sqrt(mean(centred * centred, axes, keepdims=True) + eps)
        return centred / sigma, sigma

    def to_x(g: Tensor, y: Tensor) -> Tensor:
        x_hat, sigma = normalise()
        raise NotImplementedError("not written yet")

    def to_weight(g: Tensor, y: Tensor) -> Tensor:
        x_hat, sigma = normalise()
        raise NotImplementedError("not written yet")

    def to_bias(g: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError("not written yet")

    mu, var = x.data.mean(axis=axes, keepdims=True), x.data.var(axis=axes, keepdims=True)
    x_hat = (x.data - mu) / (var + eps) ** 0.5
    y = x_hat * weight.data.reshape(per_channel) + bias.data.reshape(per_channel)
    return record(y, (x, to_x), (weight, to_weight), (bias, to_bias)), mu.reshape(-1), var.reshape(-1)
