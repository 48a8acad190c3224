"""Dense networks, for points and for small images."""

import math
from itertools import pairwise

import numpy as np

from minigan.nn import Flatten, LeakyReLU, Linear, ReLU, Reshape, Sequential, Tanh


def mlp_generator(
    noise_dim: int, shape: tuple[int, ...], hidden: tuple[int, ...], rng: np.random.Generator
) -> Sequential:
    """Noise (N, noise_dim) -> (N, *shape), through ReLU layers of the `hidden` widths.

    Images (C, H, W) end in tanh, as their pixels lie in [-1, 1]; points (D,) end in a plain linear layer.
    """
    widths = (noise_dim, *hidden)
    layers = []
    for n_in, n_out in pairwise(widths):
        layers += [Linear(n_in, n_out, rng=rng), ReLU()]
    layers += [Linear(widths[-1], math.prod(shape), rng=rng)]
    if len(shape) > 1:
        layers += [Tanh(), Reshape(*shape)]
    return Sequential(*layers)


def mlp_discriminator(
    shape: tuple[int, ...], hidden: tuple[int, ...], rng: np.random.Generator, outputs: int = 1
) -> Sequential:
    """(N, *shape) -> logits (N, outputs), through LeakyReLU layers of the `hidden` widths."""
    widths = (math.prod(shape), *hidden)
    layers = [Flatten()] if len(shape) > 1 else []
    for n_in, n_out in pairwise(widths):
        layers += [Linear(n_in, n_out, rng=rng), LeakyReLU(0.2)]
    return Sequential(*layers, Linear(widths[-1], outputs, rng=rng))
