"""Batch normalisation (Ioffe and Szegedy, 2015)."""

from typing import Any

import numpy as np

from minigan import backend
from minigan.ops.math import mean, sqrt
from minigan.ops.shape import reshape, sum
from minigan.parallel import is_plain, use_kernels
from minigan.tensor import ShapeError, Tensor, is_recording, op, record


@op
def batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> tuple[Tensor, Any, Any]:
    """Bring every channel to mean 0 and variance 1 over the batch, then scale and shift it.

        x_hat = (x - mu) / sigma,   mu = mean x,   sigma = sqrt(mean (x - mu)^2 + eps),   y = weight x_hat + bias

    x (N, C) or (N, C, H, W), weight and bias (C,); a mean is over the M numbers of a channel, N or N H W of them.
    Returns y and, for running statistics, the arrays mu (C,) and mean (x - mu)^2 (C,).

    The derivative: let h = weight g, the gradient at x_hat. Moving x_i moves x_hat_i directly, and every x_hat_j
    through mu and through sigma. As d mu / d x_i = 1/M and d sigma / d x_i = x_hat_i / M, the paths add up to

        dL/dx = (h - mean h - x_hat mean(h x_hat)) / sigma

    What would shift or scale the whole channel is taken out of the gradient, as normalising undoes such a change.
    """
    _check(x, weight, bias)
    eps = float(eps)
    forward, fast_to_x, fast_to_weight = _forward, _fast_to_x, _fast_to_weight
    if use_kernels(x.data):
        forward, fast_to_x, fast_to_weight = backend.batch_norm, backend.batch_norm_to_x, backend.batch_norm_to_weight
    rows, mu, variance = forward(_rows(x.data), weight.data, bias.data, eps)  # (M, C), (C,), (C,)

    def to_x(g: Tensor, y: Tensor) -> Tensor:
        if not (is_recording() or is_plain()):
            return Tensor(_images(fast_to_x(_rows(g.data), _rows(x.data), mu, variance, weight.data, eps), x.shape))
        x_hat, sigma = _normalise(x, eps)
        h = g * _per_channel(weight, x)
        axes = _batch_axes(x)
        return (h - mean(h, axes, True) - x_hat * mean(h * x_hat, axes, True)) / sigma

    def to_weight(g: Tensor, y: Tensor) -> Tensor:
        if not (is_recording() or is_plain()):
            return Tensor(fast_to_weight(_rows(g.data), _rows(x.data), mu, variance, eps))
        return sum(g * _normalise(x, eps)[0], _batch_axes(x))

    def to_bias(g: Tensor, y: Tensor) -> Tensor:
        return sum(g, _batch_axes(x)) if is_recording() or is_plain() else Tensor(_channel_sum(_rows(g.data)))

    y = record(_images(rows, x.shape), (x, to_x), (weight, to_weight), (bias, to_bias))
    return y, mu, variance


def _forward(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    """On rows (M, C): y, mu and the variance."""
    mu = _channel_sum(x) / len(x)
    y = x - mu
    variance = _channel_sum(y, y) / len(x)
    y *= 1 / np.sqrt(variance + eps) * weight
    y += bias
    return y, mu, variance


# The same derivatives twice: as formulas in operations, which can be differentiated again, and as the few
# array passes that training needs. The tests hold them equal.


def _normalise(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x_hat and sigma, in operations."""
    centred = x - mean(x, _batch_axes(x), keepdims=True)
    sigma = sqrt(mean(centred * centred, _batch_axes(x), keepdims=True) + eps)
    return centred / sigma, sigma


def _fast_to_weight(g: Any, x: Any, mu: Any, variance: Any, eps: float) -> Any:
    """dL/dweight on rows (M, C): the sum of g x_hat -> (C,)."""
    return _channel_sum(g, x - mu) / np.sqrt(variance + eps)


def _fast_to_x(g: Any, x: Any, mu: Any, variance: Any, weight: Any, eps: float) -> Any:
    """dL/dx on rows (M, C). With h = weight g it is  a (g - mean g) - b (x - mu)  with a, b per channel."""
    centred = x - mu
    inv_sigma = 1 / np.sqrt(variance + eps)
    a = weight * inv_sigma
    b = a * inv_sigma**2 * _channel_sum(g, centred) / len(g)
    centred *= b
    centred += a * _channel_sum(g) / len(g)
    result = g * a
    result -= centred
    return result


def _channel_sum(rows: Any, other: Any = None) -> Any:
    """Sum over rows (M, C) -> (C,), or the sum of rows * other. Both are 2 to 3 times faster than .sum(axis=0)."""
    if use_kernels(rows):
        return backend.channel_sum(rows, other)
    if other is not None:
        return np.einsum("mc,mc->c", rows, other)
    return np.ones_like(rows[:, 0]) @ rows


def _rows(x: Any) -> Any:
    """(N, C) or (N, C, H, W) -> (M, C), one row per pixel; no copy where memory lies channels last."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1), like=x).reshape(-1, x.shape[1])


def _images(rows: Any, shape: tuple[int, ...]) -> Any:
    """(M, C) -> (N, C) or (N, C, H, W): the inverse of `_rows`."""
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def _batch_axes(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _per_channel(weight: Tensor, x: Tensor) -> Tensor:
    return reshape(weight, (1, -1, *[1] * (x.ndim - 2)))


def _check(x: Tensor, weight: Tensor, bias: Tensor) -> None:
    if x.ndim not in (2, 4) or weight.shape != x.shape[1:2] or bias.shape != x.shape[1:2]:
        raise ShapeError(
            f"x {x.shape} must be (N, C) or (N, C, H, W), and weight {weight.shape} and bias {bias.shape} (C,)"
        )
    if x.size <= x.shape[1]:
        raise ShapeError(f"x {x.shape} has one number per channel, which has no variance: use a batch of 2 or more")
