"""Derivatives in few passes over arrays, which cannot be differentiated again, and what stands in for them there."""

from collections.abc import Callable
from typing import Any

from minigan.table import Function, plain_version
from minigan.tensor import Derivative, Tensor, is_recording, record


def quick(operation: Function, arguments: tuple[Any, ...], parent: Tensor, formula: Callable[[Any], Any]) -> Derivative:
    """The derivative of an operation to `parent`: `formula` turns the array of g into the array of the gradient.

    Where the walk back is recorded itself (`create_graph=True`), the operation is computed once more, plainly, and its
    own derivative is used: that one is written in operations, and so can be differentiated again.
    """

    def derivative(g: Tensor, y: Tensor) -> Tensor:
        return _recorded(operation, arguments, parent, g) if is_recording() else record(formula(g.data))

    return derivative


def _recorded(operation: Function, arguments: tuple[Any, ...], parent: Tensor, g: Tensor) -> Tensor:
    needed, parent.requires_grad = parent.requires_grad, True  # it may have been frozen since the forward pass
    try:
        result = plain_version(operation)(*arguments)
        y = result[0] if isinstance(result, tuple) else result
        derivative = next(derivative for operand, derivative in y.parents if operand is parent)
        return derivative(g, y)
    finally:
        parent.requires_grad = needed
