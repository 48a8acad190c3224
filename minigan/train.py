"""Training a GAN: one step of each player, line by line, and the state that the loop carries along."""

import copy
import functools
import itertools
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigan import backend, losses
from minigan.checkpoint import load_checkpoint, save_checkpoint
from minigan.checks import check_integer
from minigan.data import DataLoader
from minigan.models import dcgan_discriminator, dcgan_generator, mlp_discriminator, mlp_generator
from minigan.nn import Conv2d, ConvTranspose2d, Module, Sequential
from minigan.nn.module import load_arrays
from minigan.ops import concatenate
from minigan.optim import Adam, Optimizer
from minigan.parallel import THREADS, blas_threads, use_kernels
from minigan.tensor import ShapeError, Tensor, no_grad


class Drawn:
    """Random numbers that were drawn before, handed out in the order in which they are asked for.

    It stands in for NumPy's generator. The numbers are drawn by NumPy whatever the device, so that one seed gives the
    same training everywhere; and a GPU gets those of a whole epoch in one copy.
    """

    def __init__(self, numbers: Any) -> None:
        self.numbers, self.taken = numbers, 0

    def standard_normal(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """The next numbers, which must have been drawn from N(0, 1)."""
        start, self.taken = self.taken, self.taken + math.prod(shape)
        return self.numbers[start : self.taken].reshape(shape)

    random = standard_normal  # the next numbers, which must have been drawn from U(0, 1)


def draw_noise(n: int, noise_dim: int, rng: np.random.Generator, labels: Tensor | None = None) -> Tensor:
    """Noise z ~ N(0, 1) of shape (n, noise_dim), float32; with one-hot labels (n, K) appended to it where given."""
    noise = Tensor(rng.standard_normal((n, noise_dim), dtype=np.float32))
    return noise if labels is None else concatenate([noise, labels], axis=1)


def score(discriminator: Module, images: Tensor, labels: Tensor | None = None) -> Tensor:
    """Logits (N, 1): is this image real?

    With one-hot labels (N, K) the discriminator has an output for each class, and that of the image's own class
    counts: is this a real 7? So the labels tell both players what to look for (Mirza and Osindero, 2014; this way
    to use them is the projection of Miyato and Koyama, 2018, without its shared part).
    """
    logits = discriminator(images)
    if labels is not None and labels.shape != logits.shape:
        raise ShapeError(f"labels {labels.shape} must be one-hot, of the shape of D's output, {logits.shape}")
    return logits if labels is None else (logits * labels).sum(axis=1, keepdims=True)


def score_both(
    discriminator: Module, real: Tensor, fake: Tensor, labels: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The logits of reals and of as many fakes: `score` of each.

    One pass over both together is faster, but with batch norm it would mix their statistics, and the difference
    between the two is just what D looks for.
    """
    if any(module.mixes_samples for module in discriminator.modules()):
        return score(discriminator, real, labels), score(discriminator, fake, labels)
    both = score(discriminator, concatenate([real, fake]), None if labels is None else concatenate([labels, labels]))
    return both[: len(real)], both[len(real) :]


def discriminator_step(
    generator: Module,
    discriminator: Module,
    optimizer: Optimizer,
    game: Any,
    real: Tensor,
    noise_dim: int,
    rng: np.random.Generator,
    labels: Tensor | None = None,
    penalty: float = 0.0,
) -> dict[str, Tensor]:
    """Teach the discriminator to tell real images (N, ...) from as many fakes. The generator stays bit-identical.

    `labels` are the one-hot classes of the real images, if they have any, and fakes of the same classes are drawn.
    `penalty` weights the gradient penalty. Returns {"d_loss", "d_real", "d_fake"}: the loss and the mean beliefs.
    """
    noise = draw_noise(len(real), noise_dim, rng, labels)
    with generator.frozen():  # nothing is recorded, and its running statistics stay as they are
        fake = generator(noise)
    # Detached: whatever made the fakes, this loss stops at them.
    real_logits, fake_logits = score_both(discriminator, real, fake.detach(), labels)
    loss = game.discriminator(real_logits, fake_logits)
    if penalty:
        critic = functools.partial(score, discriminator, labels=labels)
        loss = loss + penalty * losses.gradient_penalty(critic, real, fake.detach(), rng)
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
    labels: Tensor | None = None,
) -> dict[str, Tensor]:
    """Teach the generator to be believed, on fresh fakes of the classes in `labels`. D stays bit-identical.

    Returns {"g_loss"}.
    """
    noise = draw_noise(batch_size, noise_dim, rng, labels)
    fake = generator(noise)
    with discriminator.frozen():  # gradients flow through it to the fakes, but its weights need none
        fake_logits = score(discriminator, fake, labels)
    loss = game.generator(fake_logits)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return {"g_loss": loss}


def suitable_threads(*networks: Module) -> AbstractContextManager[None]:
    """Train inside this `with`. Which threads are faster depends on whether any network has convolutions.

    If so, BLAS stays on one thread for the whole step, and our own threads share out convolutions and products: BLAS's
    would wait busily between products and take the cores from ours. If not, BLAS gets all the threads.
    """
    modules = [module for network in networks for module in network.modules()]
    convolutions = any(isinstance(module, Conv2d | ConvTranspose2d) for module in modules)
    return blas_threads(1 if convolutions else THREADS)


def update_average(average: Module, model: Module, decay: float) -> None:
    """average = decay average + (1 - decay) model, for every tensor: an exponential moving average.

    The players circle around each other; the average of the generator's path lies nearer to the middle, and draws
    better images (Yazici et al., 2019).
    """
    for mean, current in zip(average.state().values(), model.state().values(), strict=True):
        if use_kernels(mean.data):
            backend.blend(mean.data, current.data, decay)
            continue
        mean.data *= decay
        mean.data += (1 - decay) * current.data


MODELS = ("dcgan", "mlp")


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

    def __post_init__(self) -> None:
        """Raise ValueError for settings that cannot work."""
        for name, low in (("size", 1), ("epochs", 1), ("batch_size", 1), ("seed", 0)):
            if (name, self.size) != ("size", None):
                check_integer(name, getattr(self, name), low)
        if not isinstance(self.data, str):
            raise ValueError(f"data must be a name or a path, as text, not {self.data!r}")
        for name in ("lr_g", "lr_d"):
            if not (isinstance(getattr(self, name), int | float) and 0 <= getattr(self, name) < math.inf):
                raise ValueError(
                    f"the learning rate {name} must be a number of at least 0, not {getattr(self, name)!r}"
                )
        if self.model not in MODELS or self.loss not in losses.LOSSES:
            raise ValueError(f"there is no model {self.model!r} or no loss {self.loss!r}")
        if self.model == "dcgan" and self.batch_size < 2:
            raise ValueError("batch_size must be at least 2, for batch norm takes the variance over the batch")


POINTS = {"model": "mlp", "epochs": 30, "batch_size": 256, "lr_g": 1e-3}  # the defaults for 2-D points instead


def build_players(
    config: Config, shape: tuple[int, ...], classes: int, rng: np.random.Generator
) -> tuple[Sequential, Sequential, int]:
    """G and D for samples of `shape`, (2,) or (C, H, W), with `classes` labels (0 for none), and the noise's size."""
    outputs = max(1, classes)
    if config.model == "dcgan" and len(shape) == 1:
        raise ValueError("a DCGAN makes images, and these data are points: choose the model mlp")
    if config.model == "dcgan":
        norm = not config.gradient_penalty  # a penalty per sample and batch norm do not go together
        generator = dcgan_generator(64 + classes, shape, width=32, rng=rng)
        return generator, dcgan_discriminator(shape, width=32, rng=rng, outputs=outputs, norm=norm), 64
    noise_dim, hidden = (16, (128, 128)) if len(shape) == 1 else (64, (256, 512))
    generator = mlp_generator(noise_dim + classes, shape, hidden, rng)
    return generator, mlp_discriminator(shape, hidden[::-1], rng, outputs), noise_dim


class DivergedError(RuntimeError):
    """A loss or a weight is not a finite number any more."""


class GAN:
    """Everything that training changes: both players, their optimizers, G's average and the step."""

    def __init__(self, config: Config, shape: tuple[int, ...], classes: int = 0) -> None:
        self.config, self.classes, self.step = config, classes, 0
        self.class_numbers = backend.asarray(np.arange(classes))
        rng = np.random.default_rng(config.seed)
        self.generator, self.discriminator, self.noise_dim = build_players(config, shape, classes, rng)
        self.average = copy.deepcopy(self.generator).eval()
        self.g_optimizer = Adam(self.generator.parameters(), config.lr_g, config.betas)
        self.d_optimizer = Adam(self.discriminator.parameters(), config.lr_d, config.betas)

    def one_hot(self, labels: np.ndarray | None) -> Tensor | None:
        """Labels (n,) in 0..K-1 as one-hot rows (n, K); None where this GAN has no classes."""
        if not self.classes:
            return None
        on_host = isinstance(labels, np.ndarray)  # to look at labels on a GPU would stop it
        if labels is None or (on_host and (np.min(labels) < 0 or np.max(labels) >= self.classes)):
            raise ValueError(f"this GAN has {self.classes} classes: give labels from 0 to {self.classes - 1}")
        return Tensor(backend.asarray(labels)[:, None] == self.class_numbers)

    def draw(self, step: int, n: int) -> np.ndarray:
        """All random numbers of a step with n samples, in the order in which it uses them, float32.

        Nothing but (seed, step) decides, so there is no state to save: after a restart, step 7 has the same noise.
        """
        rng = np.random.default_rng([self.config.seed, 1, step])
        noise = [rng.standard_normal(n * self.noise_dim, dtype=np.float32) for _ in range(2)]  # D's step, then G's
        places = [rng.random(n, dtype=np.float32)] if self.config.gradient_penalty else []
        return np.concatenate([noise[0], *places, noise[1]])

    def train_step(self, real: Any, labels: Any = None, numbers: Any = None) -> dict[str, Tensor]:
        """One step of each player on a batch of real samples; returns the losses and D's mean beliefs.

        real (n, *shape) and labels (n,) are arrays; `numbers` is what `draw` gives, drawn now where left out.
        """
        config, game = self.config, losses.LOSSES[self.config.loss]
        rng = Drawn(backend.asarray(self.draw(self.step, len(real))) if numbers is None else numbers)
        players, noise = (self.generator, self.discriminator), (self.noise_dim, rng, self.one_hot(labels))
        with suitable_threads(*players):
            figures = discriminator_step(
                *players, self.d_optimizer, game, Tensor(real), *noise, penalty=config.gradient_penalty
            )
            figures |= generator_step(*players, self.g_optimizer, game, len(real), *noise)
            update_average(self.average, self.generator, config.average_decay)
        self.step += 1
        return figures

    def sample(self, noise: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Samples (n, *shape) of the averaged generator for noise (n, noise_dim) and labels (n,).

        Without labels, the classes take turns: 0, 1, 2, ... They are drawn 64 at a time, to save memory.
        """
        z = Tensor(noise)
        if self.classes:
            labels = np.arange(len(noise)) % self.classes if labels is None else labels
            z = concatenate([z, self.one_hot(np.asarray(labels))], axis=1)
        with no_grad():
            return np.concatenate([self.average(z[i : i + 64]).numpy() for i in range(0, len(noise), 64)])

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
        save_checkpoint(path, arrays, {"step": self.step})

    def load(self, path: Path) -> None:
        """Go back to a checkpoint. Raises ValueError if it is damaged or of another model."""
        arrays, notes = load_checkpoint(path)
        try:
            load_arrays(self.arrays(), arrays)
            check_integer("step", notes["step"], low=0)
            self.step = self.g_optimizer.steps = self.d_optimizer.steps = notes["step"]
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"{path} does not fit this run ({error}): put back the run's own checkpoint") from None


def train(gan: GAN, loader: DataLoader, epochs: int) -> Iterator[dict[str, float]]:
    """Train from `gan.step` to the end of the last epoch; yields the figures of each step.

    Leave the loop whenever you like: a new `train` goes on from there, with the batches that come next.
    For a GPU, make the loader of arrays that are there (`backend.asarray`): then an epoch takes two copies to it, the
    order of the samples and the random numbers, and a step is one read, of its figures.
    Raises DivergedError when a loss is not a finite number.
    """
    while gan.step < epochs * len(loader):
        epoch, done = divmod(gan.step, len(loader))
        steps = range(gan.step, (epoch + 1) * len(loader))
        ahead: Any = itertools.repeat(None)  # on the CPU, a step draws its own
        if backend.device() == "cuda":
            ahead = backend.asarray(np.stack([gan.draw(step, loader.batch_size) for step in steps]))
        for batch, numbers in zip(loader.batches(epoch, start=done), ahead, strict=False):
            real, labels = batch if isinstance(batch, tuple) else (batch, None)
            figures = _read(gan.train_step(real, labels, numbers))
            for player, loss in (("discriminator", "d_loss"), ("generator", "g_loss")):
                if not math.isfinite(figures[loss]):
                    raise DivergedError(_diverged(f"the {player}'s loss is {figures[loss]}", gan.step))
            yield figures


def _read(figures: dict[str, Tensor]) -> dict[str, float]:
    """The figures as plain numbers, read from the device at once."""
    values = concatenate([figure.reshape(1) for figure in figures.values()]).numpy().tolist()
    return dict(zip(figures, values, strict=True))


def _diverged(what: str, step: int) -> str:
    return f"{what} at step {step}: try a lower learning rate (--lr-g, --lr-d) or another --loss"
