"""Judges of the two training steps: each runs beside minigan's own, from the same start, and both ends are compared."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan import losses
from minigan.exercises.judges.answer import Answer, kind_of, normal
from minigan.gans import gan
from minigan.nn import BatchNorm1d, LeakyReLU, Linear, Module, ReLU, Sequential
from minigan.ops import concatenate
from minigan.optim import SGD
from minigan.table import plain_version
from minigan.tensor import Tensor

LR = 0.1


def real() -> Tensor:
    """Real samples, (5, 2); made when they are needed, since a tensor needs the device."""
    return Tensor(normal(5, 2) + 3, dtype="float32")


def noise() -> Tensor:
    """What G makes fakes of, (5, 3)."""
    return Tensor(normal(5, 3), dtype="float32")


def discriminator_step(discriminator_step: Answer) -> None:
    """Of D, with a generator that must be left alone."""
    own = plain_version(gan.discriminator_step)
    Trial(discriminator_step, own, trained="D", other="G", data=(real(), noise())).judge()


def generator_step(generator_step: Answer) -> None:
    """Of G, with a discriminator that must be left alone."""
    Trial(generator_step, plain_version(gan.generator_step), trained="G", other="D", data=(noise(),)).judge()


class Game:
    """A game that notes what it was given, and gives the loss of a game of minigan's."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """D's loss."""
        self.given = [real, fake]
        return losses.non_saturating.discriminator(real, fake)

    def generator(self, fake: Tensor) -> Tensor:
        """G's loss."""
        self.given = [fake]
        return losses.non_saturating.generator(fake)


def players() -> dict[str, Module]:
    """Two small networks. Batch norm in both gives a careless step away."""
    rng = np.random.default_rng(0)
    return {
        "G": Sequential(Linear(3, 8, rng=rng), BatchNorm1d(8), ReLU(), Linear(8, 2, rng=rng)),
        "D": Sequential(Linear(2, 8, rng=rng), BatchNorm1d(8), LeakyReLU(0.2), Linear(8, 1, rng=rng)),
    }


@dataclass
class Outcome:
    """What a step left behind."""

    players: dict[str, Module]
    game: Game
    figures: Any

    def moved(self, name: str) -> list[np.ndarray]:
        """How far each parameter of a player has moved."""
        pairs = zip(self.players[name].parameters(), players()[name].parameters(), strict=True)
        return [now.numpy() - before.numpy() for now, before in pairs]


@dataclass
class Trial:
    """A student's step and minigan's, from the same start. `data` are the last arguments: (real, noise) or (noise,)."""

    answer: Answer
    right_step: Callable[..., Any]
    trained: str  # the player that the step trains: "G" or "D"
    other: str  # the one that it must leave alone
    data: tuple[Tensor, ...]

    def judge(self) -> None:
        """Raise Wrong, with what is usually the reason, unless both steps do the same."""
        right, mine = self.run(self.right_step), self.run(self.answer)
        if not mine.game.given:
            raise self.wrong(f"never asked for the loss: call {self.asks_for}")
        self.check_other(mine.players[self.other])
        self.check_flags(mine.players)
        self.check_logits(mine.game.given, right.game.given)
        self.check_moves(mine, right)
        self.check_figures(mine.figures, right.figures)

    def run(self, step: Callable[..., Any]) -> Outcome:
        """One step, with gradients of 1 that an earlier step seems to have left."""
        both, game = players(), Game()
        for parameter in both[self.trained].parameters():
            parameter.grad = Tensor(np.ones(parameter.shape, np.float32))
        optimizer = SGD(both[self.trained].parameters(), LR)
        figures = step(both["G"], both["D"], optimizer, game, *copy.deepcopy(self.data))
        return Outcome(both, game, figures)

    @property
    def asks_for(self) -> str:
        """The call of the right loss."""
        return "game.discriminator(real_logits, fake_logits)" if self.trained == "D" else "game.generator(fake_logits)"

    def wrong(self, sentence: str) -> Exception:
        """The error, whose sentence begins with the step's name."""
        return self.answer.wrong(f"{self.answer.name} {sentence}")

    def check_other(self, other: Module) -> None:
        """The player that is not trained must be as it was, and have got no gradients."""
        name, before = self.other, players()[self.other].state_dict()
        changed = [key for key, array in other.state_dict().items() if not np.array_equal(array, before[key])]
        if running := [key for key in changed if "running" in key]:
            how = f"call it inside `with {name}.frozen():`"
            raise self.wrong(f"changed {name}'s running statistics ({running[0]}): {how}")
        if changed:
            raise self.wrong(f"changed {name} ({changed[0]}): only the player that is trained may move")
        if any(parameter.grad is not None for parameter in other.parameters()):
            why = "score fake.detach() instead of fake" if name == "G" else "score inside `with D.frozen():`"
            raise self.wrong(f"sent gradients into {name}: {why}")

    def check_flags(self, both: dict[str, Module]) -> None:
        """Both players must be as ready for the next step as they were for this one."""
        for name, player in both.items():
            frozen = any(module.is_frozen for module in player.modules())
            if frozen or not all(parameter.requires_grad for parameter in player.parameters()):
                how = f"use `with {name}.frozen():`, which undoes it at its end"
                raise self.wrong(f"left {name} frozen: {how}")
            if not all(module.training for module in player.modules()):
                raise self.wrong(f"left {name} in evaluation: a training step needs no eval()")

    def check_logits(self, given: list[Any], right: list[Tensor]) -> None:
        """Whether the game was given the logits that it should have been."""
        if len(given) != len(right):
            raise self.wrong(f"must ask for its own loss: call {self.asks_for}")
        if not all(isinstance(logits, Tensor) for logits in given):
            raise self.wrong("must give the game Tensors of logits")
        if _same(given, right):
            return
        if _same(given[::-1], right):
            raise self.wrong("swaps the labels: game.discriminator(real_logits, fake_logits) takes the reals first")
        if self.trained == "D" and _same(given, _in_one_batch()):
            raise self.wrong(
                "scores reals and fakes in one batch, where batch norm mixes their statistics: score them apart"
            )
        if given[-1].shape != right[-1].shape:
            raise self.wrong(
                f"gave the game logits of fakes of shape {given[-1].shape}, but they should have {right[-1].shape}: "
                "one fake for each row of the noise"
            )
        if len(given) == 2 and not _same(given[:1], right[:1]):
            raise self.wrong("gave the game logits of the reals that are not D(real), in training mode")
        fake = "D(fake.detach())" if self.trained == "D" else "D(fake)"
        raise self.wrong(
            f"gave the game logits of the fakes that are not {fake} of fake = G(noise), of the noise that is given, in "
            "training mode"
        )

    def check_moves(self, mine: Outcome, right: Outcome) -> None:
        """The player that is trained must have moved as it should, once."""
        found, wanted = mine.moved(self.trained), right.moved(self.trained)
        if all((move == 0).all() for move in found):
            if all(parameter.grad is None for parameter in mine.players[self.trained].parameters()):
                why = "it had no gradients: zero_grad, then backward, then step; or is the way to it cut off or frozen?"
            else:
                why = "backward, then optimizer.step()"
            raise self.wrong(f"did not change {self.trained}: {why}")
        guesses = {
            "added its gradients to those of an earlier step: call optimizer.zero_grad() before backward": [
                move - LR for move in wanted
            ],
            "stepped with the gradients of an earlier step: zero_grad, then backward, then step": [
                np.full_like(move, -LR) for move in wanted
            ],
            "walks uphill: the loss has the wrong sign": [-move for move in wanted],
            "moved twice: backward once, then optimizer.step() once": [2 * move for move in wanted],
        }
        for sentence, guess in guesses.items():
            if _same(found, guess, atol=1e-5):
                raise self.wrong(sentence)
        if not _same(found, wanted, rtol=1e-3):
            raise self.wrong(f"moved {self.trained} otherwise than the four stages of the text do: go through them")

    def check_figures(self, figures: Any, right: dict[str, Tensor]) -> None:
        """A dict of detached numbers."""
        if not isinstance(figures, dict) or set(figures) != set(right):
            found = sorted(map(str, figures)) if isinstance(figures, dict) else kind_of(figures)
            raise self.wrong(f"must return a dict with {', '.join(right)}, but it returned {found}")
        for name, wanted in right.items():
            what = f"{self.answer.name}'s {name}"
            array = self.answer.array(figures[name], (), np.float32, what)
            self.answer.compare(array, wanted.numpy(), what, tolerance=1e-5)
            if figures[name].requires_grad:
                raise self.answer.wrong(
                    f"{what} is still tied to the graph, which keeps the whole step in memory: return it detached"
                )


def _in_one_batch() -> list[Tensor]:
    """The logits of reals and fakes, had they been scored together."""
    both = players()
    samples = real()
    logits = both["D"](concatenate([samples, both["G"](noise())]))
    return [logits[: len(samples)], logits[len(samples) :]]


def _same(found: list[Any], right: list[Any], rtol: float = 1e-5, atol: float = 1e-6) -> bool:
    """Whether all arrays are equal, up to rounding."""
    pairs = list(zip(found, right, strict=True))
    return all(np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=rtol, atol=atol) for a, b in pairs)
