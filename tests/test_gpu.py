"""The same code on a GPU: on a strict stand-in for CuPy everywhere, and on a real GPU where there is one.

`pytest -m gpu` runs only what needs a real GPU.
"""

import os
import subprocess
import sys

import fake_cupy
import numpy as np
import pytest
import versions
from test_ops import CHECKS

import minigan
from minigan import Tensor, backend, grad, nn, ops
from minigan.data import DataLoader
from minigan.fast import conv, kernels, norm
from minigan.gan import train
from minigan.gans import GANS
from minigan.ops.conv import Grid
from minigan.optim import SGD, Adam, RMSprop, clip_weights

needs_compiler = pytest.mark.skipif(fake_cupy.COMPILER is None, reason="a C++ compiler runs the kernels")


def why_no_gpu():
    try:
        backend._check("cuda")
    except RuntimeError as error:
        return str(error)
    return None


@pytest.fixture
def fake():
    """The stand-in as CuPy, `cuda` as the device, and the kernels of fast/ in plain mode too."""
    with versions.stand_in() as stand_in, versions.fast():
        yield stand_in


@pytest.fixture
def gpu():
    """A real GPU as the device."""
    if reason := why_no_gpu():
        pytest.skip(reason)
    minigan.use("cuda")
    with versions.fast():
        yield backend._cupy()
    minigan.use("cpu")


DEVICES = [pytest.param("fake", marks=needs_compiler), pytest.param("gpu", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def on_device(request):
    """Calls a function twice, with the device and with the CPU, and returns both results."""
    request.getfixturevalue(request.param)

    def both(function):
        there = function()
        minigan.use("cpu")
        here = function()
        minigan.use("cuda")
        return there, here

    return both


def everything(op, arrays):
    """The value, every gradient, and the gradients of a sum of all gradients with random weights."""
    operands = [Tensor(array, requires_grad=True) for array in arrays]
    y = op(*operands)
    rng = np.random.default_rng(3)
    gradients = grad(y, operands, Tensor(rng.standard_normal(y.shape)), create_graph=True)
    plain = grad(y, operands, Tensor(np.ones(y.shape)))
    total = Tensor(0.0, dtype="float64")
    for gradient in gradients:
        total = total + (gradient * Tensor(rng.standard_normal(gradient.shape))).sum()
    second = []
    for x in operands:
        try:
            second += grad(total, x)
        except ValueError:  # the gradients do not depend on this operand
            pass
    return [tensor.numpy() for tensor in (y, *gradients, *plain, *second)]


CASES = [
    pytest.param(op, arrays, id=f"{name}-{i}")
    for name, cases in CHECKS.items()
    for i, (op, _, arrays) in enumerate(cases)
    if i % 3 == 0 or name in ("batch_norm", "conv", "conv_transpose", "conv_weight", "getitem", "leaky_relu")
]


@pytest.mark.parametrize(("op", "arrays"), CASES)
def test_operations_give_the_same_at_orders_1_and_2(on_device, op, arrays):
    for there, here in zip(*on_device(lambda: everything(op, arrays)), strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("op", "arrays"), CASES)
def test_operations_in_plain_mode(fake, op, arrays):
    with minigan.plain():
        everything(op, arrays)


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def channels_last(array):
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def close(device_array, array):
    np.testing.assert_allclose(backend.to_numpy(device_array), array, rtol=1e-5, atol=1e-5)


@pytest.fixture(params=DEVICES)
def up(request):
    """Brings arrays to the device."""
    request.getfixturevalue(request.param)
    return lambda *arrays: [backend.asarray(array) for array in arrays]


@pytest.mark.parametrize("shape", [(7,), (4, 3), (2, 3, 4, 5), (0, 3)])
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_leaky_relu_kernels(up, shape, slope):
    x, g = normal(*shape), normal(*shape, seed=1)
    x.ravel()[:3] = [0.0, np.nan, -np.inf][: x.size]
    if x.ndim == 4:
        x = channels_last(x)
    close(kernels.leaky_relu(*up(x), slope), np.maximum(x, slope * x) if slope else np.maximum(x, 0))
    close(kernels.gate(*up(g, x), slope), g * np.where(x > 0, 1, slope))


@pytest.mark.parametrize(("m", "c"), [(2, 1), (5, 3), (300, 32), (1000, 5)])
def test_batch_norm_kernels(up, m, c):
    x, g, weight, bias = normal(m, c) * 3 + 2, normal(m, c, seed=1), normal(c, seed=2), normal(c, seed=3)
    y, mu, variance = norm._forward(x, weight, bias, 1e-5)
    for there, here in zip(kernels.batch_norm(*up(x, weight, bias), 1e-5), (y, mu, variance), strict=True):
        close(there, here)
    expected = norm._to_x(g, x, mu, variance, weight, 1e-5)
    close(kernels.batch_norm_to_x(*up(g, x, mu, variance, weight), 1e-5), expected)
    for there, here in (
        (kernels.batch_norm_to_weight(*up(g, x, mu, variance), 1e-5), norm._to_weight(g, x, mu, variance, 1e-5)),
        (kernels.channel_sum(*up(x)), x.sum(axis=0)),
        (kernels.channel_sum(*up(x, g)), (x * g).sum(axis=0)),
    ):
        np.testing.assert_allclose(backend.to_numpy(there), here, rtol=1e-4, atol=1e-4)


def test_adam_and_average_kernels(up):
    arrays = [normal(5, 4, seed=i) for i in range(4)]
    arrays[3] = np.abs(arrays[3])
    theta, g, m, v = (array.copy() for array in arrays)
    m[...] = 0.5 * m + 0.5 * g
    v[...] = 0.9 * v + 0.1 * g * g
    theta -= 0.01 * m / (np.sqrt(v) + 1e-3)
    there = up(*arrays)
    kernels.adam(*there, 0.5, 0.9, 0.01, 1e-3)
    for a, b in zip(there, (theta, g, m, v), strict=True):
        close(a, b)
    mean, x = up(arrays[0], arrays[1])
    kernels.blend(mean, x, 0.9)
    close(mean, 0.9 * arrays[0] + 0.1 * arrays[1])


@pytest.mark.parametrize("seed", range(16))
def test_adding_patches_by_gathering_and_cutting_them(up, seed):
    """With strides and paddings that differ from axis to axis, and images with pixels that no patch reaches."""
    rng = np.random.default_rng(seed)
    n, oh, ow, kh, kw, c, s, t = (int(rng.integers(1, high)) for high in (4, 6, 6, 5, 5, 4, 4, 4))
    padded = [(o - 1) * stride + k + int(rng.integers(0, 3)) for o, k, stride in ((oh, kh, s), (ow, kw, t))]
    padding = [int(rng.integers(0, min(3, (size + 1) // 2))) for size in padded]
    grid = Grid([size - 2 * p for size, p in zip(padded, padding, strict=True)], (kh, kw), (s, t), padding)
    parts, bias = normal(n, *grid.out, kh, kw, c), normal(c)
    images = np.zeros((n, *grid.padded, c), np.float32)
    conv.add_patches(images, parts, grid)
    images = images[:, *grid.inside]
    close(kernels.add_patches(*up(parts), None, grid), images)
    close(kernels.add_patches(*up(parts, bias), grid), images + bias)
    images = normal(n, *grid.size, c)
    close(kernels.patches(*up(images), (kh, kw), grid), conv.patches(images, grid))


@pytest.mark.parametrize("target", [0.0, 0.9, 1.0])
def test_loss_kernels(up, target):
    x = np.array([[-100.0], [-3.0], [0.0], [0.5], [40.0], [100.0]], np.float32)
    logits = Tensor(x, requires_grad=True)
    there = kernels.bce(*up(x), target), kernels.bce_to_logits(*up(x), *up(np.float32(0.7).reshape(())), target)
    minigan.use("cpu")
    logits = Tensor(x, requires_grad=True)
    loss = minigan.losses.bce_with_logits(logits, target)
    (gradient,) = grad(loss, logits, Tensor(np.float32(0.7)))
    sigmoid = ops.sigmoid(logits).numpy()
    minigan.use("cuda")
    close(there[0], loss.numpy())
    np.testing.assert_allclose(backend.to_numpy(there[1]), gradient.numpy(), rtol=1e-5, atol=0)
    np.testing.assert_allclose(backend.to_numpy(kernels.sigmoid(*up(x))), sigmoid, rtol=1e-5, atol=0)


# GAN, the shapes of its data, settings, and how many arrays a step brings to the device: noise, labels, places
KINDS = {
    "points": ("gan", {"samples": (2,)}, {"loss": "minimax"}, 2),
    "flat images": ("gan", {"samples": (1, 16, 16)}, {"loss": "least_squares"}, 2),
    "dcgan": ("dcgan", {"images": (1, 28, 28)}, {}, 2),
    "odd sizes in colour": ("dcgan", {"images": (3, 9, 13)}, {"loss": "hinge", "width": 4}, 2),
    "conditional": ("conditional", {"images": (1, 16, 16), "labels": (3,)}, {"width": 8}, 3),
    "wgan": ("wgan", {"samples": (2,)}, {"critic_steps": 2}, 3),
    "wgan of images": ("wgan", {"samples": (1, 8, 8)}, {"critic_steps": 3}, 4),
    "wgan-gp": ("wgan_gp", {"samples": (1, 16, 16)}, {"critic_steps": 2}, 5),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


SHAPES = {"samples": (1, 8, 8), "images": (1, 8, 8), "points": (2,), "labels": (3,)}
NOT_ABOVE = sorted(set(GANS) - {name for name, *_ in KINDS.values()})  # papers without a row of their own


@pytest.mark.parametrize("name", NOT_ABOVE)
@needs_compiler
def test_other_papers_train_on_the_device_too(fake, name):
    gan = GANS[name]({need: SHAPES[need] for need in GANS[name].needs()}, np.random.default_rng(0), epochs=1)
    n, rng, arrays = 2 * gan.samples_per_step, np.random.default_rng(0), {}
    for need in GANS[name].needs():
        array = np.arange(n) % 3 if need == "labels" else rng.uniform(-1, 1, (n, *SHAPES[need])).astype(np.float32)
        arrays[need] = backend.asarray(array)
    assert len(list(train(gan, DataLoader(arrays, batch_size=gan.samples_per_step)))) == 2


def made(kind):
    """A GAN on the current device."""
    name, shapes, settings, _ = KINDS[kind]
    return GANS[name](shapes, np.random.default_rng(0), batch_size=8, epochs=1, **settings)


def samples_for(kind, n):
    """The arrays that its step takes, on the current device."""
    rng, arrays = np.random.default_rng(0), {}
    for name, shape in KINDS[kind][1].items():
        array = np.arange(n) % shape[0] if name == "labels" else rng.uniform(-1, 1, (n, *shape)).astype(np.float32)
        arrays[name] = backend.asarray(array)
    return arrays


def trained(kind, steps=3):
    """A GAN, and the figures of so many steps, on the current device."""
    gan = made(kind)
    loader = DataLoader(samples_for(kind, steps * gan.samples_per_step), batch_size=gan.samples_per_step)
    return gan, list(train(gan, loader))


def weights(gan):
    return {name: backend.to_numpy(array) for name, array in gan.arrays().items()}


def assert_same_run(there, here, rtol=2e-3):
    for a, b in zip(there[1], here[1], strict=True):
        for name in a:
            assert a[name] == pytest.approx(b[name], rel=rtol, abs=1e-4)
    moments = (
        ".m",
        ".v",
    )  # a first step is the sign of a tiny gradient, which rounding may turn: compare what is steady
    for (name, a), b in zip(weights(there[0]).items(), weights(here[0]).values(), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        if not name.endswith(moments):
            assert np.mean(np.abs(a - b)) <= 1e-3 * max(np.mean(np.abs(b)), 0.1), name


@EVERY_KIND
def test_training_is_the_same(on_device, kind):
    there, here = on_device(lambda: trained(kind))
    assert_same_run(there, here)


@EVERY_KIND
def test_training_in_plain_mode_is_the_same(fake, kind):
    with minigan.plain():
        there = trained(kind)
        minigan.use("cpu")
        here = trained(kind)
    assert_same_run(there, here)


@needs_compiler
@EVERY_KIND
def test_a_step_reads_nothing_and_brings_over_its_random_numbers_only(fake, kind):
    gan, copies = made(kind), KINDS[kind][3]
    batch = samples_for(kind, gan.samples_per_step)
    fake.reset()
    gan.step(np.random.default_rng(0), **batch)
    assert (fake.counts.reads, fake.counts.copies) == (0, copies)

    loader = DataLoader(samples_for(kind, 5 * gan.samples_per_step), batch_size=gan.samples_per_step)
    fake.reset()
    list(train(gan, loader))
    assert fake.counts.copies == 5 * copies + 1  # ... and the order of the samples
    assert fake.counts.reads == 5  # the figures of each step


def planted(monkeypatch, plant):
    """One training step with a mistake in it."""
    gan = made("dcgan")
    batch = samples_for("dcgan", 8)
    plant(monkeypatch)
    fake_cupy.reset()
    gan.step(np.random.default_rng(0), **batch)


def zeros_on_the_host(monkeypatch):
    """np.zeros without like= in an operation."""
    wrong = lambda x, slope: np.maximum(x, np.zeros(x.shape, x.dtype))
    monkeypatch.setattr(kernels, "leaky_relu", wrong)


def mask_on_the_host(monkeypatch):
    """A mask that was made of a host array, in a loss."""
    mask = np.arange(8).reshape(8, 1) % 2

    def generator(fake):
        return -(fake * Tensor(fake.data * mask)).mean()

    monkeypatch.setattr(minigan.losses.non_saturating, "generator", staticmethod(generator))


def loss_read_in_the_step(monkeypatch):
    """`float(loss)` in the step: it stops the GPU until all before it is done."""
    right = minigan.losses.non_saturating.generator

    def generator(fake):
        loss = right(fake)
        float(loss.data)
        return loss

    monkeypatch.setattr(minigan.losses.non_saturating, "generator", staticmethod(generator))


@needs_compiler
@pytest.mark.parametrize("plant", [zeros_on_the_host, mask_on_the_host])
def test_the_stand_in_refuses_what_a_gpu_would_refuse(fake, monkeypatch, plant):
    with pytest.raises(TypeError, match=r"host array met a device array|Implicit conversion"):
        planted(monkeypatch, plant)


@needs_compiler
def test_the_stand_in_counts_a_read_in_the_step(fake, monkeypatch):
    planted(monkeypatch, loss_read_in_the_step)
    assert fake.counts.reads == 1


def test_the_stand_in_offers_no_more_than_cupy(fake):
    x = backend.asarray(normal(3, 4))
    for wrong in (
        lambda: np.asarray(x),
        lambda: np.array([1.0]) + x,
        lambda: x + normal(3, 4),
        lambda: x.__setitem__(0, normal(4)),
        lambda: np.add.at(x, 0, 1.0),
        lambda: np.add.reduce(x),
        lambda: np.lib.stride_tricks.as_strided(x, (2, 2), (4, 4), writeable=False),
        lambda: np.lib.stride_tricks.sliding_window_view(x, 2, axis=0, writeable=True),
        lambda: backend.asarray(np.array([None])),
        lambda: np.sum(x, where=True),
        lambda: np.unwrap(x, period=3, nothing=1),
    ):
        with pytest.raises((TypeError, NotImplementedError)):
            wrong()
    with pytest.raises(AttributeError):
        x.newbyteorder()


def test_the_list_of_what_cupy_offers():
    """`cupy_api.json` is what this prints where CuPy 14 is installed."""
    cupy = pytest.importorskip("cupy", minversion="14", reason="CuPy is not installed")
    import inspect

    for name, parameters in fake_cupy.API.items():
        if name == "ndarray":
            assert parameters == sorted(n for n in dir(cupy.ndarray) if not n.startswith("_"))
            continue
        function = cupy
        for part in name.split("."):
            function = getattr(function, part)
        found = "ufunc" if isinstance(function, cupy.ufunc) else list(inspect.signature(function).parameters)
        assert found == parameters, name


@needs_compiler
def test_going_on_in_the_middle_of_an_epoch(fake, tmp_path):
    straight, stopped, resumed = (made("points") for _ in range(3))
    loader = DataLoader(samples_for("points", 48), batch_size=8)
    list(train(straight, loader))
    for _ in train(stopped, loader):
        if stopped.steps == 4:
            stopped.save(tmp_path / "c.safetensors")
            break
    resumed.load(tmp_path / "c.safetensors")
    list(train(resumed, loader))
    for name, array in weights(straight).items():
        np.testing.assert_array_equal(array, weights(resumed)[name])


@needs_compiler
@pytest.mark.parametrize("optimizer", [SGD, RMSprop, Adam])
def test_optimizers(fake, optimizer):
    def moved():
        parameter = nn.Parameter(normal(4, 3))
        steps = optimizer([parameter], lr=0.1)
        for seed in range(3):
            parameter.grad = Tensor(normal(4, 3, seed=seed))
            steps.step()
        clip_weights([parameter], 0.5)
        return parameter.numpy()

    there = moved()
    minigan.use("cpu")
    np.testing.assert_allclose(there, moved(), rtol=1e-5, atol=1e-6)


@needs_compiler
def test_checkpoints_go_both_ways(fake, tmp_path):
    there, _ = trained("conditional")
    there.save(tmp_path / "gpu.safetensors")
    minigan.use("cpu")
    here = made("conditional")
    here.load(tmp_path / "gpu.safetensors")
    here.save(tmp_path / "cpu.safetensors")
    assert (tmp_path / "gpu.safetensors").read_bytes() == (tmp_path / "cpu.safetensors").read_bytes()
    noise = normal(6, here.noise_dim)
    samples = here.sample(noise)
    minigan.use("cuda")
    again = made("conditional")
    again.load(tmp_path / "cpu.safetensors")
    np.testing.assert_allclose(again.sample(noise), samples, atol=1e-5)


def test_an_array_of_another_device_gets_one_sentence(fake):
    x = Tensor(normal(3))
    minigan.use("cpu")
    with pytest.raises(TypeError, match='the array is on the GPU, but the device is "cpu"'):
        Tensor(x.data)


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment, timeout=120
    )


NO_CUPY = "import sys; sys.modules['cupy'] = None; "
NO_DRIVER = """
import sys, types
def none(): raise RuntimeError("cudaErrorInsufficientDriver: the driver is too old")
runtime = types.SimpleNamespace(getDeviceCount=none)
sys.modules["cupy"] = types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime))
"""


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        (NO_CUPY, "device 'cuda' needs CuPy, which is not installed: run `pip install 'minigan[cuda12]'`"),
        (NO_DRIVER, "device 'cuda' finds no usable GPU (cudaErrorInsufficientDriver"),
    ],
)
def test_without_cupy_or_a_driver_there_is_one_sentence(before, sentence, tmp_path):
    command = ["train", "dcgan", "--device", "cuda", "--output", str(tmp_path / "run")]
    result = run_python(f"{before}\nfrom minigan.cli import main; sys.exit(main({command}))")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"minigan: {sentence}") and result.stderr.count("\n") == 1
    result = run_python(f"{before}\nimport minigan; minigan.use('cuda')")
    assert f"RuntimeError: {sentence}" in result.stderr
    result = run_python(f"{before}\nimport minigan; minigan.Tensor(1.0)", MINIGAN_DEVICE="cuda")
    assert sentence in result.stderr
    result = run_python(f"{before}\nfrom minigan.cli import main; sys.exit(main(['info']))")
    assert result.returncode == 0 and "NumPy" in result.stdout and sentence in result.stdout


def test_an_unknown_device():
    with pytest.raises(ValueError, match="unknown device 'tpu': choose 'cpu' or 'cuda'"):
        minigan.use("tpu")
    result = run_python("import minigan; minigan.Tensor(1.0)", MINIGAN_DEVICE="tpu")
    assert "unknown device 'tpu'" in result.stderr


# --- on a real GPU only --------------------------------------------------------------------------------------


@pytest.mark.gpu
@EVERY_KIND
def test_two_runs_on_a_gpu_give_the_same_bytes(gpu, kind):
    first, second = (weights(trained(kind)[0]) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.gpu
def test_memory_stays_flat_over_1000_steps(gpu):
    gan, batch = made("dcgan"), samples_for("dcgan", 8)
    pool, used = gpu.get_default_memory_pool(), []
    for step in range(1000):
        gan.step(np.random.default_rng(step), **batch)
        if step >= 100 and step % 100 == 0:
            used.append(pool.total_bytes())
    assert max(used) <= 1.02 * used[0]


@pytest.mark.gpu
def test_a_full_gpu_gets_a_clear_message(gpu, capsys, tmp_path):
    from minigan.cli import main

    pool = gpu.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=64 * 2**20)
    try:
        assert main(["train", "dcgan", "--device", "cuda", "--output", str(tmp_path / "run")]) == 2
    finally:
        pool.set_limit(size=0)
    assert "not enough memory" in capsys.readouterr().err
