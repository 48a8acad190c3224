"""Judges of the games: the generator's two losses, and the Wasserstein critic's loss and penalty."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigan import ops
from minigan.exercises.judges.answer import Answer, normal
from minigan.tensor import Tensor, grad


def generator_losses(minimax_generator: Answer, non_saturating_generator: Answer) -> None:
    """Values and derivatives, also where the discriminator is certain."""

    def minimax(x: np.ndarray) -> Any:
        return -np.mean(np.logaddexp(0, x))

    def non_saturating(x: np.ndarray) -> Any:
        return np.mean(np.logaddexp(0, -x))

    for loss, right_of, other in (
        (minimax_generator, minimax, non_saturating),
        (non_saturating_generator, non_saturating, minimax),
    ):
        for logits in (normal(7, 1), np.array([[100.0], [-100.0], [0.0]])):
            guesses = [
                ("the sign is flipped", -right_of(logits)),
                ("it is the sum, not the mean", right_of(logits) * logits.size),
                ("this is the other of the two losses", other(logits)),
                ("the logit has the wrong sign", right_of(-logits)),
            ]
            loss.value(logits, right=right_of(logits), guesses=guesses)
            loss.gradients(logits, order=2 if len(logits) == 7 else 1)
        loss.in_float32(normal(7, 1))


def wasserstein(wasserstein_discriminator: Answer, gradient_penalty: Answer) -> None:
    """The loss, and the penalty of critics of known slope, on both sides of 1: of sequences, points and images."""
    real, fake = normal(4, 1), normal(4, 1, seed=1)
    right = fake.mean() - real.mean()
    guesses = [("real and fake are swapped", -right), ("these are sums; take means", fake.sum() - real.sum())]
    wasserstein_discriminator.value(real, fake, right=right, what="wasserstein_discriminator", guesses=guesses)
    wasserstein_discriminator.gradients(real, fake)
    wasserstein_discriminator.in_float32(real, fake)
    for size in (1.0, 0.2):
        for shape in ((3, 2), (6,), (1, 3, 2)):
            _check_penalty(gradient_penalty, size * normal(6, 1), shape)
    _check_limits(gradient_penalty)


def _critic(x: Tensor, weight: Any) -> Tensor:
    """Scores (x_n . weight)^2, whose slope at x_n is 2 (x_n . weight) weight."""
    return (ops.reshape(x, (x.shape[0], -1)) @ weight) ** 2


def _penalty(gradient_penalty: Answer, shape: tuple[int, ...]) -> Any:
    """The penalty of that critic, as a function of its weight, for five reals and fakes of `shape`."""
    real, fake = normal(5, *shape), normal(5, *shape, seed=1)

    def penalty(weight: Tensor) -> Tensor:
        rng = np.random.default_rng(2)
        return gradient_penalty(lambda x: _critic(x, weight), Tensor(real), Tensor(fake), rng)

    return penalty


def _check_penalty(gradient_penalty: Answer, weight: np.ndarray, shape: tuple[int, ...]) -> None:
    """The penalty's value, and its derivative in the critic's weight."""
    penalty = _penalty(gradient_penalty, shape)
    real, fake = normal(5, *shape), normal(5, *shape, seed=1)
    t = np.random.default_rng(2).random((5, *[1] * len(shape)))
    between = (t * real + (1 - t) * fake).reshape(5, 6)
    slope = 2 * (between @ weight) * weight.T  # (5, 6)
    found = gradient_penalty.array(penalty(Tensor(weight)), ())
    right = np.mean((np.sqrt((slope**2).sum(axis=1)) - 1) ** 2)
    what = f"gradient_penalty for samples {(5, *shape)}"
    gradient_penalty.compare(found, right, what, _guesses_of_penalty(slope, shape), tolerance=1e-6)
    if not penalty(Tensor(weight, requires_grad=True)).requires_grad:
        raise gradient_penalty.wrong(
            "gradient_penalty cannot be differentiated in the critic's weights: use grad(..., create_graph=True)"
        )
    gradient_penalty.gradients(weight, f=penalty, order=1)


def _guesses_of_penalty(slope: np.ndarray, shape: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """What the penalty would be with each of the usual mistakes."""
    squares = slope**2
    norm, parts = np.sqrt(squares.sum(axis=1)), squares.reshape(5, *shape)
    not_all = "; take it over all axes but the first"
    guesses = {
        "the norm is taken over the batch; take it for each sample, over all axes but the first": np.mean(
            (np.sqrt(squares.sum(axis=0)) - 1) ** 2
        ),
        f"the norm is taken over the last axis only{not_all}": np.mean((np.sqrt(parts.sum(axis=-1)) - 1) ** 2),
        f"the norm is taken over axis 1 only{not_all}": np.mean((np.sqrt(parts.sum(axis=1)) - 1) ** 2),
        f"the norm is taken over the last two axes only{not_all}": np.mean(
            (np.sqrt(parts.sum(axis=tuple(range(max(1, len(shape) - 1), len(shape) + 1)))) - 1) ** 2
        ),
        "one norm is taken of everything; take one for each sample": (np.sqrt(squares.sum()) - 1) ** 2,
        "a norm below 1 is pulled up to 1 too": np.mean(np.maximum(norm - 1, 0) ** 2),
        "the root is left out": np.mean((norm**2 - 1) ** 2),
        "the square is left out": np.mean(norm - 1),
        "the norm must be pulled to 1, not to 0": np.mean(norm**2),
        "it is the sum over the samples, not the mean": np.sum((norm - 1) ** 2),
        "the slope is that of the mean score; take the gradient of the sum": np.mean((norm / 5 - 1) ** 2),
    }
    return iter(guesses.items())


def _check_limits(gradient_penalty: Answer) -> None:
    """A critic that is flat, and float32."""
    flat = Tensor(np.zeros((6, 1)), requires_grad=True)
    penalty = _penalty(gradient_penalty, (3, 2))
    if not np.isfinite(grad(penalty(flat), flat)[0].numpy()).all():
        raise gradient_penalty.wrong(
            "gradient_penalty's gradient is not finite where the critic is flat: add 1e-12 under the root"
        )
    real, fake = (Tensor(normal(5, 3, 2, seed=seed).astype(np.float32)) for seed in (0, 1))
    value = gradient_penalty(lambda x: ops.sum(x * x, axis=(1, 2)), real, fake, np.random.default_rng(0))
    gradient_penalty.array(value, (), np.float32, "gradient_penalty, for float32 inputs,")
