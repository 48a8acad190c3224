"""Operations that move or repeat numbers: sum and broadcast_to, reshape, transpose, concatenate, indexing.

(`sum` here, and `abs` and `max` in math.py, are ours, and hide Python's own.)

They come in pairs that are each other's derivatives. Broadcasting repeats a number, and its derivative adds
up the gradients of the copies; summing adds numbers up, and its derivative repeats the gradient.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigan import backend
from minigan.errors import ShapeError
from minigan.table import swappable
from minigan.tensor import Tensor, op, record

Axis = int | tuple[int, ...] | None


@op
def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum over `axis` (all axes by default). Every x_i counts once, so each gets the gradient of its sum."""
    return record(
        np.sum(x.data, axis=axis, keepdims=keepdims),
        (x, lambda g, y: broadcast_to(with_axes(g, x, axis), x.shape)),
    )


@op
def broadcast_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """x repeated to `shape` by NumPy's rules. The gradients of all copies of an element add up."""
    # A copy: the repeated view that NumPy returns has zero strides, and writing into it would be a trap.
    try:
        data = np.broadcast_to(x.data, shape).copy()
    except ValueError:
        raise ShapeError(f"it does not broadcast to {shape}") from None
    return record(data, (x, lambda g, y: unbroadcast(g, x)))


@swappable
def unbroadcast(g: Tensor, x: Tensor) -> Tensor:
    """The gradient for x, when x was broadcast to g's shape: the sum over all axes that were repeated.

    For x of shape (3, 1) and g of shape (2, 3, 4): sum over axes 0 and 2, giving (3, 1).
    """
    shape = x.shape
    if g.shape == shape:
        return g
    new = g.ndim - len(shape)  # axes that broadcasting put in front
    stretched = [new + i for i, n in enumerate(shape) if n == 1 and g.shape[new + i] != 1]
    return reshape(sum(g, axis=(*range(new), *stretched)), shape)


def with_axes(y: Tensor, x: Tensor, axis: Axis) -> Tensor:
    """y, a reduction of x over `axis`, reshaped so that it broadcasts against x: reduced axes have size 1."""
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis) % max(x.ndim, 1)
    return reshape(y, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


@op
def reshape(x: Tensor, *shape: Any) -> Tensor:
    """The same numbers in a new shape; one size may be -1. The gradient is reshaped back."""
    shape = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    return record(x.data.reshape(shape), (x, lambda g, y: reshape(g, x.shape)))


@op
def transpose(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """x with its axes in a new order (reversed by default): y[i, j] = x[j, i]. Undone for the gradient."""
    # argsort of a permutation is the permutation that undoes it; % makes the axis -1 a positive number.
    undo = None if axes is None else [int(i) for i in np.argsort(np.asarray(axes) % max(x.ndim, 1))]
    return record(np.transpose(x.data, axes), (x, lambda g, y: transpose(g, undo)))


@op
def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors joined along `axis`. Each gets its own slice of the gradient."""
    if len(tensors) == 0:
        raise ShapeError("concatenate needs at least one tensor")
    data = np.concatenate([t.data for t in tensors], axis)
    before = (slice(None),) * (axis % data.ndim)
    ends = np.cumsum([t.shape[axis] for t in tensors]).tolist()
    parents = []
    for tensor, end in zip(tensors, ends, strict=True):
        part = (*before, slice(end - tensor.shape[axis], end))
        parents.append((tensor, lambda g, y, part=part: getitem(g, part)))  # part=part: each keeps its own
    return record(data, *parents)


@op
def getitem(x: Tensor, index: Any) -> Tensor:
    """x[index], with all of NumPy's indexing. An element that was picked twice gets both gradients."""
    index = index if _is_basic(index) else copy.deepcopy(index)  # the caller may use his array again
    return record(x.data[index], (x, lambda g, y: _put_back(g, index, x.shape)))


def _is_basic(index: Any) -> bool:
    """Whether an index has whole numbers and slices only, which pick every element at most once."""
    parts = index if isinstance(index, tuple) else (index,)
    return all([part is None or part is Ellipsis or isinstance(part, (int, slice)) for part in parts])


@op
def _put_back(g: Tensor, index: Any, shape: tuple[int, ...]) -> Tensor:
    """Zeros of `shape` with g added at `index`: the derivative of getitem, and getitem is its derivative."""
    x = np.zeros(shape, g.dtype, like=g.data)
    if _is_basic(index):
        x[index] = g.data
    else:
        backend.add_at(x, index, g.data)
    return record(x, (g, lambda gg, y: getitem(gg, index)))
