"""The dense layer."""

import numpy as np

from minigan import ops
from minigan.checks import check_integer
from minigan.nn import init
from minigan.nn.module import Module, Parameter
from minigan.tensor import Tensor


class Linear(Module):
    """y = x W^T + b for x (N, in_features) -> (N, out_features). Weights start as He et al. (2015) propose."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, rng: np.random.Generator | None = None
    ) -> None:
        check_integer("Linear: in_features", in_features, 1)
        check_integer("Linear: out_features", out_features, 1)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(init.he_normal((out_features, in_features), init.rng_or_new(rng), fan_in=in_features))
        self.bias = Parameter(np.zeros(out_features, np.float32)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features) -> (N, out_features)."""
        return ops.linear(x, self.weight, self.bias)
