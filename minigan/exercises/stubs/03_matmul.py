"""Exercise matmul (core, lesson tensors_and_the_chain_rule): the derivatives of a matrix product.

What      y = a @ b for two matrices. The value is here; write the two derivatives.
Start     y_ij = sum_k a_ik b_kj. The number a_ik acts on y_ij for every j, each time with the slope b_kj:
              dL/da_ik = sum_j g_ij b_kj.
          Which matrix product is that? Then do the same for b_kj, which acts on y_ij for every i.
Shapes    a (n, k), b (k, m), y and g (n, m). The gradient of a is (n, k), that of b is (k, m): often the
          shapes alone leave one way to multiply.
Example   a (1, 1) = 2, b (1, 1) = 5, g = 1 give 5 for a and 2 for b.
Use       g @ b and a.T on tensors.

Check it with `minigan exercise check matmul`; stuck? `minigan exercise hint matmul`.
"""

from minigan import Tensor
from minigan.tensor import record


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The product of two matrices, (n, k) @ (k, m) -> (n, m)."""

    def to_a(g: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError("not written yet")

    def to_b(g: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError("not written yet")

    return record(a.data @ b.data, (a, to_a), (b, to_b))
