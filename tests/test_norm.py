"""Batch normalisation: its value, its statistics, and both ways in which its derivatives are computed."""

import numpy as np
import pytest
import versions
from finite_differences import check_gradients, leaves

from minigan import Tensor, grad, ops
from minigan.ops.norm import batch_norm

SHAPES = [
    *[(5, 3), (2, 1), (7, 2)],
    *[(4, 2, 3), (1, 3, 2), (3, 1, 1)],  # sequences
    *[(4, 3, 2, 3), (1, 2, 3, 1), (3, 1, 1, 1), (2, 2, 5, 3)],
    *[(2, 2, 2, 1, 3), (1, 2, 1, 2, 1)],  # volumes
]


@pytest.fixture(autouse=True, params=[versions.plain, versions.fast], ids=["plain", "fast"])
def version(request):
    """Every test here runs the code that is read, and the fast version too."""
    with request.param():
        yield


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def operands(shape, dtype=np.float64, layout="NCHW"):
    """x far from mean 0 and variance 1, and different in each channel; weight; bias."""
    channels = shape[1]
    per_channel = (1, channels, *[1] * (len(shape) - 2))
    x = normal(*shape) * (1 + np.arange(channels)).reshape(per_channel) + 3.0
    if layout == "NHWC":
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    return [a.astype(dtype) for a in (x, normal(channels, seed=1) + 2.0, normal(channels, seed=2))]


def naive_batch_norm(x, weight, bias, eps=1e-5):
    """Channel by channel, as in the paper."""
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        mean = x[:, c].mean()
        variance = ((x[:, c] - mean) ** 2).mean()
        y[:, c] = weight[c] * (x[:, c] - mean) / np.sqrt(variance + eps) + bias[c]
    return y


def batch_norm_in_ops(x, weight, bias, eps=1e-5):
    """The definition as a chain of differentiable operations: what the fused one must equal."""
    axes = (0, *range(2, x.ndim))
    shape = (1, -1, *[1] * (x.ndim - 2))
    centred = x - x.mean(axes, keepdims=True)
    sigma = ((centred * centred).mean(axes, keepdims=True) + eps).sqrt()
    return centred / sigma * weight.reshape(shape) + bias.reshape(shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_value_and_statistics(shape, layout):
    x, weight, bias = operands(shape, layout=layout)
    y, mean, variance = batch_norm(Tensor(x), Tensor(weight), Tensor(bias))
    axes = (0, *range(2, x.ndim))
    np.testing.assert_allclose(y.numpy(), naive_batch_norm(x, weight, bias), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(mean, x.mean(axis=axes), rtol=1e-12)
    np.testing.assert_allclose(variance, x.var(axis=axes), rtol=1e-10)
    assert mean.shape == variance.shape == (shape[1],)
    assert not isinstance(mean, Tensor) and not isinstance(variance, Tensor)


def test_the_variance_is_the_one_with_1_over_m():
    x = np.array([[1.0], [3.0]])
    _, mean, variance = batch_norm(Tensor(x), Tensor([1.0], dtype="float64"), Tensor([0.0], dtype="float64"))
    assert mean.tolist() == [2.0]
    assert variance.tolist() == [1.0]  # not 2, the unbiased one


def test_eps_is_inside_the_square_root():
    x = Tensor(np.array([[1.0], [3.0]]))
    one, zero = Tensor(np.ones(1)), Tensor(np.zeros(1))
    np.testing.assert_allclose(batch_norm(x, one, zero, eps=3.0)[0].numpy(), [[-0.5], [0.5]], rtol=1e-15)


def test_a_constant_channel_gives_the_bias():
    x, weight, bias = np.full((4, 2), 7.0), np.array([2.0, 3.0]), np.array([-1.0, 5.0])
    x, weight, bias = leaves(x, weight, bias)
    y = batch_norm(x, weight, bias)[0]
    np.testing.assert_array_equal(y.numpy(), np.broadcast_to(bias.numpy(), (4, 2)))
    assert all(np.isfinite(g.numpy()).all() for g in grad(y, [x, weight, bias], normal(4, 2)))


def test_a_large_offset_does_not_destroy_the_variance():
    x = (normal(64, 2) + 1000.0).astype(np.float32)  # mean(x^2) - mean(x)^2 has no digit left here
    one, zero = Tensor(np.ones(2, np.float32)), Tensor(np.zeros(2, np.float32))
    y, _, variance = batch_norm(Tensor(x), one, zero)
    np.testing.assert_allclose(variance, x.astype(np.float64).var(axis=0), rtol=1e-3)
    np.testing.assert_allclose(y.numpy().std(axis=0), 1, rtol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_derivatives_at_order_1_and_2(shape, layout):
    arrays = operands(shape, layout=layout)
    check_gradients(lambda x, w, b: batch_norm(x, w, b)[0], *arrays)


def test_derivatives_with_a_large_eps():
    check_gradients(lambda x, w, b: batch_norm(x, w, b, eps=0.5)[0], *operands((4, 2)))


def test_derivatives_with_large_batches():
    arrays = operands((64, 2))
    check_gradients(lambda x, w, b: batch_norm(x, w, b)[0], *arrays, order=1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("shape", [(16, 3), (8, 3, 7), (4, 3, 5, 6), (3, 3, 2, 4, 3)])
def test_fused_recorded_and_chained_derivatives_agree(shape, layout, dtype, tolerance):
    arrays = operands(shape, dtype, layout)
    upstream = Tensor(normal(*shape, seed=3).astype(dtype))

    def gradients(function, create_graph):
        inputs = leaves(*arrays)
        return grad(function(*inputs), inputs, upstream, create_graph)

    chain = gradients(batch_norm_in_ops, create_graph=False)
    for create_graph in (False, True):
        for g, expected in zip(gradients(lambda *a: batch_norm(*a)[0], create_graph), chain, strict=True):
            assert g.dtype == dtype
            scale = np.abs(expected.numpy()).max()
            np.testing.assert_allclose(g.numpy(), expected.numpy(), rtol=0, atol=tolerance * scale)


def test_third_derivative_equals_the_chain():
    arrays = operands((5, 2))

    def third(function):
        x, weight, bias = leaves(*arrays)
        g = function(x, weight, bias)
        for seed in range(3):
            (g,) = grad(g, x, Tensor(normal(5, 2, seed=seed)), create_graph=True)
        return g.numpy()

    np.testing.assert_allclose(third(lambda *a: batch_norm(*a)[0]), third(batch_norm_in_ops), rtol=1e-8)


def test_the_memory_layout_does_not_change_the_result():
    upstream = normal(3, 4, 2, 5, seed=3)
    results = []
    for layout in ("NCHW", "NHWC"):
        inputs = leaves(*operands((3, 4, 2, 5), layout=layout))
        y, mean, variance = batch_norm(*inputs)
        results.append([y.numpy(), mean, variance, *[g.numpy() for g in grad(y, inputs, upstream)]])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_an_upstream_gradient_of_ones_hides_a_missing_term():
    """Why every check here draws a random upstream gradient."""
    x, weight, bias = operands((6, 2))
    mean, sigma = x.mean(axis=0), np.sqrt(x.var(axis=0) + 1e-5)
    x_hat = (x - mean) / sigma

    def right(g):
        h = weight * g
        return (h - h.mean(axis=0) - x_hat * (h * x_hat).mean(axis=0)) / sigma

    def wrong(g):  # the path through sigma is forgotten
        h = weight * g
        return (h - h.mean(axis=0)) / sigma

    ones, random = np.ones((6, 2)), normal(6, 2, seed=3)
    np.testing.assert_allclose(wrong(ones), right(ones), atol=1e-12)  # both are nearly 0: nothing is noticed
    assert np.abs(wrong(random) - right(random)).max() > 0.01
    inputs = leaves(x, weight, bias)
    for g in (ones, random):
        actual = grad(batch_norm(*inputs)[0], inputs[0], g)[0].numpy()
        np.testing.assert_allclose(actual, right(g), rtol=1e-9, atol=1e-12)


def test_operands_and_upstream_gradient_are_not_written_to():
    arrays = [*operands((4, 3, 2, 2), layout="NHWC"), normal(4, 3, 2, 2, seed=3)]
    before = [a.copy() for a in arrays]
    *inputs, upstream = leaves(*arrays)
    grad(batch_norm(*inputs)[0], inputs, upstream)
    grad(batch_norm(*inputs)[0], inputs, upstream, create_graph=True)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_only_the_gradient_that_was_asked_for():
    x, weight, bias = operands((5, 3))
    for wanted in range(3):
        inputs = [Tensor(a, requires_grad=i == wanted) for i, a in enumerate((x, weight, bias))]
        y = batch_norm(*inputs)[0]
        assert [parent for parent, _ in y.parents] == [inputs[wanted]]
        y.backward(normal(5, 3))
        assert [t.grad is not None for t in inputs] == [i == wanted for i in range(3)]


def test_float32_statistics_stay_float32():
    x, weight, bias = (Tensor(a) for a in operands((5, 3), np.float32))
    y, mean, variance = ops.batch_norm(x, weight, bias)
    assert y.dtype == mean.dtype == variance.dtype == np.float32
