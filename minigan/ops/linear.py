"""Matrix products and the dense layer."""

from typing import Any

from minigan.errors import ShapeError
from minigan.ops.shape import reshape, sum, transpose, unbroadcast
from minigan.table import swappable
from minigan.tensor import Tensor, op, record


@swappable
def product(a: Any, b: Any) -> Any:
    """a @ b, of arrays: most of the work of a dense network."""
    return a @ b


def _swap(x: Tensor) -> Tensor:
    """Each matrix of a stack transposed: (..., n, m) -> (..., m, n)."""
    return transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@op
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The product a @ b of vectors, matrices, and stacks of matrices (..., n, k) @ (..., k, m) -> (..., n, m).

    y_ij = sum_k a_ik b_kj, so a_ik meets y_ij through b_kj:  dL/da_ik = sum_j g_ij b_kj,  that is g @ b.T,
    and in the same way dL/db = a.T @ g. Stacks that were broadcast are summed like any broadcast.
    """
    a = a if isinstance(a, Tensor) else Tensor(a, dtype=b.dtype)
    b = b if isinstance(b, Tensor) else Tensor(b, dtype=a.dtype)
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError("a single number has no rows; use *")
    if a.ndim == 1:  # a row vector: (k,) @ (..., k, m)
        y = matmul(reshape(a, (1, -1)), b)
        return reshape(y, y.shape[:-1] if b.ndim == 1 else (*y.shape[:-2], y.shape[-1]))
    if b.ndim == 1:  # a column vector: (..., n, k) @ (k,)
        y = matmul(a, reshape(b, (-1, 1)))
        return reshape(y, y.shape[:-1])
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"{a.shape} @ {b.shape}: {a.shape[-1]} and {b.shape[-2]} must be equal; is a transpose missing?"
        )
    return record(
        product(a.data, b.data),
        (a, lambda g, y: unbroadcast(matmul(g, _swap(b)), a)),
        (b, lambda g, y: unbroadcast(matmul(_swap(a), g), b)),
    )


@op
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A dense layer, y = x W^T + b, for x (N, in), weight (out, in) and bias (out,) -> (N, out).

    dL/dx = g W  (N, in),   dL/dW = g^T x  (out, in),   dL/db = the sum of g over the batch  (out,).
    """
    if x.ndim != 2 or weight.ndim != 2 or x.shape[1] != weight.shape[1]:
        raise ShapeError(f"x {x.shape} must be (N, in) and weight {weight.shape} must be (out, in) with the same in")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"bias {bias.shape} must be ({weight.shape[0]},) for weight {weight.shape}")
    y = product(x.data, weight.data.T)
    if bias is not None:
        y += bias.data
    return record(
        y,
        (x, lambda g, y: matmul(g, weight)),
        (weight, lambda g, y: matmul(transpose(g), x)),
        (bias, lambda g, y: sum(g, axis=0)),
    )
