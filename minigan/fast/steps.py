"""Training steps: the threads that suit them, and one pass of D where the plain step needs two."""

from contextlib import AbstractContextManager
from typing import Any

from minigan import gan
from minigan.fast.threads import THREADS, blas_threads, keep_freed_memory
from minigan.gan import belief, minimise
from minigan.gans.gan import discriminator_step as plain_discriminator_step
from minigan.nn import Module
from minigan.nn.conv import Convolution
from minigan.ops import concatenate
from minigan.optim import Optimizer
from minigan.table import fast, plain_version
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


@fast(plain_discriminator_step)
def discriminator_step(
    G: Module, D: Module, optimizer: Optimizer, game: Any, real: Tensor, noise: Tensor
) -> dict[str, Tensor]:
    """D scores reals and fakes in one pass, unless a layer of it looks across the batch and would mix them."""
    if any(module.mixes_samples for module in D.modules()):
        return plain_version(plain_discriminator_step)(G, D, optimizer, game, real, noise)
    with G.frozen():
        fake = G(noise)
    logits = D(concatenate([real, fake.detach()]))
    real_logits, fake_logits = logits[: len(real)], logits[len(real) :]
    loss = minimise(game.discriminator(real_logits, fake_logits), optimizer)
    return {"d_loss": loss, "d_real": belief(real_logits), "d_fake": belief(fake_logits)}
