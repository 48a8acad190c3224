"""What went wrong, in one sentence: the errors of the engine and their wording.

What a program must tell apart has a class of its own here, or an attribute; nobody needs to read the sentence for that.
"""

from collections.abc import Iterable
from typing import Any


class ShapeError(ValueError):
    """An operation was given tensors that do not fit together."""


class MixedTypesError(TypeError):
    """float32 met float64: nothing is upcast silently."""

    def __init__(self) -> None:
        super().__init__("float32 and float64 tensors do not mix: convert one with .astype(), or make it with x.dtype")


class NoGradientError(ValueError):
    """There is nothing to differentiate, or nothing leads from the outputs back to an input."""


class DerivativeError(ShapeError, TypeError):
    """A derivative returned no gradient of its operand: `share` is what it returned, `parent` the operand."""

    def __init__(self, message: str, share: Any, parent: Any) -> None:
        super().__init__(message)
        self.share, self.parent = share, parent


class DivergedError(RuntimeError):
    """A loss or a weight is not a finite number any more."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(f"{what} at step {step}: try a lower learning rate or another loss")


def in_operation(error: Exception, name: str, arguments: Iterable[Any]) -> Exception:
    """`error` with the name of the operation that raised it, and the shapes of the arrays among its arguments."""
    flat = [a for argument in arguments for a in (argument if isinstance(argument, list | tuple) else [argument])]
    shapes = [str(a.shape) for a in flat if hasattr(a, "shape")]
    reason = getattr(error, "reason", str(error))  # where one operation called another, only the outer one is named
    message = f"{name} of shapes {' and '.join(shapes)}: {reason}"
    if isinstance(error, DerivativeError):
        named = DerivativeError(message, error.share, error.parent)
    elif isinstance(error, MixedTypesError):
        named = MixedTypesError()
        named.args = (message,)
    elif isinstance(error, NoGradientError):
        named = NoGradientError(message)
    else:
        named = (TypeError if isinstance(error, TypeError | AttributeError) else ShapeError)(message)
    named.reason = reason
    return named


def bad_derivative(share: Any, parent: Any, derivative: Any) -> DerivativeError:
    """What is wrong with what a derivative returned for the operand `parent`."""
    code = getattr(derivative, "__code__", None)
    where = f" ({derivative.__name__}, {code.co_filename}, line {code.co_firstlineno})" if code else ""
    if hasattr(share, "requires_grad"):  # a Tensor
        says = f"gave a gradient of shape {share.shape} for a tensor of shape {parent.shape}"
    else:
        says = f"must return a Tensor, but it returned {type(share).__name__}"
    return DerivativeError(f"a derivative{where} {says}", share, parent)


def nothing_to_differentiate() -> NoGradientError:
    """For an output with no graph behind it."""
    return NoGradientError(
        "there is nothing to differentiate: no tensor with requires_grad=True led to this one "
        "(was it computed under no_grad() or frozen(), or detached?)"
    )


def took_no_part(number: int, shape: tuple[int, ...]) -> NoGradientError:
    """For an input from which nothing leads to the outputs."""
    return NoGradientError(f"grad: input {number}, of shape {shape}, took no part in the outputs")


def not_a_single_number(shape: tuple[int, ...]) -> ValueError:
    """For a walk back that starts from many numbers without an upstream gradient."""
    return ValueError(
        f"a gradient starts from a single number, but this tensor has shape {shape}: "
        "reduce it with .mean() or .sum(), or give the upstream gradient"
    )
