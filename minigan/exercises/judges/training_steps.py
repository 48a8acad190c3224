"""Judges of the two training steps: each runs beside minigan's own, from the same start, and both ends are compared.

So that one kind of player or one lucky step is not enough, there are three kinds of players, and two steps in a row.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.exercises.judges.answer import Answer, kind_of
from minigan.exercises.judges.players import KINDS, STEPS, Kind, Notes
from minigan.exercises.judges.steps_gone_wrong import LR, same, wrong_figures, wrong_logits, wrong_moves
from minigan.gans import gan
from minigan.nn import Module
from minigan.optim import SGD
from minigan.table import plain_version
from minigan.tensor import Tensor

ONCE = "once is enough, of all logits"


def discriminator_step(discriminator_step: Answer) -> None:
    """Of D, with a generator that must be left alone."""
    for kind in KINDS:
        Trial(discriminator_step, plain_version(gan.discriminator_step), "D", "G", kind).judge()


def generator_step(generator_step: Answer) -> None:
    """Of G, with a discriminator that must be left alone."""
    for kind in KINDS:
        Trial(generator_step, plain_version(gan.generator_step), "G", "D", kind).judge()


@dataclass
class Outcome:
    """What a step found, and what it left behind."""

    number: int  # of the step, from 0 on
    before: dict[str, Module]
    players: dict[str, Module]
    data: list[Tensor]  # the reals and the noise, or the noise, as the step left them
    given: list[Any]  # what the game was given
    asked: int  # how often it was asked for the loss
    smoothing: float  # of the labels, that it was asked for
    made: np.ndarray  # how many steps the optimizer has made with each parameter
    figures: Any

    def moved(self, name: str) -> list[np.ndarray]:
        """How far each parameter of a player has moved."""
        pairs = zip(self.players[name].parameters(), self.before[name].parameters(), strict=True)
        return [now.numpy() - before.numpy() for now, before in pairs]


@dataclass
class Trial:
    """A student's step and minigan's, from the same start."""

    answer: Answer
    right_step: Callable[..., Any]
    trained: str  # the player that the step trains: "G" or "D"
    other: str  # the one that it must leave alone
    kind: Kind
    earlier: Sequence[np.ndarray] = ()  # how far the parameters moved in the step before

    def judge(self) -> None:
        """Raise Wrong, with what is usually the reason, unless both steps do the same."""
        for right, mine in zip(self.run(self.right_step), self.run(self.answer), strict=True):
            if not mine.given:
                raise self.wrong(f"never asked for the loss: call {self.asks_for}")
            self.check_other(mine)
            self.check_flags(mine)
            self.check_logits(mine, right.given)
            self.check_uses(mine, right)
            self.check_moves(mine, right)
            self.check_figures(mine, right.figures)
            self.check_data(mine)

    def run(self, step: Callable[..., Any], deaf: int | None = None) -> Iterator[Outcome]:
        """Some steps in a row, each when it is asked for. Before the first, all gradients are 1, left from before."""
        both = self.kind.make()
        for parameter in [p for player in both.values() for p in player.parameters()]:
            parameter.grad = Tensor(np.ones(parameter.shape, np.float32))
        optimizer = SGD(both[self.trained].parameters(), LR)
        for number in range(STEPS):
            before, game, data = copy.deepcopy(both), Notes(self.kind.game, deaf), self.data(number)
            figures = step(both["G"], both["D"], optimizer, game, *data)
            made = optimizer.steps - number  # in this step
            yield Outcome(
                number, before, copy.deepcopy(both), data, game.given, game.asked, game.smoothing, made, figures
            )

    def data(self, step: int) -> list[Tensor]:
        """The last arguments of a step: (real, noise) or (noise,)."""
        return [self.kind.real(step), self.kind.noise(step)] if self.trained == "D" else [self.kind.noise(step)]

    @property
    def asks_for(self) -> str:
        """The call of the right loss."""
        return "game.discriminator(real_logits, fake_logits)" if self.trained == "D" else "game.generator(fake_logits)"

    def wrong(self, sentence: str) -> Exception:
        """The error, whose sentence begins with the step's name and ends with what it was tried on."""
        return self.answer.wrong(f"{self.answer.name} {sentence} ({self.kind.name})")

    def check_other(self, mine: Outcome) -> None:
        """The player that is not trained must be as it was, and have got no gradients."""
        name, before, other = self.other, mine.before[self.other], mine.players[self.other]
        old = before.state_dict()
        changed = [key for key, array in other.state_dict().items() if not np.array_equal(array, old[key])]
        if running := [key for key in changed if "running" in key]:
            how = f"call it inside `with {name}.frozen():`"
            raise self.wrong(f"changed {name}'s running statistics ({running[0]}): {how}")
        if changed:
            raise self.wrong(f"changed {name} ({changed[0]}): only the player that is trained may move")
        pairs = zip(other.parameters(), before.parameters(), strict=True)
        if any(now.grad is not None and not np.array_equal(now.grad, then.grad) for now, then in pairs):
            why = "score fake.detach() instead of fake" if name == "G" else "score inside `with D.frozen():`"
            raise self.wrong(f"sent gradients into {name}: {why}")

    def check_flags(self, mine: Outcome) -> None:
        """Both players must be as ready for the next step as they were for this one."""
        for name, player in mine.players.items():
            how = f"use `with {name}.frozen():`, which undoes it at its end"
            if any(module.is_frozen for module in player.modules()):
                raise self.wrong(f"left {name} frozen, its flag is_frozen is on: {how}")
            if not all(parameter.requires_grad for parameter in player.parameters()):
                raise self.wrong(f"left {name} frozen, its parameters' requires_grad is off: {how}")
            if not all(module.training for module in player.modules()):
                raise self.wrong(f"left {name} in evaluation: a training step needs no eval()")

    def check_logits(self, mine: Outcome, right: list[Tensor]) -> None:
        """Whether the game was given the logits that it should have been."""
        given = mine.given
        if len(given) != len(right):
            raise self.wrong(f"must ask for its own loss: call {self.asks_for}")
        if not all(isinstance(logits, Tensor) for logits in given):
            raise self.wrong("must give the game Tensors of logits")
        if mine.smoothing:
            raise self.wrong("smooths the labels, which is for the game to decide: give it the logits alone")
        if same(given, right):
            return
        if mine.asked > 1:
            raise self.wrong(f"asked for the loss {mine.asked} times, not always of the same logits: {ONCE}")
        for found, wanted, whose in zip(reversed(given), reversed(right), ("fake", "real"), strict=False):
            if found.shape != wanted.shape:
                each = "row of the noise" if whose == "fake" else "real sample"
                raise self.wrong(
                    f"gave the game logits of {whose}s of shape {found.shape}, but they should have {wanted.shape}: "
                    f"one for each {each}"
                )
        for sentence, guess in wrong_logits(self, mine, right):
            if same(given, guess):
                raise self.wrong(sentence)
        if len(given) == 2 and not same(given[:1], right[:1]):
            raise self.wrong("gave the game logits of the reals that are not D(real), in training mode")
        fake = "D(fake.detach())" if self.trained == "D" else "D(fake)"
        raise self.wrong(
            f"gave the game logits of the fakes that are not {fake} of fake = G(noise), of the noise that is given, in "
            "training mode"
        )

    def scores(self, players: dict[str, Module], step: int) -> list[Tensor]:
        """D's logits of what it should score in a step."""
        *real, noise = self.data(step)
        return [players["D"](x) for x in (*real, players["G"](noise))]

    def check_uses(self, mine: Outcome, right: Outcome) -> None:
        """Each use of the player that is trained moves its running statistics, though it be for a figure only."""
        name = self.trained
        used, wanted = (o.players[name].used - o.before[name].used for o in (mine, right))
        if used > wanted:
            once = "score the reals once and the fakes once" if name == "D" else "make the fakes once"
            why = f"{once}, since each use moves its running statistics"
            raise self.wrong(f"used {name} {used} times: {why}")
        statistics = _running(mine.players[name])
        if not any(same(statistics, _running(player)) for player in (right.players[name], self.used_otherwise(mine))):
            raise self.wrong(
                f"did not let {name}'s running statistics follow: {name} is trained, so use it as it is, not frozen"
            )

    def used_otherwise(self, mine: Outcome) -> Module:
        """The player that is trained, had the fakes been scored before the reals, which is as good."""
        players = copy.deepcopy(mine.before)
        *real, noise = self.data(mine.number)
        fake = players["G"](noise)
        for x in (fake, *real):
            players["D"](x)
        return players[self.trained]

    def check_moves(self, mine: Outcome, right: Outcome) -> None:
        """The player that is trained must have moved as it should, once."""
        name, found, wanted = self.trained, mine.moved(self.trained), right.moved(self.trained)
        if all((move == 0).all() for move in found):
            if all(parameter.grad is None for parameter in mine.players[name].parameters()):
                why = "it had no gradients: zero_grad, then backward, then step; or is the way to it cut off or frozen?"
            else:
                why = "backward, then optimizer.step()"
            raise self.wrong(f"did not change {name}: {why}")
        if not mine.made.any():
            raise self.wrong(f"changed {name} without optimizer.step(), which knows how: not every optimizer is SGD")
        if mine.made.max() > 1:
            raise self.wrong("moved twice: backward once, then optimizer.step() once")
        if same(found, wanted, rtol=1e-3):
            self.earlier = wanted
            return
        for sentence, guess in wrong_moves(self, mine.number, wanted):
            if same(found, guess, atol=1e-5):
                raise self.wrong(sentence)
        if mine.asked > 1:
            raise self.wrong(f"asked for the loss {mine.asked} times, and moved otherwise than by it: {ONCE}")
        times = sum((a * b).sum() for a, b in zip(found, wanted, strict=True)) / sum((b**2).sum() for b in wanted)
        if same(found, [times * move for move in wanted], rtol=1e-3):
            why = "is the loss or the rate multiplied by something?"
            raise self.wrong(f"moves {times:.3g} times as far as it should: {why}")
        raise self.wrong(f"moved {name} otherwise than the four stages of the text do: go through them")

    def check_figures(self, mine: Outcome, right: dict[str, Tensor]) -> None:
        """A dict of detached numbers."""
        figures = mine.figures
        if not isinstance(figures, dict) or set(figures) != set(right):
            found = sorted(map(str, figures)) if isinstance(figures, dict) else kind_of(figures)
            raise self.wrong(f"must return a dict with {', '.join(right)}, but it returned {found}")
        for name, wanted in right.items():
            what = f"{self.answer.name}'s {name}"
            array = self.answer.array(figures[name], (), np.float32, what)
            guesses = wrong_figures(mine, name, right)
            self.answer.compare(array, wanted.numpy(), what, guesses, tolerance=1e-5)
            if figures[name].requires_grad:
                raise self.answer.wrong(
                    f"{what} is still tied to the graph, which keeps the whole step in memory: return it detached"
                )

    def check_data(self, mine: Outcome) -> None:
        """Others still need the samples and the noise."""
        names = ("real", "noise") if self.trained == "D" else ("noise",)
        for name, now, before in zip(names, mine.data, self.data(mine.number), strict=True):
            if not np.array_equal(now.numpy(), before.numpy()):
                raise self.wrong(f"changes {name}, which it must leave alone: compute with new tensors")


def _running(player: Module) -> list[np.ndarray]:
    """The running statistics of a player."""
    return [array for name, array in player.state_dict().items() if "running" in name]
