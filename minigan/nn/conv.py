"""Convolution layers along 1, 2 or 3 axes: of sounds, images, volumes. See `ops/conv.py`.

Arguments and their order follow PyTorch; kernel_size, stride, padding, ... are one number, or one for each axis.
"""

from math import prod

import numpy as np

from minigan import ops
from minigan.checks import check_integer
from minigan.errors import ShapeError
from minigan.nn import init
from minigan.nn.module import Module, Parameter
from minigan.ops.conv import Steps, per_axis
from minigan.tensor import Tensor

Rng = np.random.Generator | None


class Convolution(Module):
    """What these layers share: settings, and weights that start as He et al. (2015) propose."""

    axes: int  # along which they go: 1, 2 or 3
    transposed = False

    def __init__(self, in_channels: int, out_channels: int, bias: bool, rng: Rng, **steps: Steps) -> None:
        name = type(self).__name__
        check_integer(f"{name}: in_channels", in_channels, 1)
        check_integer(f"{name}: out_channels", out_channels, 1)
        self.in_channels, self.out_channels = in_channels, out_channels
        for key, value in steps.items():
            numbers = per_axis(f"{name}: {key}", value, self.axes, least=0 if "padding" in key else 1)
            steps[key] = numbers
            setattr(self, key, numbers[0] if len(set(numbers)) == 1 else numbers)
        shape, fan_in = (out_channels, in_channels), in_channels * prod(steps["kernel_size"])
        if self.transposed:  # an output is covered K / s times along each axis: so many terms for each channel
            shape, fan_in = (in_channels, out_channels), max(1, fan_in // prod(steps["stride"]))
        weight = init.he_normal((*shape, *steps["kernel_size"]), init.rng_or_new(rng), fan_in)
        # It lies in memory channels last, as the inputs do where fast/conv.py has made them.
        self.weight = Parameter(np.moveaxis(np.ascontiguousarray(np.moveaxis(weight, 1, -1)), -1, 1))
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, *size) -> (N, out_channels, *out); for `out` see `ops.conv` and `ops.conv_transpose`."""
        if x.ndim != self.axes + 2:
            raise ShapeError(
                f"{type(self).__name__} takes x (N, C, *size) with {self.axes} spatial axes, not {x.shape}"
            )
        if self.transposed:
            return ops.conv_transpose(x, self.weight, self.bias, self.stride, self.padding, self.output_padding)
        return ops.conv(x, self.weight, self.bias, self.stride, self.padding, self.dilation)


class Conv1d(Convolution):
    """Convolution of sequences (N, in_channels, L); the weight is (out_channels, in_channels, *K)."""

    axes = 1

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
        rng: Rng = None,
    ) -> None:
        steps = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
        super().__init__(in_channels, out_channels, bias, rng, **steps)


class Conv2d(Conv1d):
    """Convolution of images (N, in_channels, H, W)."""

    axes = 2


class Conv3d(Conv1d):
    """Convolution of volumes (N, in_channels, D, H, W)."""

    axes = 3


class ConvTranspose1d(Convolution):
    """Transposed convolution of sequences (N, in_channels, L); the weight is (in_channels, out_channels, *K)."""

    axes, transposed = 1, True

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
        rng: Rng = None,
    ) -> None:
        steps = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "output_padding": output_padding}
        super().__init__(in_channels, out_channels, bias, rng, **steps)


class ConvTranspose2d(ConvTranspose1d):
    """Transposed convolution of images (N, in_channels, H, W)."""

    axes = 2


class ConvTranspose3d(ConvTranspose1d):
    """Transposed convolution of volumes (N, in_channels, D, H, W)."""

    axes = 3
