"""Exercise unbroadcast (core, lesson tensors_and_the_chain_rule): undo a broadcast.

What      In y = x + b the row b of shape (4,) is added to every row of x (3, 4): NumPy repeats it, which is
          called broadcasting. The gradient of y has y's shape, (3, 4), but b's gradient must have b's shape.
          Write the function that brings it there.
Start     Each of the 3 copies of b_j gets a gradient g_ij of its own, and they are all the same number b_j. A
          number that acts in several places gets the sum of the gradients:  dL/db_j = sum_i g_ij.
Shapes    g: what the broadcast result had.  x: the operand; `shape` is its shape.  Returns a Tensor of that
          shape. Broadcasting lines shapes up at their last axis. It puts new axes in front, and stretches
          axes of size 1: (3, 1) becomes (2, 3, 4) by a new axis 0 and by stretching axis 2.
Example   g of ones (2, 3, 4) and x (3, 1) give a (3, 1) full of 8.
Use       sum(g, axis=(0, 2)) and reshape(g, shape): both are operations on tensors.

Check it with `minigan exercise check unbroadcast`; stuck? `minigan exercise hint unbroadcast`.
"""

import numpy as np

from minigan import Tensor
from minigan.ops import reshape, sum


def unbroadcast(g: Tensor, x: Tensor) -> Tensor:
    """The gradient for x, when x was broadcast to g's shape."""
    shape = np.shape(x)
    raise NotImplementedError("not written yet")
