"""Exercise linear (core, lesson layers_and_losses): a dense layer.

What      y = x W^T + b: each of the `out` outputs is a weighted sum of the `in` inputs, plus a number of its
          own. Write the value and the three derivatives.
Start     y_no = sum_i x_ni W_oi + b_o. As in `matmul`, ask for each number in which outputs it acts:
              x_ni acts on y_no for every o;   W_oi acts on y_no for every n;   b_o acts on y_no for every n.
Shapes    x (N, in), weight (out, in), bias (out,) or None -> y (N, out). Gradients: (N, in), (out, in),
          (out,).
Example   x = [[1, 2]], weight = [[3, 4]], bias = [5] give y = [[16]]; g = [[1]] gives [[3, 4]], [[1, 2]] and
          [1].
Use       Write the value on arrays (x.data, weight.data, bias.data), the derivatives on tensors: g @ weight,
          g.T, sum(g, axis=0). `record` leaves out an operand that is None.

Check it with `minigan exercise check linear`; stuck? `minigan exercise hint linear`.
"""

from minigan import Tensor
from minigan.ops import sum
from minigan.tensor import record


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b."""

    def to_x(g: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError("not written yet")

    def to_weight(g: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError("not written yet")

    def to_bias(g: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError("not written yet")

    raise NotImplementedError("not written yet")  # write here: value = ...
    return record(value, (x, to_x), (weight, to_weight), (bias, to_bias))
