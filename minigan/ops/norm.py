"""Batch normalisation (Ioffe and Szegedy, 2015)."""

from typing import Any

from minigan.errors import ShapeError
from minigan.ops.math import mean, sqrt
from minigan.ops.shape import reshape, sum
from minigan.tensor import Tensor, op, record


@op
def batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> tuple[Tensor, Any, Any]:
    """Bring every channel to mean 0 and variance 1 over the batch, then scale and shift it.

        x_hat = (x - mu) / sigma,   mu = mean x,   sigma = sqrt(mean (x - mu)^2 + eps),   y = weight x_hat + bias

    x (N, C) or (N, C, *size), weight and bias (C,). A mean is over the M numbers of a channel: all samples and places.
    Returns y and, for running statistics, the arrays mu (C,) and mean (x - mu)^2 (C,).

    The derivative: let h = weight g, the gradient at x_hat. Moving x_i moves x_hat_i directly, and every x_hat_j
    through mu, by d mu / d x_i = 1/M, and through sigma, by d sigma / d x_i = (x_i - mu) / (M sigma) = x_hat_i / M (the
    deviations sum to 0). So d x_hat_j / d x_i = ([i = j] - 1/M - x_hat_i x_hat_j / M) / sigma; and summed with h_j:

        dL/dx = (h - mean h - x_hat mean(h x_hat)) / sigma

    What would shift or scale the whole channel is taken out of the gradient, as normalising undoes such a change.
    """
    check_channels(x, weight, bias)
    eps = float(eps)
    axes, per_channel = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))

    def normalised() -> tuple[Tensor, Tensor]:
        """x_hat and sigma once more, in operations that can be differentiated again."""
        centred = x - mean(x, axes, keepdims=True)
        sigma = sqrt(mean(centred * centred, axes, keepdims=True) + eps)
        return centred / sigma, sigma

    def to_x(g: Tensor, y: Tensor) -> Tensor:
        x_hat, sigma = normalised()
        h = g * reshape(weight, per_channel)
        return (h - mean(h, axes, keepdims=True) - x_hat * mean(h * x_hat, axes, keepdims=True)) / sigma

    def to_weight(g: Tensor, y: Tensor) -> Tensor:
        x_hat, _ = normalised()
        return sum(g * x_hat, axes)

    mu, variance = x.data.mean(axes, keepdims=True), x.data.var(axes, keepdims=True)
    x_hat = (x.data - mu) / (variance + eps) ** 0.5
    y = x_hat * weight.data.reshape(per_channel) + bias.data.reshape(per_channel)
    y = record(y, (x, to_x), (weight, to_weight), (bias, lambda g, y: sum(g, axes)))
    return y, mu.reshape(-1), variance.reshape(-1)


def check_channels(x: Tensor, weight: Tensor, bias: Tensor) -> None:
    """Raise a ShapeError unless x (N, C, *size) has a weight and a bias for each channel, and a variance."""
    if not 2 <= x.ndim <= 5 or weight.shape != x.shape[1:2] or bias.shape != x.shape[1:2]:
        raise ShapeError(
            f"x {x.shape} must be (N, C) or (N, C, *size), and weight {weight.shape} and bias {bias.shape} (C,)"
        )
    if x.size <= x.shape[1]:
        raise ShapeError(f"x {x.shape} has one number per channel, which has no variance: use a batch of 2 or more")
