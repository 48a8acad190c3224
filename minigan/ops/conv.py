"""Convolution and transposed convolution along 1, 2 or 3 spatial axes: of sounds, images, volumes.

Below, i, k, u and the sizes K stand for one number per spatial axis; s is the stride, p the padding, d the dilation.
Place k of the kernel, for output i, meets the input at u = s i + d k - p; outside, the input is 0.

    y = conv(x, w)       y[n,o,i] = b[o] + sum over c and k of  x[n, c, s i + d k - p]  w[o,c,k]

Three operations form a triangle: the derivatives of each are the other two (g is the gradient of the left side).

    y = conv(x, w)             to x: conv_transpose(g, w)    to w: conv_weight(x, g)
    x = conv_transpose(y, w)   to y: conv(g, w)              to w: conv_weight(g, y)
    w = conv_weight(x, y)      to x: conv_transpose(y, g)    to y: conv(x, g)

All come from one sum, S = sum over n, o, c, i, k of  y[n,o,i]  x[n, c, s i + d k - p]  w[o,c,k], which is linear in
each of its three factors. Its derivative to y is conv(x, w), to x conv_transpose(y, w), to w conv_weight(x, y): so the
gradients of each operation are the other two, with g in the free place.

They are recorded operations too, so a gradient can be differentiated again, as often as you like. Under each stands
its sum, on arrays, in the simplest form: for one place k of the kernel, all outputs meet the padded input in one
strided slice, and one small product does them all. `fast/conv.py` has the same sums, quicker, from a matrix of patches.

Argument names and their order follow PyTorch. For the sizes see Dumoulin and Visin (2016).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minigan.errors import ShapeError
from minigan.ops.shape import sum
from minigan.table import swappable
from minigan.tensor import Tensor, op, record

Steps = int | Sequence[int]  # a stride, padding or dilation: one number for all spatial axes, or one for each


@op
def conv(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Steps = 1, padding: Steps = 0, dilation: Steps = 1
) -> Tensor:
    """Slide each of the O kernels over the input: the formula stands above.

    x (N, C, *size), weight (O, C, *K), bias (O,)  ->  (N, O, *out) with out = (size + 2p - d (K - 1) - 1) // s + 1.
    x[n,c,u] meets y[n,o,i] through w[o,c,k] wherever u = s i + d k - p, and each derivative sums over all such places.
    Raises ShapeError where shapes, stride, padding or dilation do not fit.
    """
    check_operands(x, weight, bias, inputs=1)
    grid = Grid(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return record(
        correlate(x.data, weight.data, bias.data if bias is not None else None, grid),
        (x, lambda g, y: conv_transpose(g, weight, None, stride, padding, grid.left_over, dilation)),
        (weight, lambda g, y: conv_weight(x, g, grid.kernel, stride, padding, dilation)),
        (bias, lambda g, y: sum(g, axis=(0, *range(2, g.ndim)))),
    )


@swappable
def correlate(x: Any, weight: Any, bias: Any, grid: "Grid") -> Any:
    """The sum of `conv`, on arrays: x (N, C, *size), weight (O, C, *K), bias (O,) or None -> (N, O, *out)."""
    padded, y = grid.pad(x), np.zeros((len(x), len(weight), *grid.out), x.dtype, like=x)
    for k, places in grid.places():
        y += np.einsum("nc...,oc->no...", padded[:, :, *places], weight[:, :, *k], optimize=True)
    return _with_bias(y, bias)


@op
def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Steps = 1,
    padding: Steps = 0,
    output_padding: Steps = 0,
    dilation: Steps = 1,
) -> Tensor:
    """The input gradient of `conv` as a layer of its own: every pixel stamps its kernel on the output.

    x (N, C, *size), weight (C, O, *K), bias (O,)  ->  (N, O, *out), where
    out = (size - 1) s - 2p + d (K - 1) + 1 + output_padding. With a stride s, `conv` maps s sizes of inputs to one of
    outputs, since // rounds down: output_padding, from 0 to s - 1, chooses which of them `out` is.
    """
    check_operands(x, weight, bias, inputs=0)
    grid = Grid.of_transpose(x.shape[2:], weight.shape[2:], stride, padding, output_padding, dilation)
    return record(
        stamp(x.data, weight.data, bias.data if bias is not None else None, grid),
        (x, lambda g, y: conv(g, weight, None, stride, padding, dilation)),
        (weight, lambda g, y: conv_weight(g, x, grid.kernel, stride, padding, dilation)),
        (bias, lambda g, y: sum(g, axis=(0, *range(2, g.ndim)))),
    )


@swappable
def stamp(y: Any, weight: Any, bias: Any, grid: "Grid") -> Any:
    """The sum of `conv_transpose`, in the letters of `conv`, whose input gradient it is.

    y (N, O, *out), weight (O, C, *K), bias (C,) or None -> (N, C, *size).
    """
    padded = np.zeros((len(y), weight.shape[1], *grid.padded), y.dtype, like=y)
    for k, places in grid.places():
        padded[:, :, *places] += np.einsum("no...,oc->nc...", y, weight[:, :, *k], optimize=True)
    return _with_bias(padded[:, :, *grid.inside], bias)


@op
def conv_weight(
    x: Tensor, y: Tensor, kernel_size: Steps, stride: Steps = 1, padding: Steps = 0, dilation: Steps = 1
) -> Tensor:
    """The weight gradient of `conv`: w[o,c,k] = sum over n and i of  y[n,o,i]  x[n, c, s i + d k - p].

    x (N, C, *size) the input, y (N, O, *out) the upstream gradient  ->  (O, C, *K).
    """
    grid = Grid(x.shape[2:], kernel_size, stride, padding, dilation)
    if y.shape != (len(x), *y.shape[1:2], *grid.out):
        raise ShapeError(f"y {y.shape} is not what conv gives for x {x.shape}: it must be ({len(x)}, O, *{grid.out})")
    return record(
        correlate_weight(x.data, y.data, grid),
        (x, lambda g, w: conv_transpose(y, g, None, stride, padding, grid.left_over, dilation)),
        (y, lambda g, w: conv(x, g, None, stride, padding, dilation)),
    )


@swappable
def correlate_weight(x: Any, y: Any, grid: "Grid") -> Any:
    """The sum of `conv_weight`, on arrays: x (N, C, *size), y (N, O, *out) -> (O, C, *K)."""
    padded, weight = grid.pad(x), np.zeros((y.shape[1], x.shape[1], *grid.kernel), x.dtype, like=x)
    for k, places in grid.places():
        weight[:, :, *k] = np.einsum("no...,nc...->oc", y, padded[:, :, *places], optimize=True)
    return weight


conv1d = conv2d = conv3d = conv  # one definition for all: x says how many axes there are
conv_transpose1d = conv_transpose2d = conv_transpose3d = conv_transpose


@op
def unfold(x: Tensor, kernel_size: Steps, stride: Steps = 1, padding: Steps = 0) -> Tensor:
    """Every patch of an image as a column: x (N, C, H, W) -> (N, C KH KW, L), L = OH OW patches.

    A pixel that lies in several patches gets the sum of its copies' gradients.
    """
    if x.ndim != 4:
        raise ShapeError(f"{x.shape} are not images (N, C, H, W)")
    grid = Grid(x.shape[2:], kernel_size, stride, padding)
    padded, patches = grid.pad(x.data), np.empty((*x.shape[:2], *grid.kernel, *grid.out), x.dtype, like=x.data)
    for k, places in grid.places():
        patches[:, :, *k] = padded[:, :, *places]
    columns = patches.reshape(len(x), -1, grid.out[0] * grid.out[1])
    return record(columns, (x, lambda g, y: fold(g, x.shape[2:], kernel_size, stride, padding)))


@op
def fold(columns: Tensor, size: tuple[int, int], kernel_size: Steps, stride: Steps = 1, padding: Steps = 0) -> Tensor:
    """Add patches (N, C KH KW, L) back to the places they came from -> (N, C, *size): the derivative of unfold."""
    if len(size) != 2:
        raise ShapeError(f"the size of images is (H, W), not {size}")
    grid = Grid(size, kernel_size, stride, padding)
    (kh, kw), (oh, ow) = grid.kernel, grid.out
    n, channels = len(columns), columns.shape[1] // (kh * kw)
    if columns.shape[1:] != (channels * kh * kw, oh * ow):
        raise ShapeError(f"{columns.shape} are not patches of images {size}: they must be (N, C {kh} {kw}, {oh * ow})")
    patches = columns.data.reshape(n, channels, *grid.kernel, *grid.out)
    padded = np.zeros((n, channels, *grid.padded), columns.dtype, like=columns.data)
    for k, places in grid.places():
        padded[:, :, *places] += patches[:, :, *k]
    return record(padded[:, :, *grid.inside], (columns, lambda g, y: unfold(g, kernel_size, stride, padding)))


class Grid:
    """Which places of an input a kernel meets. All fields are tuples with one number for each spatial axis:

    size, kernel, stride, padding, dilation; out, the size of the output; padded, that of the padded input; left_over,
    how many places at the end no kernel reaches (the output_padding that gives them back).
    """

    def __init__(
        self, size: Sequence[int], kernel: Steps, stride: Steps = 1, padding: Steps = 0, dilation: Steps = 1
    ) -> None:
        axes = len(size)
        if not 1 <= axes <= 3:
            raise ShapeError(f"there must be 1 to 3 spatial axes, not {axes}")
        self.size, self.kernel = tuple(size), per_axis("kernel_size", kernel, axes, 1)
        self.stride, self.padding = per_axis("stride", stride, axes, 1), per_axis("padding", padding, axes, 0)
        self.dilation = per_axis("dilation", dilation, axes, 1)
        self.padded = tuple([n + 2 * p for n, p in zip(self.size, self.padding, strict=True)])
        reach = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True)]  # of the spread-out kernel
        free = [n - r for n, r in zip(self.padded, reach, strict=True)]
        if min(free) < 0:
            raise ShapeError(f"a kernel that reaches over {reach} does not fit into {self.padded} (padding included)")
        self.out = tuple([f // s + 1 for f, s in zip(free, self.stride, strict=True)])
        self.left_over = tuple([f % s for f, s in zip(free, self.stride, strict=True)])
        self.inside = tuple([slice(p, p + n) for p, n in zip(self.padding, self.size, strict=True)])  # without padding

    @classmethod
    def of_transpose(cls, out: Sequence[int], kernel: Sequence[int], *steps: Steps) -> "Grid":
        """The grid of the `conv` that gives `out`: its input is what the transposed convolution makes.

        `steps` are stride, padding, output_padding and dilation.
        """
        names = (("stride", 1), ("padding", 0), ("output_padding", 0), ("dilation", 1))
        settings = zip(names, steps, strict=True)
        s, p, extra, d = (per_axis(name, value, len(out), least) for (name, least), value in settings)
        if any(e >= t for e, t in zip(extra, s, strict=True)):
            raise ShapeError(f"output_padding {steps[2]} must be from 0 to stride - 1, and the stride is {steps[0]}")
        size = [(n - 1) * s[i] - 2 * p[i] + d[i] * (kernel[i] - 1) + 1 + extra[i] for i, n in enumerate(out)]
        if min(size) < 1:
            raise ShapeError(f"padding {steps[1]} leaves no output")
        return cls(size, kernel, s, p, d)

    def places(self) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """For each place k of the kernel: k, and what it meets in the padded input, one number per output.

        There, output i is met at u + p = s i + d k: slices that start at d k and go n = `out` steps of s.
        """
        for k in np.ndindex(self.kernel):
            axes = zip(k, self.dilation, self.stride, self.out, strict=True)
            yield k, tuple([slice(d * j, d * j + s * (n - 1) + 1, s) for j, d, s, n in axes])

    def pad(self, x: Any) -> Any:
        """x (N, C, *size) with a border of zeros: (N, C, *padded)."""
        if not any(self.padding):
            return x
        padded = np.zeros((*x.shape[:2], *self.padded), x.dtype, like=x)
        padded[:, :, *self.inside] = x
        return padded


def per_axis(name: str, value: Steps, axes: int, least: int) -> tuple[int, ...]:
    """A setting as one whole number for each of the axes; raises ShapeError unless each is at least `least`."""
    numbers = tuple(value) if isinstance(value, list | tuple) else (value,) * axes
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in numbers)
    if len(numbers) != axes or not whole or min(numbers) < least:
        raise ShapeError(f"{name} must be a whole number of at least {least}, or {axes} of them, not {value!r}")
    return tuple([int(n) for n in numbers])


def check_operands(x: Tensor, weight: Tensor, bias: Tensor | None, inputs: int) -> None:
    """Raise a ShapeError unless x (N, C, *size), weight and bias fit; `inputs` is the weight's axis of C."""
    if not 3 <= x.ndim <= 5 or weight.ndim != x.ndim:
        raise ShapeError(
            f"x must be (N, C, *size) with 1 to 3 spatial axes, and the weight have as many axes, not {x.shape} and "
            f"{weight.shape}"
        )
    channels, outputs = weight.shape[inputs], weight.shape[1 - inputs]
    if x.shape[1] != channels:
        raise ShapeError(f"x {x.shape} has {x.shape[1]} channels, but the weight {weight.shape} takes {channels}")
    if bias is not None and bias.shape != (outputs,):
        raise ShapeError(f"the bias {bias.shape} must be ({outputs},) for the weight {weight.shape}")


def _with_bias(y: Any, bias: Any) -> Any:
    """y (N, O, ...) plus b[o] everywhere."""
    return y if bias is None else y + bias.reshape(-1, *[1] * (y.ndim - 2))
