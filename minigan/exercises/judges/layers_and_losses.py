"""Judges of what a dense network is made of: layers, their first weights, a loss and an optimizer."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from minigan.exercises.judges.answer import Answer, Guesses, kind_of, normal
from minigan.nn import Parameter
from minigan.optim import Adam
from minigan.tensor import Tensor, grad


def leaky_relu(leaky_relu: Answer) -> None:
    """Several slopes, one and four axes, and the corner."""
    x = np.concatenate([normal(20), [0.0]])
    for slope in (0.2, 0.01, 0.0):
        for array in (x, normal(2, 1, 3, 2)):
            leaky_relu.value(array, slope, right=np.where(array > 0, array, slope * array))
            leaky_relu.gradients(array, settings=(slope,), what=f"leaky_relu with slope {slope}")
    corner = Tensor(np.array([-1.0, 0.0, 2.0]), requires_grad=True)
    (found,) = grad(leaky_relu(corner, 0.2), corner, Tensor(np.ones(3)))
    if found.numpy()[1] != 0.2:
        sentence = f"leaky_relu: at x = 0 take the slope, 0.2, as the text says, but yours is {found.numpy()[1]:g}"
        raise leaky_relu.wrong(sentence)
    leaky_relu.in_float32(x, settings=(0.2,))


def linear(linear: Answer) -> None:
    """With and without a bias, in float64 and float32; and a single sample, where sums over the batch have one term."""
    x, weight, bias = normal(5, 3), normal(4, 3), normal(4)
    for batch in (x, x[:1]):
        forgotten = ("the bias is left out", batch @ weight.T)
        linear.value(batch, weight, bias, right=batch @ weight.T + bias, guesses=[forgotten])
        linear.value(batch, weight, right=batch @ weight.T, what="linear without a bias")
    linear.gradients(x, weight, bias)
    linear.gradients(x, weight)
    linear.in_float32(x, weight, bias)


# --- first weights ---------------------------------------------------------------------------------------------


def he_normal(he_normal: Answer) -> None:
    """Shape, dtype, mean and spread of many numbers, for a dense layer and a convolution."""
    for shape, fan_in, slope in (((400, 50), 50, 0.0), ((200, 25, 4, 2), 200, 0.5)):
        found = he_normal(shape, np.random.default_rng(0), fan_in, slope)
        if not isinstance(found, np.ndarray):
            raise he_normal.wrong(f"he_normal must return a NumPy array, but it returned {kind_of(found)}")
        if found.shape != shape or found.dtype != np.float32:
            sentence = f"he_normal must return float32 of shape {shape}, but it returned {found.dtype} of {found.shape}"
            raise he_normal.wrong(sentence)
        _check_spread(he_normal, found, fan_in, slope)
        again, other = (he_normal(shape, np.random.default_rng(seed), fan_in, slope) for seed in (0, 1))
        if not np.array_equal(found, again) or np.array_equal(found, other):
            raise he_normal.wrong(
                "he_normal must draw its numbers from `rng`, so that one seed always gives the same ones"
            )
        if not (np.abs(found) > 2 * found.std()).mean() > 0.03:
            raise he_normal.wrong("he_normal must draw normal numbers: use rng.standard_normal")


def _check_spread(he_normal: Answer, found: np.ndarray, fan_in: int, slope: float) -> None:
    """The standard deviation and the mean of what was drawn."""
    variance = 2 / ((1 + slope**2) * fan_in)
    std, channels = variance**0.5, found.shape[1]
    guesses = {
        "the variance was used as the standard deviation; take its root": variance,
        "that is Xavier's, 1 / fan_in; a ReLU halves what goes on, which the 2 makes up for": fan_in**-0.5,
        "the slope is left out": (2 / fan_in) ** 0.5,
        "divide by 1 + slope^2, do not multiply by it": (2 * (1 + slope**2) / fan_in) ** 0.5,
        "the slope must count by its square": (2 / ((1 + slope) * fan_in)) ** 0.5,
        "take the argument fan_in; the shape does not show it": (2 / ((1 + slope**2) * channels)) ** 0.5,
        "these are standard normal numbers, not scaled yet": 1.0,
    }
    if not np.isclose(found.std(), std, rtol=0.02):
        why = [sentence for sentence, guess in guesses.items() if np.isclose(found.std(), guess, rtol=0.02)]
        raise he_normal.wrong(
            f"he_normal with fan_in {fan_in} and slope {slope} must have the standard deviation {std:.4f}, "
            f"but yours is {found.std():.4f}" + (f": {why[0]}" if why else "")
        )
    if abs(found.mean()) > 0.05 * std:
        raise he_normal.wrong(f"he_normal must have mean 0, but yours is {found.mean():.4f}")


# --- the discriminator's loss ----------------------------------------------------------------------------------


def bce_with_logits(softplus: Answer, bce_with_logits: Answer) -> None:
    """Exact at +-100 and finite at +-1000, in value and derivative."""
    x = np.array([[0.0], [1.0], [-2.0], [30.0], [-30.0], [100.0], [-100.0], [1000.0], [-1000.0]])
    _check_softplus(softplus, x)
    for target in (1.0, 0.0, 0.9):
        what = f"bce_with_logits with target {target:g}"
        for logits in (normal(6, 1), x[:7]):
            real, fake = np.logaddexp(0, -logits), np.logaddexp(0, logits)
            right = np.mean(target * real + (1 - target) * fake)
            guesses = [
                ("the targets of real and fake are swapped", np.mean(target * fake + (1 - target) * real)),
                ("it is the sum, not the mean", right * logits.size),
                ("the sign is flipped", -right),
            ]
            bce_with_logits.value(logits, target, right=right, what=what, guesses=guesses)
        bce_with_logits.gradients(normal(6, 1), settings=(target,), what=what)
    bce_with_logits.in_float32(normal(6, 1), settings=(0.9,))


def _check_softplus(softplus: Answer, x: np.ndarray) -> None:
    """Each number to its last digits, and the slopes where e^x overflows."""
    right = np.logaddexp(0, x)
    found = softplus.array(softplus(Tensor(x)), x.shape)
    for value, yours, should in zip(x.ravel(), found.ravel(), right.ravel(), strict=True):
        if not np.isclose(yours, should, rtol=1e-9, atol=0):
            nearly = np.isclose(yours, should, rtol=0.1)
            why = ": use np.log1p(z), since 1 + z drops the digits of a small z" if nearly else ""
            raise softplus.wrong(f"softplus({value:g}) must be {should:.6g}, but yours is {yours:.6g}{why}")
    softplus.gradients(normal(10, 1))
    softplus.gradients(x[:7], order=1)
    softplus.in_float32(x)
    for logit, dtype in ((1000.0, np.float64), (-1000.0, np.float64), (100.0, np.float32), (-100.0, np.float32)):
        tensor = Tensor(np.array([logit], dtype), requires_grad=True)
        slope = grad(softplus(tensor).sum(), tensor)[0].item()
        if not abs(slope - (logit > 0)) < 1e-6:  # also where it is NaN
            raise softplus.wrong(
                f"the derivative of softplus at {logit:g} in {np.dtype(dtype)} must be {logit > 0:d}, but yours is "
                f"{slope:g}: e^x overflows there; minigan.ops.sigmoid is written safely"
            )


# --- Adam ------------------------------------------------------------------------------------------------------


def adam_step(adam_step: Answer) -> None:
    """Three steps in a row, each against the formulas: from the second on, where no two mistakes look the same."""
    optimizer = Adam([Parameter(np.zeros(1))], lr=0.1, betas=(0.9, 0.99), eps=1e-3)
    optimizer.steps[:] = 7  # the optimizer's own count, which is not the parameter's t here
    theta, first = normal(3, 4), normal(3, 4, seed=1)
    m, v = 0.1 * first, 0.01 * first**2
    yours = {"m": m.copy(), "v": v.copy(), "theta": theta.copy()}
    for t in (2, 3, 4):
        g, before = normal(3, 4, seed=t), theta
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        theta = before - 0.1 * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.99**t)) + 1e-3)
        given, old = g.copy(), {name: array.copy() for name, array in yours.items()}
        adam_step(optimizer, yours["theta"], given, yours["m"], yours["v"], t)
        if not np.array_equal(given, g):
            raise adam_step.wrong("adam_step changes g, which it must leave alone: write g * g, not g *= g")
        for name, array in yours.items():
            if np.array_equal(array, old[name]):
                how = f"use {name} *= ..., {name} -= ... or {name}[...] = ..."
                raise adam_step.wrong(f"adam_step did not change {name} in place: {how}")
        step = SimpleNamespace(t=t, g=g, before=before, m=m, v=v)
        adam_step.compare(yours["m"], m, f"m after step {t}", _guesses_of_mean(step.m, 0.9, g, t, "b1"))
        no_square = ("g is not squared", v - 0.01 * g**2 + 0.01 * g)
        guesses = [no_square, *_guesses_of_mean(step.v, 0.99, g**2, t, "b2")]
        adam_step.compare(yours["v"], v, f"v after step {t}", guesses)
        adam_step.compare(yours["theta"], theta, f"theta after step {t}", _guesses_of_theta(step))


def _guesses_of_mean(mean: np.ndarray, b: float, new: np.ndarray, t: int, name: str) -> Guesses:
    """What could be wrong with a running mean that is b times the old one plus 1 - b times the new number."""
    old = (mean - (1 - b) * new) / b
    return [
        (f"{name} and 1 - {name} are swapped", (1 - b) * old + b * new),
        ("the corrected mean was written into it; give that a name of its own", mean / (1 - b**t)),
        (f"the new number must count 1 - {name}, so that the weights add up to 1", b * old + new),
    ]


def _guesses_of_theta(step: Any) -> Iterator[tuple[str, np.ndarray]]:
    """What could be wrong with the step itself, where m and v are right."""
    root = np.sqrt
    m, v, t = step.m, step.v, step.t
    m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.99**t)

    def at(t: int) -> np.ndarray:
        return 0.1 * (m / (1 - 0.9**t)) / (root(v / (1 - 0.99**t)) + 1e-3)

    moves = {
        "the bias correction is left out": 0.1 * m / (root(v) + 1e-3),
        "only m is corrected, not v": 0.1 * m_hat / (root(v) + 1e-3),
        "only v is corrected, not m": 0.1 * m / (root(v_hat) + 1e-3),
        "it walks uphill: the sign is flipped": -0.1 * m_hat / (root(v_hat) + 1e-3),
        "the root of v_hat is left out": 0.1 * m_hat / (v_hat + 1e-3),
        "eps belongs outside of the root": 0.1 * m_hat / root(v_hat + 1e-3),
        "eps is left out": 0.1 * m_hat / root(v_hat),
        "lr is left out": m_hat / (root(v_hat) + 1e-3),
        "it moves by g itself; the mean m_hat takes its place": 0.1 * step.g / (root(v_hat) + 1e-3),
        "t counts from 1 already: take it as it is": at(t + 1),
        "take the argument t; the optimizer's own steps are those of all its parameters": at(7),
    }
    return ((sentence, step.before - move) for sentence, move in moves.items())
