"""The steps of a workload in minigan: those of `gans/`, and nothing else."""

from typing import Any

import numpy as np

from minigan import backend, losses, nn, ops
from minigan.bench.workloads import Layer, Op, Workload, batch, channels_last, operands, seconds_of, weights
from minigan.fast.threads import THREADS, blas_threads
from minigan.gan import computing, draw_noise
from minigan.gans.gan import OriginalGAN, discriminator_step, generator_step
from minigan.gans.wgan_gp import WGANGP
from minigan.optim import SGD, Adam
from minigan.tensor import Tensor, grad


def network(layers: list[Layer], seed: int) -> nn.Sequential:
    """The layers with the weights that the other side has too."""
    kinds = {
        "linear": nn.Linear,
        "conv": lambda a, b, k, s, p, bias: nn.Conv2d(a, b, k, s, p, bias=bias),
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
        self.workload, self.rng, self.real = workload, np.random.default_rng(0), Tensor(batch(workload))
        self.gan: Any = (WGANGP if workload.penalty else OriginalGAN)({"samples": (2,)}, self.rng)
        self.gan.noise_dim = workload.noise[0]
        self.gan.G, self.gan.D = network(workload.generator, 1), network(workload.discriminator, 2)
        if len(workload.noise) > 1:
            self.gan.G = _Reshaped(self.gan.G)
        self.gan.g_optimizer = Adam(self.gan.G.parameters(), 2e-4, (0.5, 0.999))
        self.gan.d_optimizer = Adam(self.gan.D.parameters(), 2e-4, (0.5, 0.999))

    def step(self) -> None:
        """One step of each player, or of the critic."""
        self._step(self.rng)

    def _step(self, rng: Any) -> list[float]:
        gan = self.gan
        with computing(gan):
            if self.workload.penalty:
                return [gan.critic_step(rng, self.real)["d_loss"].item()]
            n, players, game = self.workload.batch, (gan.G, gan.D), losses.non_saturating
            d = discriminator_step(*players, gan.d_optimizer, game, self.real, draw_noise(n, gan.noise_dim, rng))
            g = generator_step(*players, gan.g_optimizer, game, draw_noise(n, gan.noise_dim, rng))
        return [d["d_loss"].item(), g["g_loss"].item()]

    def proof(self) -> dict[str, np.ndarray]:
        """The losses and all gradients of a step that moves nothing, to be compared with the other side's.

        In float64, where they must agree to many digits: in float32, rounding alone reaches per cents in W4.
        """
        gan = self.gan
        for tensor in [*gan.G.state().values(), *gan.D.state().values(), self.real]:
            tensor.data = tensor.data.astype(np.float64)
        gan.g_optimizer, gan.d_optimizer = SGD(gan.G.parameters(), lr=0.0), SGD(gan.D.parameters(), lr=0.0)
        proof = {"losses": np.array(self._step(GivenNoise(3)))}
        for name, net in (("generator", gan.G), ("discriminator", gan.D)):
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
