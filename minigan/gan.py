"""What every GAN shares: one step down a loss, the loop, averages and checkpoints.

Each paper is a class in `gans/`: it makes its networks and optimizers, and writes its training step out in full.
Whatever networks and optimizers it holds as attributes are found here, saved and put back.
"""

import inspect
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from minigan import backend
from minigan.checkpoint import load_checkpoint, save_checkpoint
from minigan.checks import check_integer
from minigan.data import DataLoader
from minigan.errors import DivergedError
from minigan.nn import Module
from minigan.nn.module import load_arrays
from minigan.nn.norm import update_running
from minigan.ops import concatenate
from minigan.optim import Optimizer
from minigan.table import swappable
from minigan.tensor import Tensor, no_grad


def minimise(loss: Tensor, optimizer: Optimizer) -> Tensor:
    """One step of the optimizer down the loss, a tensor of one number; returns the loss, cut off from the graph.

    Only the optimizer's own parameters get gradients: what else the loss was computed from stays as it is. Raises
    ValueError where the loss depends on none of them.
    """
    optimizer.zero_grad()
    loss.backward(inputs=optimizer.parameters)
    optimizer.step()
    return loss.detach()


def draw_noise(n: int, noise_dim: int, rng: np.random.Generator) -> Tensor:
    """Noise z ~ N(0, 1) of shape (n, noise_dim), float32."""
    return Tensor(rng.standard_normal((n, noise_dim), dtype=np.float32))


def one_hot(labels: Any, classes: int) -> Tensor:
    """Labels (n,) from 0 to classes - 1 as rows (n, classes), 1 at the label. Raises ValueError for other labels."""
    labels = labels if hasattr(labels, "dtype") else np.asarray(labels)
    fit = labels.ndim == 1 and labels.dtype.kind in "iu"
    if fit and len(labels) and isinstance(labels, np.ndarray):  # to look at those on a GPU, Python would have to wait
        fit = labels.min() >= 0 and labels.max() < classes
    if not fit:
        raise ValueError(
            f"this GAN has {classes} classes: give labels from 0 to {classes - 1}, one whole number for each sample"
        )
    return Tensor(backend.asarray(labels)[:, None] == backend.asarray(np.arange(classes)))


def belief(logits: Tensor) -> Tensor:
    """The mean of D = sigmoid(logit): how much the discriminator believes that these are real.

    (In the games least_squares and hinge a logit is no log-odds, and this only shows which way it leans.)
    """
    with no_grad():
        return logits.sigmoid().mean()


def update_average(average: Module, network: Module, decay: float) -> None:
    """average = decay average + (1 - decay) network, for every tensor: an exponential moving average.

    The players circle around each other; the average of the generator's path lies nearer to the middle, and draws
    better images (Yazici et al., 2019).
    """
    for mean, current in zip(average.state().values(), network.state().values(), strict=True):
        update_running(mean, current.data, 1 - decay)
        mean.changed()


class GAN:
    """A paper's class derives from this one, and writes `__init__` and `step`. README shows a whole one.

    __init__(self, shapes, rng, *, ...)  makes networks and optimizers. shapes["images"] is the shape of one image, and
                                         so on; of labels, (K,) for K classes. After the * come the paper's settings
    step(self, rng, images, ...)         one training step on a batch. Its arguments' names say which data it needs:
                                         images, points, labels, ... or `samples`, for either images or points. It
                                         returns figures, detached tensors of one number: *_loss, and of other names
    average                              the network that draws samples: mostly, an average of the generator's weights
    """

    average: Module
    noise_dim: int

    def __init__(self, batch_size: int, epochs: int, batch_norm: bool = False) -> None:
        check_integer("batch_size", batch_size, 1)
        if batch_norm:
            check_integer("batch_size, as batch norm takes the variance over the batch,", batch_size, 2)
        check_integer("epochs", epochs, 1)
        self.batch_size, self.epochs = batch_size, epochs
        self.steps = 0  # that were made

    def step(self, rng: np.random.Generator, **batch: Any) -> dict[str, Tensor]:
        """One training step. Every paper writes its own."""
        raise NotImplementedError(f"{type(self).__name__} has no step()")

    @classmethod
    def needs(cls) -> list[str]:
        """The names of the arrays that a step takes."""
        return list(inspect.signature(cls.step).parameters)[2:]  # after self and rng

    @property
    def samples_per_step(self) -> int:
        """How many samples a step takes: a batch, or several where a step trains the discriminator several times."""
        return self.batch_size

    def sample(self, noise: np.ndarray) -> np.ndarray:
        """Samples (n, ...) for noise (n, noise_dim), drawn by the average 64 at a time, to save memory."""
        with no_grad():
            parts = [self.average(Tensor(noise[i : i + 64])).numpy() for i in range(0, len(noise), 64)]
        return np.concatenate(parts)

    def preview(self, rng: np.random.Generator) -> np.ndarray:
        """What a picture of the training shows: samples of noise drawn from `rng`, 64 images or 1000 points."""
        images = self.sample(np.zeros((1, self.noise_dim), np.float32)).ndim == 4
        return self.sample(rng.standard_normal((64 if images else 1000, self.noise_dim), dtype=np.float32))

    def networks(self) -> dict[str, Module]:
        """Every network that this GAN holds, by its attribute's name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Module)}

    def arrays(self) -> dict[str, Any]:
        """Every array that training changes, by name: weights, statistics and moments. Live, not copies."""
        arrays = {}
        for name, network in self.networks().items():
            arrays |= {f"{name}.{key}": tensor.data for key, tensor in network.state().items()}
        for name, optimizer in vars(self).items():
            if isinstance(optimizer, Optimizer):
                arrays |= {f"{name}.{key}": array for key, array in optimizer.state().items()}
        return arrays

    def save(self, path: Path) -> None:
        """Write a checkpoint. Raises DivergedError, and leaves the last one, if a number is not finite."""
        arrays = {name: backend.to_numpy(array) for name, array in self.arrays().items()}
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise DivergedError(f"{name} has numbers that are not finite", self.steps)
        save_checkpoint(path, arrays, {"step": self.steps})

    def load(self, path: Path) -> None:
        """Go back to a checkpoint. Raises ValueError if it is damaged or of another model."""
        arrays, notes = load_checkpoint(path)
        try:
            check_integer("step", notes["step"], low=0)
            _check_numbers(self.arrays(), arrays)
            load_arrays(self.arrays(), arrays)
            for network in self.networks().values():
                for tensor in network.state().values():
                    tensor.changed()
            self.steps = notes["step"]
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"{path} does not fit this run ({error}): put back the run's own checkpoint") from None


def _check_numbers(own: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError where `arrays` hold what a GAN's `own` arrays never do: other types, nan, negative counts."""
    for name, array in arrays.items():
        if name in own and array.dtype != own[name].dtype:
            raise ValueError(f"{name} is of {array.dtype}, not of {own[name].dtype}")
        if not np.isfinite(array).all() or (array.dtype.kind == "i" and (array < 0).any()):
            raise ValueError(f"{name} has numbers that no training leaves there")


@swappable
def computing(gan: GAN) -> AbstractContextManager[None]:
    """Training steps run inside this `with`, where `fast/` sets the threads that suit the GAN's networks."""
    return nullcontext()


def train(gan: GAN, loader: DataLoader) -> Iterator[dict[str, float]]:
    """Train from `gan.steps` to the end of the last epoch; yields the figures of each step.

    Leave the loop whenever you like: a new `train` goes on from there, with the batches that come next. The random
    numbers of a step come from the loader's seed and the step only, so there is no state of theirs to save.
    For a GPU, make the loader of arrays that are there (`backend.asarray`): then only noise and figures travel.
    Raises DivergedError when a figure is not a finite number.
    """
    while gan.steps < gan.epochs * len(loader):
        epoch, done = divmod(gan.steps, len(loader))
        for batch in loader.batches(epoch, start=done):
            with computing(gan):
                figures = _read(gan.step(np.random.default_rng([loader.seed, gan.steps, 1]), **batch))
            gan.steps += 1
            for name, value in figures.items():
                if not math.isfinite(value):
                    raise DivergedError(f"{name} is {value}", gan.steps)
            yield figures


def _read(figures: dict[str, Tensor]) -> dict[str, float]:
    """The figures as plain numbers, read from the device at once. Raises ValueError for what is none."""
    if not isinstance(figures, dict) or not all(isinstance(f, Tensor) and f.size == 1 for f in figures.values()):
        raise ValueError("step must return a dict of figures, and each of them must be a tensor of one number")
    values = concatenate([figure.reshape(1) for figure in figures.values()]).numpy().tolist()
    return dict(zip(figures, values, strict=True))
