"""The Wasserstein GAN, with its critic's weights clipped."""

import copy
from typing import Any

import numpy as np

from minigan.checks import check_integer
from minigan.gan import GAN, draw_noise, minimise, update_average
from minigan.losses import wasserstein
from minigan.networks.wasserstein import generator_and_critic
from minigan.optim import RMSprop, clip_weights
from minigan.tensor import Tensor


class WGAN(GAN):
    """A critic of bounded slope measures the earth mover's distance of fakes and data (Arjovsky et al., 2017).

    Among all functions f whose slope is at most 1, the largest value of  E[f(x)] - E[f(G(z))]  is this distance. The
    critic D stands for f: it is trained several times for each step of G, and after each of its steps all of its
    weights are clipped, so that its slope stays below some K. So the figure `distance` is the true one times an
    unknown number: only its course over one run means something. The paper uses RMSprop because it found momentum
    unstable here; it clips at 0.01, with rates of 5e-5, and the defaults here learn in minutes. Samples come from an
    average of G's weights, unlike the paper's.

    critic_steps  steps of the critic for each of the generator, each on a batch of its own
    clip          the critic's weights stay between -clip and clip
    lr_g          learning rate of the generator
    lr_d          learning rate of the critic
    batch_size    real samples in a step of the critic, and as many fakes
    epochs        passes over the data
    """

    def __init__(
        self,
        shapes: dict[str, tuple[int, ...]],
        rng: np.random.Generator,
        *,
        critic_steps: int = 5,
        clip: float = 0.1,
        lr_g: float = 1e-3,
        lr_d: float = 1e-3,
        batch_size: int = 64,
        epochs: int = 10,
    ) -> None:
        points = len(shapes["samples"]) == 1
        super().__init__(batch_size, epochs, batch_norm=not points)  # G's, for images
        check_integer("critic_steps", critic_steps, 1)
        self.critic_steps, self.clip = critic_steps, clip
        self.noise_dim = 16 if points else 64
        self.G, self.D = generator_and_critic(shapes["samples"], self.noise_dim, rng)
        self.average = copy.deepcopy(self.G).eval()
        self.g_optimizer = RMSprop(self.G.parameters(), lr_g)
        self.d_optimizer = RMSprop(self.D.parameters(), lr_d)
        clip_weights(self.D.parameters(), clip)  # its first slope is bounded too

    @property
    def samples_per_step(self) -> int:
        """A batch for each step of the critic."""
        return self.batch_size * self.critic_steps

    def step(self, rng: np.random.Generator, samples: Any) -> dict[str, Tensor]:
        """Teach the critic `critic_steps` times, each on its own part of samples (n, ...), then G once."""
        for real in np.array_split(samples, self.critic_steps):
            with self.G.frozen():
                fake = self.G(draw_noise(len(real), self.noise_dim, rng))
            d_loss = wasserstein.discriminator(self.D(Tensor(real)), self.D(fake.detach()))
            d_loss = minimise(d_loss, self.d_optimizer)
            clip_weights(self.D.parameters(), self.clip)

        fake = self.G(draw_noise(self.batch_size, self.noise_dim, rng))
        with self.D.frozen():
            scores = self.D(fake)
        g_loss = minimise(wasserstein.generator(scores), self.g_optimizer)
        update_average(self.average, self.G, decay=0.99)
        return {"d_loss": d_loss, "g_loss": g_loss, "distance": -d_loss}
