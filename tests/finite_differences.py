"""Derivatives the slow and unmistakable way: nudge one number, look at what happens to the result.

    d f / d x_i  is nearly  (f(x + h e_i) - f(x - h e_i)) / (2 h)

In float64 with h = 1e-5 this is right to about nine digits, so it can judge every derivative of the library.
The upstream gradient is always random: an upstream gradient of ones adds errors up, and they cancel.
"""

import numpy as np

from minigan.tensor import Tensor, grad

STEP = 1e-5
TOLERANCE = {"rtol": 1e-5, "atol": 1e-7}


def leaves(*arrays):
    """A tensor to differentiate with respect to, for each array (they share its memory)."""
    return [Tensor(array, requires_grad=True) for array in arrays]


def numerical_gradient(value, array, indices=None):
    """The gradient of the number `value()` with respect to `array`, which `value` reads when it is called.

    With `indices`, only at these few entries, and 0 elsewhere.
    """
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape) if indices is None else indices:
        middle = array[index]
        array[index] = middle + STEP
        above = value()
        array[index] = middle - STEP
        below = value()
        array[index] = middle
        gradient[index] = (above - below) / (2 * STEP)
    return gradient


def check_gradients(function, *arrays, order=2):
    """Compare every derivative of `function(*tensors)` with central differences, up to `order` 1 or 2."""
    arrays = [np.array(array, dtype=np.float64) for array in arrays]
    untouched = [array.copy() for array in arrays]
    rng = np.random.default_rng(0)
    upstream = np.array(rng.standard_normal(function(*map(Tensor, arrays)).shape))
    _check_order_1(function, arrays, upstream)
    if order == 2:
        directions = [np.array(rng.standard_normal(array.shape)) for array in arrays]
        _check_order_2(function, arrays, upstream, directions)
    for array, before in zip(arrays, untouched, strict=True):
        np.testing.assert_array_equal(array, before, err_msg="an operand was written to")


def _check_order_1(function, arrays, upstream):
    """d (upstream . y) / d operand, asked for all operands at once, recorded, and for each operand alone."""

    def value():
        return float(np.sum(upstream * function(*map(Tensor, arrays)).numpy()))

    expected = [numerical_gradient(value, array) for array in arrays]
    for create_graph in (False, True):
        operands = leaves(*arrays)
        actual = grad(function(*operands), operands, Tensor(upstream), create_graph)
        _compare(actual, expected, f"order 1, create_graph={create_graph}")
    for number in range(len(arrays)):
        operands = [Tensor(array, requires_grad=i == number) for i, array in enumerate(arrays)]
        actual = grad(function(*operands), operands[number], Tensor(upstream))
        _compare(actual, expected[number : number + 1], f"order 1, operand {number} alone")


def _check_order_2(function, arrays, upstream, directions):
    """d (sum of gradient . direction) / d operand, and / d upstream."""

    def gradient_dot_direction(create_graph):
        inputs = leaves(*arrays, upstream)
        *operands, u = inputs
        gradients = grad(function(*operands), operands, u, create_graph)
        return inputs, [(g * Tensor(v)).sum() for g, v in zip(gradients, directions, strict=True)]

    def value():
        return sum(term.item() for term in gradient_dot_direction(create_graph=False)[1])

    expected = [numerical_gradient(value, array) for array in (*arrays, upstream)]
    inputs, terms = gradient_dot_direction(create_graph=True)
    total = sum(terms, start=Tensor(np.zeros(())))
    for x in inputs:  # the gradient of a linear operation does not depend on its operand: 0 * x lets it take part
        total = total + (x * 0.0).sum()
    _compare(grad(total, inputs), expected, "order 2 (the last one is the upstream gradient)")


def _compare(actual, expected, what):
    for number, (a, e) in enumerate(zip(actual, expected, strict=True)):
        assert a.shape == e.shape, f"{what}, gradient {number}: shape {a.shape}, expected {e.shape}"
        np.testing.assert_allclose(a.numpy(), e, **TOLERANCE, err_msg=f"{what}, gradient {number}")
