"""Convolution, transposed convolution, the weight gradient, unfold and fold, against loops over every pixel."""

import itertools

import numpy as np
import pytest
from finite_differences import check_gradients, leaves

from minigan import Tensor, grad, ops, parallel
from minigan.ops import conv


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


# --- the definitions, one pixel at a time -----------------------------------------------------------------------


def pad(x, padding):
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def out(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) // stride + 1


def naive_conv2d(x, weight, bias, stride, padding):
    """Cross-correlation: the kernel is not flipped."""
    n, _, h, w = x.shape
    o, _, kh, kw = weight.shape
    x = pad(x, padding)
    y = np.zeros((n, o, out(h, kh, stride, padding), out(w, kw, stride, padding)))
    for channel, i, j in itertools.product(*map(range, y.shape[1:])):
        patch = x[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
        y[:, channel, i, j] = (patch * weight[channel]).sum(axis=(1, 2, 3))
    return y if bias is None else y + bias.reshape(1, -1, 1, 1)


def naive_conv_transpose2d(x, weight, bias, stride, padding, output_padding):
    """Every pixel stamps its kernel; then the padding is cut off, but for `output_padding` at the end."""
    n, c, h, w = x.shape
    _, o, kh, kw = weight.shape
    eh, ew = output_padding
    y = np.zeros((n, o, (h - 1) * stride + kh + eh, (w - 1) * stride + kw + ew))
    for channel, i, j in itertools.product(range(c), range(h), range(w)):
        stamp = x[:, channel, i, j].reshape(n, 1, 1, 1) * weight[channel]
        y[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw] += stamp
    y = y[:, :, padding : y.shape[2] - padding, padding : y.shape[3] - padding]
    return y if bias is None else y + bias.reshape(1, -1, 1, 1)


def naive_conv2d_weight(x, y, kernel, stride, padding):
    x = pad(x, padding)
    oh, ow = y.shape[2:]
    weight = np.zeros((y.shape[1], x.shape[1], *kernel))
    for o, c, k, l, i, j in itertools.product(*map(range, weight.shape), range(oh), range(ow)):
        weight[o, c, k, l] += (y[:, o, i, j] * x[:, c, i * stride + k, j * stride + l]).sum()
    return weight


def naive_unfold(x, kernel, stride, padding):
    """Column i OW + j holds the patch at (i, j); row (c K + k) K + l of it is channel c at (k, l)."""
    n, channels, h, w = x.shape
    x = pad(x, padding)
    oh, ow = out(h, kernel, stride, padding), out(w, kernel, stride, padding)
    columns = np.zeros((n, channels * kernel * kernel, oh * ow))
    for c, k, l, i, j in itertools.product(range(channels), range(kernel), range(kernel), range(oh), range(ow)):
        columns[:, (c * kernel + k) * kernel + l, i * ow + j] = x[:, c, i * stride + k, j * stride + l]
    return columns


def naive_fold(columns, size, kernel, stride, padding):
    n, channels = columns.shape[0], columns.shape[1] // kernel**2
    h, w = size
    oh, ow = out(h, kernel, stride, padding), out(w, kernel, stride, padding)
    x = np.zeros((n, channels, h + 2 * padding, w + 2 * padding))
    for c, k, l, i, j in itertools.product(range(channels), range(kernel), range(kernel), range(oh), range(ow)):
        x[:, c, i * stride + k, j * stride + l] += columns[:, (c * kernel + k) * kernel + l, i * ow + j]
    return x[:, :, padding : padding + h, padding : padding + w]


def test_the_definitions_on_an_example_by_hand():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    weight = np.array([[[[1.0, 2.0], [0.0, -1.0]]]])
    expected = [[[[0 + 2 - 4, 1 + 4 - 5], [3 + 8 - 7, 4 + 10 - 8]]]]
    np.testing.assert_array_equal(naive_conv2d(x, weight, None, 1, 0), expected)
    np.testing.assert_array_equal(ops.conv2d(Tensor(x), Tensor(weight)).numpy(), expected)
    pixel = np.array([[[[3.0]]]])
    np.testing.assert_array_equal(ops.conv_transpose2d(Tensor(pixel), Tensor(weight)).numpy(), 3 * weight)


# --- values ----------------------------------------------------------------------------------------------------

KERNELS = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (2, 3), (5, 1), (1, 4)]
GEOMETRIES = list(itertools.product(KERNELS, [1, 2, 3], [0, 1, 2]))
SIZES = [(5, 5), (7, 6), (5, 8)]
EVERY_GEOMETRY = pytest.mark.parametrize(("kernel", "stride", "padding"), GEOMETRIES)


@pytest.fixture(params=[1, 100, conv.BLOCK], ids=["tiny blocks", "small blocks", "real blocks"])
def blocks(request, monkeypatch):
    """The batch in one block (it is small), or cut into several, so that the threads share it."""
    monkeypatch.setattr(conv, "BLOCK", request.param)


def assert_close(actual, expected):
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-10, atol=1e-10)


@EVERY_GEOMETRY
def test_conv2d(kernel, stride, padding, blocks):
    for size in SIZES:
        x, weight, bias = normal(3, 2, *size), normal(4, 2, *kernel), normal(4)
        expected = naive_conv2d(x, weight, bias, stride, padding)
        assert_close(ops.conv2d(Tensor(x), Tensor(weight), Tensor(bias), stride, padding), expected)


@EVERY_GEOMETRY
def test_conv_transpose2d(kernel, stride, padding, blocks):
    for size in [(3, 3), (4, 5)]:
        for extra in itertools.product(range(stride), repeat=2):
            x, weight, bias = normal(3, 2, *size), normal(2, 4, *kernel), normal(4)
            if any((n - 1) * stride + k + e <= 2 * padding for n, k, e in zip(size, kernel, extra, strict=True)):
                continue  # the padding would cut everything off
            expected = naive_conv_transpose2d(x, weight, bias, stride, padding, extra)
            actual = ops.conv_transpose2d(Tensor(x), Tensor(weight), Tensor(bias), stride, padding, extra)
            assert_close(actual, expected)
            if extra[0] == extra[1]:
                actual = ops.conv_transpose2d(Tensor(x), Tensor(weight), Tensor(bias), stride, padding, extra[0])
                assert_close(actual, expected)


@EVERY_GEOMETRY
def test_conv2d_weight(kernel, stride, padding, blocks):
    size = (7, 6)
    oh, ow = (out(n, k, stride, padding) for n, k in zip(size, kernel, strict=True))
    x, y = normal(3, 2, *size), normal(3, 2, oh, ow, seed=1)
    expected = naive_conv2d_weight(x, y, kernel, stride, padding)
    assert_close(ops.conv2d_weight(Tensor(x), Tensor(y), kernel, stride, padding), expected)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [*itertools.product([1, 2, 3, 4, 5], [1, 2, 3], [0, 1, 2])])
def test_unfold_and_fold(kernel, stride, padding):
    for size in SIZES:
        x = normal(2, 3, *size)
        columns = naive_unfold(x, kernel, stride, padding)
        assert_close(ops.unfold(Tensor(x), kernel, stride, padding), columns)
        columns = normal(*columns.shape, seed=1)
        expected = naive_fold(columns, size, kernel, stride, padding)
        assert_close(ops.fold(Tensor(columns), size, kernel, stride, padding), expected)


def test_convolution_is_unfold_and_a_matrix_product():
    x, weight = normal(2, 3, 6, 5), normal(4, 3, 3, 3)
    columns = ops.unfold(Tensor(x), 3, stride=2, padding=1)
    product = Tensor(weight).reshape(4, -1) @ columns
    expected = ops.conv2d(Tensor(x), Tensor(weight), stride=2, padding=1)
    assert_close(product.reshape(expected.shape), expected.numpy())


def test_stride_is_1_and_padding_0_by_default():
    x, weight = Tensor(normal(2, 3, 6, 5)), Tensor(normal(3, 3, 2, 2))
    assert_close(ops.conv2d(x, weight), naive_conv2d(x.numpy(), weight.numpy(), None, 1, 0))
    expected = naive_conv_transpose2d(x.numpy(), weight.numpy(), None, 1, 0, (0, 0))
    assert_close(ops.conv_transpose2d(x, weight), expected)
    assert_close(ops.conv2d_weight(x, x, (1, 1)), naive_conv2d_weight(x.numpy(), x.numpy(), (1, 1), 1, 0))
    assert_close(ops.unfold(x, 2), naive_unfold(x.numpy(), 2, 1, 0))
    columns = normal(2, 12, 20)
    assert_close(ops.fold(Tensor(columns), (6, 5), 2), naive_fold(columns, (6, 5), 2, 1, 0))


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_memory_layout_of_the_operands_does_not_matter(channels_last):
    x, weight = normal(2, 3, 6, 5), normal(4, 3, 3, 3)
    expected = naive_conv2d(x, weight, None, 2, 1)
    if channels_last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    weight = weight[:, :, ::-1].copy()[:, :, ::-1]  # the same kernels with a negative stride in memory
    assert_close(ops.conv2d(Tensor(x), Tensor(weight), None, 2, 1), expected)


def test_a_big_batch_in_float32():
    x, weight = normal(64, 8, 12, 12).astype(np.float32), normal(6, 8, 4, 4).astype(np.float32)
    floats = 64 * 6 * 6 * 8 * 4 * 4
    assert floats > conv.BLOCK, "the batch must be cut into several blocks"
    y = ops.conv2d(Tensor(x), Tensor(weight), None, 2, 1)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.numpy(), naive_conv2d(x, weight, None, 2, 1), rtol=1e-3, atol=1e-3)


# --- an adjoint is a transpose: <A x, y> = <x, A^T y> ------------------------------------------------------------


@EVERY_GEOMETRY
def test_the_triangle_of_adjoints(kernel, stride, padding):
    for size in SIZES:
        x, weight = Tensor(normal(2, 3, *size)), Tensor(normal(4, 3, *kernel))
        y = ops.conv2d(x, weight, None, stride, padding)
        g = Tensor(normal(*y.shape, seed=1))
        left_over = tuple((n + 2 * padding - k) % stride for n, k in zip(size, kernel, strict=True))
        forward = (y * g).sum().item()
        back_to_x = ops.conv_transpose2d(g, weight, None, stride, padding, left_over)
        back_to_weight = ops.conv2d_weight(x, g, kernel, stride, padding)
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

#            image size, kernel, stride, padding
SELECTION = [
    ((4, 5), (3, 2), 1, 0),
    ((4, 4), (3, 3), 1, 1),
    ((5, 4), (4, 4), 2, 1),
    ((5, 6), (2, 3), 3, 1),
    ((5, 4), (1, 1), 2, 0),
    ((3, 3), (5, 5), 1, 2),
    ((4, 3), (1, 2), 3, 2),
    ((6, 5), (2, 2), 3, 0),
]
SELECTED = pytest.mark.parametrize(("size", "kernel", "stride", "padding"), SELECTION)


@SELECTED
def test_derivatives_of_conv2d(size, kernel, stride, padding):
    check_gradients(
        lambda x, w, b: ops.conv2d(x, w, b, stride, padding),
        normal(2, 2, *size),
        normal(3, 2, *kernel),
        normal(3),
    )


@SELECTED
def test_derivatives_of_conv_transpose2d(size, kernel, stride, padding):
    extra = (stride - 1, stride // 2)
    x = normal(2, 2, 3, 2)
    check_gradients(
        lambda x, w, b: ops.conv_transpose2d(x, w, b, stride, min(padding, 1), extra),
        x,
        normal(2, 3, *kernel),
        normal(3),
    )


@SELECTED
def test_derivatives_of_conv2d_weight(size, kernel, stride, padding):
    oh, ow = (out(n, k, stride, padding) for n, k in zip(size, kernel, strict=True))
    check_gradients(
        lambda x, y: ops.conv2d_weight(x, y, kernel, stride, padding), normal(2, 2, *size), normal(2, 3, oh, ow)
    )


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), [s for s in SELECTION if s[1][0] == s[1][1]])
def test_derivatives_of_unfold_and_fold(size, kernel, stride, padding):
    k = kernel[0]
    x = normal(1, 2, *size)
    check_gradients(lambda x: ops.unfold(x, k, stride, padding), x)
    columns = normal(*naive_unfold(x, k, stride, padding).shape)
    check_gradients(lambda c: ops.fold(c, size, k, stride, padding), columns)


def test_derivatives_in_several_blocks(monkeypatch):
    monkeypatch.setattr(conv, "BLOCK", 1)
    monkeypatch.setattr(parallel, "THREADS", 2)
    check_gradients(lambda x, w: ops.conv2d(x, w, None, 2, 1), normal(3, 1, 3, 3), normal(2, 1, 2, 2))


def test_only_the_gradient_that_was_asked_for():
    arrays = [normal(2, 3, 5, 5), normal(4, 3, 3, 3), normal(4)]
    for wanted in range(3):
        inputs = [Tensor(a, requires_grad=i == wanted) for i, a in enumerate(arrays)]
        y = ops.conv2d(*inputs, stride=2)
        assert [parent for parent, _ in y.parents] == [inputs[wanted]]


# --- blocks and threads ------------------------------------------------------------------------------------------


def everything(x, weight):
    """Value, both gradients, and a second-order gradient, as bytes."""
    x, weight = leaves(x, weight)
    y = ops.conv2d(x, weight, None, 2, 1)
    upstream = Tensor(normal(*y.shape, seed=2).astype(y.dtype))
    first = grad(y, [x, weight], upstream, create_graph=True)
    second = grad((first[0] * first[0]).sum(), weight)
    return [t.numpy().tobytes() for t in (y, *first, *second)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_bytes_every_time_and_for_any_number_of_threads(monkeypatch, dtype):
    x, weight = normal(7, 3, 6, 5).astype(dtype), normal(4, 3, 3, 3).astype(dtype)
    monkeypatch.setattr(conv, "BLOCK", 1)
    results = []
    for threads in (1, 1, 2, 2, 3, 16):
        monkeypatch.setattr(parallel, "THREADS", threads)
        results.append(everything(x, weight))
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 16, 17])
def test_for_each_block_keeps_the_order(monkeypatch, threads, count):
    monkeypatch.setattr(parallel, "THREADS", threads)
    assert parallel.for_each_block(lambda i: i * i, range(count)) == [i * i for i in range(count)]


@pytest.fixture
def blas():
    """BLAS's libraries, with their number of threads at 2, on any machine."""
    libraries = parallel._blas.libraries
    before = [library.num_threads for library in libraries]
    for library in libraries:
        library.set_num_threads(2)
    yield libraries
    for library, threads in zip(libraries, before, strict=True):
        library.set_num_threads(threads)


def test_errors_in_a_block_are_raised_and_blas_gets_its_threads_back(monkeypatch, blas):
    monkeypatch.setattr(parallel, "THREADS", 2)
    for bad in (None, 0, 3):

        def work(i, bad=bad):
            if i == bad:
                raise RuntimeError("this block is bad")

        if bad is None:
            parallel.for_each_block(work, range(4))
        else:
            with pytest.raises(RuntimeError, match="this block is bad"):
                parallel.for_each_block(work, range(4))
        assert [library.num_threads for library in blas] == [2] * len(blas)


def test_blas_has_one_thread_while_several_blocks_run(monkeypatch, blas):
    monkeypatch.setattr(parallel, "THREADS", 2)
    monkeypatch.setattr(parallel._plain, "on", False)
    seen = parallel.for_each_block(lambda _: [library.num_threads for library in blas], range(4))
    assert all(threads == [1] * len(blas) for threads in seen)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_empty_batch(monkeypatch, threads):
    monkeypatch.setattr(parallel, "THREADS", threads)
    x, weight = leaves(np.zeros((0, 2, 5, 5)), normal(3, 2, 3, 3))
    y = ops.conv2d(x, weight, None, 2, 1)
    assert y.shape == (0, 3, 3, 3)
    to_x, to_weight = grad(y.sum(), [x, weight])
    assert to_x.shape == x.shape
    np.testing.assert_array_equal(to_weight.numpy(), np.zeros(weight.shape))


# --- bad input ---------------------------------------------------------------------------------------------------


def tensor(*shape):
    return Tensor(np.ones(shape))


IMAGE, KERNEL = (2, 3, 5, 5), (4, 3, 3, 3)
TURNED = (3, 4, 3, 3)  # the weight of a transposed convolution
BAD = {
    "conv2d, channels": (lambda: ops.conv2d(tensor(2, 2, 5, 5), tensor(*KERNEL)), "(2, 2, 5, 5)", "(4, 3, 3, 3)"),
    "conv2d, no batch": (lambda: ops.conv2d(tensor(3, 5, 5), tensor(*KERNEL)), "(3, 5, 5)", "(4, 3, 3, 3)"),
    "conv2d, no image weight": (lambda: ops.conv2d(tensor(*IMAGE), tensor(4, 3)), "(2, 3, 5, 5)", "(4, 3)"),
    "conv2d, bias": (lambda: ops.conv2d(tensor(*IMAGE), tensor(*KERNEL), tensor(3)), "(3,)", "(4, 3, 3, 3)"),
    "conv2d, kernel": (lambda: ops.conv2d(tensor(2, 3, 5, 2), tensor(4, 3, 5, 5), None, 1, 1), "5x5", "7x4"),
    "conv2d, stride 0": (lambda: ops.conv2d(tensor(*IMAGE), tensor(*KERNEL), None, 0), "stride 0"),
    "conv2d, negative stride": (lambda: ops.conv2d(tensor(*IMAGE), tensor(*KERNEL), None, -1), "stride -1"),
    "conv2d, half stride": (lambda: ops.conv2d(tensor(*IMAGE), tensor(*KERNEL), None, 1.5), "stride 1.5"),
    "conv2d, padding": (lambda: ops.conv2d(tensor(*IMAGE), tensor(*KERNEL), None, 1, -1), "padding -1"),
    "conv_transpose2d, channels": (
        lambda: ops.conv_transpose2d(tensor(2, 2, 5, 5), tensor(*TURNED)),
        "(2, 2, 5, 5)",
        "(3, 4, 3, 3)",
    ),
    "conv_transpose2d, no batch": (lambda: ops.conv_transpose2d(tensor(3, 5, 5), tensor(*TURNED)), "(3, 5, 5)"),
    "conv_transpose2d, bias": (
        lambda: ops.conv_transpose2d(tensor(*IMAGE), tensor(*TURNED), tensor(3)),
        "(3,)",
        "(3, 4, 3, 3)",
    ),
    "conv_transpose2d, stride 0": (lambda: ops.conv_transpose2d(tensor(*IMAGE), tensor(*TURNED), None, 0), "stride 0"),
    "conv_transpose2d, padding": (
        lambda: ops.conv_transpose2d(tensor(*IMAGE), tensor(*TURNED), None, 1, -1),
        "padding -1",
    ),
    "conv_transpose2d, output_padding": (
        lambda: ops.conv_transpose2d(tensor(*IMAGE), tensor(*TURNED), None, 2, 1, 2),
        "from 0 to stride - 1 = 1, not 2",
    ),
    "conv_transpose2d, negative output_padding": (
        lambda: ops.conv_transpose2d(tensor(*IMAGE), tensor(*TURNED), None, 2, 1, -1),
        "not -1",
    ),
    "conv_transpose2d, all padding": (
        lambda: ops.conv_transpose2d(tensor(2, 3, 1, 1), tensor(*TURNED), None, 1, 2),
        "padding 2",
    ),
    "conv2d_weight, batch": (
        lambda: ops.conv2d_weight(tensor(3, 3, 5, 5), tensor(2, 4, 3, 3), (3, 3)),
        "(3, 3, 5, 5)",
        "(2, 4, 3, 3)",
    ),
    "conv2d_weight, size": (
        lambda: ops.conv2d_weight(tensor(*IMAGE), tensor(2, 4, 2, 2), (3, 3)),
        "(2, 3, 5, 5)",
        "(2, 4, 2, 2)",
    ),
    "conv2d_weight, kernel": (lambda: ops.conv2d_weight(tensor(*IMAGE), tensor(2, 4, 1, 1), (7, 7)), "(2, 3, 5, 5)"),
    "conv2d_weight, stride 0": (
        lambda: ops.conv2d_weight(tensor(*IMAGE), tensor(2, 4, 3, 3), (3, 3), 0),
        "stride 0",
    ),
    "conv2d_weight, padding": (
        lambda: ops.conv2d_weight(tensor(*IMAGE), tensor(2, 4, 1, 1), (3, 3), 1, -1),
        "padding -1",
    ),
    "unfold, kernel": (lambda: ops.unfold(tensor(*IMAGE), 6), "6x6", "5x5"),
    "unfold, kernel 0": (lambda: ops.unfold(tensor(*IMAGE), 0), "0x0"),
    "unfold, stride 0": (lambda: ops.unfold(tensor(*IMAGE), 3, 0), "stride 0"),
    "unfold, padding": (lambda: ops.unfold(tensor(*IMAGE), 3, 1, -1), "padding -1"),
    "unfold, no batch": (lambda: ops.unfold(tensor(3, 5, 5), 3), "(3, 5, 5)"),
    "fold, columns": (lambda: ops.fold(tensor(2, 27, 8), (5, 5), 3), "(2, 27, 8)"),
    "fold, channels": (lambda: ops.fold(tensor(2, 26, 9), (5, 5), 3), "(2, 26, 9)"),
    "fold, stride 0": (lambda: ops.fold(tensor(2, 27, 9), (5, 5), 3, 0), "stride 0"),
    "fold, padding": (lambda: ops.fold(tensor(2, 27, 1), (5, 5), 3, 1, -1), "padding -1"),
    "fold, kernel 0": (lambda: ops.fold(tensor(2, 27, 9), (5, 5), 0), "0x0"),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("block", [1, conv.BLOCK], ids=["tiny blocks", "real blocks"])
def test_bad_input_is_refused(what, block, monkeypatch):
    """Whether an error is noticed must not depend on how the batch is cut into blocks."""
    monkeypatch.setattr(conv, "BLOCK", block)
    with pytest.raises((ValueError, TypeError)):
        BAD[what][0]()


@pytest.mark.parametrize("what", BAD)
def test_bad_input_gets_one_sentence(what):
    call, *parts = BAD[what]
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    for part in (what.split(",")[0], *parts):
        assert part in message, message
