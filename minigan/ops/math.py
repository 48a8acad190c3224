"""Element-wise operations and reductions: each is its value and, beside it, one derivative per operand.

A derivative gets `g`, the gradient of the output, and `y`, the output itself, and returns the gradient of its
operand. It is written in these same operations, so it can be differentiated again. Both operands of an
arithmetic operation may be broadcast; `unbroadcast` undoes that for the gradient.
"""

from numbers import Number
from typing import Any

import numpy as np

from minigan import backend
from minigan.ops.shape import Axis, sum, unbroadcast, with_axes
from minigan.tensor import FLOATS, Tensor, op, record


def operands(a: Any, b: Any) -> tuple[Any, Any]:
    """Plain numbers become Python floats, plain arrays take the dtype of the tensor that they meet.

    NumPy would compute `float32_array * np.float64(2)` in float64; a Python float upcasts nothing.
    """

    def fit(x: Any, other: Tensor) -> Any:
        if isinstance(x, Tensor):
            return x
        return float(x) if isinstance(x, Number) else Tensor(x, dtype=other.dtype)

    if isinstance(a, Tensor):
        return a, fit(b, a)
    return (fit(a, b), b) if isinstance(b, Tensor) else (Tensor(a), fit(b, Tensor(a)))


def value(x: Any) -> Any:
    """The array in a Tensor; a plain number as it is."""
    return x.data if isinstance(x, Tensor) else x


@op
def add(a: Any, b: Any) -> Tensor:
    """a + b."""
    a, b = operands(a, b)
    return record(
        value(a) + value(b),
        (a, lambda g, y: unbroadcast(g, a)),
        (b, lambda g, y: unbroadcast(g, b)),
    )


@op
def sub(a: Any, b: Any) -> Tensor:
    """a - b."""
    a, b = operands(a, b)
    return record(
        value(a) - value(b),
        (a, lambda g, y: unbroadcast(g, a)),
        (b, lambda g, y: unbroadcast(-g, b)),
    )


@op
def mul(a: Any, b: Any) -> Tensor:
    """a b.  d/da = b, d/db = a."""
    a, b = operands(a, b)
    return record(
        value(a) * value(b),
        (a, lambda g, y: unbroadcast(g * b, a)),
        (b, lambda g, y: unbroadcast(g * a, b)),
    )


@op
def div(a: Any, b: Any) -> Tensor:
    """a / b.  d/da = 1/b, d/db = -a/b^2 = -y/b."""
    a, b = operands(a, b)
    return record(
        value(a) / value(b),
        (a, lambda g, y: unbroadcast(g / b, a)),
        (b, lambda g, y: unbroadcast(-g * y / b, b)),
    )


@op
def power(a: Any, b: Any) -> Tensor:
    """a^b.  d/da = b a^(b-1), d/db = a^b ln a (taken as 0 at a = 0)."""
    a, b = operands(a, b)

    def to_a(g: Tensor, y: Tensor) -> Tensor:
        if isinstance(b, float) and b == 0:
            return g * 0.0  # a^0 is constant; the formula would give 0 * a^-1, which is NaN at a = 0
        base = where(b.data == 0, 1.0, a) if isinstance(b, Tensor) else a  # 0 * 1 instead of 0 * a^-1
        return unbroadcast(g * b * power(base, b - 1), a)

    def to_b(g: Tensor, y: Tensor) -> Tensor:
        base = where(a.data == 0, 1.0, a) if isinstance(a, Tensor) else Tensor(a or 1.0, dtype=b.dtype)
        return unbroadcast(g * y * log(base), b)

    return record(value(a) ** value(b), (a, to_a), (b, to_b))


@op
def neg(x: Tensor) -> Tensor:
    """-x."""
    return record(-x.data, (x, lambda g, y: neg(g)))


@op
def exp(x: Tensor) -> Tensor:
    """e^x, which is its own derivative."""
    return record(np.exp(x.data), (x, lambda g, y: g * y))


@op
def log(x: Tensor) -> Tensor:
    """Natural logarithm.  d/dx = 1/x."""
    return record(np.log(x.data), (x, lambda g, y: g / x))


@op
def sqrt(x: Tensor) -> Tensor:
    """Square root.  d/dx = 1/(2 sqrt x), infinite at 0."""
    return record(np.sqrt(x.data), (x, lambda g, y: g * 0.5 / y))


@op
def abs(x: Tensor) -> Tensor:
    """|x|.  d/dx = sign x, and 0 at the kink. The sign is a constant: its own derivative is 0."""
    return record(np.abs(x.data), (x, lambda g, y: g * Tensor(np.sign(x.data))))


@op
def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent.  d/dx = 1 - y^2."""
    return record(np.tanh(x.data), (x, lambda g, y: g * (1.0 - y * y)))


@op
def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x).  d/dx = y (1 - y); 1 - y is the same function at -x, computed so that no digits cancel.

    Computed as e^min(x,0) / (1 + e^-|x|), whose exponents are never positive: right at +-100, no overflow.
    """
    y = np.exp(np.minimum(x.data, 0)) / (1 + np.exp(-np.abs(x.data)))
    return record(y, (x, lambda g, y: g * (y * sigmoid(-x))))


@op
def softplus(x: Tensor) -> Tensor:
    """ln(1 + e^x), as max(x, 0) + ln(1 + e^-|x|), which is exact at +-100.  d/dx = sigmoid x."""
    return record(
        np.maximum(x.data, 0) + np.log1p(np.exp(-np.abs(x.data))),
        (x, lambda g, y: g * sigmoid(x)),
    )


@op
def relu(x: Tensor) -> Tensor:
    """max(x, 0).  d/dx = 1 where x > 0, else 0 (at the kink too)."""
    return leaky_relu(x, 0.0)


@op
def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """Gives x where x > 0, else slope x, for 0 <= slope <= 1.  d/dx = 1 where x > 0, else slope (Maas et al., 2013)."""
    slope = check_slope(slope)
    mask = Tensor(np.where(x.data > 0, 1.0, slope), dtype=x.dtype)
    y = np.maximum(x.data, 0)
    if slope:  # 0 times -inf would be nan
        y = y + slope * np.minimum(x.data, 0)
    return record(y, (x, lambda g, y: g * mask))


def check_slope(slope: float) -> float:
    """The slope of a leaky ReLU as a Python float; raises ValueError unless it lies between 0 and 1."""
    if not 0 <= slope <= 1:
        raise ValueError(f"the slope must lie between 0 and 1, not {slope}")
    return float(slope)


@op
def maximum(a: Any, b: Any) -> Tensor:
    """The larger of a and b, element by element. It gets the gradient; where a = b, each gets half."""
    return _pick(np.maximum, *operands(a, b))


@op
def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of a and b, element by element. It gets the gradient; where a = b, each gets half."""
    return _pick(np.minimum, *operands(a, b))


def _pick(choose: Any, a: Any, b: Any) -> Tensor:
    data = choose(value(a), value(b))
    is_a, is_b = (np.equal(data, value(operand)).astype(data.dtype) for operand in (a, b))  # both 1 where a = b
    return record(
        data,
        (a, lambda g, y: unbroadcast(g * Tensor(is_a / (is_a + is_b)), a)),
        (b, lambda g, y: unbroadcast(g * Tensor(is_b / (is_a + is_b)), b)),
    )


@op
def where(condition: Any, a: Any, b: Any) -> Tensor:
    """Gives a where the condition holds, else b. Each gets the gradient where it was taken; the condition, none."""
    a, b = operands(a, b)
    condition = backend.asarray(value(condition)) != 0
    data = np.where(condition, value(a), value(b))
    return record(
        data,
        (a, lambda g, y: unbroadcast(g * Tensor(condition, dtype=data.dtype), a)),
        (b, lambda g, y: unbroadcast(g * Tensor(~condition, dtype=data.dtype), b)),
    )


@op
def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The average over `axis` (all axes by default): a sum divided by its number of terms, N = x.size / y.size."""
    y = sum(x, axis, keepdims)
    if y.size == 0:  # averages of nothing, and none of them
        return y
    if x.size == 0:
        raise ValueError("the mean of no elements is undefined")
    return y * (y.size / x.size)  # 1 / N


@op
def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over `axis`. It gets the gradient; equal largest ones share it evenly."""

    def to_x(g: Tensor, y: Tensor) -> Tensor:
        largest = x.data == with_axes(y, x, axis).data
        shares = largest / largest.sum(axis=axis, keepdims=True)
        return with_axes(g, x, axis) * Tensor(shares, dtype=x.dtype)

    return record(np.max(x.data, axis=axis, keepdims=keepdims), (x, to_x))


@op
def logsumexp(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """ln sum e^x over `axis`.  d/dx = softmax x = e^(x - y).

    The largest element m comes out of the sum, ln sum e^x = m + ln sum e^(x - m), so nothing overflows.
    """
    m = np.max(x.data, axis=axis, keepdims=True)
    m = np.where(np.isfinite(m), m, 0).astype(x.dtype)
    y = m + np.log(np.sum(np.exp(x.data - m), axis=axis, keepdims=True))
    y = y if keepdims else np.squeeze(y, axis=axis if axis is not None else tuple(range(x.ndim)))
    return record(y, (x, lambda g, y: with_axes(g, x, axis) * exp(x - with_axes(y, x, axis))))


@op
def astype(x: Tensor, dtype: Any) -> Tensor:
    """x in float32 or float64; the gradient is converted back."""
    if np.dtype(dtype) not in FLOATS:
        raise TypeError(f"a Tensor holds float32 or float64, not {np.dtype(dtype)}")
    return record(x.data.astype(dtype), (x, lambda g, y: astype(g, x.dtype)), casts=True)
