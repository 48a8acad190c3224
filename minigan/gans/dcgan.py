"""The deep convolutional GAN: images without labels."""

import copy
from typing import Any

import numpy as np

from minigan import losses
from minigan.gan import GAN, belief, draw_noise, minimise, update_average
from minigan.networks import dcgan_discriminator, dcgan_generator
from minigan.optim import Adam
from minigan.tensor import Tensor


class DCGAN(GAN):
    """Strided convolutions and batch norm in both networks make GANs of images stable (Radford et al., 2016).

    The game is the original one; new are the networks, see `networks/dcgan.py`. The paper's are wider, with 100 numbers
    of uniform noise; it trains with batches of 128, rates of 2e-4 and betas of (0.5, 0.999). The defaults here were
    measured to learn MNIST best in two minutes. Samples come from an average of G's weights, unlike the paper's.

    loss        the game: non_saturating, minimax, least_squares or hinge
    width       channels beside the image; each layer further from it has twice as many
    lr_g        learning rate of the generator
    lr_d        learning rate of the discriminator
    betas       how long Adam remembers
    batch_size  real images in a step, and as many fakes
    epochs      passes over the data
    """

    def __init__(
        self,
        shapes: dict[str, tuple[int, ...]],
        rng: np.random.Generator,
        *,
        loss: str = "non_saturating",
        width: int = 32,
        lr_g: float = 2e-3,
        lr_d: float = 1e-3,
        betas: tuple[float, float] = (0.5, 0.99),
        batch_size: int = 64,
        epochs: int = 2,
    ) -> None:
        super().__init__(batch_size, epochs, batch_norm=True)
        self.game, self.noise_dim = losses.find_game(loss), 64
        self.G = dcgan_generator(self.noise_dim, shapes["images"], width, rng)
        self.D = dcgan_discriminator(shapes["images"], width, rng)
        self.average = copy.deepcopy(self.G).eval()
        self.g_optimizer = Adam(self.G.parameters(), lr_g, betas)
        self.d_optimizer = Adam(self.D.parameters(), lr_d, betas)

    def step(self, rng: np.random.Generator, images: Any) -> dict[str, Tensor]:
        """Teach D once on images (n, C, H, W) and as many fakes, then G once on fresh noise."""
        n, real = len(images), Tensor(images)
        with self.G.frozen():
            fake = self.G(draw_noise(n, self.noise_dim, rng))
        real_logits, fake_logits = self.D(real), self.D(fake.detach())  # apart, or batch norm would mix them
        d_loss = minimise(self.game.discriminator(real_logits, fake_logits), self.d_optimizer)

        fake = self.G(draw_noise(n, self.noise_dim, rng))
        with self.D.frozen():
            logits = self.D(fake)
        g_loss = minimise(self.game.generator(logits), self.g_optimizer)
        update_average(self.average, self.G, decay=0.99)
        return {"d_loss": d_loss, "g_loss": g_loss, "d_real": belief(real_logits), "d_fake": belief(fake_logits)}
