"""Tensors that remember how they were made, and the walk back that differentiates them.

Every operation (see `ops/`) returns a `Tensor` that holds its value and, for each tensor it was computed
from, a *derivative*: a function that carries the gradient of the output back to that parent. Together these
links are the recorded graph. `grad` walks it from the output to the inputs and applies the chain rule
once at every node:

    dL/d(parent)  =  sum over the parent's children y of  derivative_y(dL/dy)

This is reverse-mode differentiation, "backprop" (Rumelhart, Hinton and Williams, 1986; Baydin et al., 2018).
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from minigan import backend, errors, table
from minigan.errors import MixedTypesError, NoGradientError, ShapeError

FLOATS = (np.dtype("float32"), np.dtype("float64"))


class Tensor:
    """An array of float32 or float64, with the graph that led to it.

    data           the array (NumPy's, or CuPy's on a GPU)
    requires_grad  whether anything here is to be differentiated
    grad           after `backward()`: d(loss)/d(this), a Tensor of the same shape; None before
    parents        pairs (parent, derivative): `derivative(g, y)` gets the gradient `g` of this tensor `y`
                   and returns the gradient of that parent. Only parents that require a gradient are kept.
                   (y is handed over because a function that held it would close a circle, y -> parents ->
                   function -> y, and circles are freed late.)

    float64 arrays stay float64; everything else (lists, integers, float32) becomes float32 unless `dtype`
    says otherwise. Arithmetic and methods (`x * y`, `x.sum()`) are hung on this class by `ops/__init__.py`.
    """

    __slots__ = ("data", "grad", "parents", "requires_grad")
    __array_ufunc__ = None  # makes `array * tensor` call Tensor.__rmul__ instead of looping over elements

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None) -> None:
        if isinstance(data, Tensor):
            data = data.data
        if dtype is None:
            dtype = "float64" if getattr(data, "dtype", None) == np.float64 else "float32"
        if np.dtype(dtype) not in FLOATS:
            raise TypeError(f"a Tensor holds float32 or float64, not {np.dtype(dtype)}")
        try:
            if (data if hasattr(data, "dtype") else np.asarray(data)).dtype.kind not in "fiub":
                raise TypeError("its elements are not real numbers")
            self.data = backend.asarray(data, dtype)
        except (TypeError, ValueError) as error:
            raise TypeError(f"cannot make a Tensor of numbers out of {type(data).__name__}: {error}") from None
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.parents: tuple[tuple[Tensor, Derivative], ...] = ()

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    dtype = property(lambda self: self.data.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)  # for np.asarray(tensor)

    def __iter__(self) -> "Iterator[Tensor]":
        return (self[i] for i in range(len(self)))

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a Tensor of shape () is one number and has no length")
        return len(self.data)

    def __repr__(self) -> str:
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({np.array2string(self.numpy(), separator=', ', prefix='Tensor(')}{grad})"

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array (on the CPU: the tensor's own memory, not a copy)."""
        return backend.to_numpy(self.data)

    def item(self) -> float:
        """The value of a tensor with a single element, as a Python float."""
        if self.size != 1:
            raise ValueError(f"item() needs a single element, but the shape is {self.shape}")
        return float(self.data.reshape(()))

    def detach(self) -> "Tensor":
        """The same values, cut off from the graph: no gradient flows back through the result."""
        return Tensor(self.data)

    def backward(self, gradient: "Tensor | None" = None, inputs: "Iterable[Tensor] | None" = None) -> None:
        """Add d(self)/d(leaf) to `leaf.grad` for every leaf of the graph, or only for `inputs`.

        A leaf is a tensor made with `requires_grad=True`, such as a parameter. With `inputs`, gradients that lead
        nowhere else are not even computed: a training step gives the parameters of the player that it trains.
        `gradient` is the upstream gradient where self is not a single number. Calling it again adds again. Arrays are
        used as they are now: an optimizer's step between forward and backward spoils the gradients.
        Raises ValueError where nothing can be differentiated, or nothing leads back to any of `inputs`.
        """
        inputs = [inputs] if isinstance(inputs, Tensor) else inputs
        order = topological_order([self])
        wanted = [t for t in order if t.requires_grad and not t.parents] if inputs is None else list(inputs)
        gradients = _walk([self], wanted, [gradient], order, create_graph=False)
        if inputs is not None and not gradients:
            raise NoGradientError(errors.NOTHING_REACHED)
        for leaf in dict.fromkeys(wanted):  # each once
            if leaf in gradients:
                with no_grad():
                    leaf.grad = gradients[leaf] if leaf.grad is None else leaf.grad + gradients[leaf]


Derivative = Callable[[Tensor, Tensor], Tensor]  # (gradient of the output, the output) -> gradient of a parent


class _Recording(threading.local):
    on = True  # whether operations are being recorded: a switch of each thread's own


_recording = _Recording()


@contextlib.contextmanager
def _recording_is(on: bool) -> Iterator[None]:
    before, _recording.on = _recording.on, on
    try:
        yield
    finally:
        _recording.on = before


def no_grad() -> contextlib.AbstractContextManager[None]:
    """Compute values only: nothing inside the `with` is recorded."""
    return _recording_is(False)


def is_recording() -> bool:
    """Whether operations are being recorded in this thread."""
    return _recording.on


def record(data: Any, *parents: tuple[Any, Derivative], casts: bool = False) -> Tensor:
    """The result of an operation: its value and, side by side, one (operand, derivative) per operand.

    Operands that are None, plain numbers or arrays, or that need no gradient, are dropped from the record.
    Raises TypeError where float32 met float64, since nothing is upcast silently; `casts` allows it, for `astype`.
    """
    if isinstance(data, Tensor):
        raise TypeError("record takes the value as an array: compute it with x.data")
    y = Tensor.__new__(Tensor)
    y.data = data if not isinstance(data, np.generic) else np.asarray(data)  # sums give NumPy scalars
    y.grad, y.parents = None, ()
    if y.data.dtype not in FLOATS:
        raise TypeError(f"a Tensor holds float32 or float64, not {y.data.dtype}: make a Tensor of the array first")
    tensors = [parent for parent in parents if isinstance(parent[0], Tensor)]
    for operand, _ in tensors:
        if operand.data.dtype != y.data.dtype and not casts:
            raise MixedTypesError(errors.MIXED)
    if _recording.on:
        y.parents = tuple([parent for parent in tensors if parent[0].requires_grad])
    y.requires_grad = bool(y.parents)
    return y


def op(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Mark `function` as a differentiable operation. It goes into the table (see `table.py`) under its name.

    A call runs what stands there: the fast version if there is one, the plain one in plain mode, or a student's. In a
    bad call, the error names the operation and all shapes.
    """
    name, mode = table.enter(function), table.mode

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Tensor:
        try:
            return mode.table[name](*args, **kwargs)
        except (ValueError, IndexError, TypeError, AttributeError) as error:
            raise errors.in_operation(error, name, args) from None

    return call


@table.swappable
def topological_order(outputs: Iterable[Tensor]) -> list[Tensor]:
    """Every tensor that `outputs` were computed from, parents before children, each once.

    Why sort at all? In `b = a + a; c = b + b` the tensor b is reached on two paths. Walking every path would
    carry b's gradient on twice, and 16 chained sums would take 2**16 steps. In this order, read backwards,
    all of b's children have added their share before b passes the sum on.
    """
    order: list[Tensor] = []
    seen: set[Tensor] = set()
    stack = [(tensor, False) for tensor in outputs]
    while stack:  # depth first with a stack of our own: a deep graph cannot hit Python's recursion limit
        tensor, parents_are_done = stack.pop()
        if parents_are_done:
            order.append(tensor)
        elif tensor not in seen:
            seen.add(tensor)
            stack.append((tensor, True))
            stack.extend([(parent, False) for parent, _ in tensor.parents if parent not in seen])
    return order


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    create_graph: bool = False,
) -> tuple[Tensor, ...]:
    """The gradients of `outputs` (summed, weighted by `grad_outputs`) with respect to each of `inputs`.

    grad_outputs  one upstream gradient per output, of its shape; 1 where left out, if the output is a single number
    create_graph  record the walk itself, so that the results can be differentiated again

    Raises ValueError where an input took no part in the outputs, or nothing was recorded.
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    seeds = grad_outputs if isinstance(grad_outputs, list | tuple) else [grad_outputs] * len(outputs)
    if len(seeds) != len(outputs):
        raise ValueError(f"grad: {len(outputs)} outputs need as many grad_outputs, but got {len(seeds)}")
    gradients = _walk(outputs, inputs, seeds, topological_order(outputs), create_graph)
    for number, x in enumerate(inputs):
        if x not in gradients:
            raise NoGradientError(f"grad: input {number}, of shape {x.shape}, took no part in the outputs")
    return tuple(gradients[x] for x in inputs)


def _walk(
    outputs: list[Tensor], inputs: list[Tensor], seeds: Iterable[Any], order: list[Tensor], create_graph: bool
) -> dict[Tensor, Tensor]:
    """Carry the seeds from the outputs back to the inputs; returns a gradient for each input reached."""
    gradients: dict[Tensor, Tensor] = {}
    keep, needed = set(inputs), set(inputs)  # needed: the inputs, and whatever was computed from them
    for tensor in order:
        if any(parent in needed for parent, _ in tensor.parents):
            needed.add(tensor)

    def add(tensor: Tensor, g: Tensor) -> None:
        gradients[tensor] = gradients[tensor] + g if tensor in gradients else g

    with _recording_is(create_graph):
        for output, seed in zip(outputs, seeds, strict=True):
            add(output, _seed(output, seed))
        for tensor in reversed(order):  # children before parents
            if tensor not in needed or tensor not in gradients:
                continue
            g = gradients[tensor] if tensor in keep else gradients.pop(tensor)  # free what is used up
            for parent, derivative in tensor.parents:
                if parent in needed:
                    share = derivative(g, tensor)
                    if not isinstance(share, Tensor) or share.data.shape != parent.data.shape:
                        raise errors.bad_derivative(share, parent, derivative)
                    add(parent, share)
    return {tensor: g for tensor, g in gradients.items() if tensor in keep}


def _seed(output: Tensor, seed: Any) -> Tensor:
    """The gradient that a walk starts with at `output`."""
    if not output.requires_grad:
        raise NoGradientError(errors.NOTHING_RECORDED)
    if seed is None:
        if output.size != 1:
            raise ValueError(errors.NOT_ONE_NUMBER.format(output.shape))
        return Tensor(np.ones_like(output.data))
    seed = seed if isinstance(seed, Tensor) else Tensor(seed, dtype=output.dtype)
    if seed.dtype != output.dtype:
        raise TypeError(f"the upstream gradient is {seed.dtype}, the output {output.dtype}: convert one with .astype()")
    if seed.shape != output.shape:
        raise ShapeError(f"the upstream gradient has shape {seed.shape}, the output {output.shape}")
    return seed
