"""Exercise leaky_relu (core, lesson layers_and_losses): the derivative of the leaky ReLU.

What      y = x where x > 0, else slope x. A plain ReLU (slope 0) stops all gradients where x < 0; a leaky one
          lets some through, which the discriminator of a GAN needs: its gradients are all that the generator
          learns from.
Start     The curve has two straight pieces, so the derivative is one of two numbers. At x = 0 it has a
          corner. Take the second of the two there (`x > 0` is false).
Shapes    x, y, g and the result all have the same shape.
Example   slope 0.2: x = [-1, 0, 2] and g = [1, 1, 1] give [0.2, 0.2, 1].
Use       The numbers x.data are a NumPy array, and np.where(condition, a, b) chooses. Which piece it is does not
          depend smoothly on x, so an array is fine here: make a tensor of it with Tensor(array, dtype=x.dtype).
          The dtype is that of x because training is in float32, and float32 and float64 do not mix.

Check it with `minigan exercise check leaky_relu`; stuck? `minigan exercise hint leaky_relu`.
"""

import numpy as np

from minigan import Tensor
from minigan.tensor import record


def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """x where x > 0, else slope x."""

    def to_x(g: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError("not written yet")

    return record(np.maximum(x.data, slope * x.data), (x, to_x))
