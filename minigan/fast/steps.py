"""Training steps: the threads that suit them, and one pass of D where the plain step needs two."""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from minigan import gan
from minigan.fast.threads import THREADS, blas_threads, keep_freed_memory
from minigan.gan import belief, draw_noise, minimise
from minigan.gans.gan import discriminator_step as plain_discriminator_step
from minigan.gans.wgan_gp import WGANGP
from minigan.losses import gradient_penalty, wasserstein
from minigan.nn import Module
from minigan.nn.conv import Convolution
from minigan.ops import concatenate
from minigan.optim import Optimizer
from minigan.table import fast
from minigan.tensor import Tensor


@fast(gan.computing)
def computing(trained: gan.GAN) -> AbstractContextManager[None]:
    """Which threads are faster depends on whether any network has convolutions.

    If so, BLAS stays on one thread for the whole step, and our own threads share out convolutions and products: BLAS's
    would wait busily between products and take the cores from ours. If not, BLAS gets all the threads.
    """
    keep_freed_memory()
    modules = [module for network in trained.networks().values() for module in network.modules()]
    return blas_threads(1 if any(isinstance(module, Convolution) for module in modules) else THREADS)


def score(D: Module, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """D(real) and D(fake), in one pass, unless a layer of D looks across the batch and would mix them."""
    if any(module.mixes_samples for module in D.modules()):
        return D(real), D(fake)
    both = D(concatenate([real, fake]))
    return both[: len(real)], both[len(real) :]


@fast(plain_discriminator_step)
def discriminator_step(
    G: Module, D: Module, optimizer: Optimizer, game: Any, real: Tensor, noise: Tensor
) -> dict[str, Tensor]:
    """The step of `gans/gan.py`, with one pass of D."""
    with G.frozen():
        fake = G(noise)
    real_logits, fake_logits = score(D, real, fake.detach())
    loss = minimise(game.discriminator(real_logits, fake_logits), optimizer)
    return {"d_loss": loss, "d_real": belief(real_logits), "d_fake": belief(fake_logits)}


@fast(WGANGP.critic_step)
def critic_step(self: WGANGP, rng: np.random.Generator, real: Tensor) -> dict[str, Tensor]:
    """The step of `gans/wgan_gp.py`, with one pass of D beside that for the penalty."""
    with self.G.frozen():
        fake = self.G(draw_noise(len(real), self.noise_dim, rng)).detach()
    difference = wasserstein.discriminator(*score(self.D, real, fake))
    off_slope = gradient_penalty(self.D, real, fake, rng)
    d_loss = minimise(difference + self.penalty * off_slope, self.d_optimizer)
    return {"d_loss": d_loss, "distance": -difference.detach(), "penalty": off_slope.detach()}
