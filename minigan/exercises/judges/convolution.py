"""Judges of convolution: patches as columns, the convolution, and its transpose."""

import numpy as np

from minigan.exercises.judges.answer import Answer, normal

GEOMETRIES = [(2, 1, 0), (3, 2, 1), (4, 2, 1), (3, 3, 0), (1, 1, 0)]  # kernel, stride, padding


def unfold(unfold: Answer) -> None:
    """Several kernels, strides and paddings, on images that are not square."""
    x = normal(2, 3, 6, 7)
    n, c = x.shape[:2]
    for kernel, stride, padding in GEOMETRIES:
        right = _patches(x, kernel, stride, padding)
        turned = right.reshape(n, c, kernel, kernel, -1).swapaxes(2, 3).reshape(right.shape)
        pixel_first = right.reshape(n, c, kernel**2, -1).swapaxes(1, 2).reshape(right.shape)
        guesses = [
            ("rows and columns inside a patch are swapped", turned),
            ("a column must hold all pixels of channel 0, then all of channel 1", pixel_first),
        ]
        what = f"unfold with kernel {kernel}, stride {stride}, padding {padding}"
        unfold.value(x, kernel, stride, padding, right=right, what=what, guesses=guesses)
    unfold.gradients(normal(2, 2, 5, 4), settings=(3, 2, 1))
    unfold.in_float32(x, settings=(3, 2, 1))


def _patches(x: np.ndarray, kernel: int, stride: int, padding: int) -> np.ndarray:
    """(N, C K K, L), one patch after the other, by the definition."""
    images = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    tops, lefts = (range(0, size - kernel + 1, stride) for size in images.shape[2:])
    patches = [images[:, :, top : top + kernel, left : left + kernel] for top in tops for left in lefts]
    return np.stack([patch.reshape(len(x), -1) for patch in patches], axis=2)


def conv2d(conv2d: Answer) -> None:
    """Against sums over patches, one image of one channel too; the derivatives by finite differences."""
    for geometry in GEOMETRIES:
        _check_convolution(conv2d, normal(2, 3, 6, 7), 4, *geometry)
    _check_convolution(conv2d, normal(1, 1, 4, 5), 1, 3, 2, 1)
    small = normal(2, 2, 5, 4), normal(3, 2, 3, 3), normal(3)
    conv2d.gradients(*small, settings=(2, 1))
    conv2d.in_float32(*small, settings=(2, 1))


def _check_convolution(conv2d: Answer, x: np.ndarray, outputs: int, kernel: int, stride: int, padding: int) -> None:
    """The values for one geometry."""
    weight, bias = normal(outputs, x.shape[1], kernel, kernel), normal(outputs)
    shift, patches = bias.reshape(1, -1, 1, 1), _patches(x, kernel, stride, padding)
    out = [(size + 2 * padding - kernel) // stride + 1 for size in x.shape[2:]]

    def convolve(w: np.ndarray) -> np.ndarray:
        return np.einsum("op,npl->nol", w.reshape(outputs, -1), patches).reshape(len(x), outputs, *out)

    guesses = [
        ("the bias is left out", convolve(weight)),
        ("the kernels are turned round", convolve(weight[:, :, ::-1, ::-1]) + shift),
        ("rows and columns of the kernels are swapped", convolve(weight.swapaxes(2, 3)) + shift),
    ]
    what, steps = f"conv2d with kernel {kernel}, stride {stride}, padding {padding}", (stride, padding)
    conv2d.value(x, weight, bias, *steps, right=convolve(weight) + shift, what=what, guesses=guesses)
    conv2d.value(x, weight, None, *steps, right=convolve(weight), what=f"{what}, no bias,")


def conv_transpose2d(conv_transpose2d: Answer) -> None:
    """Against stamping the kernels one by one; the derivatives by finite differences."""
    for geometry, extra in zip(GEOMETRIES[:4], (0, 1, 0, (2, 0)), strict=True):
        _check_transpose(conv_transpose2d, normal(2, 3, 3, 4), 2, *geometry, extra)
    _check_transpose(conv_transpose2d, normal(1, 1, 3, 4), 1, 3, 2, 1, 0)
    x, weight, bias = normal(2, 3, 3, 2), normal(3, 2, 3, 3), normal(2)
    conv_transpose2d.gradients(x, weight, bias, settings=(2, 1))
    conv_transpose2d.gradients(x, weight, settings=(None, 2, 1, 1))
    conv_transpose2d.in_float32(x, weight, bias, settings=(2, 1))


def _check_transpose(
    answer: Answer, x: np.ndarray, outputs: int, kernel: int, stride: int, padding: int, extra: int | tuple[int, int]
) -> None:
    """The values for one geometry, with `extra` rows and columns as output_padding."""
    weight, bias = normal(x.shape[1], outputs, kernel, kernel), normal(outputs)
    shift = bias.reshape(1, -1, 1, 1)
    extras = (extra, extra) if isinstance(extra, int) else extra
    padded = [(n - 1) * stride + kernel + e for n, e in zip(x.shape[2:], extras, strict=True)]

    def stamp(w: np.ndarray, add: bool = True) -> np.ndarray:
        images = np.zeros((len(x), outputs, *padded))
        for i, j in np.ndindex(x.shape[2:]):
            place = images[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            place[...] = place * add + np.einsum("nc,cokl->nokl", x[:, :, i, j], w)
        return images[:, :, padding : padded[0] - padding, padding : padded[1] - padding]

    guesses = [
        ("the bias is left out", stamp(weight)),
        ("the kernels are turned round", stamp(weight[:, :, ::-1, ::-1]) + shift),
        ("stamps overwrite each other instead of adding up", stamp(weight, add=False) + shift),
    ]
    what = f"conv_transpose2d with kernel {kernel}, stride {stride}, padding {padding}, output_padding {extra}"
    steps = (stride, padding, extra)
    answer.value(x, weight, bias, *steps, right=stamp(weight) + shift, what=what, guesses=guesses)
    answer.value(x, weight, None, *steps, right=stamp(weight), what=f"{what}, no bias,")
