"""The conditional GAN: images with labels, drawn on demand."""

import copy
from typing import Any

import numpy as np

from minigan import losses
from minigan.errors import ShapeError
from minigan.gan import GAN, belief, draw_noise, minimise, one_hot, update_average
from minigan.networks import dcgan_discriminator, dcgan_generator
from minigan.ops import concatenate
from minigan.optim import Adam
from minigan.tensor import Tensor


class ConditionalGAN(GAN):
    """Both networks are told the label, so that D's question is "is this a real 7?" (Mirza and Osindero, 2014).

    G gets the label, as a one-hot row, appended to its noise. D has one logit for each class, and that of the image's
    own class counts; the paper appends the label to D's input instead. (The projection discriminator of Miyato and
    Koyama, 2018, has such a term, and adds a score of the image alone.) The networks are a DCGAN's. Samples come from
    an average of G's weights, unlike the paper's.

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
        (self.classes,) = shapes["labels"]
        self.G = dcgan_generator(self.noise_dim + self.classes, shapes["images"], width, rng)
        self.D = dcgan_discriminator(shapes["images"], width, rng, outputs=self.classes)
        self.average = copy.deepcopy(self.G).eval()
        self.g_optimizer = Adam(self.G.parameters(), lr_g, betas)
        self.d_optimizer = Adam(self.D.parameters(), lr_d, betas)

    def step(self, rng: np.random.Generator, images: Any, labels: Any) -> dict[str, Tensor]:
        """Teach D once on images (n, C, H, W) with labels (n,), and on fakes of the same labels; then G once."""
        real, y = Tensor(images), one_hot(labels, self.classes)  # y (n, K)
        with self.G.frozen():
            fake = self.draw(rng, y)
        real_logits, fake_logits = self.score(real, y), self.score(fake.detach(), y)  # (n, 1)
        d_loss = minimise(self.game.discriminator(real_logits, fake_logits), self.d_optimizer)

        fake = self.draw(rng, y)
        with self.D.frozen():
            logits = self.score(fake, y)
        g_loss = minimise(self.game.generator(logits), self.g_optimizer)
        update_average(self.average, self.G, decay=0.99)
        return {"d_loss": d_loss, "g_loss": g_loss, "d_real": belief(real_logits), "d_fake": belief(fake_logits)}

    def draw(self, rng: np.random.Generator, y: Tensor) -> Tensor:
        """G(z, y): an image for each row of y (n, K), of fresh noise."""
        return self.G(concatenate([draw_noise(len(y), self.noise_dim, rng), y], axis=1))

    def score(self, images: Tensor, y: Tensor) -> Tensor:
        """D(x, y), logits (n, 1): of D's K outputs, that of the image's own class."""
        logits = self.D(images)
        if y.shape != logits.shape:
            raise ShapeError(f"labels {y.shape} must be one-hot, of the shape of D's output, {logits.shape}")
        return (logits * y).sum(axis=1, keepdims=True)

    def sample(self, noise: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Images (n, C, H, W) for noise (n, noise_dim) and labels (n,); without labels, the classes take turns."""
        labels = np.arange(len(noise)) % self.classes if labels is None else labels
        return super().sample(np.concatenate([noise, one_hot(labels, self.classes).numpy()], axis=1))
