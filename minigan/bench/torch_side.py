"""The same steps in PyTorch: as tutorials write them, and tuned.

Tuned means: fused Adam, images channels last in memory, and D's weights need no gradient in G's step.
"""

import os

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from minigan.bench.workloads import Layer, Op, Workload, batch, channels_last, operands, seconds_of, weights

DEVICE = os.environ.get("MINIGAN_DEVICE") or "cpu"


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
        "reshape": lambda *shape: nn.Unflatten(1, shape) if len(shape) > 1 else nn.Flatten(),
    }
    model = nn.Sequential(*[kinds[kind](*sizes) for kind, *sizes in layers])
    with torch.no_grad():
        for parameter, array in zip(model.parameters(), weights(layers, seed), strict=True):
            parameter.copy_(torch.from_numpy(array))
    return model.to(DEVICE)


class TorchSide:
    """One workload; `step()` is a whole training step."""

    def __init__(self, workload: Workload, tuned: bool) -> None:
        self.workload, self.tuned = workload, tuned
        self.generator, self.discriminator = network(workload.generator, 1), network(workload.discriminator, 2)
        self.real = torch.from_numpy(batch(workload)).to(DEVICE)
        if tuned and len(workload.image) == 3:
            self.generator = self.generator.to(memory_format=torch.channels_last)
            self.discriminator = self.discriminator.to(memory_format=torch.channels_last)
            self.real = self.real.to(memory_format=torch.channels_last)
        adam = {"lr": 2e-4, "betas": (0.5, 0.999), "fused": True} if tuned else {"lr": 2e-4, "betas": (0.5, 0.999)}
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), **adam)
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), **adam)
        self.given: np.random.Generator | None = None  # for the proof: the numbers that the other side has too

    def step(self) -> None:
        """One step of each player, or of the critic."""
        self._discriminator_step()
        if not self.workload.penalty:
            self._generator_step()

    def _noise(self) -> torch.Tensor:
        shape = (self.workload.batch, *self.workload.noise)
        if self.given is None:
            return torch.randn(shape, device=DEVICE)
        return torch.from_numpy(self.given.standard_normal(shape)).to(DEVICE)

    def _discriminator_step(self) -> float:
        self.d_optimizer.zero_grad()
        with torch.set_grad_enabled(not self.tuned):
            fake = self.generator(self._noise())
        real_logits, fake_logits = self.discriminator(self.real), self.discriminator(fake.detach())
        if self.workload.penalty:
            loss = fake_logits.mean() - real_logits.mean() + 10 * self._penalty(fake.detach())
        else:
            bce = functional.binary_cross_entropy_with_logits
            loss = bce(real_logits, torch.ones_like(real_logits)) + bce(fake_logits, torch.zeros_like(fake_logits))
        loss.backward()
        self.d_optimizer.step()
        return loss.item()

    def _penalty(self, fake: torch.Tensor) -> torch.Tensor:
        n = len(fake)
        shape = (n, *[1] * (fake.ndim - 1))
        t = torch.rand(shape, device=DEVICE)
        if self.given is not None:
            t = torch.from_numpy(self.given.random(shape)).to(DEVICE)
        between = (t * self.real + (1 - t) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.discriminator(between).sum(), between, create_graph=True)
        return ((slope.reshape(n, -1).norm(dim=1) - 1) ** 2).mean()

    def _generator_step(self) -> float:
        self.g_optimizer.zero_grad()
        if self.tuned:
            self.discriminator.requires_grad_(False)
        logits = self.discriminator(self.generator(self._noise()))
        loss = functional.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
        loss.backward()
        self.g_optimizer.step()
        self.discriminator.requires_grad_(True)
        return loss.item()

    def proof(self) -> dict[str, np.ndarray]:
        """The losses and all gradients of a step in float64 that moves nothing, to compare with the other side's."""
        self.given = np.random.default_rng(3)
        self.generator, self.discriminator, self.real = (
            self.generator.double(),
            self.discriminator.double(),
            self.real.double(),
        )
        for optimizer in (self.g_optimizer, self.d_optimizer):
            optimizer.step = lambda: None
        proof = {}
        found = [self._discriminator_step()]
        self._keep(proof, "discriminator", self.discriminator)
        if not self.workload.penalty:
            found.append(self._generator_step())
            self._keep(proof, "generator", self.generator)
        return proof | {"losses": np.array(found)}

    def _keep(self, proof: dict[str, np.ndarray], name: str, net: nn.Module) -> None:
        for i, parameter in enumerate(net.parameters()):
            proof[f"{name} {i}"] = parameter.grad.cpu().numpy().copy()


def op_seconds(op: Op) -> dict[str, float]:
    """How long the forward pass and the gradient of each operand take."""
    functions = {
        "linear": functional.linear,
        "conv2d": functional.conv2d,
        "conv_transpose2d": functional.conv_transpose2d,
        "batch_norm": lambda x, weight, bias: functional.batch_norm(x, None, None, weight, bias, training=True),
        "leaky_relu": functional.leaky_relu,
        "tanh": torch.tanh,
        "bce": lambda x: functional.binary_cross_entropy_with_logits(x, torch.ones_like(x)),
    }
    tensors = [torch.from_numpy(array).requires_grad_() for array in operands(op)]

    def forward() -> torch.Tensor:
        return functions[op.name](*tensors, *op.settings)

    y = forward()
    g = torch.from_numpy(channels_last(np.random.default_rng(1).standard_normal(tuple(y.shape)).astype(np.float32)))
    times = {"forward": seconds_of(forward)}
    for number, x in enumerate(tensors):
        times[f"gradient {number}"] = seconds_of(lambda x=x: torch.autograd.grad(y, x, g, retain_graph=True))
    return times
