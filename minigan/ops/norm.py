"""Batch normalisation (Ioffe and Szegedy, 2015)."""

from typing import Any

import numpy as np

from minigan.ops.math import mean, sqrt
from minigan.ops.shape import reshape, sum
from minigan.parallel import is_plain
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
    rows = _rows(x.data)
    mu = _channel_mean(rows, x)
    centred = rows - _tile(mu, rows)
    variance = _channel_mean(centred, x, centred)
    inv_sigma = 1 / np.sqrt(variance + eps)
    centred *= _tile(inv_sigma * weight.data, rows)
    centred += _tile(bias.data, rows)

    def to_x(g: Tensor, y: Tensor) -> Tensor:
        if not (is_recording() or is_plain()):
            return Tensor(_images(_fast_to_x(_rows(g.data), x, mu, inv_sigma, weight.data), x.shape))
        x_hat, sigma = _normalise(x, eps)
        h = g * _per_channel(weight, x)
        axes = _batch_axes(x)
        return (h - mean(h, axes, True) - x_hat * mean(h * x_hat, axes, True)) / sigma

    def to_weight(g: Tensor, y: Tensor) -> Tensor:
        if not (is_recording() or is_plain()):
            rows = _rows(x.data)
            return Tensor(_channel_mean(_rows(g.data), x, rows - _tile(mu, rows)) * inv_sigma * _count(x))
        return sum(g * _normalise(x, eps)[0], _batch_axes(x))

    def to_bias(g: Tensor, y: Tensor) -> Tensor:
        return (
            sum(g, _batch_axes(x))
            if is_recording() or is_plain()
            else Tensor(_channel_mean(_rows(g.data), x) * _count(x))
        )

    y = record(_images(centred, x.shape), (x, to_x), (weight, to_weight), (bias, to_bias))
    return y, mu, variance


# The same derivatives twice: as formulas in operations, which can be differentiated again, and as the few
# array passes that training needs. The tests hold them equal.


def _normalise(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x_hat and sigma, in operations."""
    centred = x - mean(x, _batch_axes(x), keepdims=True)
    sigma = sqrt(mean(centred * centred, _batch_axes(x), keepdims=True) + eps)
    return centred / sigma, sigma


def _fast_to_x(g: Any, x: Tensor, mu: Any, inv_sigma: Any, weight: Any) -> Any:
    """dL/dx on rows. With h = weight g it is  a (g - mean g) - b (x - mu)  with one a and b per channel:

    a = weight / sigma, and b = a mean(g (x - mu)) / sigma^2, for x_hat = (x - mu) / sigma.
    """
    centred = _rows(x.data)
    centred = centred - _tile(mu, centred)
    a = weight * inv_sigma
    b = a * inv_sigma**2 * _channel_mean(g, x, centred)
    centred *= _tile(b, g)
    centred += _tile(a * _channel_mean(g, x), g)
    result = g * _tile(a, g)
    result -= centred
    return result


# Arrays are worked on as rows (R, k C): k pixels of C channels each, side by side. NumPy's inner loop runs along a row,
# and with rows of only C numbers, starting that loop would take longer than the loop.


def _rows(x: Any) -> Any:
    """(N, C) or (N, C, H, W) -> (R, k C), with k pixels to a row; no copy where memory lies channels last."""
    pixels = np.ascontiguousarray(np.moveaxis(x, 1, -1)).reshape(-1, x.shape[1])  # (M, C)
    m, c = pixels.shape
    k = 1
    while m % (2 * k) == 0 and 2 * k * c <= 1024:
        k *= 2
    return pixels.reshape(m // k, k * c)


def _images(rows: Any, shape: tuple[int, ...]) -> Any:
    """(R, k C) -> (N, C) or (N, C, H, W): the inverse of `_rows`."""
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def _tile(per_channel: Any, rows: Any) -> Any:
    """(C,) -> (k C,): one number for every place in a row."""
    return np.tile(per_channel, rows.shape[1] // len(per_channel))


def _channel_mean(rows: Any, x: Tensor, other: Any = None) -> Any:
    """The mean over each channel of `rows`, or of rows * other: (R, k C) -> (C,).

    A product with ones and einsum are 2 to 3 times faster than .sum(axis=0).
    """
    if other is None:
        total = np.ones(len(rows), rows.dtype, like=rows) @ rows
    else:
        total = np.einsum("rc,rc->c", rows, other)
    return total.reshape(-1, x.shape[1]).sum(axis=0) / _count(x)


def _count(x: Tensor) -> int:
    """M, how many numbers a channel has."""
    return x.size // x.shape[1]


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
