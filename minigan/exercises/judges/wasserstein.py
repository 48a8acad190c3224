"""The judge of the Wasserstein critic's loss and of its gradient penalty."""

import math
from typing import Any

import numpy as np

from minigan import ops
from minigan.exercises.judges.answer import Answer, normal
from minigan.tensor import Tensor, grad

# Shapes of one sample: sequences, points, single numbers, images.
SAMPLES = [(3, 2), (6,), (1,), (1, 3, 2), (2, 3, 1), (1, 2, 3)]


def wasserstein(wasserstein_discriminator: Answer, gradient_penalty: Answer) -> None:
    """The loss, and the penalty of critics of known slope, on both sides of 1: of sequences, points and images."""
    _check_loss(wasserstein_discriminator)
    for size in (1.0, 0.2):
        for shape in SAMPLES:
            _check_penalty(gradient_penalty, size * normal(math.prod(shape), 1), shape)
    _check_penalty(gradient_penalty, 20 * normal(6, 1), (6,))  # as steep as a critic may become
    _check_limits(gradient_penalty)


def _check_loss(loss: Answer) -> None:
    """Scores in a column, in a row, and one for each patch; the reals score higher than the fakes, or lower."""
    for shape in ((4, 1), (5,), (3, 2), (2, 1, 3, 2)):
        for lift in (-3.0, 3.0):
            real, fake = normal(*shape) + lift, normal(*shape, seed=1)
            right = fake.mean() - real.mean()
            sign = (
                "real and fake are swapped" if lift < 0 else "it has lost its sign: reals that score high make it small"
            )
            guesses = [
                (sign, -right),
                ("these are sums; take means", fake.sum() - real.sum()),
                ("divide by the number of scores, not by that of samples", right * real.size / len(real)),
                ("the reals are left out", fake.mean()),
            ]
            loss.value(real, fake, right=right, what=f"{loss.name} of scores {shape}", guesses=guesses)
        loss.gradients(real, fake, what=f"{loss.name} of scores {shape}")
    loss.in_float32(normal(4, 1), normal(4, 1, seed=1))


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
    penalty, found = _penalty(gradient_penalty, shape), Tensor(weight, requires_grad=True)
    real, fake = normal(5, *shape), normal(5, *shape, seed=1)
    t = np.random.default_rng(2).random((5, *[1] * len(shape)))

    def slope_at(x: np.ndarray) -> np.ndarray:
        return 2 * (x.reshape(5, -1) @ weight) * weight.T

    def slope_between(t: Any) -> np.ndarray:
        return slope_at(t * real + (1 - t) * fake)  # (5, size of a sample)

    slope, rng = slope_between(t), np.random.default_rng
    guesses = {
        **_guesses_of_norm(slope, shape),
        **_guesses_of_penalty(slope),
        "it is the slope at the reals; take it at `between`": _pulled(slope_at(real)),
        "it is the slope at the fakes; take it at `between`": _pulled(slope_at(fake)),
        "all samples share one t; draw one for each sample": _pulled(slope_between(rng(2).random())),
        "each number has a t of its own; draw one for each sample": _pulled(slope_between(rng(2).random(real.shape))),
    }
    y = penalty(found)
    what = f"gradient_penalty for samples {(5, *shape)}"
    value = gradient_penalty.array(y, (), what=what)
    gradient_penalty.compare(value, _pulled(slope), what, guesses.items(), tolerance=1e-6)
    if not y.requires_grad:
        raise gradient_penalty.wrong(
            "gradient_penalty cannot be differentiated in the critic's weights: use grad(..., create_graph=True)"
        )
    if found.grad is not None:
        raise gradient_penalty.wrong(
            "gradient_penalty leaves gradients on the critic's weights, to which the loss's would be added: use "
            "grad(), not backward()"
        )
    gradient_penalty.gradients(weight, f=penalty, order=1, what=what)


def _pulled(slope: np.ndarray) -> Any:
    """The penalty of slopes, one for each of 5 samples."""
    return np.mean((np.sqrt((slope**2).sum(axis=1)) - 1) ** 2)


def _guesses_of_norm(slope: np.ndarray, shape: tuple[int, ...]) -> dict[str, Any]:
    """What the penalty would be with the norm over other axes than all but the first."""
    parts = (slope**2).reshape(5, *shape)

    def over(*axes: int) -> Any:
        return np.mean((np.sqrt(parts.sum(axis=axes)) - 1) ** 2)

    not_all = "; take it over all axes but the first"
    guesses = {"the norm is taken over the batch; take it for each sample, over all axes but the first": over(0)}
    for pair in ((1, 2), (2, 3)) if parts.ndim == 4 else ():
        guesses[f"the norm is taken over the axes {pair} only{not_all}"] = over(*pair)
    for axis in range(1, parts.ndim):
        guesses[f"the norm is taken over axis {axis} only{not_all}"] = over(axis)
    return guesses


def _guesses_of_penalty(slope: np.ndarray) -> dict[str, Any]:
    """What the penalty would be with each of the usual mistakes."""
    squares = slope**2
    norm, numbers = np.sqrt(squares.sum(axis=1)), slope.shape[1]
    return {
        "one norm is taken of everything; take one for each sample": (np.sqrt(squares.sum()) - 1) ** 2,
        "it is the square of the sum; the norm is the root of the sum of the squares": np.mean(
            (np.abs(slope.sum(axis=1)) - 1) ** 2
        ),
        "it is the sum of the absolute values; the norm is the root of the sum of the squares": np.mean(
            (np.abs(slope).sum(axis=1) - 1) ** 2
        ),
        "it is the mean of the squares under the root; take their sum": np.mean((norm / numbers**0.5 - 1) ** 2),
        "it is divided by the size of a sample, or by that of all; take the mean over the samples": (
            np.mean((norm - 1) ** 2) / numbers
        ),
        "the number under the root is 1e-2; 1e-12 is enough, and adds nothing to the norm": np.mean(
            (np.sqrt(norm**2 + 1e-2) - 1) ** 2
        ),
        "the number under the root is 1e-3; 1e-12 is enough, and adds nothing to the norm": np.mean(
            (np.sqrt(norm**2 + 1e-3) - 1) ** 2
        ),
        "the mean of the norms is pulled to 1; pull each norm": (norm.mean() - 1) ** 2,
        "a norm below 1 is pulled up to 1 too": np.mean(np.maximum(norm - 1, 0) ** 2),
        "the root is left out": np.mean((norm**2 - 1) ** 2),
        "the square is left out": np.mean(norm - 1),
        "the norm must be pulled to 1, not to 0": np.mean(norm**2),
        "it is the sum over the samples, not the mean": np.sum((norm - 1) ** 2),
        "the slope is that of the mean score; take the gradient of the sum": np.mean((norm / 5 - 1) ** 2),
        "it is the slope of the first score; take the gradient of the sum of all": ((norm[0] - 1) ** 2 + 4) / 5,
        "it is 10 times too large; the weight of the penalty is the caller's": 10 * np.mean((norm - 1) ** 2),
    }


def _check_limits(gradient_penalty: Answer) -> None:
    """A critic that is flat, float32, and samples that stay as they are."""
    flat = Tensor(np.zeros((6, 1)), requires_grad=True)
    penalty = _penalty(gradient_penalty, (3, 2))
    if not np.isfinite(grad(penalty(flat), flat)[0].numpy()).all():
        raise gradient_penalty.wrong(
            "gradient_penalty's gradient is not finite where the critic is flat: add 1e-12 under the root"
        )
    arrays = [normal(5, 3, 2, seed=seed).astype(np.float32) for seed in (0, 1)]
    real, fake = (Tensor(array.copy()) for array in arrays)
    value = gradient_penalty(
        lambda x: ops.sum(x * x, axis=(1, 2), keepdims=True)[:, 0], real, fake, np.random.default_rng(0)
    )
    gradient_penalty.array(value, (), np.float32, "gradient_penalty, for float32 inputs,")
    if not all(np.array_equal(x.numpy(), array) for x, array in zip((real, fake), arrays, strict=True)):
        raise gradient_penalty.wrong("gradient_penalty changes real or fake, which others still need")
