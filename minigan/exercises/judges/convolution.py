"""Judges of convolution: patches as columns, the convolution, and its transpose."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigan.exercises.judges.answer import Answer, normal

# Kernel, stride, padding: odd and even kernels, single pixels, gaps between patches, a border wider than usual.
GEOMETRIES = [(2, 1, 0), (3, 2, 1), (4, 2, 1), (3, 3, 0), (1, 1, 0), (1, 2, 0), (2, 3, 0), (3, 1, 2)]


def unfold(unfold: Answer) -> None:
    """Several kernels, strides and paddings, on images that are not square; a single patch of one channel too."""
    x = normal(2, 3, 6, 7)
    for geometry in GEOMETRIES:
        _check_unfold(unfold, x, *geometry)
    _check_unfold(unfold, normal(1, 1, 5, 4), 2, 2, 0)
    _check_unfold(unfold, normal(1, 2, 4, 4), 4, 1, 0)
    unfold.gradients(normal(2, 2, 5, 4), settings=(3, 2, 1))
    unfold.gradients(normal(1, 1, 2, 3), settings=(3, 1, 2), what="unfold with padding 2", order=1)
    unfold.in_float32(x, settings=(3, 2, 1))


def _check_unfold(unfold: Answer, x: np.ndarray, kernel: int, stride: int, padding: int) -> None:
    """The values for one geometry."""
    n, c = x.shape[:2]
    right = _patches(x, kernel, stride, padding)
    turned = right.reshape(n, c, kernel, kernel, -1).swapaxes(2, 3).reshape(right.shape)
    pixel_first = right.reshape(n, c, kernel**2, -1).swapaxes(1, 2).reshape(right.shape)
    oh, ow = ((size + 2 * padding - kernel) // stride + 1 for size in x.shape[2:])
    every = _patches(x, kernel, 1, padding).reshape(n, right.shape[1], x.shape[2] + 2 * padding - kernel + 1, -1)
    side_by_side = every[:, :, :oh, :ow].reshape(right.shape)
    upside_down = right.reshape(n, c, kernel**2, -1)[:, :, ::-1].reshape(right.shape)
    guesses = [
        ("rows and columns inside a patch are swapped", turned),
        ("each patch is turned round: k and l count from its top left corner", upside_down),
        ("every image gets the patches of the first one", np.broadcast_to(right[:1], right.shape)),
        ("every channel gets the patches of the first one", np.tile(right[:, : kernel**2], (1, c, 1))),
        ("a column must hold all pixels of channel 0, then all of channel 1", pixel_first),
        ("the border that padding adds is 0, not the edge again", _patches(x, kernel, stride, padding, "edge")),
        ("patches lie `stride` pixels apart, not one", side_by_side),
    ]
    what = f"unfold with kernel {kernel}, stride {stride}, padding {padding}"
    try:
        unfold.value(x, kernel, stride, padding, right=right, what=f"{what} of x {x.shape}", guesses=guesses)
    except ValueError as error:
        if "could not broadcast input array" in str(error):
            error.add_note("a slice from k must end at k + stride * oh, to hold oh rows (and ow columns from m)")
        raise


def _patches(x: np.ndarray, kernel: int, stride: int, padding: int, border: Any = "constant") -> np.ndarray:
    """(N, C K K, L), one patch after the other, by the definition."""
    images = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), border)
    tops, lefts = (range(0, size - kernel + 1, stride) for size in images.shape[2:])
    patches = [images[:, :, top : top + kernel, left : left + kernel] for top in tops for left in lefts]
    return np.stack([patch.reshape(len(x), -1) for patch in patches], axis=2)


def conv2d(conv2d: Answer) -> None:
    """Against sums over patches, one image of one channel and a single output too; the derivatives by differences."""
    for geometry in GEOMETRIES:
        _check_convolution(conv2d, normal(2, 3, 6, 7), 4, *geometry)
    _check_convolution(conv2d, normal(1, 1, 4, 5), 1, 3, 2, 1)
    _check_convolution(conv2d, normal(2, 3, 4, 4), 1, 4, 1, 0)  # the last layer of a discriminator
    _check_convolution(conv2d, normal(2, 3, 6, 7), 3, 3, 2, 1)  # as many channels out as in
    small = normal(2, 2, 5, 4), normal(3, 2, 3, 3), normal(3)
    conv2d.gradients(*small, settings=(2, 1))
    for size in (1, 0):  # as biases begin, and units that are off
        arrays = size * small[0][:1, :, :3, :3], size * small[1], np.zeros(3)
        conv2d.gradients(*arrays, what="conv2d with a bias of zeros", order=1)
    without = normal(1, 2, 3, 2), normal(1, 2, 2, 2)
    conv2d.gradients(*without, settings=(None, 1, 1), what="conv2d without a bias", order=1)
    conv2d.in_float32(*small, settings=(2, 1))


def _check_convolution(conv2d: Answer, x: np.ndarray, outputs: int, kernel: int, stride: int, padding: int) -> None:
    """The values for one geometry."""
    weight, bias = normal(outputs, x.shape[1], kernel, kernel), normal(outputs)
    shift, patches = bias.reshape(1, -1, 1, 1), _patches(x, kernel, stride, padding)
    out = [(size + 2 * padding - kernel) // stride + 1 for size in x.shape[2:]]

    def convolve(rows: np.ndarray) -> np.ndarray:
        y = np.einsum("op,npl->nol", rows.reshape(outputs, -1), patches)
        return y.reshape(len(x), outputs, *out)

    def guesses() -> Iterator[tuple[str, np.ndarray]]:
        yield "the bias is left out", convolve(weight)
        yield "the kernels are turned round", convolve(weight[:, :, ::-1, ::-1]) + shift
        yield "rows and columns of the kernels are swapped", convolve(weight.swapaxes(2, 3)) + shift
        yield "a row of weights must be in the order c, k, l", convolve(weight.transpose(0, 2, 3, 1)) + shift
        yield "the bias is added twice", convolve(weight) + 2 * shift
        mixed_up = weight.reshape(-1, outputs).T
        yield "a reshape to (C K K, O) mixes the weights up; make (O, C K K)", convolve(mixed_up) + shift
        if x.shape[1] == outputs:
            yield "the weight is (O, C, K, K): y's channels first", convolve(weight.swapaxes(0, 1)) + shift
        product = convolve(weight).swapaxes(0, 1)  # (O, N, OH, OW)
        yield "a product of all images is (O, N L); bring N to the front", product.reshape(len(x), -1, *out) + shift

    what, steps = f"conv2d with kernel {kernel}, stride {stride}, padding {padding} of x {x.shape}", (stride, padding)
    conv2d.value(x, weight, bias, *steps, right=convolve(weight) + shift, what=what, guesses=guesses())
    conv2d.value(x, weight, None, *steps, right=convolve(weight), what=f"{what}, no bias,")


def conv_transpose2d(conv_transpose2d: Answer) -> None:
    """Against stamping the kernels one by one; the derivatives by finite differences."""
    _check_transpose(conv_transpose2d, normal(2, 3, 3, 4), 3, 3, 2, 1, 0)  # as many channels out as in
    for geometry, extra in zip(GEOMETRIES[:7], (0, 1, 0, (2, 0), 0, 1, (0, 1)), strict=True):
        _check_transpose(conv_transpose2d, normal(2, 3, 3, 4), 2, *geometry, extra)
    _check_transpose(conv_transpose2d, normal(1, 1, 3, 4), 1, 3, 2, 1, 0)
    _check_transpose(conv_transpose2d, normal(2, 3, 1, 1), 2, 4, 1, 0, 0)  # the first layer of a generator
    x, weight, bias = normal(2, 3, 3, 2), normal(3, 2, 3, 3), normal(2)
    conv_transpose2d.gradients(x, weight, bias, settings=(2, 1))
    for size in (1, 0):  # as biases begin, and units that are off
        arrays = size * x[:1, :2, :2], size * weight[:2], np.zeros(2)
        what = "conv_transpose2d with a bias of zeros"
        conv_transpose2d.gradients(*arrays, settings=(2, 1), what=what, order=1)
    conv_transpose2d.gradients(x[:1, :2, :2], weight[:2], settings=(None, 2, 1, 1), order=1)
    conv_transpose2d.in_float32(x, weight, bias, settings=(2, 1))


def _check_transpose(
    answer: Answer, x: np.ndarray, outputs: int, kernel: int, stride: int, padding: int, extra: int | tuple[int, int]
) -> None:
    """The values for one geometry, with `extra` rows and columns as output_padding."""
    weight, bias = normal(x.shape[1], outputs, kernel, kernel), normal(outputs)
    shift = bias.reshape(1, -1, 1, 1)
    extras = (extra, extra) if isinstance(extra, int) else extra
    padded = [(n - 1) * stride + kernel + e for n, e in zip(x.shape[2:], extras, strict=True)]

    def stamp(w: np.ndarray, add: bool = True, of: np.ndarray = x) -> np.ndarray:
        images = np.zeros((len(x), outputs, *padded))
        for i, j in np.ndindex(x.shape[2:]):
            place = images[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            place[...] = place * add + np.einsum("nc,cokl->nokl", of[:, :, i, j], w)
        return images[:, :, padding : padded[0] - padding, padding : padded[1] - padding]

    what = f"conv_transpose2d with kernel {kernel}, stride {stride}, padding {padding}, output_padding {extra}"
    what, steps = f"{what} of x {x.shape}", (stride, padding, extra)
    answer.value(
        x,
        weight,
        bias,
        *steps,
        right=stamp(weight) + shift,
        what=what,
        guesses=_guesses_of_stamps(stamp, x, weight, shift, extras),
    )
    answer.value(x, weight, None, *steps, right=stamp(weight), what=f"{what}, no bias,")


def _guesses_of_stamps(
    stamp: Callable[..., np.ndarray], x: np.ndarray, weight: np.ndarray, shift: np.ndarray, extras: tuple[int, int]
) -> Iterator[tuple[str, np.ndarray]]:
    """What the usual mistakes would give."""
    right = stamp(weight)
    yield "the bias is left out", right
    yield "the kernels are turned round", stamp(weight[:, :, ::-1, ::-1]) + shift
    yield "stamps overwrite each other instead of adding up", stamp(weight, add=False) + shift
    counts = stamp(np.ones_like(weight), of=np.ones_like(x)) / x.shape[1]  # of stamps at each place
    yield "stamps that overlap add up, they are not averaged", right / np.maximum(counts, 1) + shift
    yield "the bias is added once for each stamp; add it to the image, after fold", right + counts * shift
    mixed_up = weight.reshape(-1, x.shape[1]).T.reshape(weight.shape)
    yield "a reshape to (O K K, C) mixes the weights up; make (C, O K K) and transpose that", stamp(mixed_up) + shift
    turned = x.swapaxes(2, 3).reshape(x.shape)
    yield "x is read column by column; reshape(x, (N, C, -1)) reads it row by row", stamp(weight, of=turned) + shift
    if weight.shape[0] == weight.shape[1]:
        yield "the weight is (C, O, K, K) here: x's channels first", stamp(weight.swapaxes(0, 1)) + shift
    cut = right.copy()
    cut[:, :, right.shape[2] - extras[0] :] = cut[:, :, :, right.shape[3] - extras[1] :] = 0
    yield "the rows and columns of output_padding are no zeros: kernels reach into them", cut + shift
