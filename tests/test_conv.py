"""Convolution, its transpose, the weight gradient, unfold and fold, along 1, 2 and 3 axes.

The judges are loops over every place that follow the definition, finite differences, and PyTorch. The sums are
computed in two ways, plainly and through patches (see `versions.py`), and both must be right.
"""

import itertools
from math import prod

import numpy as np
import pytest
import versions
from finite_differences import check_gradients, leaves

from minigan import Tensor, grad, ops
from minigan.fast.conv import BLOCK


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


# --- the definitions, one place at a time -----------------------------------------------------------------------


def meetings(size, out, kernel, stride, padding, dilation):
    """Each place i of the output and k of the kernel, with the place u = s i + d k - p of the input that they meet."""
    axes = len(size)
    stride, padding, dilation = (n if isinstance(n, tuple) else (n,) * axes for n in (stride, padding, dilation))
    for i, k in itertools.product(np.ndindex(*out), np.ndindex(*kernel)):
        u = tuple(stride[a] * i[a] + dilation[a] * k[a] - padding[a] for a in range(axes))
        if all(0 <= u[a] < size[a] for a in range(axes)):
            yield i, k, u


def sizes(formula, size, *settings):
    """A formula of sizes, along each axis; a setting is one number for all of them, or one for each."""
    settings = [n if isinstance(n, tuple) else (n,) * len(size) for n in settings]
    return tuple(formula(*numbers) for numbers in zip(size, *settings, strict=True))


def out(size, kernel, stride, padding, dilation=1):
    return sizes(lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s + 1, size, kernel, stride, padding, dilation)


def out_of_transpose(size, kernel, stride, padding, extra, dilation=1):
    formula = lambda n, k, s, p, e, d: (n - 1) * s - 2 * p + d * (k - 1) + 1 + e
    return sizes(formula, size, kernel, stride, padding, extra, dilation)


def with_bias(y, bias):
    return y if bias is None else y + bias.reshape(1, -1, *[1] * (y.ndim - 2))


def naive_conv(x, weight, bias=None, stride=1, padding=0, dilation=1):
    """Cross-correlation: the kernel is not flipped."""
    size, kernel = x.shape[2:], weight.shape[2:]
    places = out(size, kernel, stride, padding, dilation)
    y = np.zeros((len(x), len(weight), *places))
    for i, k, u in meetings(size, places, kernel, stride, padding, dilation):
        y[:, :, *i] += x[:, :, *u] @ weight[:, :, *k].T
    return with_bias(y, bias)


def naive_conv_transpose(x, weight, bias=None, stride=1, padding=0, extra=0, dilation=1):
    """Every place of the input stamps its kernel on the output, and what falls outside of that is lost."""
    kernel = weight.shape[2:]
    size = out_of_transpose(x.shape[2:], kernel, stride, padding, extra, dilation)
    y = np.zeros((len(x), weight.shape[1], *size))
    for i, k, u in meetings(size, x.shape[2:], kernel, stride, padding, dilation):
        y[:, :, *u] += x[:, :, *i] @ weight[:, :, *k]
    return with_bias(y, bias)


def naive_conv_weight(x, y, kernel, stride=1, padding=0, dilation=1):
    weight = np.zeros((y.shape[1], x.shape[1], *kernel))
    for i, k, u in meetings(x.shape[2:], y.shape[2:], kernel, stride, padding, dilation):
        weight[:, :, *k] += y[:, :, *i].T @ x[:, :, *u]
    return weight


def naive_unfold(x, kernel, stride, padding):
    """Column i OW + j holds the patch at (i, j); row (c K + k) K + l of it is channel c at (k, l)."""
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    places = out(x.shape[2:], kernel, stride, padding)
    patches = np.zeros((*x.shape[:2], *kernel, *places))
    for i, k, u in meetings(x.shape[2:], places, kernel, stride, padding, 1):
        patches[:, :, *k, *i] = x[:, :, *u]
    return patches.reshape(len(x), -1, prod(places))


def naive_fold(columns, size, kernel, stride, padding):
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    places = out(size, kernel, stride, padding)
    patches = columns.reshape(len(columns), -1, *kernel, *places)
    x = np.zeros((*patches.shape[:2], *size))
    for i, k, u in meetings(size, places, kernel, stride, padding, 1):
        x[:, :, *u] += patches[:, :, *k, *i]
    return x


def test_the_definitions_on_an_example_by_hand():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    weight = np.array([[[[1.0, 2.0], [0.0, -1.0]]]])
    expected = [[[[0 + 2 - 4, 1 + 4 - 5], [3 + 8 - 7, 4 + 10 - 8]]]]
    np.testing.assert_array_equal(naive_conv(x, weight), expected)
    np.testing.assert_array_equal(ops.conv(Tensor(x), Tensor(weight)).numpy(), expected)
    pixel = np.array([[[[3.0]]]])
    np.testing.assert_array_equal(naive_conv_transpose(pixel, weight), 3 * weight)
    np.testing.assert_array_equal(ops.conv_transpose(Tensor(pixel), Tensor(weight)).numpy(), 3 * weight)


def test_a_sequence_with_a_spread_out_kernel_by_hand():
    x, weight = np.array([[[1.0, 2.0, 4.0, 8.0]]]), np.array([[[10.0, 1.0]]])
    expected = [[[0 + 2, 10 + 4, 20 + 8, 40 + 0]]]  # padded: 0 1 2 4 8 0, and the kernel is 10 . 1
    for actual in (naive_conv(x, weight, None, 1, 1, 2), ops.conv(Tensor(x), Tensor(weight), None, 1, 1, 2).numpy()):
        np.testing.assert_array_equal(actual, expected)
    expected = [[[20, 40 + 1, 80 + 2, 4]]]  # stamps 10 . 1 from the places -1, 0, 1 and 2 on; 0 to 3 are kept
    arguments = None, 1, 1, 0, 2
    np.testing.assert_array_equal(naive_conv_transpose(x, weight, *arguments), expected)
    np.testing.assert_array_equal(ops.conv_transpose(Tensor(x), Tensor(weight), *arguments).numpy(), expected)


# --- values ----------------------------------------------------------------------------------------------------


def drawn(axes, count, seed):
    """Settings that differ from axis to axis: kernels of 1 to 5, strides 1 to 3, paddings 0 to 2, dilations 1 and 2."""
    rng = np.random.default_rng(seed)
    ranges = [(1, 6), (1, 4), (0, 3), (1, 3)]
    return [tuple(tuple(rng.integers(*r, axes).tolist()) for r in ranges) for _ in range(count)]


SQUARES = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (2, 3), (5, 1), (1, 4)]
SETTINGS = [  # (kernel, stride, padding, dilation)
    *itertools.product([(k,) for k in range(1, 6)], [1, 2, 3], [0, 1, 2], [1, 2]),
    *itertools.product(SQUARES, [1, 2, 3], [0, 1, 2], [1, 2]),
    *itertools.product([(1, 1, 1), (2, 2, 2), (3, 3, 3)], [1, 2], [0, 1], [1, 2]),
    *drawn(2, 40, seed=2),
    *drawn(3, 40, seed=3),
]
EVERY_SETTING = pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), SETTINGS)


def size_for(kernel, padding, dilation, seed=0):
    """The smallest input that the kernel fits into, and up to 3 places more along each axis (2 in volumes)."""
    rng = np.random.default_rng([seed, *kernel])
    more = rng.integers(0, 3 if len(kernel) == 3 else 4, len(kernel)).tolist()
    return sizes(lambda k, p, d, m: max(1, d * (k - 1) + 1 - 2 * p) + m, kernel, padding, dilation, tuple(more))


def ways():
    """The plain sums; and through patches, with the batch (it is small) in one block, or cut into several."""
    return {
        "plain": versions.plain(),
        "one sample a block": versions.fast(block=1),
        "a few samples a block": versions.fast(block=100),
        "one block": versions.fast(block=BLOCK),
    }.items()


def assert_close(call, expected):
    for way, version in ways():
        with version:
            actual = call()
        assert actual.shape == expected.shape
        np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-10, atol=1e-10, err_msg=way)


@EVERY_SETTING
def test_conv(kernel, stride, padding, dilation):
    size = size_for(kernel, padding, dilation)
    x, weight, bias = normal(3, 2, *size), normal(4, 2, *kernel), normal(4)
    expected = naive_conv(x, weight, bias, stride, padding, dilation)
    assert_close(lambda: ops.conv(Tensor(x), Tensor(weight), Tensor(bias), stride, padding, dilation), expected)


@EVERY_SETTING
def test_conv_transpose(kernel, stride, padding, dilation):
    """With the smallest and the largest output_padding, and one that differs from axis to axis."""
    axes = len(kernel)
    strides = stride if isinstance(stride, tuple) else (stride,) * axes
    extras = {0, tuple(s - 1 for s in strides), tuple(a % s for a, s in enumerate(strides))}
    reach = sizes(lambda k, d: d * (k - 1) + 1, kernel, dilation)
    size = sizes(lambda s, p, r: max(1, -(-(2 * p + 1 - r) // s) + 1), strides, padding, reach)  # some output is left
    size = tuple(n + a % 2 for a, n in enumerate(size))
    x, weight, bias = normal(3, 2, *size), normal(2, 4, *kernel), normal(4)
    for extra in extras:
        expected = naive_conv_transpose(x, weight, bias, stride, padding, extra, dilation)
        arguments = stride, padding, extra, dilation
        assert_close(lambda a=arguments: ops.conv_transpose(Tensor(x), Tensor(weight), Tensor(bias), *a), expected)


@EVERY_SETTING
def test_conv_weight(kernel, stride, padding, dilation):
    size = size_for(kernel, padding, dilation)
    x, y = normal(3, 2, *size), normal(3, 2, *out(size, kernel, stride, padding, dilation), seed=1)
    expected = naive_conv_weight(x, y, kernel, stride, padding, dilation)
    assert_close(lambda: ops.conv_weight(Tensor(x), Tensor(y), kernel, stride, padding, dilation), expected)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [*itertools.product([1, 2, 3, 4, 5], [1, 2, 3], [0, 1, 2])])
def test_unfold_and_fold(kernel, stride, padding):
    for size in [(5, 5), (7, 6), (5, 8)]:
        x = normal(2, 3, *size)
        columns = naive_unfold(x, kernel, stride, padding)
        np.testing.assert_array_equal(ops.unfold(Tensor(x), kernel, stride, padding).numpy(), columns)
        columns = normal(*columns.shape, seed=1)
        actual = ops.fold(Tensor(columns), size, kernel, stride, padding).numpy()
        np.testing.assert_allclose(actual, naive_fold(columns, size, kernel, stride, padding), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [((2, 3), 1, 0), ((3, 1), (2, 1), (0, 1)), (2, (1, 2), 1)])
def test_unfold_and_fold_with_settings_per_axis(kernel, stride, padding):
    x = normal(2, 2, 4, 5)
    columns = naive_unfold(x, kernel, stride, padding)
    np.testing.assert_array_equal(ops.unfold(Tensor(x), kernel, stride, padding).numpy(), columns)
    folded = ops.fold(Tensor(columns), (4, 5), kernel, stride, padding).numpy()
    np.testing.assert_allclose(folded, naive_fold(columns, (4, 5), kernel, stride, padding), rtol=1e-12)
    check_gradients(lambda x: ops.unfold(x, kernel, stride, padding), x)
    check_gradients(lambda c: ops.fold(c, (4, 5), kernel, stride, padding), columns)


def test_convolution_is_unfold_and_a_matrix_product():
    x, weight = normal(2, 3, 6, 5), normal(4, 3, 3, 3)
    columns = ops.unfold(Tensor(x), 3, stride=2, padding=1)
    product = Tensor(weight).reshape(4, -1) @ columns
    expected = ops.conv2d(Tensor(x), Tensor(weight), stride=2, padding=1)
    np.testing.assert_allclose(product.reshape(expected.shape).numpy(), expected.numpy(), rtol=1e-10, atol=1e-10)


def test_stride_is_1_padding_0_and_dilation_1_by_default():
    x, weight = normal(2, 3, 6, 5), normal(3, 3, 2, 2)
    assert_close(lambda: ops.conv(Tensor(x), Tensor(weight)), naive_conv(x, weight))
    assert_close(lambda: ops.conv_transpose(Tensor(x), Tensor(weight)), naive_conv_transpose(x, weight))
    assert_close(lambda: ops.conv_weight(Tensor(x), Tensor(x), (1, 1)), naive_conv_weight(x, x, (1, 1)))
    np.testing.assert_array_equal(ops.unfold(Tensor(x), 2).numpy(), naive_unfold(x, 2, 1, 0))
    columns = normal(2, 12, 20)
    folded = ops.fold(Tensor(columns), (6, 5), 2).numpy()
    np.testing.assert_allclose(folded, naive_fold(columns, (6, 5), 2, 1, 0), rtol=1e-12)


def test_one_number_is_that_number_for_each_axis():
    for axes in (1, 2, 3):
        x, weight = Tensor(normal(2, 2, *[6] * axes)), Tensor(normal(2, 2, *[2] * axes))
        two, one = (2,) * axes, [1] * axes  # a tuple or a list
        for op, arguments, longer in (
            (ops.conv, (2, 1, 2), (two, one, two)),
            (ops.conv_transpose, (2, 1, 1, 2), (two, one, one, two)),
        ):
            same = op(x, weight, None, *longer).numpy()
            np.testing.assert_array_equal(op(x, weight, None, *arguments).numpy(), same)
        y = ops.conv(x, weight, None, 2, 1, 2)
        same = ops.conv_weight(x, y, two, two, one, two).numpy()
        np.testing.assert_array_equal(ops.conv_weight(x, y, 2, 2, 1, 2).numpy(), same)


def test_the_names_for_one_two_and_three_axes_are_names_for_one_definition():
    assert ops.conv1d is ops.conv2d is ops.conv3d is ops.conv
    assert ops.conv_transpose1d is ops.conv_transpose2d is ops.conv_transpose3d is ops.conv_transpose


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_memory_layout_of_the_operands_does_not_matter(channels_last, axes):
    x, weight = normal(2, 3, *(6, 5, 4)[:axes]), normal(4, 3, *[3] * axes)
    expected = naive_conv(x, weight, None, 2, 1)
    if channels_last:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    weight = weight[:, :, ::-1].copy()[:, :, ::-1]  # the same kernels with a negative stride in memory
    assert_close(lambda: ops.conv(Tensor(x), Tensor(weight), None, 2, 1), expected)


def test_a_big_batch_in_float32():
    x, weight = normal(64, 8, 12, 12).astype(np.float32), normal(6, 8, 4, 4).astype(np.float32)
    floats = 64 * 6 * 6 * 8 * 4 * 4
    assert floats > BLOCK, "the batch must be cut into several blocks"
    expected = naive_conv(x, weight, None, 2, 1)
    for version in (versions.plain(), versions.fast(block=BLOCK)):
        with version:
            y = ops.conv2d(Tensor(x), Tensor(weight), None, 2, 1)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-3, atol=1e-3)


# --- an adjoint is a transpose: <A x, y> = <x, A^T y> ------------------------------------------------------------


@EVERY_SETTING
def test_the_triangle_of_adjoints(kernel, stride, padding, dilation):
    for seed in (1, 2):
        size = size_for(kernel, padding, dilation, seed)
        x, weight = Tensor(normal(2, 3, *size)), Tensor(normal(4, 3, *kernel))
        y = ops.conv(x, weight, None, stride, padding, dilation)
        g = Tensor(normal(*y.shape, seed=1))
        formula = lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) % s
        left_over = sizes(formula, size, kernel, stride, padding, dilation)
        forward = (y * g).sum().item()
        back_to_x = ops.conv_transpose(g, weight, None, stride, padding, left_over, dilation)
        back_to_weight = ops.conv_weight(x, g, kernel, stride, padding, dilation)
        assert back_to_x.shape == x.shape and back_to_weight.shape == weight.shape
        np.testing.assert_allclose((back_to_x * x).sum().item(), forward, rtol=1e-9)
        np.testing.assert_allclose((back_to_weight * weight).sum().item(), forward, rtol=1e-9)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (2, 2, 0), (4, 3, 2), (1, 2, 1)])
def test_unfold_and_fold_are_adjoint(kernel, stride, padding):
    x = Tensor(normal(2, 3, 7, 6))
    columns = ops.unfold(x, kernel, stride, padding)
    g = Tensor(normal(*columns.shape, seed=1))
    back = ops.fold(g, (7, 6), kernel, stride, padding)
    np.testing.assert_allclose((columns * g).sum().item(), (back * x).sum().item(), rtol=1e-9)


# --- derivatives, order 1 and 2 ----------------------------------------------------------------------------------

#    size, kernel, stride, padding, dilation
SELECTION = [
    ((7,), (3,), 2, 1, 1),
    ((5,), (2,), 1, 0, 2),
    ((6,), (5,), 3, 2, 1),
    ((8,), (4,), 2, 2, 2),
    ((4, 5), (3, 2), 1, 0, 1),
    ((4, 4), (3, 3), 1, 1, 1),
    ((5, 4), (4, 4), 2, 1, 1),
    ((5, 6), (2, 3), 3, 1, 1),
    ((5, 4), (1, 1), 2, 0, 1),
    ((3, 3), (5, 5), 1, 2, 1),
    ((4, 3), (1, 2), 3, 2, 1),
    ((6, 5), (2, 2), 3, 0, 1),
    ((5, 4), (3, 2), 1, 1, 2),
    ((4, 5), (2, 3), (1, 2), (2, 0), (2, 1)),
    ((3, 2, 3), (2, 2, 2), 1, 0, 1),
    ((3, 3, 2), (2, 3, 1), (2, 1, 1), (0, 1, 0), (1, 1, 2)),
    ((2, 1, 3), (2, 1, 2), 2, 1, (1, 2, 2)),
]
SELECTED = pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation"), SELECTION)
EITHER = pytest.mark.parametrize("version", [versions.plain, versions.fast], ids=["plain", "fast"])


@EITHER
@SELECTED
def test_derivatives_of_conv(size, kernel, stride, padding, dilation, version):
    with version():
        check_gradients(
            lambda x, w, b: ops.conv(x, w, b, stride, padding, dilation),
            normal(2, 2, *size),
            normal(2, 2, *kernel),
            normal(2),
        )


@EITHER
@SELECTED
def test_derivatives_of_conv_transpose(size, kernel, stride, padding, dilation, version):
    axes = len(size)
    strides = stride if isinstance(stride, tuple) else (stride,) * axes
    extra = tuple((s - 1) // (1 + a % 2) for a, s in enumerate(strides))
    padding = sizes(lambda p: min(p, 1), padding) if isinstance(padding, tuple) else min(padding, 1)
    with version():
        check_gradients(
            lambda x, w, b: ops.conv_transpose(x, w, b, stride, padding, extra, dilation),
            normal(2, 2, *(3, 2, 2)[:axes]),
            normal(2, 2, *kernel),
            normal(2),
        )


@EITHER
@SELECTED
def test_derivatives_of_conv_weight(size, kernel, stride, padding, dilation, version):
    y = normal(2, 2, *out(size, kernel, stride, padding, dilation))
    with version():
        check_gradients(lambda x, y: ops.conv_weight(x, y, kernel, stride, padding, dilation), normal(2, 2, *size), y)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [s[:4] for s in SELECTION if len(s[0]) == 2 and s[1][0] == s[1][1]],
)
def test_derivatives_of_unfold_and_fold(size, kernel, stride, padding):
    k = kernel[0]
    x = normal(1, 2, *size)
    check_gradients(lambda x: ops.unfold(x, k, stride, padding), x)
    columns = normal(*naive_unfold(x, k, stride, padding).shape)
    check_gradients(lambda c: ops.fold(c, size, k, stride, padding), columns)


def test_derivatives_in_several_blocks():
    with versions.fast(block=1):
        check_gradients(lambda x, w: ops.conv2d(x, w, None, 2, 1), normal(3, 1, 3, 3), normal(2, 1, 2, 2))


def test_only_the_gradient_that_was_asked_for():
    arrays = [normal(2, 3, 5, 5), normal(4, 3, 3, 3), normal(4)]
    for wanted in range(3):
        inputs = [Tensor(a, requires_grad=i == wanted) for i, a in enumerate(arrays)]
        y = ops.conv2d(*inputs, stride=2)
        assert [parent for parent, _ in y.parents] == [inputs[wanted]]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_an_empty_batch(threads, axes):
    for version in (versions.plain(), versions.fast(threads)):
        with version:
            x, weight = leaves(np.zeros((0, 2, *[5] * axes)), normal(3, 2, *[3] * axes))
            y = ops.conv(x, weight, None, 2, 1)
            assert y.shape == (0, 3, *[3] * axes)
            to_x, to_weight = grad(y.sum(), [x, weight])
            assert to_x.shape == x.shape
            np.testing.assert_array_equal(to_weight.numpy(), np.zeros(weight.shape))


# --- PyTorch, which has the same arguments in the same order ------------------------------------------------------


def of_both(ours, theirs, arrays):
    """From both libraries: the value, all gradients, and the gradients of a random sum of those."""
    torch = pytest.importorskip("torch")
    y = ours(*(inputs := leaves(*arrays)))
    u = normal(*y.shape, seed=1)
    first = grad(y, inputs, (upstream := Tensor(u, requires_grad=True)), create_graph=True)
    weights = [normal(*a.shape, seed=2) for a in arrays]
    total = sum(((g * Tensor(w)).sum() for g, w in zip(first, weights, strict=True)), start=Tensor(np.zeros(())))
    second = grad(total, [*inputs[:2], upstream])

    inputs = [torch.tensor(a, requires_grad=True) for a in arrays]
    z = theirs(*inputs)
    upstream = torch.tensor(u, requires_grad=True)
    expected = torch.autograd.grad(z, inputs, upstream, create_graph=True)
    total = sum((g * torch.tensor(w)).sum() for g, w in zip(expected, weights, strict=True))
    expected_second = torch.autograd.grad(total, [*inputs[:2], upstream])
    return [t.numpy() for t in (y, *first, *second)], [t.detach().numpy() for t in (z, *expected, *expected_second)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_same_as_in_pytorch(axes, seed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng([axes, seed])
    (kernel, stride, padding, dilation) = drawn(axes, 1, [axes, seed])[0]
    n, channels, outputs = rng.integers(1, 4, 3).tolist()
    size = size_for(kernel, padding, dilation, seed)
    functional = torch.nn.functional
    ours, theirs = (getattr(library, f"conv{axes}d") for library in (ops, functional))
    arguments = stride, padding, dilation
    arrays = [normal(n, channels, *size), normal(outputs, channels, *kernel), normal(outputs)]
    for version in (versions.plain, versions.fast):
        with version():
            both = of_both(lambda *a: ours(*a, *arguments), lambda *a: theirs(*a, *arguments), arrays)
        for actual, expected in zip(*both, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)

    extra = tuple(int(rng.integers(0, s)) for s in stride)
    size = sizes(lambda n, p: n + p, size, padding)
    if min(out_of_transpose(size, kernel, stride, padding, extra, dilation)) < 1:
        size = sizes(lambda n: n + 4, size)
    ours, theirs = (getattr(library, f"conv_transpose{axes}d") for library in (ops, functional))
    arrays = [normal(n, channels, *size), normal(channels, outputs, *kernel), normal(outputs)]
    for version in (versions.plain, versions.fast):
        with version():
            both = of_both(
                lambda *a: ours(*a, stride, padding, extra, dilation),
                lambda *a: theirs(*a, stride, padding, extra, 1, dilation),  # after groups, which minigan has not
                arrays,
            )
        for actual, expected in zip(*both, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


# --- bad input ---------------------------------------------------------------------------------------------------


def tensor(*shape):
    return Tensor(np.ones(shape))


IMAGE, KERNEL = (2, 3, 5, 5), (4, 3, 3, 3)
TURNED = (3, 4, 3, 3)  # the weight of a transposed convolution


def conv(*settings):
    return lambda: ops.conv(tensor(*IMAGE), tensor(*KERNEL), None, *settings)


def transpose(*settings):
    return lambda: ops.conv_transpose(tensor(*IMAGE), tensor(*TURNED), None, *settings)


def weight(y, kernel, *settings):
    return lambda: ops.conv_weight(tensor(*IMAGE), tensor(*y), kernel, *settings)


BAD = {
    "conv, channels": (
        lambda: ops.conv(tensor(2, 2, 5, 5), tensor(*KERNEL)),
        "x (2, 2, 5, 5) has 2 channels, but the weight (4, 3, 3, 3) takes 3",
    ),
    "conv, one channel": (lambda: ops.conv(tensor(*IMAGE), tensor(4, 1, 3, 3)), "has 3 channels", "takes 1"),
    "conv, no batch": (lambda: ops.conv(tensor(3, 5, 5), tensor(*KERNEL)), "(3, 5, 5)", "(4, 3, 3, 3)"),
    "conv, no axis": (lambda: ops.conv(tensor(2, 3), tensor(4, 3)), "(N, C, *size) with 1 to 3", "(2, 3)"),
    "conv, four axes": (lambda: ops.conv(tensor(*IMAGE, 5, 5), tensor(*KERNEL, 3, 3)), "1 to 3 spatial axes"),
    "conv, no image weight": (lambda: ops.conv(tensor(*IMAGE), tensor(4, 3)), "(2, 3, 5, 5)", "(4, 3)"),
    "conv, bias": (
        lambda: ops.conv(tensor(*IMAGE), tensor(*KERNEL), tensor(3)),
        "the bias (3,) must be (4,) for the weight (4, 3, 3, 3)",
    ),
    "conv, one bias": (lambda: ops.conv(tensor(*IMAGE), tensor(*KERNEL), tensor(1)), "the bias (1,) must be (4,)"),
    "conv, kernel": (lambda: ops.conv(tensor(2, 3, 5, 2), tensor(4, 3, 5, 5), None, 1, 1), "[5, 5]", "(7, 4)"),
    "conv, spread-out kernel": (conv(1, 0, 3), "[7, 7]", "(5, 5)"),
    "conv, stride 0": (conv(0), "stride must be a whole number of at least 1, or 2 of them, not 0"),
    "conv, negative stride": (conv(-1), "stride must", "not -1"),
    "conv, half stride": (conv(1.5), "stride must", "not 1.5"),
    "conv, true stride": (conv(True), "stride must", "not True"),
    "conv, three strides": (conv((1, 1, 1)), "stride must", "not (1, 1, 1)"),
    "conv, no strides": (conv(()), "stride must", "not ()"),
    "conv, one bad stride": (conv((1, 0)), "stride must", "not (1, 0)"),
    "conv, padding": (conv(1, -1), "padding must be a whole number of at least 0, or 2 of them, not -1"),
    "conv, padding by name": (conv(1, "same"), "padding must", "not 'same'"),
    "conv, dilation 0": (conv(1, 0, 0), "dilation must be a whole number of at least 1, or 2 of them, not 0"),
    "conv_transpose, channels": (
        lambda: ops.conv_transpose(tensor(2, 2, 5, 5), tensor(*TURNED)),
        "x (2, 2, 5, 5) has 2 channels, but the weight (3, 4, 3, 3) takes 3",
    ),
    "conv_transpose, no batch": (lambda: ops.conv_transpose(tensor(3, 5, 5), tensor(*TURNED)), "(3, 5, 5)"),
    "conv_transpose, bias": (
        lambda: ops.conv_transpose(tensor(*IMAGE), tensor(*TURNED), tensor(3)),
        "the bias (3,) must be (4,) for the weight (3, 4, 3, 3)",
    ),
    "conv_transpose, stride 0": (transpose(0), "stride must", "not 0"),
    "conv_transpose, padding": (transpose(1, -1), "padding must", "not -1"),
    "conv_transpose, dilation 0": (transpose(1, 0, 0, 0), "dilation must", "not 0"),
    "conv_transpose, output_padding": (transpose(2, 1, 2), "output_padding 2 must be from 0 to stride - 1", "is 2"),
    "conv_transpose, one output_padding": (transpose((2, 1), 1, (1, 1)), "output_padding (1, 1)", "is (2, 1)"),
    "conv_transpose, negative output_padding": (transpose(2, 1, -1), "output_padding must", "not -1"),
    "conv_transpose, all padding": (transpose(1, 4), "padding 4 leaves no output"),
    "conv_transpose, just all": (
        lambda: ops.conv_transpose(tensor(1, 1, 1), tensor(1, 1, 2), padding=1),
        "padding 1 leaves no output",
    ),
    "conv_weight, batch": (
        lambda: ops.conv_weight(tensor(3, 3, 5, 5), tensor(2, 4, 3, 3), (3, 3)),
        "(3, 3, 5, 5)",
        "(2, 4, 3, 3)",
    ),
    "conv_weight, size": (weight((2, 4, 2, 2), (3, 3)), "(2, 3, 5, 5)", "(2, 4, 2, 2)", "must be (2, O, *(3, 3))"),
    "conv_weight, axes of y": (weight((2, 4, 3), (3, 3)), "(2, 4, 3)"),
    "conv_weight, no axis": (lambda: ops.conv_weight(tensor(2, 3), tensor(2, 4), 3), "(2, 3)", "1 to 3 spatial axes"),
    "conv_weight, kernel": (weight((2, 4, 1, 1), (7, 7)), "(2, 3, 5, 5)", "[7, 7]"),
    "conv_weight, kernel 0": (weight((2, 4, 6, 6), 0), "kernel_size must", "not 0"),
    "conv_weight, kernel of one axis": (weight((2, 4, 3, 3), (3,)), "kernel_size must", "not (3,)"),
    "conv_weight, stride 0": (weight((2, 4, 3, 3), (3, 3), 0), "stride must", "not 0"),
    "conv_weight, padding": (weight((2, 4, 1, 1), (3, 3), 1, -1), "padding must", "not -1"),
    "unfold, kernel": (lambda: ops.unfold(tensor(*IMAGE), 6), "[6, 6]", "(5, 5)"),
    "unfold, kernel 0": (lambda: ops.unfold(tensor(*IMAGE), 0), "kernel_size must", "not 0"),
    "unfold, stride 0": (lambda: ops.unfold(tensor(*IMAGE), 3, 0), "stride must", "not 0"),
    "unfold, padding": (lambda: ops.unfold(tensor(*IMAGE), 3, 1, -1), "padding must", "not -1"),
    "unfold, no batch": (lambda: ops.unfold(tensor(3, 5, 5), 3), "(3, 5, 5)", "(N, C, H, W)"),
    "unfold, a volume": (lambda: ops.unfold(tensor(1, 3, 5, 5, 5), 3), "(1, 3, 5, 5, 5)", "(N, C, H, W)"),
    "fold, columns": (lambda: ops.fold(tensor(2, 27, 8), (5, 5), 3), "(2, 27, 8)"),
    "fold, channels": (lambda: ops.fold(tensor(2, 26, 9), (5, 5), 3), "(2, 26, 9)"),
    "fold, axes": (lambda: ops.fold(tensor(27, 9), (5, 5), 3), "(27, 9)"),
    "fold, size": (lambda: ops.fold(tensor(2, 27, 3), (5,), 3), "(5,)"),
    "fold, stride 0": (lambda: ops.fold(tensor(2, 27, 9), (5, 5), 3, 0), "stride must", "not 0"),
    "fold, padding": (lambda: ops.fold(tensor(2, 27, 1), (5, 5), 3, 1, -1), "padding must", "not -1"),
    "fold, kernel 0": (lambda: ops.fold(tensor(2, 27, 9), (5, 5), 0), "kernel_size must", "not 0"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_gets_one_sentence(what):
    """Whether an error is noticed must not depend on how it would be computed."""
    call, *parts = BAD[what]
    for _, version in ways():
        with version, pytest.raises(ValueError) as error:
            call()
        message = str(error.value)
        assert "\n" not in message
        for part in (what.split(",")[0], *parts):
            assert part in message, message
