"""The layers. Names, arguments and shapes follow PyTorch."""

import math
from typing import Any

import numpy as np

from minigan import backend, ops
from minigan.checks import check_integer, check_number
from minigan.nn import init
from minigan.nn.module import Module, Parameter
from minigan.parallel import use_kernels
from minigan.tensor import ShapeError, Tensor


def _rng(rng: np.random.Generator | None) -> np.random.Generator:
    if not isinstance(rng, np.random.Generator | None):
        raise TypeError(f"rng must be a random generator, such as np.random.default_rng(0), not {rng!r}")
    return np.random.default_rng() if rng is None else rng


def _check(layer: str, low: int, **sizes: int) -> None:
    for name, size in sizes.items():
        check_integer(f"{layer}: {name}", size, low)


class Linear(Module):
    """y = x W^T + b for x (N, in_features) -> (N, out_features). Weights start as He et al. (2015) propose."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, rng: np.random.Generator | None = None
    ) -> None:
        _check("Linear", 1, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(init.he_normal((out_features, in_features), _rng(rng), fan_in=in_features))
        self.bias = Parameter(np.zeros(out_features, np.float32)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features) -> (N, out_features)."""
        return ops.linear(x, self.weight, self.bias)


class Conv2d(Module):
    """Convolution of (N, in_channels, H, W), see `ops.conv2d`; the weight is (out_channels, in_channels, K, K)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        _check("Conv2d", 1, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size, stride=stride)
        _check("Conv2d", 0, padding=padding)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.stride, self.padding = int(stride), int(padding)
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = _convolution_weight(init.he_normal(shape, _rng(rng), fan_in=in_channels * kernel_size**2))
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, OH, OW), OH = (H + 2 padding - K) // stride + 1."""
        return ops.conv2d(x, self.weight, self.bias, self.stride, self.padding)


class ConvTranspose2d(Module):
    """The transposed convolution, see `ops.conv_transpose2d`; the weight is (in_channels, out_channels, K, K)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        output_padding: int = 0,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        name = "ConvTranspose2d"
        _check(name, 1, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size, stride=stride)
        _check(name, 0, padding=padding, output_padding=output_padding)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.stride, self.padding, self.output_padding = int(stride), int(padding), int(output_padding)
        shape = (in_channels, out_channels, kernel_size, kernel_size)
        # A kernel of size K at stride s covers each output pixel (K / s)^2 times: that many terms per channel.
        fan_in = max(1, in_channels * kernel_size**2 // stride**2)
        self.weight = _convolution_weight(init.he_normal(shape, _rng(rng), fan_in))
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, OH, OW), OH = (H - 1) stride - 2 padding + K + output_padding."""
        return ops.conv_transpose2d(x, self.weight, self.bias, self.stride, self.padding, self.output_padding)


def _convolution_weight(weight: np.ndarray) -> Parameter:
    """A weight (A, B, K, K) that lies in memory channels last, like the images (see `ops/conv.py`)."""
    return Parameter(np.ascontiguousarray(weight.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2))


def update_running(running: Tensor, batch: Any, momentum: float) -> None:
    """running = (1 - momentum) running + momentum batch, in place: it moves a little towards the batch's array (C,)."""
    if use_kernels(running.data):
        backend.blend(running.data, batch, 1 - momentum)
        return
    running.data *= 1 - momentum
    running.data += momentum * batch


class _BatchNorm(Module):
    """Batch norm with running statistics, see `ops.batch_norm`.

    In training the batch's own mean and variance are used, and the running ones follow them:
    `running = (1 - momentum) running + momentum batch`, the variance with M / (M - 1). After `eval()` the
    running ones are used, so that an image no longer depends on the others in its batch.
    """

    ndim: int
    mixes_samples = True

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        _check(type(self).__name__, 1, num_features=num_features)
        check_number(f"{type(self).__name__}: eps", eps)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(np.ones(num_features, np.float32))
        self.bias = Parameter(np.zeros(num_features, np.float32))
        self.running_mean = Tensor(np.zeros(num_features, np.float32))
        self.running_var = Tensor(np.ones(num_features, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_features, ...) -> the same shape."""
        if x.ndim != self.ndim or x.shape[1] != self.num_features:
            raise ShapeError(
                f"{type(self).__name__} takes x of {self.ndim} axes and {self.num_features} channels, not {x.shape}"
            )
        if not self.training:
            return self._with_running_statistics(x)
        y, mean, variance = ops.batch_norm(x, self.weight, self.bias, self.eps)
        if self.is_frozen:
            return y
        m = x.size // self.num_features  # how many numbers each mean is over
        update_running(self.running_mean, mean, self.momentum)
        update_running(self.running_var, variance * (m / (m - 1)), self.momentum)
        return y

    def _with_running_statistics(self, x: Tensor) -> Tensor:
        per_channel = (1, self.num_features, *[1] * (x.ndim - 2))
        scale = self.weight / (self.running_var + self.eps).sqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale.reshape(per_channel) + shift.reshape(per_channel)


class BatchNorm1d(_BatchNorm):
    """Batch norm of (N, num_features)."""

    ndim = 2


class BatchNorm2d(_BatchNorm):
    """Batch norm of (N, num_features, H, W): one mean and variance per channel, over N, H and W."""

    ndim = 4


class LeakyReLU(Module):
    """max(x, slope x), element by element."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return ops.leaky_relu(x, self.negative_slope)


class ReLU(Module):
    """max(x, 0), element by element."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(x)


class Tanh(Module):
    """tanh x, element by element, in (-1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + e^-x), element by element, in (0, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.sigmoid(x)


class Reshape(Module):
    """(N, ...) -> (N, *shape)."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, *shape)."""
        return ops.reshape(x, (x.shape[0], *self.shape))


class Flatten(Module):
    """(N, C, H, W) -> (N, C H W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, the product of the rest)."""
        return ops.reshape(x, (x.shape[0], math.prod(x.shape[1:])))
