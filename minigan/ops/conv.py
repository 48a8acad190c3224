"""Convolution, transposed convolution and unfolding.

A convolution layer is a dense layer that is applied to every patch of the image. So all of it rests on two
array functions and a matrix product. `_patches` copies every patch into a row of a matrix, and `_add_patches` adds
such rows back to the places that they came from: the transpose of that copying, which carries gradients back.
conv2d is `_patches`, then a product; conv_transpose2d is a product, then `_add_patches`; conv2d_weight multiplies
patches by upstream gradients.

These three form a triangle: the derivatives of each are the other two (g is the gradient of the result on the left).

    y = conv2d(x, w)             to x: conv_transpose2d(g, w)    to w: conv2d_weight(x, g)
    x = conv_transpose2d(y, w)   to y: conv2d(g, w)              to w: conv2d_weight(g, y)
    w = conv2d_weight(x, y)      to x: conv_transpose2d(y, g)    to y: conv2d(x, g)

They are recorded operations too, so a gradient can be differentiated again, as often as you like.

Images have shape (N, C, H, W), as in PyTorch, but results lie in memory channels last, as (N, H, W, C), and so do
the layers' weights: then a product writes its result in the final order, with no transposed copies. For the sizes
see Dumoulin and Visin (2016). `like=x` makes an array of the kind that x is: on a GPU, one of CuPy.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np

from minigan import backend
from minigan.ops.shape import sum
from minigan.parallel import for_each_block, is_plain, use_kernels
from minigan.tensor import ShapeError, Tensor, op, record

BLOCK = 256 * 1024  # numbers in a block of patches: 1 MB in float32, which was measured to be fastest


@op
def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """Slide each of the O kernels over the image.

        y[n,o,i,j] = b[o] + sum_ckl x[n, c, s i + k - p, s j + l - p] w[o,c,k,l]

    s is the stride, p the padding, and x is 0 outside the image. So x[n,c,u,v] meets y[n,o,i,j] through w[o,c,k,l]
    where u = s i + k - p and v = s j + l - p, and each derivative sums over all such places.

    x (N, C, H, W), weight (O, C, KH, KW), bias (O,)  ->  (N, O, OH, OW) with OH = (H + 2p - KH) // s + 1.
    Raises ShapeError where shapes, stride or padding do not fit.
    """
    _check(x, weight, bias, stride, padding, axes=(1, 0))
    _check_kernel(x.shape, weight.shape[2:], padding)
    left_over = _left_over(x.shape, weight.shape[2:], stride, padding)
    return record(
        _conv(x.data, weight.data, bias, stride, padding),
        (x, lambda g, y: conv_transpose2d(g, weight, None, stride, padding, left_over)),
        (weight, lambda g, y: conv2d_weight(x, g, weight.shape[2:], stride, padding)),
        (bias, lambda g, y: sum(g, axis=(0, 2, 3))),
    )


@op
def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    output_padding: int | tuple[int, int] = 0,
) -> Tensor:
    """The input gradient of conv2d as a layer of its own: every pixel stamps its kernel on the output.

    x (N, C, H, W), weight (C, O, KH, KW), bias (O,)  ->  (N, O, OH, OW), OH = (H - 1) s - 2p + KH + output_padding.
    With a stride s, conv2d maps s sizes of images to the same H, as // rounds down: output_padding, from 0 to s - 1,
    chooses which of them OH is.
    """
    _check(x, weight, bias, stride, padding, axes=(0, 1))
    extra = (output_padding,) * 2 if isinstance(output_padding, int) else tuple(output_padding)
    if not all(0 <= e < stride for e in extra):
        raise ShapeError(f"output_padding must be from 0 to stride - 1 = {stride - 1}, not {output_padding}")
    size = [(x.shape[2 + i] - 1) * stride - 2 * padding + weight.shape[2 + i] + extra[i] for i in (0, 1)]
    if min(size) < 1:
        raise ShapeError(f"padding {padding} leaves no output")
    return record(
        _conv_transpose(x.data, weight.data, bias, stride, padding, size),
        (x, lambda g, y: conv2d(g, weight, None, stride, padding)),
        (weight, lambda g, y: conv2d_weight(g, x, weight.shape[2:], stride, padding)),
        (bias, lambda g, y: sum(g, axis=(0, 2, 3))),
    )


@op
def conv2d_weight(x: Tensor, y: Tensor, kernel: tuple[int, int], stride: int = 1, padding: int = 0) -> Tensor:
    """The weight gradient of conv2d: w[o,c,k,l] = sum_nij y[n,o,i,j] x[n, c, s i + k - p, s j + l - p].

    x (N, C, H, W) the image, y (N, O, OH, OW) the upstream gradient  ->  (O, C, KH, KW).
    """
    _check_steps(stride, padding)
    _check_kernel(x.shape, kernel, padding)
    if y.shape != (len(x), y.shape[1], *_output_size(x.shape, kernel, stride, padding)):
        raise ShapeError(
            f"y {y.shape} is not what conv2d gives for the image {x.shape}, kernel {kernel}, stride {stride} and "
            f"padding {padding}"
        )
    left_over = _left_over(x.shape, kernel, stride, padding)
    return record(
        _conv_weight(x.data, y.data, kernel, stride, padding),
        (x, lambda g, w: conv_transpose2d(y, g, None, stride, padding, left_over)),
        (y, lambda g, w: conv2d(x, g, None, stride, padding)),
    )


@op
def unfold(x: Tensor, kernel_size: int, stride: int = 1, padding: int = 0) -> Tensor:
    """Every patch of the image as a column: x (N, C, H, W) -> (N, C K K, L), L = OH OW patches.

    A pixel that lies in several patches gets the sum of its copies' gradients.
    """
    _check_steps(stride, padding)
    _check_kernel(x.shape, (kernel_size, kernel_size), padding)
    n, c = x.shape[:2]
    oh, ow = _output_size(x.shape, (kernel_size, kernel_size), stride, padding)
    rows = _patches(_channels_last(x.data), (kernel_size, kernel_size), stride, padding)
    columns = rows.reshape(n, oh * ow, kernel_size**2, c).transpose(0, 3, 2, 1)  # (N, C, KK, L)
    return record(
        columns.reshape(n, c * kernel_size**2, oh * ow),
        (x, lambda g, y: fold(g, x.shape[2:], kernel_size, stride, padding)),
    )


@op
def fold(columns: Tensor, size: tuple[int, int], kernel_size: int, stride: int = 1, padding: int = 0) -> Tensor:
    """Add patches (N, C K K, L) back to the places they came from -> (N, C, *size): the derivative of unfold."""
    _check_steps(stride, padding)
    n, ckk, _ = columns.shape
    _check_kernel((n, 1, *size), (kernel_size, kernel_size), padding)
    c, kernel = ckk // kernel_size**2, (kernel_size, kernel_size)
    oh, ow = _output_size((n, c, *size), kernel, stride, padding)
    if columns.shape[1:] != (c * kernel_size**2, oh * ow):
        raise ShapeError(f"{columns.shape} are not patches of images of {size}: they must be (N, C K K, {oh * ow})")
    rows = columns.data.reshape(n, c, *kernel, oh, ow).transpose(0, 4, 5, 2, 3, 1)  # (N, OH, OW, KH, KW, C)
    return record(_folded(rows, size, stride, padding), (columns, lambda g, y: unfold(g, kernel_size, stride, padding)))


# --- the array functions under the operations. The first three take and return (N, C, H, W); whatever is called
# `images` is channels last, (N, H, W, C) ---------------------------------------------------------------------


def _conv(x: Any, weight: Any, bias: Tensor | None, stride: int, padding: int) -> Any:
    """For each block of images: its patches (N OH OW, KH KW C) @ the kernels (KH KW C, O)."""
    n, (o, c, kh, kw) = len(x), weight.shape
    oh, ow = _output_size(x.shape, (kh, kw), stride, padding)
    images, kernels = _channels_last(x), weight.transpose(0, 2, 3, 1).reshape(o, -1).T
    y = np.empty((n, oh, ow, o), x.dtype, like=x)

    def work(block: slice) -> None:
        rows = _patches(images[block], (kh, kw), stride, padding)
        np.matmul(rows, kernels, out=y[block].reshape(-1, o))  # a view of y
        if bias is not None:
            y[block] += bias.data

    for_each_block(work, _blocks(y, oh * ow * kh * kw * c))
    return _channels_first(y)


def _conv_transpose(y: Any, weight: Any, bias: Tensor | None, stride: int, padding: int, size: Sequence[int]) -> Any:
    """Pixels (N OH OW, O) @ kernels (O, KH KW C) are patches; add them up.

    Named as in conv2d, whose input gradient this is: y (N, O, OH, OW) comes in, (N, C, *size) goes out.
    """
    n, o, oh, ow = y.shape
    _, c, kh, kw = weight.shape
    rows, kernels = _channels_last(y), weight.transpose(0, 2, 3, 1).reshape(o, -1)
    if use_kernels(y):
        patches = (rows.reshape(-1, o) @ kernels).reshape(n, oh, ow, kh, kw, c)
        return _channels_first(backend.add_patches(patches, size, stride, padding, None if bias is None else bias.data))
    images = np.zeros((n, size[0] + 2 * padding, size[1] + 2 * padding, c), y.dtype, like=y)

    def work(block: slice) -> None:
        patches = rows[block].reshape(-1, o) @ kernels
        _add_patches(images[block], patches.reshape(-1, oh, ow, kh, kw, c), stride)
        if bias is not None:
            images[block] += bias.data

    for_each_block(work, _blocks(images, oh * ow * kh * kw * c))
    return _crop(images, padding)


def _conv_weight(x: Any, y: Any, kernel: tuple[int, int], stride: int, padding: int) -> Any:
    """Upstream gradients (O, N OH OW) @ patches (N OH OW, KH KW C): a sum over all images and positions."""
    _, o, oh, ow = y.shape
    c = x.shape[1]
    images, rows = _channels_last(x), _channels_last(y)

    def work(block: slice) -> Any:
        return rows[block].reshape(-1, o).T @ _patches(images[block], kernel, stride, padding)

    shares = for_each_block(work, _blocks(images, oh * ow * kernel[0] * kernel[1] * c))
    weight = reduce(np.add, shares) if shares else np.zeros((o, kernel[0] * kernel[1] * c), x.dtype, like=x)
    return weight.reshape(o, *kernel, c).transpose(0, 3, 1, 2)


def _patches(images: Any, kernel: tuple[int, int], stride: int, padding: int) -> Any:
    """Every patch of (N, H, W, C), with a border of zeros, as a row: (N OH OW, KH KW C)."""
    if use_kernels(images):
        return backend.patches(images, kernel, stride, padding)
    images = _pad(images, padding)
    windows = np.lib.stride_tricks.sliding_window_view(images, kernel, axis=(1, 2))  # at stride 1: a view with
    # axes (N, H - KH + 1, W - KW + 1, C, KH, KW)
    windows = windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)  # (N, OH, OW, KH, KW, C)
    return windows.reshape(-1, kernel[0] * kernel[1] * images.shape[3])  # the copy happens here


def _add_patches(images: Any, patches: Any, stride: int) -> None:
    """Add patches (N, OH, OW, KH, KW, C) to the places in images (N, H, W, C) that they were cut from.

    Pixel (k, m) of patch (i, j) belongs at (s i + k, s j + m). For one (k, m), different patches go to different
    places, so one addition does all of them, with a step of s.
    """
    _, oh, ow, kh, kw, c = patches.shape
    if stride > 1 and c > 1 and not is_plain() and all(size % stride == 0 for size in (kh, kw, *images.shape[1:3])):
        _add_squares(images, patches, stride)  # with one channel it would not be faster
        return
    for k in range(kh):
        for m in range(kw):
            images[:, k : k + oh * stride : stride, m : m + ow * stride : stride] += patches[:, :, :, k, m]


def _add_squares(images: Any, patches: Any, s: int) -> None:
    """`_add_patches` in fewer, longer additions, where the stride s divides the sizes of kernel and images.

    Cut both into squares of s x s pixels. With k = s k' + a, the row s i + k is row a of square i + k': so a whole
    square (k', m') of the kernel goes to whole squares of the image, in one addition.
    """
    n, oh, ow, kh, kw, c = patches.shape
    squares = images.reshape(n, images.shape[1] // s, s, images.shape[2] // s, s * c)  # a view: images has no gaps
    parts = patches.reshape(n, oh, ow, kh // s, s, kw // s, s * c)
    for k in range(kh // s):
        for m in range(kw // s):
            squares[:, k : k + oh, :, m : m + ow] += parts[:, :, :, k, :, m].transpose(0, 1, 3, 2, 4)


def _folded(patches: Any, size: Sequence[int], stride: int, padding: int) -> Any:
    """Patches (N, OH, OW, KH, KW, C) added up to images (N, C, *size)."""
    if use_kernels(patches):
        return _channels_first(backend.add_patches(patches, size, stride, padding))
    n, c = len(patches), patches.shape[5]
    images = np.zeros((n, size[0] + 2 * padding, size[1] + 2 * padding, c), patches.dtype, like=patches)
    _add_patches(images, patches, stride)
    return _crop(images, padding)


def _pad(images: Any, padding: int) -> Any:
    """A border of zeros around images (N, H, W, C)."""
    if padding == 0:
        return images
    n, h, w, c = images.shape
    padded = np.zeros((n, h + 2 * padding, w + 2 * padding, c), images.dtype, like=images)
    padded[:, padding:-padding, padding:-padding] = images
    return padded


def _crop(images: Any, padding: int) -> Any:
    """Padded images (N, H, W, C) -> (N, C, H, W) without the padding: undoes `_pad` and `_channels_last`."""
    h, w = images.shape[1:3]
    return _channels_first(images[:, padding : h - padding, padding : w - padding])  # :-padding fails for 0


def _blocks(images: Any, floats_per_image: int) -> Iterator[slice]:
    """Slices over the batch whose patches fill at most one BLOCK, but of one image at least; plain or on a GPU, one."""
    n = len(images)
    step = max(1, n if is_plain() or backend.on_gpu(images) else BLOCK // max(1, floats_per_image))
    return (slice(start, start + step) for start in range(0, n, step))


def _channels_last(x: Any) -> Any:
    """(N, C, H, W) -> (N, H, W, C), contiguous; costs nothing where memory already lies that way."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1), like=x)


def _channels_first(x: Any) -> Any:
    return x.transpose(0, 3, 1, 2)


# --- sizes, and the checks of what was given -----------------------------------------------------------------


def _output_size(shape: tuple[int, ...], kernel: Sequence[int], stride: int, padding: int) -> tuple[int, int]:
    """(OH, OW): how many places a kernel has in an image of shape (N, C, H, W)."""
    h, w = shape[2] + 2 * padding, shape[3] + 2 * padding
    return (h - kernel[0]) // stride + 1, (w - kernel[1]) // stride + 1


def _left_over(shape: tuple[int, ...], kernel: Sequence[int], stride: int, padding: int) -> tuple[int, int]:
    """Rows and columns at the border that no kernel reaches: the output_padding that gives them back."""
    h, w = shape[2] + 2 * padding, shape[3] + 2 * padding
    return (h - kernel[0]) % stride, (w - kernel[1]) % stride


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, axes: tuple[int, int]) -> None:
    """Raise a ShapeError unless x (N, C, H, W) and weight fit; `axes` are those of C and of O in the weight."""
    if x.ndim != 4 or weight.ndim != 4:
        raise ShapeError(f"images must be (N, C, H, W) and the weight 4-dimensional, not {x.shape} and {weight.shape}")
    channels, outputs = weight.shape[axes[0]], weight.shape[axes[1]]
    if x.shape[1] != channels:
        raise ShapeError(
            f"the image {x.shape} has {x.shape[1]} channels, but the weight {weight.shape} takes {channels}"
        )
    if bias is not None and bias.shape != (outputs,):
        raise ShapeError(f"the bias {bias.shape} must be ({outputs},) for the weight {weight.shape}")
    _check_steps(stride, padding)


def _check_steps(stride: int, padding: int) -> None:
    if not (isinstance(stride, int) and isinstance(padding, int)) or stride < 1 or padding < 0:
        raise ShapeError(f"stride {stride} and padding {padding} must be integers, of at least 1 and of at least 0")


def _check_kernel(shape: tuple[int, ...], kernel: Sequence[int], padding: int) -> None:
    h, w = shape[2] + 2 * padding, shape[3] + 2 * padding
    if not (1 <= kernel[0] <= h and 1 <= kernel[1] <= w):
        raise ShapeError(f"a {kernel[0]}x{kernel[1]} kernel does not fit into an image of {h}x{w} (padding included)")
