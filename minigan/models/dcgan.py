"""The deep convolutional GAN (Radford, Metz and Chintala, 2016).

Its guidelines: strided convolutions instead of pooling; batch norm in both networks, but not at the image (G's
last layer, D's first); no dense hidden layers; ReLU in G with tanh at the end, LeakyReLU 0.2 in D; all weights
from N(0, 0.02^2). Every convolution has kernel 4, stride 2, padding 1, which exactly halves or doubles the size.

    G: noise -> 7x7 -> 14x14 -> 28x28        D: 28x28 -> 14x14 -> 7x7 -> logit        (64x64 starts from 4x4)
"""

import numpy as np

from minigan import backend
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

SIZES = (16, 28, 32, 64, 128)


def dcgan_generator(
    noise_dim: int, image_shape: tuple[int, int, int], width: int, rng: np.random.Generator
) -> Sequential:
    """Noise (N, noise_dim) -> images (N, *image_shape) in (-1, 1).

    `width` is the number of channels before the last layer; each layer further from the image has twice as many.
    """
    image_channels, start, doublings = _plan(image_shape)
    channels = width * 2 ** (doublings - 1)
    layers = [
        Linear(noise_dim, channels * start**2, bias=False, rng=rng),  # batch norm's own bias does the shifting
        Reshape(channels, start, start),
        BatchNorm2d(channels),
        ReLU(),
    ]
    for _ in range(doublings - 1):
        layers += [
            ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1, bias=False, rng=rng),
            BatchNorm2d(channels // 2),
            ReLU(),
        ]
        channels //= 2
    layers += [ConvTranspose2d(channels, image_channels, 4, stride=2, padding=1, rng=rng), Tanh()]
    return _dcgan_weights(Sequential(*layers), rng)


def dcgan_discriminator(
    image_shape: tuple[int, int, int], width: int, rng: np.random.Generator, outputs: int = 1, norm: bool = True
) -> Sequential:
    """Images (N, *image_shape) -> logits (N, outputs). `width` is the number of channels after the first layer.

    norm=False leaves batch norm out, as the gradient penalty demands.
    """
    channels, start, halvings = _plan(image_shape)
    layers = [Conv2d(channels, width, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2)]
    for _ in range(halvings - 1):
        layers += [Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=not norm, rng=rng)]
        layers += [BatchNorm2d(2 * width)] if norm else []
        layers += [LeakyReLU(0.2)]
        width *= 2
    layers += [Flatten(), Linear(width * start**2, outputs, rng=rng)]
    return _dcgan_weights(Sequential(*layers), rng)


def _plan(image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """(channels, size of the smallest feature map, number of halvings from the image down to it)."""
    channels, height, width = image_shape if len(image_shape) == 3 else (0, 0, 0)
    if height != width or height not in SIZES or channels not in (1, 3):
        raise ValueError(
            f"a DCGAN makes images of 1 or 3 channels and size {SIZES}, not {image_shape}: choose another size"
        )
    start = 7 if height == 28 else 4
    return channels, start, (height // start).bit_length() - 1


def _dcgan_weights(model: Sequential, rng: np.random.Generator) -> Sequential:
    """All weights from N(0, 0.02^2); batch norm starts as 1 and 0, which the layers already are."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data[...] = backend.asarray(init.normal(parameter.shape, rng, std=0.02))
    return model
