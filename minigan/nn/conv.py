"""Convolution layers, for 1, 2 or 3 spatial axes: sounds, images, volumes."""

import math

import numpy as np

from minigan import ops
from minigan.checks import check_integer
from minigan.errors import ShapeError
from minigan.nn import init
from minigan.nn.module import Module, Parameter
from minigan.ops.conv import Steps, per_axis
from minigan.tensor import Tensor


class Convolution(Module):
    """What the six layers share: their settings, and weights that start as He et al. (2015) propose."""

    axes: int  # how many spatial ones; a subclass says so

    def _settings(self, in_channels: int, out_channels: int, **steps: Steps) -> None:
        """Check and keep the settings: kernel_size, stride, padding, ... are one number, or one for each axis."""
        name = type(self).__name__
        check_integer(f"{name}: in_channels", in_channels, 1)
        check_integer(f"{name}: out_channels", out_channels, 1)
        self.in_channels, self.out_channels = in_channels, out_channels
        for key, value in steps.items():
            numbers = per_axis(f"{name}: {key}", value, self.axes, least=0 if "padding" in key else 1)
            setattr(self, key, numbers[0] if len(set(numbers)) == 1 else numbers)

    def _weights(self, shape: tuple[int, int], fan_in: int, bias: bool, rng: np.random.Generator | None) -> None:
        """The weight (*shape, *K) and the bias. The weight lies channels last in memory, as `fast/conv.py` wants it."""
        kernel = per_axis("kernel_size", self.kernel_size, self.axes, 1)
        weight = init.he_normal((*shape, *kernel), init.generator(rng), max(1, fan_in))
        self.weight = Parameter(np.moveaxis(np.ascontiguousarray(np.moveaxis(weight, 1, -1)), -1, 1))
        self.bias = Parameter(np.zeros(self.out_channels, np.float32)) if bias else None

    def _check(self, x: Tensor) -> None:
        if x.ndim != self.axes + 2:
            raise ShapeError(
                f"{type(self).__name__} takes x (N, C, *size) with {self.axes} spatial axes, not {x.shape}"
            )


class _Conv(Convolution):
    """See `ops.conv`; the weight is (out_channels, in_channels, *K)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Steps,
        stride: Steps = 1,
        padding: Steps = 0,
        dilation: Steps = 1,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        steps = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
        self._settings(in_channels, out_channels, **steps)
        fan_in = in_channels * math.prod(per_axis("kernel_size", self.kernel_size, self.axes, 1))
        self._weights((out_channels, in_channels), fan_in, bias, rng)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, *size) -> (N, out_channels, *out).

        out = (size + 2 padding - dilation (K - 1) - 1) // stride + 1
        """
        self._check(x)
        return ops.conv(x, self.weight, self.bias, self.stride, self.padding, self.dilation)


class Conv1d(_Conv):
    """Convolution of sequences (N, in_channels, L)."""

    axes = 1


class Conv2d(_Conv):
    """Convolution of images (N, in_channels, H, W)."""

    axes = 2


class Conv3d(_Conv):
    """Convolution of volumes (N, in_channels, D, H, W)."""

    axes = 3


class _ConvTranspose(Convolution):
    """See `ops.conv_transpose`; the weight is (in_channels, out_channels, *K)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Steps,
        stride: Steps = 1,
        padding: Steps = 0,
        output_padding: Steps = 0,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        steps = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "output_padding": output_padding}
        self._settings(in_channels, out_channels, **steps)
        # A kernel of size K at stride s covers each output place K / s times along each axis: so many terms a channel.
        kernel, stride = (math.prod(per_axis("", n, self.axes, 1)) for n in (self.kernel_size, self.stride))
        self._weights((in_channels, out_channels), in_channels * kernel // stride, bias, rng)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, *size) -> (N, out_channels, *out).

        out = (size - 1) stride - 2 padding + K + output_padding
        """
        self._check(x)
        return ops.conv_transpose(x, self.weight, self.bias, self.stride, self.padding, self.output_padding)


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of sequences (N, in_channels, L)."""

    axes = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution of images (N, in_channels, H, W)."""

    axes = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution of volumes (N, in_channels, D, H, W)."""

    axes = 3
