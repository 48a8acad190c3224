"""The steps of a workload in minigan: those of `train.py`, and nothing else."""

import math
from typing import Any

import numpy as np

from minigan import backend, losses, nn, ops, train
from minigan.bench.workloads import Layer, Op, Workload, batch, channels_last, operands, seconds_of, weights
from minigan.optim import SGD, Adam, Optimizer
from minigan.parallel import THREADS, blas_threads
from minigan.tensor import Tensor, grad


def network(layers: list[Layer], seed: int) -> nn.Sequential:
    """The layers with the weights that the other side has too."""
    kinds = {
        "linear": nn.Linear,
        "conv": nn.Conv2d,
        "conv_transpose": lambda a, b, k, s, p, bias: nn.ConvTranspose2d(a, b, k, s, p, bias=bias),
        "norm": nn.BatchNorm2d,
        "relu": nn.ReLU,
        "leaky_relu": lambda: nn.LeakyReLU(0.2),
        "tanh": nn.Tanh,
        "reshape": nn.Reshape,
    }
    model = nn.Sequential(*[kinds[kind](*sizes) for kind, *sizes in layers])
    for parameter, array in zip(model.parameters(), weights(layers, seed), strict=True):
        parameter.data[...] = backend.asarray(array)
    return model


class GivenNoise:
    """Stands in for a random generator, and gives the same numbers to both sides."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def standard_normal(self, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        """Numbers that the other side draws in the same way, in float64."""
        return self.rng.standard_normal(shape)

    def random(self, shape: tuple[int, ...]) -> np.ndarray:
        """The places between reals and fakes, for the penalty."""
        return self.rng.random(shape)


class MiniganSide:
    """One workload; `step()` is a whole training step."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.generator, self.discriminator = network(workload.generator, 1), network(workload.discriminator, 2)
        self.real = Tensor(batch(workload))
        self.rng: Any = np.random.default_rng(0)
        if backend.device() == "cuda":  # drawn and brought over ahead, as `train.train` does; the same in each step
            sizes = workload.batch * (2 * math.prod(workload.noise) + 1)
            self.numbers = backend.asarray(self.rng.standard_normal(sizes, dtype=np.float32))
        self.g_optimizer = Adam(self.generator.parameters(), 2e-4, (0.5, 0.999))
        self.d_optimizer = Adam(self.discriminator.parameters(), 2e-4, (0.5, 0.999))

    def step(self) -> None:
        """One step of each player, or of the critic."""
        rng = train.Drawn(self.numbers) if backend.device() == "cuda" else self.rng
        self._step(self.g_optimizer, self.d_optimizer, rng)

    def _step(self, g_optimizer: Optimizer, d_optimizer: Optimizer, rng: Any) -> list[float]:
        workload = self.workload
        noise = workload.noise[0]
        game = losses.wasserstein if workload.penalty else losses.non_saturating
        players = self.generator if len(workload.noise) == 1 else _Reshaped(self.generator), self.discriminator
        with train.suitable_threads(*players):
            penalty = 10.0 if workload.penalty else 0.0
            figures = train.discriminator_step(*players, d_optimizer, game, self.real, noise, rng, penalty=penalty)
            if not workload.penalty:
                figures |= train.generator_step(*players, g_optimizer, game, workload.batch, noise, rng)
        return [figures[name].item() for name in ("d_loss", "g_loss") if name in figures]

    def proof(self) -> dict[str, np.ndarray]:
        """The losses and all gradients of a step that moves nothing, to be compared with the other side's.

        In float64, where they must agree to many digits: in float32, rounding alone reaches per cents in W4.
        """
        for tensor in [*self.generator.state().values(), *self.discriminator.state().values(), self.real]:
            tensor.data = tensor.data.astype(np.float64)
        optimizers = [SGD(net.parameters(), lr=0.0) for net in (self.generator, self.discriminator)]
        proof = {"losses": np.array(self._step(*optimizers, GivenNoise(3)))}
        for name, net in (("generator", self.generator), ("discriminator", self.discriminator)):
            for i, parameter in enumerate(net.parameters()):
                if parameter.grad is not None:
                    proof[f"{name} {i}"] = parameter.grad.numpy()
        return proof


def op_seconds(op: Op) -> dict[str, float]:
    """How long the forward pass and the gradient of each operand take."""
    functions = {
        "linear": ops.linear,
        "conv2d": ops.conv2d,
        "conv_transpose2d": ops.conv_transpose2d,
        "batch_norm": lambda *a: ops.batch_norm(*a)[0],
        "leaky_relu": ops.leaky_relu,
        "tanh": ops.tanh,
        "bce": lambda x: losses.bce_with_logits(x, 1.0),
    }
    tensors = [Tensor(array, requires_grad=True) for array in operands(op)]

    def forward() -> Tensor:
        return functions[op.name](*tensors, *op.settings)

    y = forward()
    g = Tensor(channels_last(np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)))
    with blas_threads(THREADS if op.name == "linear" else 1):
        times = {"forward": seconds_of(forward)}
        for number, x in enumerate(tensors):
            times[f"gradient {number}"] = seconds_of(lambda x=x: grad(y, x, g))
    return times


class _Reshaped(nn.Sequential):
    """A generator of noise (N, Z, 1, 1), called with noise (N, Z)."""

    def __init__(self, generator: nn.Sequential) -> None:
        super().__init__(generator)

    def forward(self, x: Tensor) -> Tensor:
        return self[0](x.reshape(*x.shape, 1, 1))
