"""Batch norm's gradient in closed form, with the usual mistakes: what the judge of batch norm tells them by."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.exercises.judges.answer import Guesses


class Channels:
    """What the closed form is made of: x_hat and sigma, and the mean over each channel."""

    def __init__(self, x: np.ndarray, weight: np.ndarray, eps: float = 1e-5) -> None:
        self.axes, self.per_channel = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
        self.centred, self.count = x - self.mean(x), x[:, 0].size
        self.sigma = np.sqrt(self.mean(self.centred**2) + eps)
        self.x_hat, self.weight = self.centred / self.sigma, weight.reshape(self.per_channel)

    def mean(self, array: np.ndarray) -> np.ndarray:
        """The mean over each channel."""
        return array.mean(self.axes, keepdims=True)


def guess_of_eps(x: np.ndarray, weight: np.ndarray) -> Callable[[Any], dict[int, Guesses]]:
    """The gradients with the usual eps, and not with that which is given."""
    c = Channels(x, weight)

    def guesses(g: np.ndarray) -> dict[int, Guesses]:
        h, says = g * c.weight, "its eps is always 1e-5; take the one that is given, in the derivative too"
        of_x = (h - c.mean(h) - c.x_hat * c.mean(h * c.x_hat)) / c.sigma
        return {0: [(says, of_x)], 1: [(says, (g * c.x_hat).sum(c.axes))]}

    return guesses


def guesses_of_gradients(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> Callable[[Any], dict[int, Guesses]]:
    """What the gradients in x and in the weight would be with each of the usual mistakes."""
    c = Channels(x, weight)
    y = c.x_hat * c.weight + bias.reshape(c.per_channel)
    instead_of_x_hat = {"x": x, "y": y, "x - mu": c.centred, "x_hat / sigma": c.x_hat / c.sigma}

    def guesses(g: np.ndarray) -> dict[int, Guesses]:
        says = "it is made of {}; the weight multiplies x_hat, so it is sum(g * x_hat, axes)"
        of_weight = [(says.format(name), (g * array).sum(c.axes)) for name, array in instead_of_x_hat.items()]
        return {0: _of_x(c, g * c.weight).items(), 1: of_weight}

    return guesses


def _of_x(c: Channels, h: np.ndarray) -> dict[str, np.ndarray]:
    """The gradient in x, from h = weight g. The right one is (h - mean(h) - x_hat mean(h x_hat)) / sigma."""
    m, sigma = c.count, c.sigma
    mu, path = c.mean(h), c.x_hat * c.mean(h * c.x_hat)  # what comes through mu, and through sigma
    return {
        "sums take the place of the means; divide both by M": (h - m * mu - m * path) / sigma,
        "a sum takes the place of mean(h); divide it by M": (h - m * mu - path) / sigma,
        "a sum takes the place of mean(h x_hat); divide it by M": (h - mu - m * path) / sigma,
        "mean(h x_hat) is divided by M - 1; divide it by M": (h - mu - path * m / (m - 1)) / sigma,
        "both paths have the wrong sign; x_hat shrinks when mu and sigma grow": (h + mu + path) / sigma,
        "the path through mu has the wrong sign; it is -mean(h)": (h + mu - path) / sigma,
        "the path through sigma has the wrong sign; it is -x_hat mean(h x_hat)": (h - mu + path) / sigma,
        "only h is divided by sigma; all three terms are": h / sigma - mu - path,
        "only the last term is not divided by sigma; all three terms are": (h - mu) / sigma - path,
        "it is divided by sigma twice; once is enough": (h - mu - path) / sigma**2,
        "1 / sigma is left out; it is a factor of all three terms": h - mu - path,
        "only the direct path is there; x acts through mu and through sigma too": h / sigma,
        "x_hat is left out inside of the last mean; it is mean(h x_hat)": (h - mu - c.x_hat * mu) / sigma,
        "x_hat is left out before the last mean; it is x_hat mean(h x_hat)": (h - mu - c.mean(h * c.x_hat)) / sigma,
    }
