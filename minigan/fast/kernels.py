"""Kernels for a GPU: several operations of NumPy in one launch.

On a GPU each array operation is a *launch*, which takes Python longer to start than a small one takes to run. Each
kernel here is a line of C for one element, and says which NumPy code it equals; the tests hold the two equal. T is
float or double, whatever the arrays hold.
"""

from typing import Any

import numpy as np

from minigan.backend import elementwise_kernel, sum_kernel
from minigan.ops.conv import Grid

# Of a convolution: strides, paddings, sizes of output, kernel and image, channels.
SETTINGS = ", ".join(f"int64 {name}" for name in ("s", "t", "p", "q", "oh", "ow", "kh", "kw", "h", "w", "c"))


def leaky_relu(x: Any, slope: float) -> Any:
    """`np.maximum(x, slope * x)`."""
    kernel = elementwise_kernel(
        "T x, T slope", "T y", "y = x > 0 || x != x ? x : slope == 0 ? T(0) : slope * x", "leaky_relu"
    )
    return kernel(x, slope, np.empty_like(x))


def gate(g: Any, x: Any, slope: float) -> Any:
    """`g * np.where(x > 0, 1, slope)`."""
    kernel = elementwise_kernel("T x, T g, T slope", "T y", "y = x > 0 ? g : slope * g", "gate")
    return kernel(x, g, slope, np.empty_like(x))


def blend(mean: Any, x: Any, decay: float) -> None:
    """`mean[...] = decay * mean + (1 - decay) * x`."""
    kernel = elementwise_kernel("T x, T decay, T rest", "T mean", "mean = decay * mean + rest * x", "blend")
    kernel(x, decay, 1 - decay, mean)  # the difference in Python's float64, as NumPy's code has it


def adam(theta: Any, g: Any, m: Any, v: Any, b1: float, b2: float, rate: float, eps: float) -> None:
    """`m[...] = b1 m + (1 - b1) g`, `v[...] = b2 v + (1 - b2) g g`, `theta -= rate m / (sqrt v + eps)`."""
    kernel = elementwise_kernel(
        "T g, T b1, T rest1, T b2, T rest2, T rate, T eps",
        "T theta, T m, T v",
        """
        m = b1 * m + rest1 * g;
        v = b2 * v + rest2 * g * g;
        theta -= rate * m / (sqrt(v) + eps);
        """,
        "adam",
    )
    kernel(g, b1, 1 - b1, b2, 1 - b2, rate, eps, theta, m, v)


def channel_sum(rows: Any, other: Any = None) -> Any:
    """`rows.sum(0)` for rows (M, C) -> (C,), or `(rows * other).sum(0)`."""
    if other is None:
        return rows.sum(axis=0)
    return sum_kernel("T x, T z", "x * z", "sum_of_products")(rows, other, axis=0)


def batch_norm(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    """For x (M, C): y, the means and the variances, as in `fast/norm.py`, in three launches."""
    mu = x.mean(axis=0)
    variance = sum_kernel("T x, T mu, T m", "(x - mu) * (x - mu) / m", "variance")(x, mu, float(len(x)), axis=0)
    kernel = elementwise_kernel(
        "T x, T mu, T variance, T weight, T bias, T eps",
        "T y",
        "y = (x - mu) / sqrt(variance + eps) * weight + bias",
        "batch_norm",
    )
    return kernel(x, mu, variance, weight, bias, eps, np.empty_like(x)), mu, variance


def batch_norm_to_x(g: Any, x: Any, mu: Any, variance: Any, weight: Any, eps: float) -> Any:
    """dL/dx for g and x (M, C), as in `fast/norm.py`, in three launches."""
    g_sum = g.sum(axis=0)
    gx_sum = batch_norm_to_weight(g, x, mu, variance, eps)
    kernel = elementwise_kernel(
        "T g, T x, T mu, T variance, T weight, T g_sum, T gx_sum, T m, T eps",
        "T y",
        """
        T sigma = sqrt(variance + eps), x_hat = (x - mu) / sigma;
        y = weight / sigma * (g - (g_sum + x_hat * gx_sum) / m);
        """,
        "batch_norm_to_x",
    )
    return kernel(g, x, mu, variance, weight, g_sum, gx_sum, float(len(x)), eps, np.empty_like(x))


def batch_norm_to_weight(g: Any, x: Any, mu: Any, variance: Any, eps: float) -> Any:
    """`(g * (x - mu)).sum(0) / np.sqrt(variance + eps)`."""
    kernel = sum_kernel("T g, T x, T mu, T variance, T eps", "g * (x - mu) / sqrt(variance + eps)", "sum_of_g_x_hat")
    return kernel(g, x, mu, variance, eps, axis=0)


def sigmoid(x: Any) -> Any:
    """`1 / (1 + np.exp(-x))`, without overflow."""
    formula = "y = x > 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x))"
    return elementwise_kernel("T x", "T y", formula, "sigmoid")(x, np.empty_like(x))


def bce(x: Any, t: float) -> Any:
    """`np.mean(np.maximum(x, 0) - t * x + np.log1p(np.exp(-np.abs(x))))`."""
    term = "((x > 0 ? x : 0) - t * x + log1p(exp(x > 0 ? -x : x))) / n"
    return sum_kernel("T x, T t, T n", term, "bce")(x, t, float(x.size), axis=None)


def bce_to_logits(x: Any, g: Any, t: float) -> Any:
    """`(sigmoid(x) * (1 - t) - sigmoid(-x) * t) * g / x.size`, for the one number g."""
    kernel = elementwise_kernel(
        "T x, T g, T t, T n",
        "T y",
        "T e = exp(x > 0 ? -x : x); y = (x > 0 ? 1 - t - e * t : e * (1 - t) - t) / (1 + e) * g / n",
        "bce_to_logits",
    )
    return kernel(x, g, t, float(x.size), np.empty_like(x))


def patches(images: Any, kernel: tuple[int, ...], grid: Grid) -> Any:
    """`patches` of `fast/conv.py` for (N, H, W, C) and dilation 1: every patch as a row, (N OH OW, KH KW C)."""
    n, h, w, c = images.shape
    copy = elementwise_kernel(
        f"raw T images, {SETTINGS}",
        "T patch",
        """
        long long channel = i % c, l = i / c % kw, k = i / c / kw % kh;
        long long column = i / c / kw / kh % ow, row = i / c / kw / kh / ow % oh, image = i / c / kw / kh / ow / oh;
        long long u = s * row + k - p, v = t * column + l - q;
        patch = u < 0 || u >= h || v < 0 || v >= w ? T(0) : images[((image * h + u) * w + v) * c + channel];
        """,
        "patches",
    )
    rows = np.empty((n * grid.out[0] * grid.out[1], kernel[0] * kernel[1] * c), images.dtype, like=images)
    images = np.ascontiguousarray(images, like=images)
    return copy(images, *grid.stride, *grid.padding, *grid.out, *kernel, h, w, c, rows)


def add_patches(patches: Any, bias: Any, grid: Grid) -> Any:
    """`add_patches` of `fast/conv.py` the other way round: every pixel gathers what is its own, and adds the bias (C,).

    Pixel (u, v) is at (k, l) in patch (i, j) where u + p = s i + k and v + q = t j + l. Nobody else writes to it, so
    that the sum has one order: two runs give identical bytes. patches (N, OH, OW, KH, KW, C) -> images (N, H, W, C).
    """
    n, oh, ow, kh, kw, c = patches.shape
    gather = elementwise_kernel(
        f"raw T patches, T bias, {SETTINGS}",
        "T image",
        """
        long long channel = i % c, v = i / c % w + q, u = i / c / w % h + p, number = i / c / w / h;
        T total = 0;
        for (long long k = u % s; k < kh && k <= u; k += s) {
            long long row = (u - k) / s;
            if (row >= oh) continue;
            for (long long l = v % t; l < kw && l <= v; l += t) {
                long long column = (v - l) / t;
                if (column >= ow) continue;
                total += patches[((((number * oh + row) * ow + column) * kh + k) * kw + l) * c + channel];
            }
        }
        image = total + bias;
        """,
        "add_patches",
    )
    images = np.empty((n, *grid.size, c), patches.dtype, like=patches)
    patches = np.ascontiguousarray(patches, like=patches)
    settings = (*grid.stride, *grid.padding, oh, ow, kh, kw, *grid.size, c)
    return gather(patches, 0.0 if bias is None else bias, *settings, images)
