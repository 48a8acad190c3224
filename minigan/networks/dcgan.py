"""The stacks of the deep convolutional GAN (Radford, Metz and Chintala, 2016).

Its guidelines: strided convolutions instead of pooling; batch norm in both networks, but not at the image (G's
last layer, D's first); no dense hidden layers; ReLU in G with tanh at the end, LeakyReLU 0.2 in D; all weights
from N(0, 0.02^2). Every convolution has kernel 4, stride 2, padding 1, which exactly halves or doubles an even size.

    G: noise -> 7x7 -> 14x14 -> 28x28        D: 28x28 -> 14x14 -> 7x7 -> logit        (64x64 starts from 4x4)
"""

import numpy as np

from minigan import backend
from minigan.checks import check_integer
from minigan.nn import (
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    LeakyReLU,
    Linear,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
    init,
)

SMALLEST, LARGEST = 8, 128  # sides of an image, in pixels


def dcgan_generator(
    noise_dim: int, image_shape: tuple[int, int, int], width: int, rng: np.random.Generator
) -> Sequential:
    """Noise (N, noise_dim) -> images (N, *image_shape) in (-1, 1), of any number of channels, 8 to 128 pixels a side.

    `width` is the number of channels before the last layer; each layer further from the image has twice as many.
    """
    check_integer("width", width, 1)
    sizes = sizes_of(image_shape)[::-1]  # from the smallest map to the image
    channels = width * 2 ** (len(sizes) - 2)
    layers = [  # no bias before a batch norm, whose own does the shifting
        Linear(noise_dim, channels * sizes[0][0] * sizes[0][1], bias=False, rng=rng),
        Reshape(channels, *sizes[0]),
        BatchNorm2d(channels),
        ReLU(),
    ]
    for size in sizes[1:]:
        last = size == sizes[-1]
        odd = (size[0] % 2, size[1] % 2)  # doubling gives an even side: one more row or column makes it odd
        outputs = image_shape[0] if last else channels // 2
        layers.append(
            ConvTranspose2d(channels, outputs, 4, stride=2, padding=1, output_padding=odd, bias=last, rng=rng)
        )
        layers += [Tanh()] if last else [BatchNorm2d(outputs), ReLU()]
        channels = outputs
    return _dcgan_weights(Sequential(*layers), rng)


def dcgan_discriminator(
    image_shape: tuple[int, int, int], width: int, rng: np.random.Generator, outputs: int = 1, norm: bool = True
) -> Sequential:
    """Images (N, *image_shape) -> logits (N, outputs). `width` is the number of channels after the first layer.

    norm=False leaves batch norm out, as the gradient penalty demands.
    """
    check_integer("width", width, 1)
    sizes = sizes_of(image_shape)  # from the image to the smallest map
    layers = [Conv2d(image_shape[0], width, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2)]
    for _ in sizes[2:]:
        layers += [Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=not norm, rng=rng)]
        layers += [BatchNorm2d(2 * width)] if norm else []
        layers += [LeakyReLU(0.2)]
        width *= 2
    layers += [Flatten(), Linear(width * sizes[-1][0] * sizes[-1][1], outputs, rng=rng)]
    return _dcgan_weights(Sequential(*layers), rng)


def sizes_of(image_shape: tuple[int, int, int]) -> list[tuple[int, int]]:
    """The sizes of the maps from the image down, each half of the one before, until the shorter side is 4 to 7 pixels.

    28x28 -> 14x14 -> 7x7. Half of an odd side is rounded down. Raises ValueError for what is no image of such a size.
    """
    if len(image_shape) != 3 or not all(SMALLEST <= side <= LARGEST for side in image_shape[1:]):
        raise ValueError(
            f"a DCGAN makes images (C, H, W) with sides of {SMALLEST} to {LARGEST} pixels, not {image_shape}: "
            "choose another size, or other data"
        )
    sizes = [tuple(image_shape[1:])]
    while min(sizes[-1]) >= SMALLEST:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def _dcgan_weights(model: Sequential, rng: np.random.Generator) -> Sequential:
    """All weights from N(0, 0.02^2); batch norm starts as 1 and 0, which the layers already are."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data[...] = backend.asarray(init.normal(parameter.shape, rng, std=0.02))
    return model
