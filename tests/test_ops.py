"""The element-wise, shape and linear operations: values against NumPy, derivatives against differences.

CHECKS is the heart: for every public operation a list of (operation, the same in plain NumPy, operands). Each entry
is checked for its value, for its derivatives at order 1 and 2, and for staying in float32.
"""

import inspect
import re

import numpy as np
import pytest
import versions
from finite_differences import check_gradients, leaves
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from test_conv import naive_conv, naive_conv_transpose, naive_conv_weight, naive_fold, naive_unfold
from test_norm import naive_batch_norm

from minigan import ShapeError, Tensor, grad, ops, table


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def positive(*shape, seed=0):
    return np.abs(normal(*shape, seed=seed)) + 0.5


def distinct(*shape, seed=0):
    """Numbers of both signs, at least 0.2 apart from each other and 0.1 from 0: no ties, no kinks nearby."""
    size = int(np.prod(shape))
    steps = np.random.default_rng([seed, *shape]).permutation(size) - size // 2
    return (0.2 * steps + 0.1).reshape(shape)


def plain_logsumexp(x, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def reductions(op, reference, x):
    """The op over no axis named, each single axis, negative and tuple axes, with and without keepdims."""
    axes = [None, 0, 1, 2, -1, -3, (0, 2), (1, -1), (-1, 0), (0, 1, 2), (2,)]
    return [
        (
            lambda x, axis=axis, keep=keep: op(x, axis=axis, keepdims=keep),
            lambda x, axis=axis, keep=keep: reference(x, axis=axis, keepdims=keep),
            [x],
        )
        for axis in axes
        for keep in (False, True)
    ]


MASK = np.array([[True, False, True], [False, False, True], [True, True, False], [False, False, False]])
INDICES = [
    2,
    -1,
    (1, 2),
    (1, -1, 0),
    slice(1, 3),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(3, 0, -2),
    slice(2, 2),
    (slice(None), 1),
    (slice(1, None), slice(None, 2), 1),
    None,
    (None, 2, None, slice(1, 3)),
    Ellipsis,
    (Ellipsis, 1),
    (1, Ellipsis, None, slice(0, 1)),
    MASK,
    np.array([True, False, True, True]),
    (slice(None), np.array([True, False, True])),
    np.array([0, 2, 2, 0, 2]),
    [3, 3, 1],
    np.array([[0, 1], [1, -1]]),
    np.int64(1),
    (np.array([0, 1, 1]), np.array([2, 2, 2])),
    (np.array([1, 1]), slice(None), np.array([0, 0])),
    (slice(1, 3), np.array([0, 0, 2])),
    (np.array([], dtype=int),),
    True,
]

MATMULS = [
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((4, 3), (3,)),
    ((4, 3), (3, 2)),
    ((1, 3), (3, 1)),
    ((2, 4, 3), (2, 3, 5)),
    ((2, 4, 3), (3, 5)),
    ((4, 3), (2, 3, 5)),
    ((2, 1, 4, 3), (3, 3, 2)),
    ((1, 2, 3), (4, 3, 2)),
    ((3,), (2, 3, 2)),
    ((2, 4, 3), (3,)),
    ((2, 0), (0, 3)),
    ((0, 2), (2, 3)),
]

x4 = normal(2, 2, 5, 4)
CHECKS = {
    "abs": [(ops.abs, np.abs, [distinct(3, 4)]), (ops.abs, np.abs, [distinct(1, 0)])],
    "add": [(ops.add, np.add, [normal(3, 1), normal(4)]), (ops.add, np.add, [normal(), normal(2, 0)])],
    "astype": [(lambda x: ops.astype(x, x.dtype), lambda x: x, [normal(2, 3)])],
    "batch_norm": [
        (lambda *a: ops.batch_norm(*a)[0], naive_batch_norm, [normal(5, 2), positive(2), normal(2)]),
        (lambda *a: ops.batch_norm(*a)[0], naive_batch_norm, [normal(2, 3, 2, 3), positive(3), normal(3)]),
        (lambda *a: ops.batch_norm(*a)[0], naive_batch_norm, [normal(3, 2, 4), positive(2), normal(2)]),
        (lambda *a: ops.batch_norm(*a)[0], naive_batch_norm, [normal(2, 2, 2, 1, 3), positive(2), normal(2)]),
    ],
    "broadcast_to": [
        (lambda x, s=shape: ops.broadcast_to(x, s), lambda x, s=shape: np.broadcast_to(x, s), [x])
        for x, shape in [
            (normal(3, 1), (3, 4)),
            (normal(3, 1), (2, 3, 4)),
            (normal(), (2, 2)),
            (normal(1, 2, 1), (3, 2, 1)),
            (normal(2, 3), (2, 3)),
            (normal(1), (0,)),
        ]
    ],
    "concatenate": [
        (lambda *a, k=axis: ops.concatenate(a, k), lambda *a, k=axis: np.concatenate(a, k), arrays)
        for axis, arrays in [
            (0, [normal(2, 3), normal(1, 3), normal(4, 3)]),
            (1, [normal(2, 3), normal(2, 1)]),
            (-1, [normal(2, 2, 3), normal(2, 2, 1), normal(2, 2, 2, seed=1)]),
            (-2, [normal(2, 1, 3), normal(2, 2, 3)]),
            (2, [normal(2, 2, 3), normal(2, 2, 0)]),
            (0, [normal(3)]),
        ]
    ]
    + [(lambda a: ops.concatenate([a, a]), lambda a: np.concatenate([a, a]), [normal(2, 3)])],
    "conv": [
        (
            lambda x, w, b: ops.conv(x, w, b, 2, 1),
            lambda x, w, b: naive_conv(x, w, b, 2, 1),
            [x4, normal(3, 2, 3, 2), normal(3)],
        ),
        (
            lambda x, w: ops.conv(x, w, None, 1, 1, 2),
            lambda x, w: naive_conv(x, w, None, 1, 1, 2),
            [normal(2, 2, 5), normal(3, 2, 3)],
        ),
        (
            lambda x, w, b: ops.conv(x, w, b, (2, 1, 1)),
            lambda x, w, b: naive_conv(x, w, b, (2, 1, 1)),
            [normal(2, 1, 4, 2, 3), normal(2, 1, 2, 1, 2), normal(2)],
        ),
    ],
    "conv_weight": [
        (
            lambda x, y: ops.conv_weight(x, y, (3, 2), 2, 1),
            lambda x, y: naive_conv_weight(x, y, (3, 2), 2, 1),
            [x4, normal(2, 3, 3, 3)],
        ),
        (
            lambda x, y: ops.conv_weight(x, y, 3, 1, 1, 2),
            lambda x, y: naive_conv_weight(x, y, (3,), 1, 1, 2),
            [normal(2, 2, 5), normal(2, 3, 3)],
        ),
    ],
    "conv_transpose": [
        (
            lambda x, w, b: ops.conv_transpose(x, w, b, 2, 1, 1),
            lambda x, w, b: naive_conv_transpose(x, w, b, 2, 1, 1),
            [normal(2, 2, 2, 3), normal(2, 3, 3, 2), normal(3)],
        ),
        (
            lambda x, w: ops.conv_transpose(x, w, None, 2, 1, 1, 2),
            lambda x, w: naive_conv_transpose(x, w, None, 2, 1, 1, 2),
            [normal(2, 2, 3), normal(2, 3, 3)],
        ),
        (
            lambda x, w, b: ops.conv_transpose(x, w, b, (1, 2, 1), 0, (0, 1, 0)),
            lambda x, w, b: naive_conv_transpose(x, w, b, (1, 2, 1), 0, (0, 1, 0)),
            [normal(2, 1, 2, 2, 2), normal(1, 2, 2, 1, 2), normal(2)],
        ),
    ],
    "div": [(ops.div, np.divide, [normal(3, 1), positive(4)]), (ops.div, np.divide, [normal(2), -positive()])],
    "exp": [(ops.exp, np.exp, [normal(2, 3)])],
    "fold": [
        (
            lambda x: ops.fold(x, (5, 4), 3, 2, 1),
            lambda x: naive_fold(x, (5, 4), 3, 2, 1),
            [normal(2, 18, 6)],
        )
    ],
    "getitem": [(lambda x, i=index: ops.getitem(x, i), lambda x, i=index: x[i], [normal(4, 3, 2)]) for index in INDICES]
    + [(lambda x: x[()], lambda x: x[()], [normal()])],
    "leaky_relu": [
        (lambda x, s=s: ops.leaky_relu(x, s), lambda x, s=s: np.where(x > 0, x, s * x), [distinct(3, 4)])
        for s in (0.0, 0.01, 0.2, 1.0)
    ]
    + [(ops.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x), [distinct(5)])],
    "linear": [
        (ops.linear, lambda x, w, b: x @ w.T + b, [normal(4, 3), normal(2, 3), normal(2)]),
        (ops.linear, lambda x, w: x @ w.T, [normal(1, 3), normal(3, 3)]),
        (ops.linear, lambda x, w, b: x @ w.T + b, [normal(0, 3), normal(2, 3), normal(2)]),
    ],
    "log": [(ops.log, np.log, [positive(2, 3)])],
    "logsumexp": [
        *reductions(ops.logsumexp, plain_logsumexp, normal(2, 3, 2)),
        (ops.logsumexp, plain_logsumexp, [normal()]),
    ],
    "matmul": [(ops.matmul, np.matmul, [normal(*a), normal(*b, seed=1)]) for a, b in MATMULS],
    "max": reductions(ops.max, np.max, distinct(2, 3, 2)),
    "maximum": [
        (ops.maximum, np.maximum, [distinct(3, 4), distinct(4) + 0.05]),
        (ops.maximum, np.maximum, [distinct(3, 1), distinct(2, 1, 4) + 0.05]),
    ],
    "mean": [*reductions(ops.mean, np.mean, normal(2, 3, 2)), (ops.mean, np.mean, [normal()])],
    "minimum": [
        (ops.minimum, np.minimum, [distinct(3, 4), distinct(4) + 0.05]),
        (ops.minimum, np.minimum, [distinct(3, 1), distinct(2, 1, 4) + 0.05]),
    ],
    "mul": [(ops.mul, np.multiply, [normal(3, 1), normal(4)]), (ops.mul, np.multiply, [normal(0, 2), normal(2)])],
    "neg": [(ops.neg, np.negative, [normal(2, 3)])],
    "power": [
        (ops.power, np.power, [positive(3, 1), normal(4)]),
        (lambda x: ops.power(x, 2), lambda x: x**2, [normal(4)]),
        (lambda x: ops.power(x, 3.0), lambda x: x**3, [normal(4)]),
        (lambda x: ops.power(x, -1.5), lambda x: x**-1.5, [positive(4)]),
        (lambda x: ops.power(x, 1), lambda x: x, [normal(4)]),
        (lambda x: ops.power(x, 0), lambda x: np.ones_like(x), [normal(4)]),
        (lambda x: ops.power(3.0, x), lambda x: 3.0**x, [normal(4)]),
    ],
    "relu": [(ops.relu, lambda x: np.where(x > 0, x, 0.0), [distinct(3, 4)])],
    "reshape": [
        (lambda x, s=shape: ops.reshape(x, *s), lambda x, s=shape: np.reshape(x, s), [x])
        for x, shape in [
            (normal(2, 6), (3, 4)),
            (normal(2, 6), (-1,)),
            (normal(2, 3, 2), (1, 3, -1)),
            (normal(1, 1), ()),
            (normal(2, 0), (0, 5)),
        ]
    ]
    + [(lambda x: ops.reshape(x, (3, 2)), lambda x: np.reshape(x, (3, 2)), [normal(2, 3)])],
    "sigmoid": [(ops.sigmoid, lambda x: 1 / (1 + np.exp(-x)), [distinct(3, 4)])],
    "softplus": [(ops.softplus, lambda x: np.log(1 + np.exp(x)), [distinct(3, 4)])],
    "sqrt": [(ops.sqrt, np.sqrt, [positive(2, 3)])],
    "sub": [(ops.sub, np.subtract, [normal(3, 1), normal(4)]), (ops.sub, np.subtract, [normal(4), normal(2, 1, 1)])],
    "sum": [
        *reductions(ops.sum, np.sum, normal(2, 3, 2)),
        (ops.sum, np.sum, [normal()]),
        (ops.sum, np.sum, [normal(2, 0)]),
        (lambda x: ops.sum(x, axis=1), lambda x: x.sum(axis=1), [normal(2, 0)]),
    ],
    "tanh": [(ops.tanh, np.tanh, [normal(2, 3)])],
    "transpose": [
        (lambda x, a=axes: ops.transpose(x, a), lambda x, a=axes: np.transpose(x, a), [normal(2, 3, 4)])
        for axes in [None, (0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (-1, 0, 1), (1, -1, -3)]
    ]
    + [(ops.transpose, np.transpose, [normal(*shape)]) for shape in [(), (3,), (2, 0)]],
    "unfold": [
        (lambda x: ops.unfold(x, 3, 2, 1), lambda x: naive_unfold(x, 3, 2, 1), [x4]),
        (lambda x: ops.unfold(x, 2), lambda x: naive_unfold(x, 2, 1, 0), [x4]),
    ],
    "where": [
        (lambda a, b, c=c: ops.where(c, a, b), lambda a, b, c=c: np.where(c, a, b), [normal(*a), normal(*b, seed=1)])
        for c, a, b in [
            (MASK, (4, 3), (4, 3)),
            (MASK, (3,), (4, 1)),
            (MASK, (), (2, 1, 1)),
            (np.array([True, False]), (3, 1), (3, 1)),
            (MASK.astype(float), (4, 3), (1,)),
        ]
    ],
}
CASES = [pytest.param(*case, id=f"{name}-{i}") for name, cases in CHECKS.items() for i, case in enumerate(cases)]


PUBLIC = {f.__name__ for name, f in vars(ops).items() if inspect.isfunction(f) and not name.startswith("_")}
SUMS = {"correlate", "stamp", "correlate_weight", "product"}  # on arrays: parts of operations, which can be swapped


def test_every_public_op_has_checks():
    assert set(CHECKS) == PUBLIC and len(PUBLIC) == 36
    assert all(CHECKS.values())


def test_every_op_that_is_written_is_public():
    modules = {inspect.getmodule(getattr(ops, name)) for name in PUBLIC}
    written = {
        name
        for module in modules
        for name, function in vars(module).items()
        if hasattr(function, "__wrapped__") and not name.startswith("_") and inspect.getmodule(function) is module
    }
    names = {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
    assert written - names == PUBLIC | SUMS | {"unbroadcast"}
    assert PUBLIC | SUMS <= set(table.PLAIN)


EVERY_CASE = pytest.mark.parametrize(("op", "reference", "arrays"), CASES)


@pytest.fixture(params=[versions.plain, versions.fast], ids=["plain", "fast"])
def version(request):
    """Whatever MINIGAN_PLAIN says, a test that uses this runs exactly the code that is read, and the fast versions."""
    with request.param():
        yield


@EVERY_CASE
def test_value(op, reference, arrays, version):
    y = op(*map(Tensor, arrays))
    expected = np.asarray(reference(*arrays))
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-12)


@EVERY_CASE
def test_derivatives_at_order_1_and_2(op, reference, arrays, version):
    check_gradients(op, *arrays)


@EVERY_CASE
def test_float32_stays_float32(op, reference, arrays, version):
    operands = leaves(*[array.astype(np.float32) for array in arrays])
    y = op(*operands)
    assert y.dtype == np.float32
    upstream = Tensor(normal(*y.shape).astype(np.float32), requires_grad=True)
    assert all(g.dtype == np.float32 for g in grad(y, operands, upstream))
    gradients = grad(y, operands, upstream, create_graph=True)
    assert all(g.dtype == np.float32 for g in gradients)
    assert grad(sum(g.sum() for g in gradients), upstream)[0].dtype == np.float32


# --- broadcasting in all patterns ------------------------------------------------------------------------------

BROADCASTING = {
    "add": (ops.add, np.add),
    "sub": (ops.sub, np.subtract),
    "mul": (ops.mul, np.multiply),
    "div": (ops.div, np.divide),
    "power": (ops.power, np.power),
    "maximum": (ops.maximum, np.maximum),
    "minimum": (ops.minimum, np.minimum),
}
a_few = settings(max_examples=15, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize("name", BROADCASTING)
@a_few
@given(shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3))
def test_broadcasting(name, shapes):
    op, reference = BROADCASTING[name]
    a, b = (np.abs(distinct(*shape)) + 0.33 * i + 0.3 for i, shape in enumerate(shapes.input_shapes))
    y = op(Tensor(a), Tensor(b))
    assert y.shape == shapes.result_shape
    np.testing.assert_allclose(y.numpy(), reference(a, b), rtol=1e-12)
    check_gradients(op, a, b)


@a_few
@given(shapes=mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=3))
def test_where_broadcasts_all_three(shapes):
    condition, a, b = (normal(*shape, seed=i) for i, shape in enumerate(shapes.input_shapes))
    condition = condition > 0
    y = ops.where(condition, Tensor(a), Tensor(b))
    np.testing.assert_array_equal(y.numpy(), np.where(condition, a, b))
    check_gradients(lambda a, b: ops.where(condition, a, b), a, b)


@a_few
@given(data=st.data())
def test_broadcast_to_is_undone_for_the_gradient(data):
    shapes = data.draw(mutually_broadcastable_shapes(num_shapes=1, base_shape=(2, 3, 2), max_dims=3))
    x = normal(*shapes.input_shapes[0])
    check_gradients(lambda x: ops.broadcast_to(x, (2, 3, 2)), x)


def test_broadcast_to_gives_memory_of_its_own():
    x = Tensor([1.0, 2.0])
    y = ops.broadcast_to(x, (3, 2))
    y.data[0, 0] = 7.0
    np.testing.assert_array_equal(y.numpy(), [[7, 2], [1, 2], [1, 2]])
    np.testing.assert_array_equal(x.numpy(), [1, 2])


# --- kinks and ties: what the derivative is where there is none -------------------------------------------------


def derivative(function, x):
    x = Tensor(np.asarray(x, dtype=np.float64), requires_grad=True)
    y = function(x)
    return grad(y, x, np.ones(y.shape))[0].numpy()


def test_derivatives_at_the_kinks(version):
    np.testing.assert_array_equal(derivative(ops.relu, [-1.0, -0.0, 0.0, 1.0]), [0, 0, 0, 1])
    np.testing.assert_array_equal(derivative(ops.abs, [-2.0, -0.0, 0.0, 2.0]), [-1, 0, 0, 1])
    for slope in (0.01, 0.2, 0.5):
        actual = derivative(lambda x, s=slope: ops.leaky_relu(x, s), [-1.0, -0.0, 0.0, 1.0])
        np.testing.assert_allclose(actual, [slope, slope, slope, 1], rtol=1e-15)


def test_equal_largest_numbers_share_the_gradient():
    x = [[3.0, 3.0, 1.0], [0.0, 2.0, 1.0], [5.0, 5.0, 5.0]]
    third = 1 / 3
    np.testing.assert_allclose(
        derivative(lambda x: ops.max(x, axis=1), x), [[0.5, 0.5, 0], [0, 1, 0], [third, third, third]]
    )
    np.testing.assert_allclose(derivative(ops.max, x), [[0, 0, 0], [0, 0, 0], [third, third, third]])
    np.testing.assert_allclose(
        derivative(lambda x: ops.max(x, axis=-2, keepdims=True), [[1.0, 4.0], [1.0, 2.0]]), [[0.5, 1], [0.5, 0]]
    )


@pytest.mark.parametrize(("op", "wins"), [(ops.maximum, [0, 1, 0.5]), (ops.minimum, [1, 0, 0.5])])
def test_equal_operands_share_the_gradient(op, wins):
    b = Tensor(np.array([2.0, 2.0, 2.0]))
    np.testing.assert_array_equal(derivative(lambda a: op(a, b), [1.0, 3.0, 2.0]), wins)
    np.testing.assert_array_equal(derivative(lambda a: op(b, a), [1.0, 3.0, 2.0]), wins)
    np.testing.assert_array_equal(derivative(lambda a: op(a, 2.0), [1.0, 3.0, 2.0]), wins)
    np.testing.assert_array_equal(derivative(lambda a: op(a, a), [1.0, 3.0]), [1, 1])


@pytest.mark.parametrize("slope", [-0.1, 1.1])
def test_leaky_relu_takes_slopes_between_0_and_1(slope, version):
    with pytest.raises(ValueError, match="leaky_relu"):
        ops.leaky_relu(Tensor([1.0]), slope)


def test_relu_of_infinity(version):
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(ops.relu(Tensor([np.inf, 1.0])).numpy(), [np.inf, 1.0])


# --- powers of zero --------------------------------------------------------------------------------------------


def test_power_of_zero_has_finite_derivatives():
    np.testing.assert_array_equal(derivative(lambda a: a**0, [0.0, 2.0]), [0, 0])
    np.testing.assert_array_equal(derivative(lambda a: a**1, [0.0, 2.0]), [1, 1])
    np.testing.assert_array_equal(derivative(lambda a: a**2, [0.0, 2.0]), [0, 4])
    x = Tensor(np.array([0.0, -1.0]), requires_grad=True)
    (first,) = grad(x**2, x, [np.ones(2)], create_graph=True)
    (second,) = grad(first, x, [np.ones(2)], create_graph=True)
    np.testing.assert_array_equal(second.numpy(), [2, 2])
    base = Tensor(np.array([0.0, 1.0]))
    np.testing.assert_array_equal(derivative(lambda b: base**b, [2.0, 2.0]), [0, 0])


def test_power_of_zero_as_a_plain_number():
    np.testing.assert_array_equal(derivative(lambda b: 0.0**b, [2.0, 0.5]), [0, 0])


def test_power_with_an_exponent_tensor_of_zero():
    exponent = Tensor(np.array([0.0, 0.0]))
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(derivative(lambda a: a**exponent, [0.0, 2.0]), [0, 0])


# --- large arguments -------------------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])
LARGE = np.array([-1000.0, -100.0, 0.0, 100.0, 1000.0])


def exact(function, values, dtype):
    """The op's values and derivatives at LARGE; overflow and invalid operations raise (underflow is right)."""
    x = Tensor(LARGE.astype(dtype), requires_grad=True)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y = function(x)
        (first,) = grad(y, x, Tensor(np.ones_like(y.data)), create_graph=True)
        (second,) = grad(first, x, Tensor(np.ones_like(x.data)))
    tiny = 2 * np.finfo(dtype).smallest_subnormal
    np.testing.assert_allclose(y.numpy(), np.asarray(values, dtype), rtol=4 * np.finfo(dtype).eps, atol=tiny)
    assert np.isfinite(first.numpy()).all() and np.isfinite(second.numpy()).all()
    return first.numpy(), second.numpy()


@BOTH
def test_sigmoid_is_exact_far_out(dtype, version):
    e = np.exp(-100.0)
    first, second = exact(ops.sigmoid, [0.0, e, 0.5, 1.0, 1.0], dtype)
    tiny = 2 * np.finfo(dtype).smallest_subnormal
    np.testing.assert_allclose(first, np.array([0, e, 0.25, e, 0]), rtol=1e-6, atol=tiny)  # not 0 at +100
    np.testing.assert_allclose(second, np.array([0, e, 0, -e, 0]), rtol=1e-6, atol=tiny)


@BOTH
def test_softplus_is_exact_far_out(dtype):
    e = np.exp(-100.0)
    first, second = exact(ops.softplus, [0.0, e, np.log(2.0), 100.0, 1000.0], dtype)
    tiny = 2 * np.finfo(dtype).smallest_subnormal
    np.testing.assert_allclose(first, np.array([0, e, 0.5, 1, 1]), rtol=1e-6, atol=tiny)
    np.testing.assert_allclose(second, np.array([0, e, 0.25, e, 0]), rtol=1e-6, atol=tiny)


@BOTH
def test_logsumexp_is_exact_far_out(dtype):
    first, _ = exact(ops.logsumexp, 1000.0, dtype)
    np.testing.assert_array_equal(first, [0, 0, 0, 0, 1])
    rows = np.array([[1000.0, 1000.0], [-1000.0, -1000.0], [100.0, -100.0], [-100.0, -1000.0]], dtype)
    x = Tensor(rows, requires_grad=True)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y = ops.logsumexp(x, axis=1)
        (softmax,) = grad(y, x, Tensor(np.ones(4, dtype)))
    expected = np.array([1000 + np.log(2), -1000 + np.log(2), 100, -100])
    np.testing.assert_allclose(y.numpy(), expected, rtol=2 * np.finfo(dtype).eps)
    tolerance = 1000 * np.finfo(dtype).eps  # softmax = e^(x - y), and y is as fine as 1000 can be
    np.testing.assert_allclose(softmax.numpy(), [[0.5, 0.5], [0.5, 0.5], [1, 0], [1, 0]], atol=tolerance)


def test_logsumexp_with_minus_infinity():
    np.testing.assert_array_equal(ops.logsumexp(Tensor([-np.inf, 0.0])).numpy(), 0.0)
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(ops.logsumexp(Tensor([-np.inf, -np.inf])).numpy(), -np.inf)


# --- nothing upcasts -------------------------------------------------------------------------------------------

OTHERS = {
    "int": 2,
    "float": 2.5,
    "bool": True,
    "np.float64": np.float64(2.5),
    "np.float32": np.float32(2.5),
    "np.int64": np.int64(2),
    "float64 array": np.array([1.5, 2.5]),
    "float64 array of shape ()": np.array(2.5),
    "int array": np.array([1, 2]),
    "bool array": np.array([True, False]),
}
OPERATORS = {
    "+": (lambda a, b: a + b),
    "-": (lambda a, b: a - b),
    "*": (lambda a, b: a * b),
    "/": (lambda a, b: a / b),
    "**": (lambda a, b: a**b),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("symbol", OPERATORS)
@BOTH
def test_operators_with_plain_numbers_and_arrays_keep_the_dtype(symbol, other, dtype):
    operator = OPERATORS[symbol]
    array = np.array([1.5, 0.5], dtype)
    x = Tensor(array, requires_grad=True)
    plain = np.asarray(other, np.float64)
    with np.errstate(divide="ignore"):
        pairs = [(operator(x, other), operator(array, plain)), (operator(other, x), operator(plain, array))]
        gradients = [grad(y, x, Tensor(np.ones(2, dtype)))[0] for y, _ in pairs]
    for (y, expected), g in zip(pairs, gradients, strict=True):
        assert isinstance(y, Tensor) and y.dtype == g.dtype == dtype
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)


@BOTH
@pytest.mark.parametrize("op", [ops.add, ops.maximum, ops.minimum, lambda a, b: ops.where([True, False], a, b)])
@pytest.mark.parametrize("other", [2, np.float64(0.1), np.array([1, 2]), [1.5, 2.5]])
def test_functions_with_plain_numbers_and_arrays_keep_the_dtype(op, other, dtype):
    x = Tensor(np.array([1.5, 0.5], dtype), requires_grad=True)
    for y in (op(x, other), op(other, x)):
        assert y.dtype == dtype
        assert grad(y, x, Tensor(np.ones(2, dtype)))[0].dtype == dtype


@BOTH
@pytest.mark.parametrize("other", [np.array([[1, 2], [3, 4]]), np.array([[1.5, 2.0], [3.0, 4.0]])])
def test_matrix_product_with_a_plain_array(dtype, other):
    array = np.array([[1.0, 2.0], [3.0, 5.0]], dtype)
    x = Tensor(array, requires_grad=True)
    for y, expected in [(other @ x, other @ array), (x @ other, array @ other)]:
        assert isinstance(y, Tensor) and y.dtype == dtype
        np.testing.assert_array_equal(y.numpy(), expected)
        assert grad(y.sum(), x)[0].dtype == dtype


def test_numpy_scalars_as_settings_keep_float32(version):
    x = Tensor(np.array([[1.0, -2.0], [3.0, 5.0]], np.float32), requires_grad=True)
    y = ops.leaky_relu(x, np.float64(0.2))
    assert y.dtype == np.float32
    y, mean, variance = ops.batch_norm(x, Tensor([1.0, 1.0]), Tensor([0.0, 0.0]), eps=np.float64(1e-5))
    assert y.dtype == mean.dtype == variance.dtype == np.float32
    assert grad(y, x, Tensor(np.ones((2, 2), np.float32)))[0].dtype == np.float32


single, double = np.ones((2, 2), np.float32), np.ones((2, 2), np.float64)
image, kernel = np.ones((2, 2, 3, 3)), np.ones((2, 2, 2, 2))
MIXED = {
    "add": (ops.add, [single, double]),
    "sub": (ops.sub, [double, single]),
    "mul": (ops.mul, [single, double]),
    "div": (ops.div, [double, single]),
    "power": (ops.power, [single, double]),
    "maximum": (ops.maximum, [single, double]),
    "minimum": (ops.minimum, [double, single]),
    "where": (lambda a, b: ops.where(True, a, b), [single, double]),
    "matmul": (ops.matmul, [single, double]),
    "linear": (ops.linear, [single, single, double[0]]),
    "concatenate": (lambda *a: ops.concatenate(a), [double, single]),
    "conv": (ops.conv, [image.astype(np.float32), kernel]),
    "conv_transpose": (ops.conv_transpose, [image, kernel.astype(np.float32)]),
    "conv_weight": (lambda x, y: ops.conv_weight(x, y, (2, 2)), [image, kernel.astype(np.float32)]),
    "batch_norm": (ops.batch_norm, [single, double[0], double[0]]),
}


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_float32_and_float64_tensors_do_not_mix(name, requires_grad, version):
    op, arrays = MIXED[name]
    with pytest.raises(TypeError, match=name):
        op(*[Tensor(array, requires_grad) for array in arrays])
    swapped = [a.astype(np.float32 if a.dtype == np.float64 else np.float64) for a in arrays]
    with pytest.raises(TypeError, match=name):
        op(*[Tensor(array, requires_grad) for array in swapped])


@pytest.mark.parametrize(("before", "after"), [("float32", "float64"), ("float64", "float32")])
def test_astype_converts_the_value_and_converts_the_gradient_back(before, after):
    x = Tensor([1.0, 2.5], requires_grad=True, dtype=before)
    y = x.astype(after)
    assert y.dtype == after
    np.testing.assert_array_equal(y.numpy(), [1.0, 2.5])
    upstream = Tensor([3.0, -1.0], requires_grad=True, dtype=after)
    (g,) = grad(y * y, x, upstream, create_graph=True)
    assert g.dtype == before
    np.testing.assert_array_equal(g.numpy(), [6.0, -5.0])
    second = grad(g, [x, upstream], Tensor([1.0, 1.0], dtype=before))
    assert [s.dtype for s in second] == [before, after]
    np.testing.assert_array_equal(second[0].numpy(), [6.0, -2.0])
    np.testing.assert_array_equal(second[1].numpy(), [2.0, 5.0])


# --- methods and operators of Tensor ---------------------------------------------------------------------------


def test_methods_are_the_functions():
    x = Tensor(positive(2, 3, 4))
    for name in ("abs", "exp", "log", "sigmoid", "sqrt", "tanh", "max", "mean", "sum", "transpose"):
        np.testing.assert_array_equal(getattr(x, name)().numpy(), getattr(ops, name)(x).numpy(), err_msg=name)
    np.testing.assert_array_equal(x.T.numpy(), x.numpy().T)
    np.testing.assert_array_equal((-x).numpy(), -x.numpy())
    np.testing.assert_array_equal(abs(-x).numpy(), x.numpy())
    np.testing.assert_array_equal(x.reshape(4, 6).numpy(), x.numpy().reshape(4, 6))
    np.testing.assert_array_equal(x.reshape((4, 6)).numpy(), x.numpy().reshape(4, 6))
    np.testing.assert_array_equal(x[1].numpy(), x.numpy()[1])
    np.testing.assert_array_equal((x[0] @ x[1].T).numpy(), x.numpy()[0] @ x.numpy()[1].T)


def test_the_order_of_operands_of_reversed_operators():
    x = Tensor(np.array([[2.0, 4.0], [1.0, 3.0]]))
    a = np.array([[8.0, 4.0], [2.0, 5.0]])
    np.testing.assert_array_equal((a - x).numpy(), a - x.numpy())
    np.testing.assert_array_equal((a / x).numpy(), a / x.numpy())
    np.testing.assert_array_equal((a**x).numpy(), a ** x.numpy())
    np.testing.assert_array_equal((a @ x).numpy(), a @ x.numpy())
    np.testing.assert_array_equal((np.float64(8) / x).numpy(), 8 / x.numpy())
    np.testing.assert_array_equal((1 - x).numpy(), 1 - x.numpy())


def test_a_tensor_can_be_iterated_and_unpacked():
    x = Tensor(np.array([[1.0, 2.0], [3.0, 4.0]]), requires_grad=True)
    rows = list(x)
    assert len(rows) == 2
    first, second = x
    np.testing.assert_array_equal((first * second).numpy(), [3, 8])
    np.testing.assert_array_equal(grad((rows[0] * rows[1]).sum(), x)[0].numpy(), [[3, 4], [1, 2]])


def test_mean_over_an_axis_of_an_empty_batch():
    np.testing.assert_array_equal(ops.mean(Tensor(np.zeros((0, 3))), axis=1).numpy(), np.zeros(0))


# --- bad input: one sentence that names the op and the shapes ---------------------------------------------------


def tensor(*shape):
    return Tensor(np.ones(shape))


BAD = {
    "add": (lambda: tensor(2, 3) + tensor(4, 5), "(2, 3)", "(4, 5)"),
    "sub": (lambda: tensor(2, 3) - tensor(4, 5), "(2, 3)", "(4, 5)"),
    "mul": (lambda: tensor(2, 3) * tensor(4, 5), "(2, 3)", "(4, 5)"),
    "div": (lambda: tensor(2, 3) / tensor(4, 5), "(2, 3)", "(4, 5)"),
    "power": (lambda: tensor(2, 3) ** tensor(4, 5), "(2, 3)", "(4, 5)"),
    "maximum": (lambda: ops.maximum(tensor(2, 3), tensor(4, 5)), "(2, 3)", "(4, 5)"),
    "minimum": (lambda: ops.minimum(tensor(2, 3), np.ones((4, 5))), "(2, 3)", "(4, 5)"),
    "where": (lambda: ops.where(np.ones(3) > 0, tensor(2), tensor(2)), "(3,)", "(2,)"),
    "matmul": (lambda: tensor(2, 3) @ tensor(4, 5), "(2, 3)", "(4, 5)"),
    "matmul, a vector on the left": (lambda: tensor(3) @ tensor(4, 5), "(3,)", "(4, 5)"),
    "matmul, a vector on the right": (lambda: tensor(2, 3) @ tensor(4), "(2, 3)", "(4,)"),
    "matmul, two vectors": (lambda: tensor(3) @ tensor(4), "(3,)", "(4,)"),
    "matmul, a number": (lambda: tensor() @ tensor(4, 5), "()", "(4, 5)"),
    "matmul, stacks": (lambda: tensor(2, 4, 3) @ tensor(3, 3, 5), "(2, 4, 3)", "(3, 3, 5)"),
    "linear": (lambda: ops.linear(tensor(2, 3), tensor(4, 5)), "(2, 3)", "(4, 5)"),
    "linear, the bias": (lambda: ops.linear(tensor(2, 3), tensor(4, 3), tensor(3)), "(3,)", "(4, 3)"),
    "linear, a vector": (lambda: ops.linear(tensor(3), tensor(4, 3)), "(3,)", "(4, 3)"),
    "concatenate": (lambda: ops.concatenate([tensor(2, 3), tensor(4, 5)]), "(2, 3)", "(4, 5)"),
    "concatenate, the axis": (lambda: ops.concatenate([tensor(2, 3), tensor(2, 3)], axis=2), "(2, 3)"),
    "concatenate, nothing": (lambda: ops.concatenate([]),),
    "reshape": (lambda: tensor(2, 3).reshape(4, 2), "(2, 3)"),
    "reshape, two unknowns": (lambda: tensor(2, 3).reshape(-1, -1), "(2, 3)"),
    "broadcast_to": (lambda: ops.broadcast_to(tensor(2, 3), (2, 4)), "(2, 3)", "(2, 4)"),
    "transpose": (lambda: tensor(2, 3).transpose((0, 2)), "(2, 3)"),
    "transpose, an axis twice": (lambda: tensor(2, 3).transpose((0, 0)), "(2, 3)"),
    "transpose, too few axes": (lambda: tensor(2, 3).transpose((0,)), "(2, 3)"),
    "sum": (lambda: tensor(2, 3).sum(axis=2), "(2, 3)"),
    "mean": (lambda: tensor(2, 3).mean(axis=-3), "(2, 3)"),
    "mean, of nothing": (lambda: tensor(2, 0).mean(), "(2, 0)"),
    "max": (lambda: tensor(2, 3).max(axis=(0, 2)), "(2, 3)"),
    "max, of nothing": (lambda: tensor(2, 0).max(), "(2, 0)"),
    "logsumexp": (lambda: ops.logsumexp(tensor(2, 3), axis=5), "(2, 3)"),
    "getitem": (lambda: tensor(2, 3)[2], "(2, 3)"),
    "getitem, too many": (lambda: tensor(2, 3)[0, 0, 0], "(2, 3)"),
    "getitem, a wrong mask": (lambda: tensor(2, 3)[np.array([True, False, True])], "(2, 3)"),
    "batch_norm": (lambda: ops.batch_norm(tensor(4, 3), tensor(2), tensor(2)), "(4, 3)", "(2,)"),
    "batch_norm, the bias": (lambda: ops.batch_norm(tensor(4, 3), tensor(3), tensor(2)), "(4, 3)", "(2,)"),
    "batch_norm, 1 axis": (lambda: ops.batch_norm(tensor(3), tensor(3), tensor(3)), "(3,)"),
    "batch_norm, 6 axes": (
        lambda: ops.batch_norm(tensor(4, 3, 1, 1, 1, 1), tensor(3), tensor(3)),
        "(4, 3, 1, 1, 1, 1)",
    ),
    "batch_norm, one number": (lambda: ops.batch_norm(tensor(1, 3), tensor(3), tensor(3)), "(1, 3)"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_shapes_get_one_sentence(what, version):
    call, *shapes = BAD[what]
    with pytest.raises((ValueError, IndexError)) as error:
        call()
    assert_one_sentence(str(error.value), what.split(",")[0], shapes)


def assert_one_sentence(message, op, shapes):
    assert "\n" not in message
    assert re.search(rf"\b{op}\b", message), message
    for shape in shapes:
        assert shape in message, message
    assert message.count(f"{op} of shapes") <= 1, message


def test_an_operation_on_nothing_with_a_shape_says_nothing_of_shapes():
    with pytest.raises(TypeError, match=r"^reshape: 'NoneType'"):
        ops.reshape(None, (1, -1))


def test_bad_shapes_are_shape_errors():
    with pytest.raises(ShapeError):
        tensor(2, 3) + tensor(4, 5)
    assert issubclass(ShapeError, ValueError)


def test_things_that_are_no_numbers():
    with pytest.raises(TypeError, match="add"):
        tensor(2) + "two"
    with pytest.raises(TypeError):
        tensor(2) * 1j
    with pytest.raises(TypeError):
        tensor(2).astype("int64")


def test_leaky_relu_of_a_single_number(version):
    x = Tensor(-3.0, requires_grad=True)
    y = ops.leaky_relu(x, 0.2)
    assert y.item() == pytest.approx(-0.6) and grad(y, x)[0].item() == pytest.approx(0.2)
