"""Judges of losses from logits: binary cross-entropy with its softplus, and the generator's two losses."""

from typing import Any

import numpy as np

from minigan.exercises.judges.answer import Answer, Guesses, normal
from minigan.tensor import Tensor, grad

CERTAIN = np.array([[0.0], [1.0], [-2.0], [30.0], [-30.0], [100.0], [-100.0], [1000.0], [-1000.0]])
LOGITS = [normal(6, 1), normal(5), normal(4, 3), normal(2, 1, 3, 2), CERTAIN]  # (2, 1, 3, 2) are those of patches


def bce_with_logits(softplus: Answer, bce_with_logits: Answer) -> None:
    """Exact at +-100 and finite at +-1000, in value and derivative; the mean of all logits, whatever their shape."""
    _check_softplus(softplus)
    for target in (1.0, 0.0, 0.9, 0.3):
        for logits in LOGITS:
            what = f"bce_with_logits of {_in_words(logits)} with target {target:g}"
            real, fake = np.logaddexp(0, -logits), np.logaddexp(0, logits)
            right = np.mean(target * real + (1 - target) * fake)
            guesses = [
                ("the targets of real and fake are swapped", np.mean(target * fake + (1 - target) * real)),
                *_guesses_of_mean(right, logits),
                ("only -t ln D is there; - (1 - t) ln(1 - D) is missing", np.mean(target * real)),
                ("the target must count as it is, not as 0 or 1", np.mean(real if target > 0.5 else fake)),
            ]
            bce_with_logits.value(logits, target, right=right, what=what, guesses=guesses)
        bce_with_logits.gradients(normal(4, 3), settings=(target,), what=f"bce_with_logits with target {target:g}")
        bce_with_logits.gradients(CERTAIN, settings=(target,), what="bce_with_logits of large logits", order=1)
        bce_with_logits.in_float32(CERTAIN, settings=(target,), why=OVERFLOW)


def _in_words(logits: np.ndarray) -> str:
    return f"logits {logits.shape}" + (" from -1000 to 1000" if logits is CERTAIN else "")


OVERFLOW = "a probability is rounded to 0 or 1 there, or e^x overflows; write it with softplus, from logits"


def _guesses_of_mean(right: Any, logits: np.ndarray) -> Guesses:
    """What a mean of all logits could be instead."""
    return [
        ("the sign is flipped", -right),
        ("it is the sum, not the mean", right * logits.size),
        ("divide by the number of logits, not by that of samples", right * logits.size / len(logits)),
    ]


def _check_softplus(softplus: Answer) -> None:
    """Each number to its last digits, and the slopes where e^x overflows."""
    right = np.logaddexp(0, CERTAIN)
    found = softplus.array(softplus(Tensor(CERTAIN.copy())), CERTAIN.shape)
    for value, yours, should in zip(CERTAIN.ravel(), found.ravel(), right.ravel(), strict=True):
        if not np.isclose(yours, should, rtol=1e-9, atol=0):
            nearly = np.isclose(yours, should, rtol=0.1)
            why = ": use np.log1p(z), since 1 + z drops the digits of a small z" if nearly else ""
            raise softplus.wrong(f"softplus({value:g}) must be {should:.6g}, but yours is {yours:.6g}{why}")
    for x in LOGITS:
        softplus.value(x, right=np.logaddexp(0, x))
    softplus.gradients(normal(2, 1, 3, 2))
    softplus.gradients(CERTAIN[:7], order=1)
    for logit, dtype in ((1000.0, np.float64), (-1000.0, np.float64), (100.0, np.float32), (-100.0, np.float32)):
        tensor = Tensor(np.array([logit], dtype), requires_grad=True)
        slope = grad(softplus(tensor).sum(), tensor)[0].item()
        if not abs(slope - (logit > 0)) < 1e-6:  # also where it is NaN
            raise softplus.wrong(
                f"the derivative of softplus at {logit:g} in {np.dtype(dtype)} must be {logit > 0:d}, but yours is "
                f"{slope:g}: e^x overflows there; minigan.ops.sigmoid is written safely"
            )
    softplus.in_float32(CERTAIN)


def generator_losses(minimax_generator: Answer, non_saturating_generator: Answer) -> None:
    """Values and derivatives, for logits of every shape, also where the discriminator is certain."""

    def minimax(x: np.ndarray) -> Any:
        return -np.mean(np.logaddexp(0, x))

    def non_saturating(x: np.ndarray) -> Any:
        return np.mean(np.logaddexp(0, -x))

    for loss, right_of, other in (
        (minimax_generator, minimax, non_saturating),
        (non_saturating_generator, non_saturating, minimax),
    ):
        for logits in (normal(7, 1), *LOGITS):
            right = right_of(logits)
            guesses = [
                ("this is the other of the two losses", other(logits)),
                ("the logit has the wrong sign", right_of(-logits)),
                *_guesses_of_mean(right, logits),
            ]
            what = f"{loss.name} of {_in_words(logits)}"
            loss.value(logits, right=right, what=f"the value of {what}", guesses=guesses)
            loss.gradients(logits, order=1 if logits is CERTAIN else 2, what=what)
        loss.in_float32(CERTAIN, why="e^x overflows there; np.logaddexp and minigan.ops.sigmoid are written safely")
