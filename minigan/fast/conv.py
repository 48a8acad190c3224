"""The sums of convolution through patches: all of them in one matrix, so that one large product does it all.

A convolution layer is a dense layer that is applied to every patch. `patches` copies every patch into a row of a
matrix, and `add_patches` adds such rows back to the places that they came from. Then `correlate` is patches, then a
product; `stamp` is a product, then adding patches; `correlate_weight` multiplies upstream gradients by patches.

Inputs have shape (N, C, *size), as in PyTorch, but results lie in memory channels last, as (N, *size, C), and so do the
layers' weights: then a product writes its result in the final order, with no transposed copies. Whatever is called
`images` here is channels last. The work goes in blocks of a few samples, whose patches stay in the cache, shared out
over the cores.
"""

from collections.abc import Iterator
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from minigan import backend
from minigan.fast import kernels
from minigan.fast.threads import for_each_block
from minigan.ops.conv import Grid
from minigan.ops.conv import correlate as plain_correlate
from minigan.ops.conv import correlate_weight as plain_correlate_weight
from minigan.ops.conv import stamp as plain_stamp
from minigan.table import fast, plain_version

BLOCK = 256 * 1024  # numbers in a block of patches: 1 MB in float32, which was measured to be fastest


@fast(plain_correlate)
def correlate(x: Any, weight: Any, bias: Any, grid: Grid) -> Any:
    """For each block of samples: its patches (N out, K C) @ the kernels (K C, O)."""
    if _plainly(x, grid):
        return plain_version(plain_correlate)(x, weight, bias, grid)
    o = len(weight)
    images, kernels_ = channels_last(x), channels_last(weight).reshape(o, -1).T  # (N, *size, C), (K C, O)
    y = np.empty((len(x), *grid.out, o), x.dtype, like=x)

    def work(block: slice) -> None:
        np.matmul(patches(images[block], grid), kernels_, out=y[block].reshape(-1, o))  # a view of y
        if bias is not None:
            y[block] += bias

    for_each_block(work, _blocks(x, grid))
    return channels_first(y)


@fast(plain_stamp)
def stamp(y: Any, weight: Any, bias: Any, grid: Grid) -> Any:
    """Places (N out, O) @ kernels (O, K C) are patches; add them up."""
    if _plainly(y, grid):
        return plain_version(plain_stamp)(y, weight, bias, grid)
    o, c = weight.shape[:2]
    rows, kernels_ = channels_last(y), channels_last(weight).reshape(o, -1)  # (N, *out, O), (O, K C)
    if backend.on_gpu(y):
        parts = (rows.reshape(-1, o) @ kernels_).reshape(len(y), *grid.out, *grid.kernel, c)
        return channels_first(kernels.add_patches(parts, bias, grid))
    padded = np.zeros((len(y), *grid.padded, c), y.dtype, like=y)

    def work(block: slice) -> None:
        parts = rows[block].reshape(-1, o) @ kernels_
        add_patches(padded[block], parts.reshape(-1, *grid.out, *grid.kernel, c), grid)
        if bias is not None:
            padded[block] += bias

    for_each_block(work, _blocks(padded, grid, c))
    return channels_first(padded[:, *grid.inside])


@fast(plain_correlate_weight)
def correlate_weight(x: Any, y: Any, grid: Grid) -> Any:
    """Upstream gradients (O, N out) @ patches (N out, K C): a sum over all samples and places."""
    if _plainly(x, grid):
        return plain_version(plain_correlate_weight)(x, y, grid)
    o, c = y.shape[1], x.shape[1]
    images, rows = channels_last(x), channels_last(y)

    def work(block: slice) -> Any:
        return rows[block].reshape(-1, o).T @ patches(images[block], grid)

    shares = for_each_block(work, _blocks(x, grid))
    weight = reduce(np.add, shares) if shares else np.zeros((o, prod(grid.kernel) * c), x.dtype, like=x)
    return channels_first(weight.reshape(o, *grid.kernel, c))


def patches(images: Any, grid: Grid) -> Any:
    """Every patch of (N, *size, C), with a border of zeros, as a row: (N out, K C)."""
    if backend.on_gpu(images):
        return kernels.patches(images, grid.kernel, grid)
    images, n = _pad(images, grid), len(grid.size)
    reach = [d * (k - 1) + 1 for d, k in zip(grid.dilation, grid.kernel, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(images, reach, axis=tuple(range(1, n + 1)))
    # a view, (N, *places, C, *reach)
    strides, dilations = ([slice(None, None, n) for n in steps] for steps in (grid.stride, grid.dilation))
    windows = windows[:, *strides, :, *dilations]  # (N, *out, C, *K)
    windows = windows.transpose(*range(n + 1), *range(n + 2, 2 * n + 2), n + 1)  # (N, *out, *K, C)
    return windows.reshape(-1, prod(grid.kernel) * images.shape[-1])  # the copy happens here


def add_patches(images: Any, parts: Any, grid: Grid) -> None:
    """Add patches (N, *out, *K, C) to the places in padded images (N, *padded, C) that they were cut from.

    For one place k of the kernel, different patches go to different places, so that one addition does all of them.
    """
    sizes = zip((*grid.kernel, *grid.padded), (*grid.stride, *grid.stride), strict=True)
    in_squares = len(grid.size) == 2 and min(grid.stride) > 1 and set(grid.dilation) == {1}
    if in_squares and parts.shape[-1] > 1 and all(size % s == 0 for size, s in sizes):
        _add_squares(images, parts, *grid.stride)  # with one channel it would not be faster
        return
    everything = (slice(None),) * len(grid.size)
    for k, places in grid.places():
        images[:, *places] += parts[:, *everything, *k]


def _add_squares(images: Any, parts: Any, s: int, t: int) -> None:
    """`add_patches` in fewer, longer additions, where the strides s and t divide the sizes of kernel and images.

    Cut both into rectangles of s x t pixels. With k = s k' + a, the row s i + k is row a of rectangle i + k': so a
    whole rectangle (k', m') of the kernel goes to whole rectangles of the image, in one addition.
    """
    n, oh, ow, kh, kw, c = parts.shape
    squares = images.reshape(n, images.shape[1] // s, s, images.shape[2] // t, t * c)  # a view: images has no gaps
    parts = parts.reshape(n, oh, ow, kh // s, s, kw // t, t * c)
    for k in range(kh // s):
        for m in range(kw // t):
            squares[:, k : k + oh, :, m : m + ow] += parts[:, :, :, k, :, m].transpose(0, 1, 3, 2, 4)


def _plainly(array: Any, grid: Grid) -> bool:
    """Whether there is nothing to gain: the GPU's kernels are for images without dilation."""
    return backend.on_gpu(array) and (len(grid.size) != 2 or set(grid.dilation) != {1})


def _pad(images: Any, grid: Grid) -> Any:
    """A border of zeros around (N, *size, C)."""
    if not any(grid.padding):
        return images
    padded = np.zeros((len(images), *grid.padded, images.shape[-1]), images.dtype, like=images)
    padded[:, *grid.inside] = images
    return padded


def _blocks(x: Any, grid: Grid, channels: int | None = None) -> Iterator[slice]:
    """Slices over the batch whose patches fill at most one BLOCK, but of one sample at least; on a GPU, one slice."""
    floats = prod(grid.out) * prod(grid.kernel) * (x.shape[1] if channels is None else channels)  # of one sample
    step = len(x) if backend.on_gpu(x) else BLOCK // max(1, floats)
    return (slice(start, start + max(1, step)) for start in range(0, len(x), max(1, step)))


def channels_last(x: Any) -> Any:
    """(N, C, *size) -> (N, *size, C), contiguous; costs nothing where memory already lies that way."""
    return np.ascontiguousarray(x.transpose(0, *range(2, x.ndim), 1), like=x)


def channels_first(images: Any) -> Any:
    """(N, *size, C) -> (N, C, *size), a view."""
    return images.transpose(0, images.ndim - 1, *range(1, images.ndim - 1))
