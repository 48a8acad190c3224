"""Judges of batch norm: its forward pass, the running statistics, and the derivative in closed form."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigan.exercises.judges.answer import Answer, kind_of, normal
from minigan.exercises.judges.closed_form import guess_of_eps, guesses_of_gradients
from minigan.tensor import Tensor

EPS = 1e-3  # large, so that it shows where it was left out
WEIGHT, BIAS = np.array([0.5, 2.0, -1.0]), np.array([1.0, 0.0, 3.0])
INPUTS = [normal(6, 3) * 2 + 1, normal(5, 3, 4) + 2, normal(4, 3, 2, 5) - 3, normal(4, 3, 1, 1), normal(2, 3)]
# One channel, a single image, a large batch, and numbers that are nearly the same, where eps is most of the variance.
INPUTS += [normal(6, 1), normal(3, 1, 2, 4), normal(1, 3, 2, 5), normal(130, 3), 0.01 * normal(6, 3) + 1]
LARGE_MEANS = [normal(32, 3) + 3000, 0.1 * normal(32, 3) + 1000, 0.1 * normal(4, 3, 2, 4) - 1000]
LOST = (
    "subtract the mean first, then take the mean of (x - mu)^2, not that of x^2 (x has a mean of 1000 and more here, "
    "whose square leaves no digits for the variance)"
)


def batch_norm(batch_norm: Answer, update_running: Answer) -> None:
    """Points, sequences and images, the statistics that it returns, and how the running ones follow."""
    _check_forward(batch_norm)
    _check_running(update_running)
    _check_gradients(batch_norm)


def batch_norm_backward(batch_norm: Answer) -> None:
    """The same as for the forward pass: the derivatives are checked by finite differences."""
    _check_forward(batch_norm)
    _check_gradients(batch_norm)


def _check_forward(batch_norm: Answer) -> None:
    for x in INPUTS:
        _check_values(batch_norm, x)
    for x in LARGE_MEANS:
        _check_large_mean(batch_norm, x)


def _results(batch_norm: Answer, x: np.ndarray, dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three results, of the right kinds: y, and the mean and variance of each channel. x must stay as it is."""
    channels = x.shape[1]
    arrays = x, WEIGHT[:channels], BIAS[:channels]
    given = [Tensor(np.array(array, dtype)) for array in arrays]
    result = batch_norm(*given, EPS)
    if not isinstance(result, tuple) or len(result) != 3:
        raise batch_norm.wrong(f"batch_norm must return y, mu, var, but it returned {kind_of(result)}")
    for name, tensor, array in zip(("x", "weight", "bias"), given, arrays, strict=True):
        if not np.array_equal(tensor.numpy(), array.astype(dtype)):
            raise batch_norm.wrong(f"batch_norm changes {name}, which others still need: compute with new arrays")
    for name, statistic in zip(("mu", "var"), result[1:], strict=True):
        if not isinstance(statistic, np.ndarray) or statistic.shape != (channels,) or statistic.dtype != dtype:
            found = f"{statistic.dtype} of {statistic.shape}" if hasattr(statistic, "dtype") else ""
            raise batch_norm.wrong(
                f"batch_norm's {name} must be a NumPy array of {np.dtype(dtype)} and of shape {(channels,)} for x "
                f"{x.shape} in {np.dtype(dtype)}, but it is {kind_of(statistic)}{f' of {found}' if found else ''}"
            )
    y = batch_norm.array(result[0], x.shape, dtype, f"batch_norm's y, for {np.dtype(dtype)} inputs,")
    return y, result[1], result[2]


def _check_values(batch_norm: Answer, x: np.ndarray) -> None:
    """y, and the mean and variance of each channel."""
    y, mu, var = _results(batch_norm, x)
    right, guesses = _values_of(x)
    batch_norm.compare(y, right, f"batch_norm's y for x {x.shape}", guesses)
    axes = (0, *range(2, x.ndim))
    mean, variance, m = x.mean(axes), x.var(axes), x[:, 0].size
    batch_norm.compare(mu, mean, f"batch_norm's mu for x {x.shape}", [("mu and var are swapped", variance)])
    guesses = [
        ("it divides by M - 1; the variance of a batch divides by M", variance * m / (m - 1)),
        ("eps is no part of it", variance + EPS),
        ("it is the root of the variance", np.sqrt(variance)),
        ("it is the root of the variance and eps", np.sqrt(variance + EPS)),
    ]
    batch_norm.compare(var, variance, f"batch_norm's var for x {x.shape}", guesses)


def _values_of(x: np.ndarray) -> tuple[np.ndarray, Iterator[tuple[str, np.ndarray]]]:
    """What y is for x, and what it would be with each of the usual mistakes."""
    axes, per_channel = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
    w, b = WEIGHT[: x.shape[1]].reshape(per_channel), BIAS[: x.shape[1]].reshape(per_channel)
    mean, var, m = x.mean(axes, keepdims=True), x.var(axes, keepdims=True), x[:, 0].size
    centred, sigma = x - mean, np.sqrt(var + EPS)
    x_hat = centred / sigma

    def over(*axes: int) -> np.ndarray:
        return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + EPS) * w + b

    guesses = {
        "the weight is left out": x_hat + b,
        "the bias is left out": x_hat * w,
        "it divides by the variance; divide by its root": centred / (var + EPS) * w + b,
        "eps belongs under the root, added to the variance": centred / (np.sqrt(var) + EPS) * w + b,
        "eps is left out": centred / np.sqrt(var) * w + b,
        "take the eps that is given; it is not always 1e-5": centred / np.sqrt(var + 1e-5) * w + b,
        "the mean is not subtracted": x / sigma * w + b,
        "the bias comes after the weight: weight x_hat + bias": (x_hat + b) * w,
        "the variance of a batch divides by M, not M - 1": centred / np.sqrt(var * m / (m - 1) + EPS) * w + b,
        "every pixel has statistics of its own; take them over the pixels too": over(0),
        "the statistics are those of each sample; take them over the batch": over(1),
        "the statistics are those of each image; take them over the batch too": over(*axes[1:]) if axes[1:] else x,
        "the statistics mix the channels; each channel has its own": over(*range(x.ndim)),
    }
    return x_hat * w + b, iter(guesses.items())


def _check_large_mean(batch_norm: Answer, x: np.ndarray) -> None:
    """In float32, 3000^2 leaves no digits for a variance of 1, and 1000^2 none for one of 0.01."""
    x = x.astype(np.float32)
    y, _, var = _results(batch_norm, x, np.float32)
    right, _ = _values_of(x.astype(np.float64))
    variance = x.astype(np.float64).var((0, *range(2, x.ndim)))
    if not np.allclose(y, right, atol=0.05) or not np.allclose(var, variance, rtol=0.05):
        raise batch_norm.wrong(f"batch_norm loses its digits where the mean is large, in float32: {LOST}")


def _y_of(batch_norm: Answer, eps: float = 1e-5) -> Any:
    """The first of its results, as a function of x, weight and bias."""

    def y(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return batch_norm(x, weight, bias, eps)[0]

    return y


def _check_gradients(batch_norm: Answer) -> None:
    """In x, weight and bias, for points, sequences and images."""
    for x in (normal(6, 3), normal(2, 3, 4), normal(2, 3, 2, 4)):
        what = f"batch_norm's y for x {x.shape}"
        guesses = guesses_of_gradients(x, WEIGHT, BIAS)
        order = 1 if x.ndim == 3 else 2
        batch_norm.gradients(x, WEIGHT, BIAS, f=_y_of(batch_norm), what=what, order=order, guesses=guesses)
    weight = np.array([0.0, 2.0, -1.0])  # a weight of 0 hides x_hat, which must not be taken from y
    for x, eps in ((normal(4, 3), 1e-5), (normal(4, 3), 0.1), (normal(1, 3, 2, 2), 1e-3)):
        what = f"batch_norm's y for x {x.shape}, weight 0, 2, -1 and eps {eps:g}"
        guesses = guess_of_eps(x, weight)
        batch_norm.gradients(x, weight, np.zeros(3), f=_y_of(batch_norm, eps), what=what, order=1, guesses=guesses)
    many = Tensor(normal(130, 3))
    of_many = lambda weight, bias: batch_norm(many, weight, bias)[0]
    batch_norm.gradients(WEIGHT, BIAS, f=of_many, what="batch_norm's y for x (130, 3)", order=1)
    batch_norm.in_float32(normal(6, 3), WEIGHT, BIAS, f=_y_of(batch_norm))
    for x in LARGE_MEANS:  # right ones are up to 5% off there, and those of a difference of squares 80% and more
        batch_norm.in_float32(x, WEIGHT, BIAS, f=_y_of(batch_norm), tolerance=0.25, why=LOST)


# --- running statistics ----------------------------------------------------------------------------------------


def _check_running(update_running: Answer) -> None:
    """A part of the way, in place, several times, for any shape: averages of weights follow in this way too."""
    start, batch = np.array([0.0, 4.0, -1.0]), np.array([10.0, 2.0, 5.0])
    for momentum in (0.1, 0.3):
        _check_steps(update_running, start, [batch, batch / 2], momentum)
    _check_steps(update_running, np.zeros(3), [batch], 0.1)  # as a running mean begins
    for shape in ((3, 4), (2, 3, 2, 2)):
        _check_steps(update_running, normal(*shape), [normal(*shape, seed=1), normal(*shape, seed=2)], 0.1)
    _check_steps(update_running, start.astype(np.float32), [batch.astype(np.float32)], 0.1)


def _check_steps(update_running: Answer, start: np.ndarray, batches: list[np.ndarray], momentum: float) -> None:
    """Towards one batch after the other."""
    running = Tensor(start.copy())
    array, right = running.data, start
    for batch in batches:
        old, given = right, batch.copy()
        before = array.copy()
        update_running(running, given, momentum)
        if np.array_equal(array, before):
            how = "use running.data *= ... or running.data[...] = ..."
            raise update_running.wrong(f"update_running did not change running.data in place: {how}")
        if not np.array_equal(given, batch):
            raise update_running.wrong("update_running changes the batch's statistic, which it must leave alone")
        right = (1 - momentum) * old + momentum * batch
        guesses = [
            (
                "momentum is the wrong way round: the running statistic must keep 1 - momentum of itself",
                momentum * old + (1 - momentum) * batch,
            ),
            ("it was replaced by the batch's; it must move by a part of the way", batch),
            ("the batch's must count momentum, so that the weights add up to 1", (1 - momentum) * old + batch),
            ("the old must count 1 - momentum, so that the weights add up to 1", old + momentum * batch),
            ("take the momentum that is given; it is not always 0.1", 0.9 * old + 0.1 * batch),
        ]
        what = f"the running statistic {start.shape} after a step with momentum {momentum}"
        update_running.compare(running.numpy(), right, what, guesses, 1e-9 if start.dtype == np.float64 else 1e-5)
