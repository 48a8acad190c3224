"""Where arrays live and compute: NumPy on the CPU, or CuPy on a GPU.

The rest of the source reads as plain NumPy. NumPy's functions hand the work to whatever library made the
array that they are given (NEP 13 and NEP 18), so the arrays decide where it runs, and this is the only file
that knows that CuPy exists.

On a GPU each array operation is a *launch*, which takes Python longer to start than a small one takes to run. So
the second half of this file has kernels that do several operations in one launch. Each is a line of C for one
element, and says which NumPy code it equals; the tests hold the two equal.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

DEVICES = ("cpu", "cuda")

_device = os.environ.get("MINIGAN_DEVICE") or "cpu"  # checked at the first tensor, where an error can be shown


def use(device: str) -> None:
    """Make new tensors live on `device`: "cpu" or "cuda". Call it before a model is built.

    The environment variable MINIGAN_DEVICE sets what a program starts with.
    Raises ValueError for another name and RuntimeError where CuPy or a GPU is missing.
    """
    global _device
    _check(device)
    _device = device


def device() -> str:
    """Where new tensors live: "cpu" or "cuda"."""
    return _device


def asarray(data: Any, dtype: Any = None) -> Any:
    """`data` as an array on the current device (no copy where it is one already)."""
    if _device == "cpu":
        if hasattr(data, "__cuda_array_interface__"):  # made before a change of the device
            raise TypeError('the array is on the GPU, but the device is "cpu": choose one before a model is built')
        return np.asarray(data, dtype)
    _check(_device)
    return _cupy().asarray(data, dtype)


def to_numpy(array: Any) -> np.ndarray:
    """`array` as a NumPy array in main memory."""
    return array if isinstance(array, np.ndarray) else array.get()


def add_at(array: Any, index: Any, values: Any) -> None:
    """`np.add.at`: array[index] += values, where an element that is named twice gets both values."""
    (_cupy() if on_gpu(array) else np).add.at(array, index, values)


def on_gpu(array: Any) -> bool:
    """Whether `array` is one of CuPy's."""
    return not isinstance(array, np.ndarray)


def describe() -> list[str]:
    """What CuPy, its driver and the GPU are; or one line that says what is missing and what to do."""
    try:
        _check("cuda")
    except RuntimeError as error:
        return [f"GPU     none: {error}"]
    runtime = _cupy().cuda.runtime
    properties = runtime.getDeviceProperties(0)
    version = ".".join(str(part) for part in divmod(runtime.driverGetVersion() // 10, 100))
    return [
        f"CuPy    {_cupy().__version__}, with a driver for CUDA {version}",
        f"GPU     {properties['name'].decode()}, {properties['totalGlobalMem'] / 2**30:.0f} GiB of memory",
    ]


def check_name(name: str) -> None:
    """Raise ValueError unless there is such a device at all."""
    if name not in DEVICES:
        raise ValueError(f"unknown device {name!r}: choose 'cpu' or 'cuda'")


@functools.cache
def _check(name: str) -> None:
    """Raise an error that says what to do, unless the device is there."""
    check_name(name)
    if name == "cpu":
        return
    try:
        _cupy().cuda.runtime.getDeviceCount()
        a = _cupy().asarray(np.ones((2, 2), np.float32))
        (a @ a + a).get()  # needs the compiler and cuBLAS too
    except ModuleNotFoundError:
        raise RuntimeError(
            "device 'cuda' needs CuPy, which is not installed: run `pip install 'minigan[cuda12]'` "
            "(or 'minigan[cuda13]', for newer drivers), or use device 'cpu'"
        ) from None
    except Exception as error:  # CuPy is there, but no driver, no GPU or not all of CUDA
        raise RuntimeError(
            f"device 'cuda' finds no usable GPU ({error}): install its driver and `pip install 'minigan[cuda12]'`, "
            "or use device 'cpu'"
        ) from None


@functools.cache
def _cupy() -> Any:
    import cupy

    return cupy


# --- kernels: several operations in one launch. T is float or double, whatever the arrays hold --------------


@functools.cache
def _kernel(inputs: str, outputs: str, operation: str, name: str) -> Any:
    return _cupy().ElementwiseKernel(inputs, outputs, operation, name)


@functools.cache
def _sum_kernel(inputs: str, term: str, name: str) -> Any:
    return _cupy().ReductionKernel(inputs, "T y", term, "a + b", "y = a", "0", name)


def leaky_relu(x: Any, slope: float) -> Any:
    """`np.maximum(x, slope * x)`."""
    kernel = _kernel("T x, T slope", "T y", "y = x > 0 || x != x ? x : slope == 0 ? T(0) : slope * x", "leaky_relu")
    return kernel(x, slope, np.empty_like(x))


def leaky_relu_to_x(x: Any, g: Any, slope: float) -> Any:
    """`g * np.where(x > 0, 1, slope)`."""
    kernel = _kernel("T x, T g, T slope", "T y", "y = x > 0 ? g : slope * g", "leaky_relu_to_x")
    return kernel(x, g, slope, np.empty_like(x))


def blend(mean: Any, x: Any, decay: float) -> None:
    """`mean[...] = decay * mean + (1 - decay) * x`."""
    kernel = _kernel("T x, T decay, T rest", "T mean", "mean = decay * mean + rest * x", "blend")
    kernel(x, decay, 1 - decay, mean)  # the difference in Python's float64, as NumPy's code has it


def adam(theta: Any, g: Any, m: Any, v: Any, b1: float, b2: float, rate: float, eps: float) -> None:
    """`m[...] = b1 m + (1 - b1) g`, `v[...] = b2 v + (1 - b2) g g`, `theta -= rate m / (sqrt v + eps)`."""
    kernel = _kernel(
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
    return _sum_kernel("T x, T z", "x * z", "sum_of_products")(rows, other, axis=0)


def batch_norm(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    """For x (M, C): y, the means and the variances, as in `ops/norm.py`, in three launches."""
    mu = x.mean(axis=0)
    variance = _sum_kernel("T x, T mu, T m", "(x - mu) * (x - mu) / m", "variance")(x, mu, float(len(x)), axis=0)
    kernel = _kernel(
        "T x, T mu, T variance, T weight, T bias, T eps",
        "T y",
        "y = (x - mu) / sqrt(variance + eps) * weight + bias",
        "batch_norm",
    )
    return kernel(x, mu, variance, weight, bias, eps, np.empty_like(x)), mu, variance


def batch_norm_to_x(g: Any, x: Any, mu: Any, variance: Any, weight: Any, eps: float) -> Any:
    """dL/dx for g and x (M, C), as in `ops/norm.py`, in three launches."""
    g_sum = g.sum(axis=0)
    gx_sum = batch_norm_to_weight(g, x, mu, variance, eps)
    kernel = _kernel(
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
    kernel = _sum_kernel("T g, T x, T mu, T variance, T eps", "g * (x - mu) / sqrt(variance + eps)", "sum_of_g_x_hat")
    return kernel(g, x, mu, variance, eps, axis=0)


def sigmoid(x: Any) -> Any:
    """`1 / (1 + np.exp(-x))`, without overflow."""
    formula = "y = x > 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x))"
    return _kernel("T x", "T y", formula, "sigmoid")(x, np.empty_like(x))


def bce(x: Any, t: float) -> Any:
    """`np.mean(np.maximum(x, 0) - t * x + np.log1p(np.exp(-np.abs(x))))`."""
    term = "((x > 0 ? x : 0) - t * x + log1p(exp(x > 0 ? -x : x))) / n"
    return _sum_kernel("T x, T t, T n", term, "bce")(x, t, float(x.size), axis=None)


def bce_to_logits(x: Any, g: Any, t: float) -> Any:
    """`(sigmoid(x) * (1 - t) - sigmoid(-x) * t) * g / x.size`, for the one number g."""
    kernel = _kernel(
        "T x, T g, T t, T n",
        "T y",
        "T e = exp(x > 0 ? -x : x); y = (x > 0 ? 1 - t - e * t : e * (1 - t) - t) / (1 + e) * g / n",
        "bce_to_logits",
    )
    return kernel(x, g, t, float(x.size), np.empty_like(x))


def patches(images: Any, kernel: tuple[int, int], stride: int, padding: int) -> Any:
    """`_patches` of `ops/conv.py`: every patch of (N, H, W, C) as a row, (N OH OW, KH KW C), in one launch."""
    n, h, w, c = images.shape
    oh, ow = ((size + 2 * padding - k) // stride + 1 for size, k in zip((h, w), kernel, strict=True))
    copy = _kernel(
        "raw T images, int64 s, int64 p, int64 oh, int64 ow, int64 kh, int64 kw, int64 h, int64 w, int64 c",
        "T patch",
        """
        long long channel = i % c, l = i / c % kw, k = i / c / kw % kh;
        long long column = i / c / kw / kh % ow, row = i / c / kw / kh / ow % oh, image = i / c / kw / kh / ow / oh;
        long long u = s * row + k - p, v = s * column + l - p;
        patch = u < 0 || u >= h || v < 0 || v >= w ? T(0) : images[((image * h + u) * w + v) * c + channel];
        """,
        "patches",
    )
    rows = np.empty((n * oh * ow, kernel[0] * kernel[1] * c), images.dtype, like=images)
    return copy(np.ascontiguousarray(images, like=images), stride, padding, oh, ow, *kernel, h, w, c, rows)


def add_patches(patches: Any, size: Sequence[int], stride: int, padding: int, bias: Any = None) -> Any:
    """`_add_patches` of `ops/conv.py` the other way round: every pixel gathers what is its own, and adds the bias (C,).

    Pixel (u, v) is at (k, l) in patch (i, j) where u + p = s i + k and v + p = s j + l. Nobody else writes to it, so
    that the sum has one order: two runs give identical bytes. Returns images (N, *size, C).
    """
    n, oh, ow, kh, kw, c = patches.shape
    gather = _kernel(
        "raw T patches, T bias, int64 s, int64 p, int64 oh, int64 ow, int64 kh, int64 kw, int64 h, int64 w, int64 c",
        "T image",
        """
        long long channel = i % c, v = i / c % w + p, u = i / c / w % h + p, number = i / c / w / h;
        T total = 0;
        for (long long k = u % s; k < kh && k <= u; k += s) {
            long long row = (u - k) / s;
            if (row >= oh) continue;
            for (long long l = v % s; l < kw && l <= v; l += s) {
                long long column = (v - l) / s;
                if (column >= ow) continue;
                total += patches[((((number * oh + row) * ow + column) * kh + k) * kw + l) * c + channel];
            }
        }
        image = total + bias;
        """,
        "add_patches",
    )
    images = np.empty((n, *size, c), patches.dtype, like=patches)
    patches = np.ascontiguousarray(patches, like=patches)
    return gather(patches, 0.0 if bias is None else bias, stride, padding, oh, ow, kh, kw, *size, c, images)
