"""Optimizers: what to do with the gradients. Each changes the parameters' arrays in place.

Notation: theta a parameter, g its gradient, lr the learning rate, t how many steps this parameter has made, from 1 on.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from minigan.checks import check_number
from minigan.nn import Parameter
from minigan.table import swappable
from minigan.tensor import Tensor


class Optimizer:
    """What the optimizers share. A subclass names the arrays it remembers for every parameter and how it moves."""

    remembers: tuple[str, ...] = ()

    def __init__(self, parameters: Iterable[Parameter], lr: float) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError(f"{type(self).__name__} was given no parameters")
        if not all(isinstance(p, Tensor) and p.requires_grad and not p.parents for p in self.parameters):
            raise TypeError(f"{type(self).__name__} takes a list of parameters, such as model.parameters()")
        if len(set(self.parameters)) < len(self.parameters):
            raise ValueError(f"{type(self).__name__} was given the same parameter twice")
        check_number("the learning rate", lr)
        self.lr = lr
        self.steps = np.zeros(len(self.parameters), np.int64)  # of each parameter: one may get its first gradient late
        self.memory = [{name: np.zeros_like(p.data) for name in self.remembers} for p in self.parameters]

    def zero_grad(self) -> None:
        """Forget the gradients of the last step, to which `backward()` would add."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for i, (parameter, memory) in enumerate(zip(self.parameters, self.memory, strict=True)):
            if parameter.grad is not None:
                self.steps[i] += 1
                self.update(parameter.data, parameter.grad.data, *memory.values(), int(self.steps[i]))
                parameter.changed()

    def update(self, theta: Any, g: Any, *memory_and_t: Any) -> None:
        """Move one parameter's array `theta` in place, given its gradient `g`, its memory and its number of steps t."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """The remembered arrays by name: "0.m" is the first parameter's m, and "steps" has all numbers of steps."""
        arrays = {f"{i}.{name}": array for i, memory in enumerate(self.memory) for name, array in memory.items()}
        return arrays | {"steps": self.steps}


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Polyak, 1964; in PyTorch's form).

    velocity = momentum velocity + g,   theta = theta - lr velocity
    """

    remembers = ("velocity",)

    def __init__(self, params: Iterable[Parameter], lr: float = 1e-3, momentum: float = 0.0) -> None:
        super().__init__(params, lr)
        check_number("SGD: momentum", momentum, below=1)
        self.momentum = momentum

    def update(self, theta: Any, g: Any, velocity: Any, t: int) -> None:
        """One step for one parameter."""
        velocity *= self.momentum
        velocity += g
        theta -= self.lr * velocity


class RMSprop(Optimizer):
    """Divides by a running size of the gradient (Tieleman and Hinton, 2012); WGAN with clipping uses it.

    v = alpha v + (1 - alpha) g^2,   theta = theta - lr g / (sqrt v + eps)
    """

    remembers = ("v",)

    def __init__(self, params: Iterable[Parameter], lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(params, lr)
        check_number("RMSprop: alpha", alpha, below=1)
        check_number("RMSprop: eps", eps)
        self.alpha, self.eps = alpha, eps

    def update(self, theta: Any, g: Any, v: Any, t: int) -> None:
        """One step for one parameter."""
        v *= self.alpha
        v += (1 - self.alpha) * g * g
        theta -= self.lr * g / (np.sqrt(v) + self.eps)


class Adam(Optimizer):
    """Running mean and size of the gradient, both corrected for their start at zero (Kingma and Ba, 2015).

    m = b1 m + (1 - b1) g,            m_hat = m / (1 - b1^t)
    v = b2 v + (1 - b2) g^2,          v_hat = v / (1 - b2^t),          theta = theta - lr m_hat / (sqrt v_hat + eps)

    At step t, m is a weighted sum of t gradients whose weights add up to 1 - b1^t: dividing makes it a mean.
    """

    remembers = ("m", "v")

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr)
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ValueError(f"Adam: betas must be two numbers, not {betas!r}")
        for beta in betas:
            check_number("Adam: each of the betas", beta, below=1)
        check_number("Adam: eps", eps)
        self.betas, self.eps = betas, eps

    @swappable
    def update(self, theta: Any, g: Any, m: Any, v: Any, t: int) -> None:
        """One step for one parameter, its t-th."""
        b1, b2 = self.betas
        m *= b1
        m += (1 - b1) * g
        v *= b2
        v += (1 - b2) * g * g
        m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
        theta -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)


def clip_weights(parameters: Iterable[Parameter], limit: float = 0.01) -> None:
    """Clip every weight to [-limit, limit]: the first WGAN's way to bound its critic's slope."""
    check_number("clip_weights: the limit", limit)
    if limit == 0:
        raise ValueError("clip_weights: the limit must be above 0")
    for parameter in parameters:
        np.clip(parameter.data, -limit, limit, out=parameter.data)
        parameter.changed()
