"""The five workloads: networks as lists of layers, so that both sides build exactly the same."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

Layer = tuple  # ("linear", in, out), ("conv", in, out, kernel, stride, padding, bias), ("relu",), ...


@dataclass(frozen=True)
class Workload:
    """One training step: of both players or, with `penalty`, of a critic with gradient penalty."""

    name: str
    title: str
    generator: list[Layer]
    discriminator: list[Layer]
    noise: tuple[int, ...]
    image: tuple[int, ...]
    batch: int
    penalty: bool = False


def _dense(widths: list[int], activation: Layer) -> list[Layer]:
    layers = [layer for a, b in pairwise(widths[:-1]) for layer in (("linear", a, b), activation)]
    return [*layers, ("linear", *widths[-2:])]


def _dcgan28(norm: bool) -> tuple[list[Layer], list[Layer]]:
    generator = [("linear", 64, 7 * 7 * 128), ("reshape", 128, 7, 7), ("norm", 128), ("relu",)]
    generator += [("conv_transpose", 128, 64, 4, 2, 1, True), ("norm", 64), ("relu",)]
    generator += [("conv_transpose", 64, 1, 4, 2, 1, True), ("tanh",)]
    discriminator = [("conv", 1, 64, 4, 2, 1, True), ("leaky_relu",), ("conv", 64, 128, 4, 2, 1, True)]
    discriminator += [("norm", 128)] * norm + [("leaky_relu",), ("reshape", 7 * 7 * 128), ("linear", 7 * 7 * 128, 1)]
    return generator, discriminator


def _dcgan64() -> tuple[list[Layer], list[Layer]]:
    """The networks of PyTorch's DCGAN tutorial, with ngf = ndf = 64 and 100 noise numbers."""
    generator: list[Layer] = [("conv_transpose", 100, 512, 4, 1, 0, False), ("norm", 512), ("relu",)]
    discriminator: list[Layer] = [("conv", 3, 64, 4, 2, 1, False), ("leaky_relu",)]
    for a, b in pairwise([512, 256, 128, 64]):
        generator += [("conv_transpose", a, b, 4, 2, 1, False), ("norm", b), ("relu",)]
    generator += [("conv_transpose", 64, 3, 4, 2, 1, False), ("tanh",)]
    for a, b in pairwise([64, 128, 256, 512]):
        discriminator += [("conv", a, b, 4, 2, 1, False), ("norm", b), ("leaky_relu",)]
    return generator, [*discriminator, ("conv", 512, 1, 4, 1, 0, False), ("reshape", 1)]


RELU, LEAKY = ("relu",), ("leaky_relu",)
WORKLOADS = [
    Workload(
        "W1",
        "dense GAN on points",
        _dense([16, 128, 128, 2], RELU),
        _dense([2, 128, 128, 1], LEAKY),
        (16,),
        (2,),
        256,
    ),
    Workload(
        "W2",
        "dense GAN on MNIST",
        [*_dense([64, 256, 512, 784], RELU), ("tanh",)],
        _dense([784, 512, 256, 1], LEAKY),
        (64,),
        (784,),
        128,
    ),
    Workload("W3", "DCGAN 28x28", *_dcgan28(norm=True), (64,), (1, 28, 28), 64),
    Workload("W4", "DCGAN 64x64x3", *_dcgan64(), (100, 1, 1), (3, 64, 64), 32),
    Workload("W5", "WGAN-GP critic", *_dcgan28(norm=False), (64,), (1, 28, 28), 64, penalty=True),
]
LARGE = [replace(w, name=f"{w.name}L", title=f"{w.title}, 512", batch=512) for w in WORKLOADS[2:4]]  # for a GPU


@dataclass(frozen=True)
class Op:
    """One operation on operands of these shapes; images are (N, C, H, W)."""

    title: str
    name: str
    shapes: tuple[tuple[int, ...], ...]
    settings: tuple[float, ...] = ()  # stride and padding, or the slope


OPS = [
    Op("linear 512 -> 784, batch 128", "linear", ((128, 512), (784, 512), (784,))),
    Op("conv2d 1 -> 64, 28x28", "conv2d", ((64, 1, 28, 28), (64, 1, 4, 4), (64,)), (2, 1)),
    Op("conv2d 64 -> 128, 14x14", "conv2d", ((64, 64, 14, 14), (128, 64, 4, 4), (128,)), (2, 1)),
    Op("conv_transpose2d 128 -> 64, 7x7", "conv_transpose2d", ((64, 128, 7, 7), (128, 64, 4, 4), (64,)), (2, 1)),
    Op("conv_transpose2d 64 -> 1, 14x14", "conv_transpose2d", ((64, 64, 14, 14), (64, 1, 4, 4), (1,)), (2, 1)),
    Op("batch_norm 64 channels, 14x14", "batch_norm", ((64, 64, 14, 14), (64,), (64,))),
    Op("leaky_relu 64 channels, 14x14", "leaky_relu", ((64, 64, 14, 14),), (0.2,)),
    Op("tanh 1 channel, 28x28", "tanh", ((64, 1, 28, 28),)),
    Op("bce_with_logits, batch 256", "bce", ((256, 1),)),
]


def operands(op: Op) -> list[np.ndarray]:
    """Random operands, with images channels last in memory, as each side's own layers leave them when it is fast."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in op.shapes]
    return [channels_last(array) for array in arrays]


def channels_last(array: np.ndarray) -> np.ndarray:
    """The same numbers, in the order (N, H, W, C) in memory, if they are images or kernels."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if array.ndim == 4 else array


def seconds_of(call: Callable[[], Any], least: float = 0.05) -> float:
    """How long a call takes: the median of as many as fill so many seconds."""
    call()
    times: list[float] = []
    while sum(times) < least or len(times) < 3:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def weights(layers: list[Layer], seed: int) -> list[np.ndarray]:
    """The parameters of a network in order, float32, in the shapes that minigan and PyTorch share."""
    rng = np.random.default_rng(seed)
    arrays = []
    for kind, *sizes in layers:
        if kind == "linear":
            arrays += [rng.standard_normal((sizes[1], sizes[0])) * (2 / sizes[0]) ** 0.5, np.zeros(sizes[1])]
        elif kind in ("conv", "conv_transpose"):
            n_in, n_out, kernel, stride, _, bias = sizes
            shape = (n_out, n_in) if kind == "conv" else (n_in, n_out)
            fan_in = n_in * kernel**2 if kind == "conv" else n_in * kernel**2 / stride**2
            arrays += [rng.standard_normal((*shape, kernel, kernel)) * (2 / fan_in) ** 0.5]
            arrays += [np.zeros(n_out)] * bias
        elif kind == "norm":
            arrays += [np.ones(sizes[0]), np.zeros(sizes[0])]
    return [array.astype(np.float32) for array in arrays]


def batch(workload: Workload) -> np.ndarray:
    """Real images for a step, in [-1, 1]."""
    return np.random.default_rng(0).uniform(-1, 1, (workload.batch, *workload.image)).astype(np.float32)
