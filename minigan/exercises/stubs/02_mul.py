"""Exercise mul (core, lesson tensors_and_the_chain_rule): the derivatives of a product.

What      y = a b, element by element. The value is here; write the two derivatives.
Start     A derivative gets `g`, the gradient of the output y, and returns the gradient of its operand. By the
          chain rule that is g times the slope:  dL/da = g dy/da.
Shapes    a and b may be broadcast: a (3, 1) times b (4,) gives y (3, 4). So g is (3, 4), but a's gradient
          must be (3, 1): `unbroadcast(gradient, a)` sums it down to a's shape.
Example   a = 2, b = 5, g = 1 give 5 for a and 2 for b.
Use       g, a and b are Tensors; multiply them with *. Write in tensors, not in their .data: then the
          derivative can be differentiated again, as a gradient penalty needs.

`record` makes the result of an operation: its value and, for each operand, the pair (operand, derivative). A derivative
is also given y, the output, which is not needed here.

Check it with `minigan exercise check mul`; stuck? `minigan exercise hint mul`.
"""

from typing import Any

from minigan import Tensor
from minigan.ops.math import operands, value
from minigan.ops.shape import unbroadcast
from minigan.tensor import record


def mul(a: Any, b: Any) -> Tensor:
    """a b, element by element."""
    a, b = operands(a, b)  # a plain array becomes a Tensor; a plain number stays one and needs no gradient

    def to_a(g: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError("not written yet")

    def to_b(g: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError("not written yet")

    return record(value(a) * value(b), (a, to_a), (b, to_b))
