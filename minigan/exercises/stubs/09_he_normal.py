"""Exercise he_normal (core, lesson layers_and_losses): weights that neither blow up nor die out.

What      Draw weights from N(0, std^2) with the standard deviation that keeps the size of numbers from layer
          to layer, in a network with (leaky) ReLUs (He et al., 2015).
Start     An output is a sum of fan_in terms w x. If they are independent with mean 0, its variance is
              fan_in Var(w) E[x^2].
          A ReLU sets half of its inputs to 0, so E[x^2] is half the variance that went in; a leaky one with a
          slope keeps (1 + slope^2) / 2 of it. Which Var(w) makes the variance come out as it went in? Its
          root is std.
Shapes    shape: any tuple.  Returns a NumPy array of that shape, in float32.
Example   fan_in = 50 and slope = 0 need a standard deviation of 0.2.
Use       rng.standard_normal(shape) draws N(0, 1) in float64; array.astype(np.float32) converts.

Check it with `minigan exercise check he_normal`; stuck? `minigan exercise hint he_normal`.
"""

import numpy as np


def he_normal(shape: tuple[int, ...], rng: np.random.Generator, fan_in: int, slope: float = 0.0) -> np.ndarray:
    """Weights of `shape` from N(0, std^2), for layers that are followed by a (leaky) ReLU."""
    raise NotImplementedError("not written yet")
