"""What went wrong, in one sentence: the errors of the engine and their wording.

What a program must tell apart has a class of its own here, or an attribute; nobody needs to read the sentence for that.
"""

from collections.abc import Iterable
from typing import Any


class ShapeError(ValueError):
    """An operation was given tensors that do not fit together."""


class MixedTypesError(TypeError):
    """float32 met float64: nothing is upcast silently."""


class NoGradientError(ValueError):
    """There is nothing to differentiate, or nothing leads from the outputs back to an input."""


class CutError(TypeError):
    """A function that minigan does not differentiate was given a tensor through which gradients flow."""


class ChangedError(ValueError):
    """Values that a derivative needs were changed in place after the forward pass."""


class DerivativeError(ShapeError, TypeError):
    """A derivative returned something else than a gradient of its operand's shape, or no Tensor at all.

    `share` is what it returned, `parent` the operand.
    """

    share: Any = None
    parent: Any = None


class DivergedError(RuntimeError):
    """A loss or a weight is not a finite number any more."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(f"{what} at step {step}: try a lower learning rate or another loss")


OWN = (ShapeError, MixedTypesError, NoGradientError, CutError, ChangedError, DerivativeError, TypeError)

MIXED = "float32 and float64 tensors do not mix: convert one with .astype(), or make it with x.dtype"
CUT = "{} would cut the gradient off: use {}, or x.numpy() where only the values count"
CHANGED = (
    "a tensor of shape {} was changed after this forward pass had used it (by an optimizer's step, clip_weights or "
    "load_state_dict?), so the gradients would be wrong: call backward() before that, or compute the loss anew"
)
NOTHING_RECORDED = (
    "there is nothing to differentiate: no tensor with requires_grad=True led to this one "
    "(was it computed under no_grad() or frozen(), or detached?)"
)
NOTHING_REACHED = (
    "the loss depends on none of these parameters: was a tensor detached, or is it the other player's optimizer?"
)
NOT_ONE_NUMBER = (
    "a gradient starts from a single number, but this tensor has shape {}: "
    "reduce it with .mean() or .sum(), or give the upstream gradient"
)


def in_operation(error: Exception, name: str, arguments: Iterable[Any]) -> Exception:
    """`error`, or one of ours instead, with the operation's name and the shapes of the arrays that it was given."""
    flat = [a for argument in arguments for a in (argument if isinstance(argument, list | tuple) else [argument])]
    shapes = " and ".join(str(a.shape) for a in flat if hasattr(a, "shape"))
    reason = getattr(error, "reason", str(error))  # where one operation called another, only the outer one is named
    if type(error) not in OWN:  # NumPy's, mostly: it becomes one of ours, with the lines that led to it
        kind = TypeError if isinstance(error, TypeError | AttributeError) else ShapeError
        error = kind().with_traceback(error.__traceback__)
    error.args, error.reason = (f"{name}{' of shapes ' * bool(shapes)}{shapes}: {reason}",), reason
    return error


def bad_derivative(share: Any, parent: Any, derivative: Any) -> DerivativeError:
    """What is wrong with what a derivative returned for the operand `parent`."""
    code = getattr(derivative, "__code__", None)
    where = f" ({derivative.__name__}, {code.co_filename}, line {code.co_firstlineno})" if code else ""
    says = f"must return a Tensor, but it returned {type(share).__name__}"
    if hasattr(share, "requires_grad"):  # it is one
        says = f"gave a gradient of shape {share.shape} for a tensor of shape {parent.shape}"
    error = DerivativeError(f"a derivative{where} {says}")
    error.share, error.parent = share, parent
    return error
