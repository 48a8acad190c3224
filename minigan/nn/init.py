"""Initial weights. A layer keeps the scale of its input when its weights have the right variance.

Each returns float32 numbers of `shape`. fan_in is how many numbers one output is summed from, fan_out how many
outputs one input goes to. A sum of fan_in terms w x has variance fan_in Var(w) Var(x), if they are independent
with mean 0: Var(w) = 1 / fan_in keeps the scale, and after a ReLU, which drops half of it, 2 / fan_in does.
"""

import numpy as np


def normal(shape: tuple[int, ...], rng: np.random.Generator, mean: float = 0.0, std: float = 0.02) -> np.ndarray:
    """N(mean, std^2). The DCGAN paper draws all weights from N(0, 0.02^2) (Radford et al., 2016)."""
    return (mean + std * rng.standard_normal(shape)).astype(np.float32)


def he_normal(shape: tuple[int, ...], rng: np.random.Generator, fan_in: int, slope: float = 0.0) -> np.ndarray:
    """N(0, 2 / ((1 + slope^2) fan_in)), made for (leaky) ReLU layers (He et al., 2015)."""
    return normal(shape, rng, std=np.sqrt(2 / ((1 + slope**2) * fan_in)))


def xavier_uniform(shape: tuple[int, ...], rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """U(-a, a) with a^2 = 6 / (fan_in + fan_out), made for tanh layers (Glorot and Bengio, 2010)."""
    a = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-a, a, shape).astype(np.float32)
