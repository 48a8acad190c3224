"""Judges of losses from logits: binary cross-entropy with its softplus, and the generator's two losses."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigan.exercises.judges.answer import Answer, Guesses, normal
from minigan.tensor import Tensor, grad

CERTAIN = np.array([[0.0], [1.0], [-2.0], [30.0], [-30.0], [100.0], [-100.0], [1000.0], [-1000.0]])
# (2, 1, 3, 2) are those of patches, and () is one alone.
LOGITS = [normal(6, 1), normal(5), normal(4, 3), normal(2, 1, 3, 2), np.zeros((3, 1)), normal(), CERTAIN]


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
                ("-ln(1 - D) must count 1 - t", np.mean(target * real + fake)),
                ("-ln D must count t", np.mean(real + (1 - target) * fake)),
                *_guesses_of_guards(logits, target),
                ("the target must count as it is, not as 0 or 1", np.mean(real if target > 0.5 else fake)),
            ]
            bce_with_logits.value(logits, target, right=right, what=what, guesses=guesses)
        bce_with_logits.gradients(normal(4, 3), settings=(target,), what=f"bce_with_logits with target {target:g}")
        bce_with_logits.gradients(CERTAIN, settings=(target,), what="bce_with_logits of large logits", order=1)
        bce_with_logits.in_float32(CERTAIN, settings=(target,), why=OVERFLOW)


def _guesses_of_guards(logits: Any, target: float) -> Iterator[tuple[str, Any]]:
    """What the loss would be with the logs of probabilities, which a small number keeps from 0."""
    d = 1 / (1 + np.exp(-logits))
    for small in (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15):
        clipped = np.clip(d, small, 1 - small)
        raised = np.maximum(d, small), np.maximum(1 - d, small)
        for p, q in ((d + small, 1 - d + small), (clipped, 1 - clipped), raised):
            sentence = f"a large logit's log D is that of {small:g} at most; write it with softplus, from logits"
            yield sentence, np.mean(-target * np.log(p) - (1 - target) * np.log(q))


def _in_words(logits: np.ndarray) -> str:
    return f"logits {logits.shape}" + (" from -1000 to 1000" if logits is CERTAIN else "")


OVERFLOW = "a probability is rounded to 0 or 1 there, or e^x overflows; write it with softplus, from logits"


def _guesses_of_mean(right: Any, logits: np.ndarray) -> Guesses:
    """What a mean of all logits could be instead."""
    return [
        ("the sign is flipped", -right),
        ("it is the sum, not the mean", right * logits.size),
        ("divide by the number of logits, not by that of samples", right * logits.size / (logits.shape or (1,))[0]),
    ]


def _check_softplus(softplus: Answer) -> None:
    """Each number to its last digits, and the slopes where e^x overflows."""
    right = np.logaddexp(0, CERTAIN)
    found = softplus.array(softplus(Tensor(CERTAIN.copy())), CERTAIN.shape)
    for value, yours, should in zip(CERTAIN.ravel(), found.ravel(), right.ravel(), strict=True):
        if not np.isclose(yours, should, rtol=1e-9, atol=0):
            nearly = np.isclose(yours, should, rtol=0.1)
            why = ": use np.log1p(z), since 1 + z drops the digits of a small z" if nearly else ""
            if np.isclose(yours, np.maximum(value, 0) + np.logaddexp(0, -value), rtol=1e-6):
                why = ": it is e to the power -|x|, not -x"
            raise softplus.wrong(f"softplus({value:g}) must be {should:.6g}, but yours is {yours:.6g}{why}")
    for x in LOGITS:
        softplus.value(x, right=np.logaddexp(0, x))
    x = normal(2, 1, 3, 2)
    hint = "that of softplus is sigmoid(x), which is D"
    softplus.gradients(x, guesses=_guesses_of_slope(x, 1 / (1 + np.exp(-x)), hint))
    for logit in (1000.0, -1000.0):
        _check_slope(softplus, logit, float(logit > 0), np.float64)
    for logit in (100.0, -100.0, 18.0, -18.0):
        _check_slope(softplus, logit, 1 / (1 + np.exp(-logit)), np.float32)
    softplus.gradients(CERTAIN[:7], order=1)
    softplus.in_float32(CERTAIN)


def _check_slope(loss: Answer, logit: float, right: float, dtype: Any) -> None:
    """The slope at one logit, also where it is small: Adam makes steps of the usual size of it."""
    tensor = Tensor(np.array([logit], dtype), requires_grad=True)
    slope = grad(loss(tensor).sum(), tensor)[0].item()
    if not abs(slope - right) <= max(1e-3 * abs(right), 1e-30):  # also where it is NaN
        raise loss.wrong(
            f"the derivative of {loss.name} at {logit:g} in {np.dtype(dtype)} must be {right:.4g}, but yours is "
            f"{slope:.4g}: e^x overflows there, or digits cancel; minigan.ops.sigmoid is written safely"
        )


def _guesses_of_slope(x: np.ndarray, right: Any, hint: str, per: float = 1) -> Callable[[Any], dict[int, Guesses]]:
    """Other slopes that are made of D than the right ones; they are divided by a number of logits."""
    d = 1 / (1 + np.exp(-x))
    slopes = {"D": d, "-D": -d, "1 - D": 1 - d, "D - 1": d - 1, "D (1 - D)": d * (1 - d), "-D (1 - D)": d * (d - 1)}
    wrong = {name: slope for name, slope in slopes.items() if not np.allclose(np.abs(slope), np.abs(right))}
    return lambda g: {0: [(f"the slope is {name}; {hint}", g * slope / per) for name, slope in wrong.items()]}


def generator_losses(minimax_generator: Answer, non_saturating_generator: Answer) -> None:
    """Values and derivatives, for logits of every shape, also where the discriminator is certain."""

    def minimax(x: np.ndarray) -> Any:
        return -np.mean(np.logaddexp(0, x))

    def non_saturating(x: np.ndarray) -> Any:
        return np.mean(np.logaddexp(0, -x))

    for loss, right_of, other, target, hint in (
        (minimax_generator, minimax, non_saturating, 0, "ln(1 - D) is -softplus(x), so its slope is -D"),
        (non_saturating_generator, non_saturating, minimax, 1, "-ln D is softplus(-x), so its slope is D - 1"),
    ):
        sign = 2 * target - 1  # these are binary cross-entropies too
        for logits in (normal(7, 1), *LOGITS):
            right = right_of(logits)
            guesses = [
                ("this is the other of the two losses", other(logits)),
                ("the logit has the wrong sign", right_of(-logits)),
                *_guesses_of_mean(right, logits),
                *[(sentence, sign * guess) for sentence, guess in _guesses_of_guards(logits, target)],
            ]
            what = f"{loss.name} of {_in_words(logits)}"
            loss.value(logits, right=right, what=f"the value of {what}", guesses=guesses)
            guesses = _guesses_of_slope(logits, 1 / (1 + np.exp(-logits)) - target, hint, logits.size)
            loss.gradients(logits, order=1 if logits is CERTAIN else 2, what=what, guesses=guesses)
        loss.in_float32(CERTAIN, why="e^x overflows there; np.logaddexp and minigan.ops.sigmoid are written safely")
    _check_slope(minimax_generator, -18.0, -1 / (1 + np.exp(18.0)), np.float64)
