"""fast/ equals what is read: each fast version against the plain one, at random shapes and settings.

Compared are values, gradients, and gradients of gradients, in float32 and float64, on 1, 2 and 4 threads, in blocks of
any size, and on the stand-in for CuPy. OPERATIONS and STEPS name every function that has a fast version; one that is
not in them fails the first test.
"""

import fake_cupy
import numpy as np
import pytest
import versions
from finite_differences import leaves

from minigan import Tensor, backend, grad, losses, nn, ops, table
from minigan.fast.conv import BLOCK
from minigan.gan import computing
from minigan.gans import GANS
from minigan.gans.gan import discriminator_step
from minigan.gans.wgan_gp import WGANGP
from minigan.networks import dcgan_discriminator, dcgan_generator, mlp_discriminator, mlp_generator
from minigan.nn.norm import update_running
from minigan.ops.conv import Grid
from minigan.ops.math import sigmoid
from minigan.optim import SGD, Adam, RMSprop

DTYPES = [np.float32, np.float64]
needs_compiler = pytest.mark.skipif(fake_cupy.COMPILER is None, reason="a C++ compiler runs the kernels")


# --- what is drawn for each function: a call, and the arrays that it takes as tensors ------------------------------


def any_order(rng, array):
    """The same numbers in one of several orders in memory."""
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1) if array.ndim > 1 else array
    return [array, last, np.asfortranarray(array), array[::-1].copy()[::-1]][rng.integers(4)]


def normal(rng, *shape):
    return any_order(rng, rng.standard_normal(shape))


def some(rng, low, high, count):
    """So many whole numbers from low to high."""
    return tuple(rng.integers(low, high + 1, count).tolist())


def draw_leaky_relu(rng):
    slope = float(rng.choice([0.0, 0.01, 0.2, 1.0]))
    x = normal(rng, *some(rng, 0 if rng.random() < 0.2 else 1, 9, rng.integers(1, 6)))
    return lambda x: ops.leaky_relu(x, slope), [np.round(x, 1)]  # with some numbers that are 0


def draw_sigmoid(rng):
    return sigmoid, [30 * normal(rng, *some(rng, 1, 9, rng.integers(1, 4)))]


def draw_bce(rng):
    target = float(rng.choice([0.0, 0.9, 1.0, rng.random()]))
    return lambda x: losses.bce_with_logits(x, target), [5 * normal(rng, rng.integers(1, 20), 1)]


def draw_batch_norm(rng):
    n, channels, *size = some(rng, 1, 5, rng.integers(2, 6))
    n, eps = n + 6, float(rng.choice([1e-5, 0.5]))
    x = normal(rng, n, channels, *size) * 2 + 3
    return lambda *a: ops.batch_norm(*a, eps)[0], [x, rng.standard_normal(channels) + 2, rng.standard_normal(channels)]


def draw_convolution(rng):
    """A size that fits, channels, and settings that differ from axis to axis."""
    n, channels, outputs = some(rng, 1, 6, 3)
    if (
        rng.random() < 0.4
    ):  # strides that divide the sizes of image and kernel, which the fast version has a shortcut for
        stride, padding, times = some(rng, 2, 3, 2), some(rng, 0, 2, 2), some(rng, 1, 2, 4)
        kernel = tuple(s * k for s, k in zip(stride, times[:2], strict=True))
        size = tuple(s * (3 + k) - 2 * p for s, k, p in zip(stride, times[2:], padding, strict=True))
        return n, channels, outputs, size, kernel, stride, padding, [(1, 1), 1, (1, 1), (2, 1)][rng.integers(4)]
    axes = int(rng.integers(1, 4))
    kernel, stride, padding, dilation = (some(rng, *ends, axes) for ends in ((1, 4), (1, 3), (0, 2), (1, 2)))
    needed = [max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation, strict=True)]
    size = tuple(n + int(rng.integers(0, 9 - 2 * axes)) for n in needed)
    return n, channels, outputs, size, kernel, stride, padding, dilation


def draw_conv(rng):
    n, channels, outputs, size, kernel, *settings = draw_convolution(rng)
    arrays = [normal(rng, n, channels, *size), normal(rng, outputs, channels, *kernel), rng.standard_normal(outputs)]
    return lambda x, w, b=None: ops.conv(x, w, b, *settings), arrays[: rng.integers(2, 4)]


def draw_conv_transpose(rng):
    """From the places of a convolution back to its input, whose size output_padding restores."""
    n, channels, outputs, size, kernel, stride, padding, dilation = draw_convolution(rng)
    grid = Grid(size, kernel, stride, padding, dilation)
    arrays = [
        normal(rng, n, channels, *grid.out),
        normal(rng, channels, outputs, *kernel),
        rng.standard_normal(outputs),
    ]
    settings = stride, padding, grid.left_over, dilation
    return lambda x, w, b=None: ops.conv_transpose(x, w, b, *settings), arrays[: rng.integers(2, 4)]


def draw_conv_weight(rng):
    n, channels, outputs, size, kernel, *settings = draw_convolution(rng)
    x, y = normal(rng, n, channels, *size), normal(rng, n, outputs, *Grid(size, kernel, *settings).out)
    return lambda x, y: ops.conv_weight(x, y, kernel, *settings), [x, y]


def draw_product(rng):
    n, k, m = some(rng, 1, 40, 3)
    shapes = [((n, k), (k, m)), ((n, 1), (1, m)), ((k,), (k, m)), ((2, n, k), (k, m)), ((0, k), (k, m))]
    a, b = shapes[rng.choice(5, p=[0.6, 0.1, 0.1, 0.1, 0.1])]
    return ops.matmul, [normal(rng, *a), normal(rng, *b)]


OPERATIONS = {
    "leaky_relu": draw_leaky_relu,
    "sigmoid": draw_sigmoid,
    "bce_with_logits": draw_bce,
    "batch_norm": draw_batch_norm,
    "correlate": draw_conv,
    "stamp": draw_conv_transpose,
    "correlate_weight": draw_conv_weight,
    "product": draw_product,
}


# --- the functions that are no operations: what is drawn gives arrays, of its own or of networks -------------------


def draw_statistics(rng, dtype):
    """The second and third result of batch norm."""
    _, arrays = draw_batch_norm(rng)
    return lambda: ops.batch_norm(*[Tensor(array.astype(dtype)) for array in arrays])[1:]


def draw_adam(rng, dtype):
    """Five steps of a parameter, whose gradients lie in memory in any order."""
    shape, lr, eps = some(rng, 1, 9, rng.integers(1, 5)), float(rng.random()), float(rng.choice([1e-8, 1e-2]))
    betas = tuple(rng.choice([0.0, 0.5, 0.9, 0.999], 2).tolist())
    start, gradients = normal(rng, *shape).astype(dtype), [normal(rng, *shape).astype(dtype) for _ in range(5)]

    def steps():
        parameter = nn.Parameter(start.copy("K"))
        optimizer = Adam([parameter], lr, betas, eps)
        for g in gradients:
            parameter.grad = Tensor(g)
            optimizer.step()
        return [parameter.data, *[array for name, array in optimizer.state().items() if name != "steps"]]

    return steps


def draw_update_running(rng, dtype):
    shape, momentum = some(rng, 1, 9, rng.integers(1, 5)), float(rng.random())
    running, batch = normal(rng, *shape).astype(dtype), normal(rng, *shape).astype(dtype)

    def update():
        mean = Tensor(running.copy())
        update_running(mean, backend.asarray(batch), momentum)
        return [mean.data]

    return update


def with_dtype(dtype, *networks):
    for network in networks:
        for tensor in network.state().values():
            tensor.data = tensor.data.astype(dtype)
    return networks


def draw_discriminator_step(rng, dtype):
    """A discriminator with or without layers that look across the batch, in any game."""
    seed, kind = int(rng.integers(1000)), ["dense", "batch norm", "convolution"][rng.integers(3)]
    game = list(losses.GAMES.values())[rng.integers(len(losses.GAMES))]
    shape, n, m = ((2,) if kind == "dense" else (1, 8, 9)), *some(rng, 3, 8, 2)  # there may be more reals than fakes
    real, noise = rng.standard_normal((n, *shape)).astype(dtype), rng.standard_normal((m, 3)).astype(dtype)

    def step():
        weights = np.random.default_rng(seed)
        if kind == "dense":
            G, D = mlp_generator(3, shape, (5,), weights), mlp_discriminator(shape, (7,), weights)
        else:
            G = dcgan_generator(3, shape, 2, weights)
            D = dcgan_discriminator(shape, 2, weights, norm=kind == "batch norm")
        with_dtype(dtype, G, D)
        optimizer = SGD(D.parameters(), 0.1, momentum=0.5)
        figures = discriminator_step(G, D, optimizer, game, Tensor(real), Tensor(noise))
        return [t.data for t in (*figures.values(), *D.state().values(), *G.state().values())]

    return step


def draw_critic_step(rng, dtype):
    """On points and images, with the same noise and places for the penalty."""
    seed, shape = int(rng.integers(1000)), ((2,), (1, 8, 9))[rng.integers(2)]
    real = rng.standard_normal((int(rng.integers(3, 8)), *shape)).astype(dtype)

    def step():
        gan = WGANGP({"samples": shape}, np.random.default_rng(seed), penalty=2.0)
        with_dtype(dtype, gan.G, gan.D)
        gan.d_optimizer = SGD(gan.D.parameters(), 0.1, momentum=0.5)
        gan.G.forward = lambda z: type(gan.G).forward(gan.G, ops.astype(z, dtype))  # noise is float32
        figures = gan.critic_step(np.random.default_rng(seed), Tensor(real))
        return [t.data for t in (*figures.values(), *gan.D.state().values(), *gan.G.state().values())]

    return step


def draw_computing(rng, dtype):
    """Scores that are computed inside."""
    name = ["gan", "dcgan"][rng.integers(2)]
    shape = (2,) if name == "gan" else (1, 8, 8)
    x = rng.standard_normal((5, *shape)).astype(dtype)

    def scores():
        gan = GANS[name]({"samples": shape, "images": shape}, np.random.default_rng(0))
        with_dtype(dtype, gan.D)
        with computing(gan):
            return [gan.D(Tensor(x)).data]

    return scores


STEPS = {
    "batch_norm": draw_statistics,
    "Adam.update": draw_adam,
    "update_running": draw_update_running,
    "discriminator_step": draw_discriminator_step,
    "WGANGP.critic_step": draw_critic_step,
    "computing": draw_computing,
}


def test_every_fast_version_is_tested_here():
    with_a_fast_version = {name for name in table.PLAIN if table.FASTEST[name] is not table.PLAIN[name]}
    assert with_a_fast_version == OPERATIONS.keys() | STEPS.keys()


# --- plain and fast ------------------------------------------------------------------------------------------------


def everything(function, arrays, seed):
    """The value; all gradients, recorded and not, and those of one operand alone; and gradients of the gradients."""
    dtype = arrays[0].dtype
    operands = leaves(*arrays)
    y = function(*operands)
    rng = np.random.default_rng(seed)
    upstream = Tensor(rng.standard_normal(y.shape).astype(dtype), requires_grad=True)
    weights = [Tensor(rng.standard_normal(a.shape).astype(dtype)) for a in arrays]
    results = [y, *grad(y, operands, upstream)]
    for number in range(len(arrays)):
        alone = [Tensor(a, requires_grad=i == number) for i, a in enumerate(arrays)]
        results += grad(function(*alone), alone[number], upstream)
    gradients = grad(y, operands, upstream, create_graph=True)
    total = sum((g * w).sum() for g, w in zip(gradients, weights, strict=True))
    for x in (*operands, upstream):  # where a gradient does not depend on x, 0 x lets it take part all the same
        total = total + (x * 0.0).sum()
    return [t.numpy() for t in (*results, *gradients, *grad(total, [*operands, upstream]))]


def assert_same(actual, expected, tolerance=None):
    for number, (a, b) in enumerate(zip(actual, expected, strict=True)):
        assert a.dtype == b.dtype and a.shape == b.shape, number
        allowed = tolerance or {np.dtype("float32"): 2e-4, np.dtype("float64"): 1e-10}[b.dtype]
        allowed *= max(1, np.abs(b).max(initial=0))
        np.testing.assert_allclose(a, b, rtol=0, atol=allowed, err_msg=f"result {number}")


@pytest.fixture
def calls(monkeypatch):
    """Watches a fast version: the returned list gets longer with each call."""

    def watch(name):
        seen, version = [], table.FASTEST[name]

        def watched(*args, **kwargs):
            seen.append(name)
            return version(*args, **kwargs)

        monkeypatch.setitem(table.FASTEST, name, watched)
        return seen

    return watch


def compare(compute, seen):
    """The plain numbers, and the same fast: on 1, 2 and 4 threads, in blocks of all sizes."""
    with versions.plain():
        expected = compute()
    assert seen == []  # nothing of fast/ ran
    for count, block in ((1, BLOCK), (2, 1), (4, 300)):
        with versions.fast(count, block):
            assert_same(compute(), expected)
    assert seen  # and here it did


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_agree_at_orders_0_1_and_2(name, dtype, seed, calls):
    function, arrays = OPERATIONS[name](np.random.default_rng([seed, *name.encode()]))
    arrays = [array.astype(dtype) for array in arrays]
    compare(lambda: everything(function, arrays, seed), calls(name))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", STEPS)
def test_steps_agree(name, dtype, seed, calls):
    compute = STEPS[name](np.random.default_rng([seed, *name.encode()]), dtype)
    compare(lambda: [np.array(array) for array in compute()], calls(name))


@pytest.mark.parametrize("shape", [(7,), (13, 9), (3, 4, 5, 6)])
@pytest.mark.parametrize("optimizer", [SGD, RMSprop, Adam])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_optimizers_move_the_same_way_in_blocks(count, optimizer, shape):
    moved = []
    for version in (versions.plain(), versions.fast(count)):
        rng = np.random.default_rng(0)
        start = rng.standard_normal(shape)
        if len(shape) == 4:
            start = np.moveaxis(np.ascontiguousarray(np.moveaxis(start, 1, -1)), -1, 1)
        parameter = nn.Parameter(start)
        step = optimizer([parameter], lr=0.1)
        with version:
            for _ in range(3):
                parameter.grad = Tensor(rng.standard_normal(shape))  # in another order in memory than the parameter
                step.step()
        moved.append(parameter.numpy())
    np.testing.assert_allclose(*moved, rtol=1e-12, atol=1e-12)


def test_an_operand_that_was_frozen_since_may_still_be_differentiated_twice():
    """The quick derivatives compute the plain operation once more, and leave everything as it was."""
    with versions.fast():
        x, weight, bias = leaves(*(np.random.default_rng(i).standard_normal(s) for i, s in enumerate([(6, 2), 2, 2])))
        y = ops.batch_norm(x, weight, bias)[0]
        expected = grad(y, [x, weight], np.ones((6, 2)), create_graph=True)
        weight.requires_grad = False
        actual = grad(y, [x, weight], np.ones((6, 2)), create_graph=True)
    assert not weight.requires_grad and x.requires_grad
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert actual[0].requires_grad


def test_without_batch_norm_reals_and_fakes_are_scored_in_one_pass():
    rng = np.random.default_rng(0)
    G = mlp_generator(3, (2,), (4,), rng)
    for norm, expected in (([], [(6, 2)]), ([nn.BatchNorm1d(2)], [(3, 2), (3, 2)])):
        D, calls = nn.Sequential(*norm, nn.Linear(2, 1, rng=rng)), []
        forward = D.forward
        D.forward = lambda x, forward=forward, calls=calls: calls.append(x.shape) or forward(x)
        real, noise = (Tensor(rng.standard_normal((3, n), dtype=np.float32)) for n in (2, 3))
        with versions.fast():
            discriminator_step(G, D, SGD(D.parameters()), losses.hinge, real, noise)
        assert calls == expected


# --- on the stand-in for CuPy --------------------------------------------------------------------------------------


def compare_with_stand_in(compute, seen):
    """The plain numbers on the CPU, and on the stand-in: plain, and with the kernels of fast/."""
    with versions.plain():
        expected = compute()
    with versions.stand_in(), versions.fast():
        fast = compute()
    assert seen  # its fast version ran there
    assert_same(fast, expected)
    with versions.stand_in(), versions.plain():
        assert_same(compute(), expected)


@needs_compiler
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_agree_on_the_stand_in(name, dtype, seed, calls):
    function, arrays = OPERATIONS[name](np.random.default_rng([seed, *name.encode()]))
    arrays = [array.astype(dtype) for array in arrays]
    compare_with_stand_in(lambda: everything(function, arrays, seed), calls(name))


@needs_compiler
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", STEPS)
def test_steps_agree_on_the_stand_in(name, dtype, seed, calls):
    compute = STEPS[name](np.random.default_rng([seed, *name.encode()]), dtype)
    compare_with_stand_in(lambda: [np.array(backend.to_numpy(array)) for array in compute()], calls(name))


@pytest.mark.parametrize("function", [ops.relu, ops.leaky_relu, sigmoid, nn.LeakyReLU(0.2)])
def test_an_array_in_the_place_of_a_tensor_is_not_taken_for_one_of_cupys(function):
    array = np.array([[-1.0, 2.0]])
    np.testing.assert_array_equal(function(array).numpy(), function(Tensor(array)).numpy())


@pytest.mark.parametrize("game", [losses.minimax, losses.non_saturating])
@pytest.mark.parametrize("logits", [np.ones(3, np.float32), np.float32(1)])
def test_losses_of_arrays_say_nothing_of_cupy(game, logits):
    with pytest.raises(TypeError, match="bce_with_logits of shapes"):
        game.discriminator(logits, logits)
