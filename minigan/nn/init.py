"""Initial weights. A layer keeps the scale of its input when its weights have the right variance.

Each returns float32 numbers of `shape`. fan_in is how many numbers one output is summed from. Weights are independent
with mean 0, so a sum of fan_in terms w x has the mean square fan_in Var(w) E[x^2]: Var(w) = 1 / fan_in keeps the scale.
A ReLU halves the mean square of numbers that are as often negative as positive, so 2 / fan_in makes up for it; a leaky
one leaves (1 + slope^2) / 2 of it.
"""

import numpy as np

from minigan.table import swappable


def normal(shape: tuple[int, ...], rng: np.random.Generator, mean: float = 0.0, std: float = 0.02) -> np.ndarray:
    """N(mean, std^2). The DCGAN paper draws all weights from N(0, 0.02^2) (Radford et al., 2016)."""
    return (mean + std * rng.standard_normal(shape)).astype(np.float32)


@swappable
def he_normal(shape: tuple[int, ...], rng: np.random.Generator, fan_in: int, slope: float = 0.0) -> np.ndarray:
    """N(0, 2 / ((1 + slope^2) fan_in)), made for (leaky) ReLU layers (He et al., 2015)."""
    return normal(shape, rng, std=np.sqrt(2 / ((1 + slope**2) * fan_in)))


def rng_or_new(rng: np.random.Generator | None) -> np.random.Generator:
    """The random generator that a layer was given, or a new one. Raises TypeError for anything else."""
    if not isinstance(rng, np.random.Generator | None):
        raise TypeError(f"rng must be a random generator, such as np.random.default_rng(0), not {rng!r}")
    return np.random.default_rng() if rng is None else rng
