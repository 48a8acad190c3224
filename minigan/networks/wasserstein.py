"""The players of both Wasserstein GANs: dense networks for points, a DCGAN's for images."""

import numpy as np

from minigan.networks.dcgan import dcgan_discriminator, dcgan_generator
from minigan.networks.mlp import mlp_discriminator, mlp_generator
from minigan.nn import Module


def generator_and_critic(shape: tuple[int, ...], noise_dim: int, rng: np.random.Generator) -> tuple[Module, Module]:
    """Noise (N, noise_dim) -> samples (N, *shape), and samples -> scores (N, 1).

    There is no batch norm in the critic: with it, the slope at one sample would depend on the others, which a gradient
    penalty must not have.
    """
    if len(shape) == 1:
        hidden = (128, 128)
        return mlp_generator(noise_dim, shape, hidden, rng), mlp_discriminator(shape, hidden, rng)
    return dcgan_generator(noise_dim, shape, 16, rng), dcgan_discriminator(shape, 16, rng, norm=False)
