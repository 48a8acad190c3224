"""The original GAN, on dense networks: for points, and for small images as rows of pixels."""

import copy
from typing import Any

import numpy as np

from minigan import losses
from minigan.gan import GAN, belief, draw_noise, minimise, update_average
from minigan.networks import mlp_discriminator, mlp_generator
from minigan.nn import Module
from minigan.optim import Adam, Optimizer
from minigan.table import swappable
from minigan.tensor import Tensor


class OriginalGAN(GAN):
    """Two networks learn against each other: G makes fakes, D tells them from real samples (Goodfellow et al., 2014).

    G turns noise z into fakes; D(x) is the belief that x is real. D makes this value large, and G makes it small:

        V = E[ln D(x)] + E[ln(1 - D(G(z)))]

    The paper already trains G otherwise, to make E[ln D(G(z))] large: `non_saturating`, see `losses.py`. Later than the
    paper are leaky ReLUs in D, which had maxout and dropout, Adam, and the average of G's weights, from which samples
    come (Yazici et al., 2019).

    loss        the game: non_saturating, minimax, least_squares (LSGAN) or hinge
    lr_g        learning rate of the generator
    lr_d        learning rate of the discriminator
    betas       how long Adam remembers: little momentum, because the target moves
    batch_size  real samples in a step, and as many fakes
    epochs      passes over the data
    """

    def __init__(
        self,
        shapes: dict[str, tuple[int, ...]],
        rng: np.random.Generator,
        *,
        loss: str = "non_saturating",
        lr_g: float = 1e-3,
        lr_d: float = 1e-3,
        betas: tuple[float, float] = (0.5, 0.99),
        batch_size: int = 256,
        epochs: int = 30,
    ) -> None:
        super().__init__(batch_size, epochs)
        self.game = losses.find_game(loss)
        shape = shapes["samples"]
        self.noise_dim, hidden = (16, (128, 128)) if len(shape) == 1 else (64, (256, 512))
        self.G = mlp_generator(self.noise_dim, shape, hidden, rng)
        self.D = mlp_discriminator(shape, hidden[::-1], rng)
        self.average = copy.deepcopy(self.G).eval()
        self.g_optimizer = Adam(self.G.parameters(), lr_g, betas)
        self.d_optimizer = Adam(self.D.parameters(), lr_d, betas)

    def step(self, rng: np.random.Generator, samples: Any) -> dict[str, Tensor]:
        """Teach D once on samples (n, ...) and as many fakes, then G once on fresh noise.

        Both halves are functions, because exercises (and `fast/`) put others in their place. D 1 to G 5 are their
        stages, as the lesson on one training step numbers them.
        """
        n = len(samples)
        noise = draw_noise(n, self.noise_dim, rng)  # D 1: noise (n, noise_dim)
        figures = discriminator_step(self.G, self.D, self.d_optimizer, self.game, Tensor(samples), noise)
        noise = draw_noise(n, self.noise_dim, rng)  # G 1: fresh noise
        figures |= generator_step(self.G, self.D, self.g_optimizer, self.game, noise)
        update_average(self.average, self.G, decay=0.99)
        return figures


@swappable
def discriminator_step(
    G: Module, D: Module, optimizer: Optimizer, game: Any, real: Tensor, noise: Tensor
) -> dict[str, Tensor]:
    """Teach D to tell real samples (n, ...) from the fakes that G makes of noise (n, noise_dim). G stays bit-identical.

    Returns {"d_loss", "d_real", "d_fake"}: the loss, and D's mean beliefs in reals and in fakes.
    """
    with G.frozen():  # G's weights are left out of the graph, and its running statistics stay as they are
        fake = G(noise)  # D 2: fakes (n, ...)
    # Reals and fakes apart: with batch norm, one batch of both would mix their statistics.
    real_logits, fake_logits = D(real), D(fake.detach())  # D 3: scores (n, 1); the loss stops at detached fakes
    loss = game.discriminator(real_logits, fake_logits)  # D 4: the loss, one number
    loss = minimise(loss, optimizer)  # D 5: walk back to D's weights, and move them
    return {"d_loss": loss, "d_real": belief(real_logits), "d_fake": belief(fake_logits)}


@swappable
def generator_step(G: Module, D: Module, optimizer: Optimizer, game: Any, noise: Tensor) -> dict[str, Tensor]:
    """Teach G to be believed, on the fakes that it makes of noise (n, noise_dim). D stays bit-identical.

    Returns {"g_loss"}.
    """
    fake = G(noise)  # G 2: fakes (n, ...), recorded this time
    with D.frozen():  # gradients flow through D to the fakes, but its weights need none
        fake_logits = D(fake)  # G 3: scores (n, 1)
    loss = game.generator(fake_logits)  # G 4: the loss, one number
    return {"g_loss": minimise(loss, optimizer)}  # G 5: walk back through D and G, and move G's weights
