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
from minigan.errors import ChangedError, CutError, MixedTypesError, NoGradientError, ShapeError

FLOATS = FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")


class Tensor:
    """An array of float32 or float64, with the graph that led to it.

    data           the array (NumPy's, or CuPy's on a GPU)
    requires_grad  whether anything here is to be differentiated
    grad           after `backward()`: d(loss)/d(this), a Tensor of the same shape, in memory of its own; None before
    parents        pairs (parent, derivative): `derivative(g, y)` gets the gradient `g` of this tensor `y`
                   and returns the gradient of that parent. Only parents that require a gradient are kept.
                   (y is handed over because a function that held it would close a circle, y -> parents ->
                   function -> y, and circles are freed late.)
    version        [how often these values were changed in place], see `changed`; None for what was computed
    made_from      operands that may be changed in place: each with its array and its number of changes at that time

    The numbers are copied, so that the caller may use his array again. float64 arrays stay float64; everything else
    (lists, integers, float32) becomes float32 unless `dtype` says otherwise. Arithmetic and methods (`x * y`,
    `x.sum()`), and how a Tensor behaves as a number and in NumPy's functions, are hung on this class by
    `ops/__init__.py`. Raises TypeError for what are no numbers, and for tensors that would lose their graph.
    """

    __slots__ = ("data", "grad", "made_from", "parents", "requires_grad", "version")

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None) -> None:
        if isinstance(data, (Tensor, list, tuple)):
            if has_graph(data):
                raise CutError(errors.CUT.format("a new Tensor", "the tensor itself, or minigan.ops.concatenate"))
            data = data.data if isinstance(data, Tensor) else data
        if dtype is None:
            dtype = FLOAT64 if getattr(data, "dtype", FLOAT32) == FLOAT64 else FLOAT32
        elif np.dtype(dtype) not in FLOATS:
            raise TypeError(f"a Tensor holds float32 or float64, not {np.dtype(dtype)}")
        try:
            if (data if hasattr(data, "dtype") else np.asarray(data)).dtype.kind not in "fiub":
                raise TypeError("its elements are not real numbers")
            self.data = backend.asarray(data, dtype, copy=True)
        except (TypeError, ValueError) as error:
            raise TypeError(f"cannot make a Tensor of numbers out of {type(data).__name__}: {error}") from None
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.parents: tuple[tuple[Tensor, Derivative], ...] = ()
        self.version: list[int] | None = [0]
        self.made_from: tuple[tuple[Tensor, Any, int], ...] = ()

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    dtype = property(lambda self: self.data.dtype)

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
        """A copy of the values, as a NumPy array."""
        return np.array(backend.to_numpy(self.data))

    def item(self) -> float:
        """The value of a tensor with a single element, as a Python float."""
        if self.size != 1:
            raise ValueError(f"item() needs a single element, but the shape is {self.shape}")
        return float(self.data.reshape(()))

    def detach(self) -> "Tensor":
        """A copy of the values, cut off from the graph: no gradient flows back through the result."""
        return Tensor(self.data)

    def changed(self) -> None:
        """Say that the values were changed in place, as by an optimizer's step.

        A derivative uses the values of the forward pass. With others it would be wrong, and nothing would show it. So
        an operation notes how often its operands had been changed, and the walk back compares. That is counted for
        tensors that were not computed, such as parameters; views of them, such as W.T, share their count.
        """
        if self.version is not None:
            self.version[0] += 1

    def backward(self, gradient: "Tensor | None" = None, inputs: "Iterable[Tensor] | None" = None) -> None:
        """Add d(self)/d(leaf) to `leaf.grad` for every leaf of the graph, or only for `inputs`.

        A leaf is a tensor made with `requires_grad=True`, such as a parameter. With `inputs`, gradients that lead
        nowhere else are not even computed: a training step gives the parameters of the player that it trains.
        `gradient` is the upstream gradient where self is not a single number. Calling it again adds again.
        Raises ValueError where nothing can be differentiated, nothing leads back to any of `inputs`, or values that the
        derivatives need were changed since, as by an optimizer's step.
        """
        inputs = [inputs] if isinstance(inputs, Tensor) else inputs
        order = topological_order([self])
        wanted = [t for t in order if t.requires_grad and not t.parents] if inputs is None else list(inputs)
        gradients = _walk([self], wanted, [gradient], order, create_graph=False)
        if inputs is not None and not gradients:
            raise NoGradientError(errors.NOTHING_REACHED)
        theirs = [*wanted, gradient] if isinstance(gradient, Tensor) else wanted
        taken = {id(_owner(tensor.data)) for tensor in theirs}  # memory that belongs to somebody already
        for leaf in dict.fromkeys(wanted):  # each once
            if leaf in gradients:
                with no_grad():
                    g = gradients[leaf] if leaf.grad is None else leaf.grad + gradients[leaf]
                leaf.grad = g.detach() if id(_owner(g.data)) in taken else g
                taken.add(id(_owner(leaf.grad.data)))


def has_graph(data: Any) -> bool:
    """Whether `data` is, or holds in its lists, a tensor through which gradients flow here."""
    if isinstance(data, Tensor):
        return data.requires_grad and _recording.on
    return isinstance(data, list | tuple) and any(has_graph(part) for part in data)


def _owner(array: Any) -> Any:
    """The array whose memory this is: a view looks into that of another one, its `base`."""
    return array if array.base is None else array.base


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
    y.grad, y.requires_grad, y.parents, y.made_from, y.version = None, False, (), (), None
    if y.data.dtype not in FLOATS:
        raise TypeError(f"a Tensor holds float32 or float64, not {y.data.dtype}: make a Tensor of the array first")
    needed, changeable = [], []
    for parent in parents:
        x = parent[0]
        if isinstance(x, Tensor):
            if x.data.dtype != y.data.dtype and not casts:
                raise MixedTypesError(errors.MIXED)
            if x.requires_grad:
                needed.append(parent)
            if x.version is not None:
                changeable.append((x, x.data, x.version[0]))
    if changeable and y.data.base is not None:
        y.version = _version_of_view(y.data, changeable)
    if needed and _recording.on:
        y.parents, y.made_from, y.requires_grad = tuple(needed), tuple(changeable), True
    return y


def _version_of_view(view: Any, operands: list[tuple[Tensor, Any, int]]) -> list[int] | None:
    """The version of the operand into whose memory `view` looks, if it does."""
    return next((x.version for x, data, _ in operands if _owner(data) is view.base), None)


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
            for operand, data, changes in tensor.made_from:
                if operand.data is not data or operand.version[0] != changes:
                    raise ChangedError(errors.CHANGED.format(operand.shape))
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
