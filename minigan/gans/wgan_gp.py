"""The Wasserstein GAN, with a gradient penalty."""

import copy
from typing import Any

import numpy as np

from minigan.checks import check_integer, check_number
from minigan.gan import GAN, draw_noise, minimise, update_average
from minigan.losses import gradient_penalty, wasserstein
from minigan.networks.wasserstein import generator_and_critic
from minigan.optim import Adam
from minigan.table import swappable
from minigan.tensor import Tensor


class WGANGP(GAN):
    """Instead of clipping its weights, a penalty pulls the critic's slope to 1 (Gulrajani et al., 2017).

    At random points between a real sample and a fake, the norm of the critic's slope should be 1, as it is for the
    best critic. So its loss is

        E[D(G(z))] - E[D(x)] + penalty E[(|dD(x_between)/dx| - 1)^2]

    The paper's rates are 1e-4; these defaults are for images in minutes. For points, a penalty of 0.1 with rates of
    2e-3 and batches of 128 came nearer to the data. Samples come from an average of G's weights, unlike the paper's.

    penalty       the weight of the gradient penalty
    critic_steps  steps of the critic for each of the generator, each on a batch of its own
    lr_g          learning rate of the generator
    lr_d          learning rate of the critic
    betas         how long Adam remembers: no momentum, as in the paper
    batch_size    real samples in a step of the critic, and as many fakes
    epochs        passes over the data
    """

    def __init__(
        self,
        shapes: dict[str, tuple[int, ...]],
        rng: np.random.Generator,
        *,
        penalty: float = 10.0,
        critic_steps: int = 5,
        lr_g: float = 1e-3,
        lr_d: float = 1e-3,
        betas: tuple[float, float] = (0.0, 0.9),
        batch_size: int = 64,
        epochs: int = 10,
    ) -> None:
        points = len(shapes["samples"]) == 1
        super().__init__(batch_size, epochs, batch_norm=not points)  # G's, for images
        check_integer("critic_steps", critic_steps, 1)
        check_number("penalty", penalty)
        self.penalty, self.critic_steps = penalty, critic_steps
        self.noise_dim = 16 if points else 64
        self.G, self.D = generator_and_critic(shapes["samples"], self.noise_dim, rng)
        self.average = copy.deepcopy(self.G).eval()
        self.g_optimizer = Adam(self.G.parameters(), lr_g, betas)
        self.d_optimizer = Adam(self.D.parameters(), lr_d, betas)

    @property
    def samples_per_step(self) -> int:
        """A batch for each step of the critic."""
        return self.batch_size * self.critic_steps

    def step(self, rng: np.random.Generator, samples: Any) -> dict[str, Tensor]:
        """Teach the critic `critic_steps` times, each on its own part of samples (n, ...), then G once."""
        for real in np.array_split(samples, self.critic_steps):
            figures = self.critic_step(rng, Tensor(real))

        fake = self.G(draw_noise(self.batch_size, self.noise_dim, rng))
        with self.D.frozen():
            scores = self.D(fake)
        g_loss = minimise(wasserstein.generator(scores), self.g_optimizer)
        update_average(self.average, self.G, decay=0.99)
        return figures | {"g_loss": g_loss}

    @swappable
    def critic_step(self, rng: np.random.Generator, real: Tensor) -> dict[str, Tensor]:
        """Teach the critic once on reals (n, ...) and as many fakes."""
        with self.G.frozen():
            fake = self.G(draw_noise(len(real), self.noise_dim, rng)).detach()
        difference = wasserstein.discriminator(self.D(real), self.D(fake))  # E[D(G(z))] - E[D(x)]
        off_slope = gradient_penalty(self.D, real, fake, rng)
        d_loss = minimise(difference + self.penalty * off_slope, self.d_optimizer)
        return {"d_loss": d_loss, "distance": -difference.detach(), "penalty": off_slope.detach()}
