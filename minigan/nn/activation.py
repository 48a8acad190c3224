"""Activations: functions of each number alone."""

from minigan import ops
from minigan.nn.module import Module
from minigan.ops.math import check_slope
from minigan.tensor import Tensor


class LeakyReLU(Module):
    """max(x, slope x), element by element. Raises ValueError unless the slope lies between 0 and 1."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = check_slope(negative_slope)

    def forward(self, x: Tensor) -> Tensor:
        return ops.leaky_relu(x, self.negative_slope)


class ReLU(Module):
    """max(x, 0), element by element."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(x)


class Tanh(Module):
    """tanh x, element by element, in (-1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + e^-x), element by element, in (0, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.sigmoid(x)
