"""What the judges of training steps let the steps play with: three kinds of players, and a game that takes notes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan import losses
from minigan.exercises.judges.answer import normal
from minigan.nn import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    LeakyReLU,
    Linear,
    Module,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from minigan.tensor import Tensor

STEPS = 2  # of a trial: a step must leave everything ready for the next one


class Player(Sequential):
    """A network that counts how often it has been used, not frozen: each time moves its running statistics."""

    used = 0

    def forward(self, x: Tensor) -> Tensor:
        """x through every layer."""
        self.used += not self.is_frozen
        return super().forward(x)


@dataclass(frozen=True)
class Kind:
    """One kind of players. Batch norm in both gives a careless step away."""

    name: str
    game: Any
    shape: tuple[int, ...]  # of a sample
    make: Callable[[], dict[str, Module]]
    batch: int = 5

    def real(self, step: int) -> Tensor:
        """Real samples of a step; made when they are needed, since a tensor needs the device."""
        return Tensor(normal(self.batch, *self.shape, seed=step) + 3, dtype="float32")

    def noise(self, step: int) -> Tensor:
        """What G makes fakes of in a step, (batch, 3)."""
        return Tensor(normal(self.batch, 3, seed=step), dtype="float32")


def of_points() -> dict[str, Module]:
    """Two dense networks."""
    rng = np.random.default_rng(0)
    return {
        "G": Player(Linear(3, 8, rng=rng), BatchNorm1d(8), ReLU(), Linear(8, 2, rng=rng)),
        "D": Player(Linear(2, 8, rng=rng), BatchNorm1d(8), LeakyReLU(0.2), Linear(8, 1, rng=rng)),
    }


def of_images() -> dict[str, Module]:
    """Two convolutional networks, whose layers lie in blocks."""
    rng = np.random.default_rng(0)
    first = Sequential(Linear(3, 8, rng=rng), Reshape(2, 2, 2))
    second = Sequential(Sequential(BatchNorm2d(2), ReLU()), ConvTranspose2d(2, 1, 4, 2, 1, rng=rng))
    down = Sequential(Conv2d(1, 3, 3, 2, 1, rng=rng), BatchNorm2d(3))
    return {
        "G": Player(first, second, Tanh()),
        "D": Player(down, LeakyReLU(0.2), Flatten(), Linear(12, 1, rng=rng)),
    }


def with_a_winner() -> dict[str, Module]:
    """A generator with two batch norms, and a discriminator that tells its fakes, which lie around (0, 0), already."""
    rng = np.random.default_rng(0)
    G = Player(Linear(3, 8, rng=rng), BatchNorm1d(8), ReLU(), Linear(8, 6, rng=rng), BatchNorm1d(6), Tanh())
    D = Player(Linear(2, 4, rng=rng), LeakyReLU(0.2), Linear(4, 1, rng=rng))
    (weight, bias), (last, _) = D[0].parameters(), D[2].parameters()
    weight.data[...], bias.data[...], last.data[...], last.data[:, 0] = 1.0, -3.0, 1.0, 1.2
    return {"G": Player(G, Linear(6, 2, rng=rng)), "D": D}


KINDS = [
    Kind("players of points", losses.non_saturating, (2,), of_points),
    Kind("players of images", losses.least_squares, (1, 4, 4), of_images),
    Kind("a discriminator that has nearly won", losses.minimax, (2,), with_a_winner, batch=11),
]


class Notes:
    """A game that notes what it was given, and gives the loss of a game of minigan's.

    `deaf` is the logits, 0 or 1, from which it lets no gradient come, to see what a step would do that cuts them off.
    """

    def __init__(self, game: Any, deaf: int | None = None) -> None:
        self.game, self.deaf = game, deaf
        self.given: list[Any] = []
        self.asked = 0
        self.smoothing = 0.0

    def discriminator(self, real: Tensor, fake: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """D's loss. Some games can smooth labels, which is not for a step to decide."""
        self.given, self.asked, self.smoothing = [real, fake], self.asked + 1, label_smoothing
        return self.game.discriminator(*[x.detach() if i == self.deaf else x for i, x in enumerate((real, fake))])

    def generator(self, fake: Tensor) -> Tensor:
        """G's loss."""
        self.given, self.asked = [fake], self.asked + 1
        return self.game.generator(fake)
