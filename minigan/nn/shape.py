"""Layers that only give the same numbers a new shape."""

import math

from minigan import ops
from minigan.nn.module import Module
from minigan.tensor import Tensor


class Reshape(Module):
    """(N, ...) -> (N, *shape)."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, *shape)."""
        return ops.reshape(x, (x.shape[0], *self.shape))


class Flatten(Module):
    """(N, C, H, W) -> (N, C H W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, the product of the rest)."""
        return ops.reshape(x, (x.shape[0], math.prod(x.shape[1:])))
