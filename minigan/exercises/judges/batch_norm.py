"""Judges of batch norm: its forward pass, the running statistics, and the derivative in closed form."""

from collections.abc import Iterator

import numpy as np

from minigan.exercises.judges.answer import Answer, kind_of, normal
from minigan.tensor import Tensor

EPS = 1e-3  # large, so that it shows where it was left out
WEIGHT, BIAS = np.array([0.5, 2.0, -1.0]), np.array([1.0, 0.0, 3.0])
INPUTS = [normal(6, 3) * 2 + 1, normal(5, 3, 4) + 2, normal(4, 3, 2, 5) - 3, normal(4, 3, 1, 1)]


def batch_norm(batch_norm: Answer, update_running: Answer) -> None:
    """Points, sequences and images, the statistics that it returns, and how the running ones follow."""
    for x in INPUTS:
        _check_values(batch_norm, x)
    _check_large_means(batch_norm)
    _check_running(update_running)
    _check_gradients(batch_norm)


def batch_norm_backward(batch_norm: Answer) -> None:
    """The same as for the forward pass: the derivatives are checked by finite differences."""
    for x in INPUTS:
        _check_values(batch_norm, x)
    _check_large_means(batch_norm)
    _check_gradients(batch_norm)


def _check_values(batch_norm: Answer, x: np.ndarray) -> None:
    """The three results: y, and the mean and variance of each channel."""
    result = batch_norm(Tensor(x), Tensor(WEIGHT), Tensor(BIAS), EPS)
    if not isinstance(result, tuple) or len(result) != 3:
        raise batch_norm.wrong(f"batch_norm must return y, mu, var, but it returned {kind_of(result)}")
    y = batch_norm.array(result[0], x.shape, what="batch_norm's y")
    right, guesses = _values_of(x)
    batch_norm.compare(y, right, f"batch_norm's y for x {x.shape}", guesses)
    axes = (0, *range(2, x.ndim))
    for name, statistic, right in (("mu", result[1], x.mean(axes)), ("var", result[2], x.var(axes))):
        if not isinstance(statistic, np.ndarray) or statistic.shape != (3,):
            kind = f"{kind_of(statistic)} of {np.shape(statistic)}"
            raise batch_norm.wrong(f"batch_norm's {name} must be a NumPy array of shape (3,) here, but it is {kind}")
        batch_norm.compare(statistic, right, f"batch_norm's {name}")


def _values_of(x: np.ndarray) -> tuple[np.ndarray, Iterator[tuple[str, np.ndarray]]]:
    """What y is for x, and what it would be with each of the usual mistakes."""
    axes, per_channel = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
    w, b = WEIGHT.reshape(per_channel), BIAS.reshape(per_channel)
    mean, var, m = x.mean(axes, keepdims=True), x.var(axes, keepdims=True), x[:, 0].size
    centred, sigma = x - mean, np.sqrt(var + EPS)
    x_hat = centred / sigma

    def over(axis: int) -> np.ndarray:
        return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + EPS) * w + b

    guesses = {
        "the weight is left out": x_hat + b,
        "the bias is left out": x_hat * w,
        "it divides by the variance; divide by its root": centred / (var + EPS) * w + b,
        "eps belongs under the root, added to the variance": centred / (np.sqrt(var) + EPS) * w + b,
        "eps is left out": centred / np.sqrt(var) * w + b,
        "the mean is not subtracted": x / sigma * w + b,
        "the bias comes after the weight: weight x_hat + bias": (x_hat + b) * w,
        "the variance of a batch divides by M, not M - 1": centred / np.sqrt(var * m / (m - 1) + EPS) * w + b,
        "every pixel has statistics of its own; take them over the pixels too": over(0),
        "the statistics are those of each sample; take them over the batch": over(1),
    }
    return x_hat * w + b, iter(guesses.items())


def _check_large_means(batch_norm: Answer) -> None:
    """In float32, 3000^2 leaves no digits for a variance of 1."""
    x = (normal(32, 3) + 3000).astype(np.float32)
    result = batch_norm(*[Tensor(array.astype(np.float32)) for array in (x, WEIGHT, BIAS)], EPS)
    y = batch_norm.array(result[0], x.shape, np.float32, "batch_norm's y, for float32 inputs,")
    right, _ = _values_of(x.astype(np.float64))
    if not np.allclose(y, right, atol=0.05):
        raise batch_norm.wrong(
            "batch_norm loses its digits where the mean is large (3000, in float32): subtract the mean first, then "
            "take the mean of (x - mu)^2, not that of x^2"
        )


def _check_running(update_running: Answer) -> None:
    """A part of the way, in place."""
    running, batch = Tensor(np.array([0.0, 4.0])), np.array([10.0, 2.0])
    array = running.data
    update_running(running, batch, 0.1)
    if np.array_equal(array, [0.0, 4.0]):
        how = "use running.data *= ... or running.data[...] = ..."
        raise update_running.wrong(f"update_running did not change running.data in place: {how}")
    if not np.array_equal(batch, [10.0, 2.0]):
        raise update_running.wrong("update_running changes the batch's statistic, which it must leave alone")
    guesses = [
        ("momentum is the wrong way round: the running statistic must keep 1 - momentum of itself", [9.0, 2.2]),
        ("it was replaced by the batch's; it must move by a part of the way", [10.0, 2.0]),
        ("the batch's must count momentum, so that the weights add up to 1", [10.0, 5.6]),
    ]
    update_running.compare(running.numpy(), [1.0, 3.8], "the running statistic", guesses)


def _check_gradients(batch_norm: Answer) -> None:
    """In x, weight and bias, for points and images."""

    def y(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return batch_norm(x, weight, bias)[0]

    for x in (normal(6, 3), normal(2, 3, 2, 4)):
        batch_norm.gradients(x, WEIGHT, BIAS, f=y, what=f"batch_norm's y for x {x.shape}")
    batch_norm.in_float32(normal(6, 3), WEIGHT, BIAS, f=y)
