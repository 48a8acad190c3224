"""What the usual mistakes of a training step would give, by which its judge tells them."""

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan.ops import concatenate, sigmoid
from minigan.tensor import Tensor

if TYPE_CHECKING:
    from minigan.exercises.judges.training_steps import Outcome, Trial

LR = 0.1


def wrong_logits(trial: "Trial", mine: "Outcome", right: list[Tensor]) -> Iterator[tuple[str, list[Tensor]]]:
    """What the logits would be with each of the usual mistakes."""
    for name in ("G", "D"):
        players = copy.deepcopy(mine.before)
        players[name].eval()
        sentence = f"used {name} in evaluation (eval()), but a step needs all players in training mode"
        yield sentence, trial.scores(players, mine.number)
    yield "gives the game beliefs, but it takes logits: no sigmoid before the loss", [sigmoid(x) for x in right]
    yield "gives the game logits with the wrong sign", [-x for x in right]
    if trial.trained == "D":
        yield "swaps the labels: game.discriminator(real_logits, fake_logits) takes the reals first", right[::-1]
        real, fake = trial.data(mine.number)[0], mine.before["G"](trial.data(mine.number)[1])
        mixed = "scores reals and fakes in one batch, where batch norm mixes their statistics: score them apart"
        for batch, first in (([real, fake], 0), ([fake, real], len(real))):
            logits = mine.before["D"](concatenate(batch))
            yield mixed, [logits[first : first + len(real)], logits[len(real) - first : 2 * len(real) - first]]


def wrong_moves(trial: "Trial", step: int, wanted: list[np.ndarray]) -> Iterator[tuple[str, list[np.ndarray]]]:
    """How the player would have moved with each of the usual mistakes; in the first step, gradients were all 1."""
    if step == 0:
        sentence = "added its gradients to those of an earlier step: call optimizer.zero_grad() before backward"
        yield sentence, [move - LR for move in wanted]
        sentence = "stepped with the gradients of an earlier step: zero_grad, then backward, then step"
        yield sentence, [np.full_like(move, -LR) for move in wanted]
    else:
        sentence = "added its gradients to those of the step before: call optimizer.zero_grad() in every step"
        yield sentence, [a + b for a, b in zip(wanted, trial.earlier, strict=True)]
    yield "walks uphill: the loss has the wrong sign", [-move for move in wanted]
    yield "walks back twice: call backward() once", [2 * move for move in wanted]
    yield (
        "moves half as far as it should: is the loss or the rate multiplied by a number?",
        [move / 2 for move in wanted],
    )
    if trial.trained == "D" and step == 0:
        for deaf, name in enumerate(("reals", "fakes")):
            one_eared = next(trial.run(trial.right_step, deaf)).moved("D")
            yield f"learns nothing from the {name}: do not detach their logits, nor freeze D for them", one_eared


def wrong_figures(mine: "Outcome", name: str, right: dict[str, Tensor]) -> Iterator[tuple[str, Any]]:
    """What a figure would be with the usual mistakes."""
    if name == "d_loss" or name == "g_loss":
        yield "return the loss as it is, not its negative", -right[name].numpy()
        return
    other = "d_fake" if name == "d_real" else "d_real"
    yield f"{name} and {other} are swapped", right[other].numpy()
    logits = mine.given[0 if name == "d_real" else 1]
    yield "it is the sigmoid of the mean; take the mean of the sigmoids, belief(logits)", sigmoid(logits.mean()).numpy()
    yield "it is the mean of the logits; take belief(logits)", logits.mean().numpy()


def same(found: list[Any], right: list[Any], rtol: float = 1e-5, atol: float = 1e-6) -> bool:
    """Whether all arrays are equal, up to rounding."""
    pairs = list(zip(found, right, strict=True))
    return all(np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=rtol, atol=atol) for a, b in pairs)
