"""Training a GAN: one step of each player, line by line, and the state that the loop carries along."""

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigan import backend, losses
from minigan.checkpoint import load_checkpoint, save_checkpoint
from minigan.data import DataLoader
from minigan.models import dcgan_discriminator, dcgan_generator, mlp_discriminator, mlp_generator
from minigan.nn import Module, Sequential
from minigan.nn.module import load_arrays
from minigan.optim import Adam, Optimizer
from minigan.parallel import one_blas_thread
from minigan.tensor import Tensor, no_grad


def draw_noise(n: int, noise_dim: int, rng: np.random.Generator) -> Tensor:
    """Noise z ~ N(0, 1) of shape (n, noise_dim), float32."""
    return Tensor(rng.standard_normal((n, noise_dim), dtype=np.float32))


def discriminator_step(
    generator: Module,
    discriminator: Module,
    optimizer: Optimizer,
    game: Any,
    real: Tensor,
    noise_dim: int,
    rng: np.random.Generator,
    penalty: float = 0.0,
) -> dict[str, Tensor]:
    """Teach the discriminator to tell real images (N, ...) from as many fakes. The generator stays bit-identical.

    `penalty` weights the gradient penalty. Returns {"d_loss", "d_real", "d_fake"}: the loss and the mean beliefs.
    """
    noise = draw_noise(len(real), noise_dim, rng)
    with generator.frozen():
        fake = generator(noise)
    real_logits = discriminator(real)
    fake_logits = discriminator(fake.detach())  # detached: this loss must not reach the generator
    loss = game.discriminator(real_logits, fake_logits)
    if penalty:
        loss = loss + penalty * losses.gradient_penalty(discriminator, real, fake.detach(), rng)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with no_grad():
        return {"d_loss": loss, "d_real": real_logits.sigmoid().mean(), "d_fake": fake_logits.sigmoid().mean()}


def generator_step(
    generator: Module,
    discriminator: Module,
    optimizer: Optimizer,
    game: Any,
    batch_size: int,
    noise_dim: int,
    rng: np.random.Generator,
) -> dict[str, Tensor]:
    """Teach the generator to be believed, on fresh fakes. The discriminator stays bit-identical.

    Returns {"g_loss"}.
    """
    noise = draw_noise(batch_size, noise_dim, rng)
    fake = generator(noise)
    with discriminator.frozen():  # gradients flow through it to the fakes, but its weights need none
        fake_logits = discriminator(fake)
    loss = game.generator(fake_logits)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return {"g_loss": loss}


def update_average(average: Module, model: Module, decay: float) -> None:
    """average = decay average + (1 - decay) model, for every tensor: an exponential moving average.

    The players circle around each other; the average of the generator's path lies nearer to the middle, and draws
    better images (Yazici et al., 2019).
    """
    for mean, current in zip(average.state().values(), model.state().values(), strict=True):
        mean.data *= decay
        mean.data += (1 - decay) * current.data


@dataclass(frozen=True)
class Config:
    """The settings of a training run. The defaults learn MNIST in about 3 minutes on two cores."""

    model: str = "dcgan"
    data: str = "mnist"
    size: int | None = None
    loss: str = "non_saturating"
    epochs: int = 2
    batch_size: int = 64
    lr_g: float = 2e-3
    lr_d: float = 1e-3
    seed: int = 0

    betas = (0.5, 0.99)  # Adam's: little momentum, for the target moves (Radford et al., 2016)
    average_decay = 0.99  # the average looks back over about 100 steps
    gradient_penalty = property(lambda self: 10.0 if self.loss == "wasserstein" else 0.0)  # Gulrajani et al., 2017


POINTS = {"model": "mlp", "epochs": 30, "batch_size": 256, "lr_g": 1e-3}  # the defaults for 2-D points instead


def build_generator(config: Config, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Sequential, int]:
    """The generator for samples of `shape`, (2,) or (C, H, W), and the size of its noise."""
    if config.model == "dcgan":
        return dcgan_generator(64, shape, width=32, rng=rng), 64
    if len(shape) == 1:
        return mlp_generator(16, shape, (128, 128), rng), 16
    return mlp_generator(64, shape, (256, 512), rng), 64


def build_discriminator(config: Config, shape: tuple[int, ...], rng: np.random.Generator) -> Sequential:
    """The discriminator to match; without batch norm where the loss has a gradient penalty."""
    if config.model == "dcgan":
        return dcgan_discriminator(shape, width=32, rng=rng, norm=not config.gradient_penalty)
    return mlp_discriminator(shape, (128, 128) if len(shape) == 1 else (512, 256), rng)


class DivergedError(RuntimeError):
    """A loss or a weight is not a finite number any more."""


class GAN:
    """Everything that training changes: both players, their optimizers, G's average, random numbers and the step."""

    def __init__(self, config: Config, shape: tuple[int, ...]) -> None:
        self.config, self.rng, self.step = config, np.random.default_rng(config.seed), 0
        self.generator, self.noise_dim = build_generator(config, shape, self.rng)
        self.discriminator = build_discriminator(config, shape, self.rng)
        self.average = copy.deepcopy(self.generator).eval()
        self.g_optimizer = Adam(self.generator.parameters(), config.lr_g, config.betas)
        self.d_optimizer = Adam(self.discriminator.parameters(), config.lr_d, config.betas)

    def train_step(self, real: np.ndarray, total_steps: int) -> dict[str, float]:
        """One step of each player on a batch of real samples; returns the losses and D's mean beliefs."""
        config, game = self.config, losses.LOSSES[self.config.loss]
        # Constant for the first half of training, then down to 0 in a line, so that the players settle.
        decay = min(1.0, 2 * (1 - self.step / total_steps))
        self.d_optimizer.lr, self.g_optimizer.lr = config.lr_d * decay, config.lr_g * decay
        players = self.generator, self.discriminator
        with one_blas_thread:
            figures = discriminator_step(
                *players, self.d_optimizer, game, Tensor(real), self.noise_dim, self.rng, config.gradient_penalty
            )
            figures |= generator_step(*players, self.g_optimizer, game, len(real), self.noise_dim, self.rng)
            update_average(self.average, self.generator, config.average_decay)
        self.step += 1
        return {name: figure.item() for name, figure in figures.items()}

    def sample(self, noise: np.ndarray) -> np.ndarray:
        """Samples (n, *shape) of the averaged generator for noise (n, noise_dim), 64 at a time to save memory."""
        with no_grad():
            return np.concatenate([self.average(Tensor(noise[i : i + 64])).numpy() for i in range(0, len(noise), 64)])

    def arrays(self) -> dict[str, Any]:
        """Every array that training changes, by name: weights, statistics and moments. Live, not copies."""
        arrays = {}
        for name in ("generator", "discriminator", "average"):
            arrays |= {f"{name}.{key}": tensor.data for key, tensor in getattr(self, name).state().items()}
        for name in ("g_optimizer", "d_optimizer"):
            arrays |= {f"{name}.{key}": array for key, array in getattr(self, name).state().items()}
        return arrays

    def save(self, path: Path) -> None:
        """Write a checkpoint. Raises DivergedError, and leaves the last one, if a number is not finite."""
        arrays = {name: backend.to_numpy(array) for name, array in self.arrays().items()}
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise DivergedError(_diverged(f"{name} has numbers that are not finite", self.step))
        random_state = json.dumps(self.rng.bit_generator.state)
        save_checkpoint(path, arrays, {"step": str(self.step), "random_state": random_state})

    def load(self, path: Path) -> None:
        """Go back to a checkpoint. Raises ValueError if it is damaged or of another model."""
        arrays, notes = load_checkpoint(path)
        try:
            load_arrays(self.arrays(), arrays)
            self.step = self.g_optimizer.steps = self.d_optimizer.steps = int(notes["step"])
            self.rng.bit_generator.state = json.loads(notes["random_state"])
        except (ValueError, KeyError) as error:
            raise ValueError(f"{path} does not fit this run: {error}") from None


def train(gan: GAN, loader: DataLoader, epochs: int) -> Iterator[dict[str, float]]:
    """Train from `gan.step` to the end of the last epoch; yields the figures of each step.

    Leave the loop whenever you like: a new `train` goes on from there, with the batches that come next.
    Raises DivergedError when a loss is not a finite number.
    """
    total_steps = epochs * len(loader)
    while gan.step < total_steps:
        epoch, batch = divmod(gan.step, len(loader))
        for real in loader.batches(epoch, start=batch):
            figures = gan.train_step(real, total_steps)
            for player, loss in (("discriminator", "d_loss"), ("generator", "g_loss")):
                if not math.isfinite(figures[loss]):
                    raise DivergedError(_diverged(f"the {player}'s loss is {figures[loss]}", gan.step))
            yield figures


def _diverged(what: str, step: int) -> str:
    return f"{what} at step {step}: try a lower learning rate (--lr-g, --lr-d) or another --loss"
