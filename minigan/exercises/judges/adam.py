"""The judge of Adam's step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.exercises.judges.answer import Answer, Guesses, normal
from minigan.nn import Parameter
from minigan.optim import Adam

LR, EPS = 0.1, 1e-3  # unlike the defaults, as the betas are, so that a number from the paper shows


def adam_step(adam_step: Answer) -> None:
    """A matrix through three steps; then parameters of other shapes in turn, each with its own number of steps."""
    optimizer = _optimizer((0.8, 0.95))
    matrix = _Parameter(optimizer, (3, 4), steps=2)
    for seed in (1, 2, 3):
        matrix.check_step(adam_step, seed)
    others = [
        _Parameter(optimizer, shape, steps=i) for i, shape in enumerate([(4,), (4,), (2, 3, 2, 2), (3, 4), (1, 5)])
    ]
    for seed in (4, 5):
        for parameter in others:
            parameter.check_step(adam_step, seed)
    without_momentum = _Parameter(_optimizer((0.0, 0.9)), (4,), steps=0)  # the betas of a Wasserstein GAN
    single = _Parameter(optimizer, (3, 4), steps=0, dtype=np.float32)
    for seed in (6, 7):
        without_momentum.check_step(adam_step, seed)
        single.check_step(adam_step, seed)
    _check_long(adam_step)


def _check_long(adam_step: Answer) -> None:
    """Late steps, with the betas of GANs and of papers; a rate that changes; gradients that are 0, or nearly."""
    for betas in ((0.5, 0.99), (0.9, 0.999)):
        for steps in (0, 149, 4999):
            optimizer = _optimizer(betas)
            parameter = _Parameter(optimizer, (3, 4), steps)
            for seed, size in enumerate((1.0, HALF, 0.0, 1e-9, 1.0)):
                optimizer.lr = LR / (seed + 1)
                parameter.check_step(adam_step, seed, size)
    for size in (1e-6, 1e3):  # from the first step on: nothing may be clipped, and nothing held up from below
        parameter = _Parameter(_optimizer((0.5, 0.99)), (3, 4), steps=0)
        for seed in (1, 2):
            parameter.check_step(adam_step, seed, size)


def _optimizer(betas: tuple[float, float]) -> Adam:
    optimizer = Adam([Parameter(np.zeros(1))], lr=LR, betas=betas, eps=EPS)
    optimizer.steps[:] = 7  # the optimizer's own count, which is not the parameter's t here
    return optimizer


HALF = np.array([0.0, 1.0, 0.0, 1.0])  # gradients of which some are 0, as those of units that are off


@dataclass
class _Step:
    """One step of a parameter, and what it should have come to."""

    lr: float
    b1: float
    b2: float
    t: int
    g: np.ndarray
    before: np.ndarray
    m: np.ndarray
    v: np.ndarray

    def move(self, t: int) -> np.ndarray:
        """How far it goes, if it is the t-th."""
        m_hat, v_hat = self.m / (1 - self.b1**t), self.v / (1 - self.b2**t)
        return self.lr * m_hat / (np.sqrt(v_hat) + EPS)


class _Parameter:
    """A parameter as it should be, and as the student's steps leave it."""

    def __init__(self, optimizer: Adam, shape: tuple[int, ...], steps: int, dtype: Any = np.float64) -> None:
        self.optimizer, self.t, self.calls = optimizer, steps, 0
        g = normal(*shape, seed=steps + 1) * (steps > 0)  # what it has seen so far
        self.right = {"m": 0.1 * g, "v": 0.01 * g**2, "theta": normal(*shape)}
        # In another order of memory than NumPy's usual one, as that of a transposed array.
        self.yours = {name: np.array(array, dtype, order="F") for name, array in self.right.items()}

    def check_step(self, adam_step: Answer, seed: int, size: Any = 1.0) -> None:
        """The next step, for a gradient of its own, whose numbers are normal, times `size`."""
        self.t, self.calls, (b1, b2) = self.t + 1, self.calls + 1, self.optimizer.betas
        right, yours = self.right, self.yours
        before, g = right["theta"], (size * normal(*right["theta"].shape, seed=seed)).astype(yours["m"].dtype)
        m, v = b1 * right["m"] + (1 - b1) * g, b2 * right["v"] + (1 - b2) * g**2
        step = _Step(self.optimizer.lr, b1, b2, self.t, g.astype(float), before, m, v)
        self.right = right = {"m": m, "v": v, "theta": before - step.move(self.t)}
        given, old = g.copy(), {name: array.copy() for name, array in yours.items()}
        adam_step(self.optimizer, yours["theta"], given, yours["m"], yours["v"], self.t)
        if not np.array_equal(given, g):
            raise adam_step.wrong("adam_step changes g, which it must leave alone: write g * g, not g *= g")
        for name, array in yours.items():
            if np.array_equal(array, old[name]):
                how = f"use {name} *= ..., {name} -= ... or {name}[...] = ..."
                if not g.any():
                    how = "a gradient of 0 counts like any other, and the running mean goes on"
                raise adam_step.wrong(f"adam_step did not change {name} in place: {how}")
        guesses = {"m": _guesses_of_m(step), "v": _guesses_of_v(step), "theta": _guesses_of_theta(step, self.calls)}
        for name in ("m", "v", "theta"):
            kind = "" if np.ndim(size) == 0 and size == 1 else f" and {_in_words(size)}"
            what = f"{name} {g.shape} after step t = {self.t}, with betas {b1, b2}{kind}"
            tolerance = 1e-9 if g.dtype == np.float64 else 1e-4
            adam_step.compare(yours[name], right[name], what, guesses[name], tolerance)


def _in_words(size: Any) -> str:
    """What is special in a gradient of this size."""
    return "gradients of which some are 0" if np.ndim(size) else f"gradients of about {size:g}"


def _guesses_of_m(step: _Step) -> Guesses:
    return [*_guesses_of_mean(step.m, step.b1, step.g, step.t, "b1"), *_usual(step.m, step.b1, step.g, 0.9, "b1")]


def _guesses_of_v(step: _Step) -> Guesses:
    v, g = step.v, step.g
    m_old = (step.m - (1 - step.b1) * g) / (step.b1 or 1)
    new = {
        "g is not squared": g,
        "it is g's size, not its square": np.abs(g),
        "it is made of m; it is the mean of g * g": step.m**2,
        "it is made of g - m; it is the mean of g * g": (g - step.m) ** 2,
        "it is made of g - m, with the old m; it is the mean of g * g": (g - m_old) ** 2,
        "it is made of the corrected m; it is the mean of g * g": (step.m / (1 - step.b1**step.t)) ** 2,
    }
    other_squares = [(sentence, v + (1 - step.b2) * (wrong - g**2)) for sentence, wrong in new.items()]
    one_for_all = ("it needs a number for each of g, not one mean of all", v - (1 - step.b2) * (g**2 - np.mean(g**2)))
    usual = _usual(v, step.b2, g**2, 0.999, "b2")
    without_b = ("1 - b1 takes the place of 1 - b2", v + (step.b2 - step.b1) * g**2)
    return [*other_squares, one_for_all, without_b, *_guesses_of_mean(v, step.b2, g**2, step.t, "b2"), *usual]


def _usual(mean: np.ndarray, b: float, new: np.ndarray, usual: float, name: str) -> Guesses:
    """The same mean, with the number that papers give."""
    if not b:
        return []
    old = (mean - (1 - b) * new) / b
    return [(f"take {name} from self.betas; it is not always {usual:g}", usual * old + (1 - usual) * new)]


def _guesses_of_mean(mean: np.ndarray, b: float, new: np.ndarray, t: int, name: str) -> Guesses:
    """What could be wrong with a running mean that is b times the old one plus 1 - b times the new number."""
    if not b:
        return []
    old = (mean - (1 - b) * new) / b
    return [
        (f"{name} and 1 - {name} are swapped", (1 - b) * old + b * new),
        ("the corrected mean was written into it; give that a name of its own", mean / (1 - b**t)),
        (f"the new number must count 1 - {name}, so that the weights add up to 1", b * old + new),
    ]


def _guesses_of_theta(step: _Step, calls: int) -> Iterator[tuple[str, np.ndarray]]:
    """What could be wrong with the step itself, where m and v are right; `calls`, how often this one was changed."""
    root = np.sqrt
    m, v, t = step.m, step.v, step.t
    m_hat, v_hat = m / (1 - step.b1**t), v / (1 - step.b2**t)
    m_old, v_old = (m - (1 - step.b1) * step.g) / (step.b1 or 1), (v - (1 - step.b2) * step.g**2) / step.b2
    lr, first_lr = step.lr, LR
    moves = {
        "the bias correction is left out": lr * m / (root(v) + EPS),
        "only m is corrected, not v": lr * m_hat / (root(v) + EPS),
        "only v is corrected, not m": lr * m / (root(v_hat) + EPS),
        "v is corrected with b1; take b2": lr * m_hat / (root(v / (1 - step.b1**t)) + EPS),
        "change m and v first, and then move theta with the new ones": lr
        * (m_old / (1 - step.b1**t))
        / (root(np.abs(v_old) / (1 - step.b2**t)) + EPS),
        "it walks uphill: the sign is flipped": -step.move(t),
        "the root of v_hat is left out": lr * m_hat / (v_hat + EPS),
        "eps belongs outside of the root": lr * m_hat / root(v_hat + EPS),
        "eps, not its square, is added outside of the root": lr * m_hat / root(v_hat + EPS**2),
        "eps is added to the root of v_hat, not of v": lr * m_hat * root(1 - step.b2**t) / (root(v) + EPS),
        "eps is left out": lr * m_hat / root(v_hat),
        "take eps from self.eps; it is not always 1e-8": lr * m_hat / (root(v_hat) + 1e-8),
        "lr is left out": m_hat / (root(v_hat) + EPS),
        "take lr from self.lr; it is not always 1e-3": 1e-3 * m_hat / (root(v_hat) + EPS),
        "take lr from self.lr in every step: it may change": first_lr * m_hat / (root(v_hat) + EPS),
        "lr is divided by the root of t; leave it as it is": step.move(t) / t**0.5,
        "it moves by g itself; the mean m_hat takes its place": lr * step.g / (root(v_hat) + EPS),
        "a gradient of 0 counts like any other: theta goes on": step.move(t) * (step.g != 0),
        "a small gradient counts like any other: theta goes on": step.move(t) * (np.abs(step.g).max() > 1e-5),
        "t is this step's number already: take it as it is, not t - 1": step.move(t - 1) if t > 1 else np.nan,
        "t counts from 1 already: take it as it is": step.move(t + 1),
        "take the argument t; the optimizer's own steps are those of all its parameters": step.move(7),
        "take the argument t; a count of its own does not know this parameter's": step.move(calls),
    }
    yield from ((sentence, step.before - move) for sentence, move in moves.items())
