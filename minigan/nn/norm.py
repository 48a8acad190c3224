"""Batch norm with running statistics."""

from typing import Any

import numpy as np

from minigan import ops
from minigan.checks import check_integer, check_number
from minigan.errors import ShapeError
from minigan.nn.module import Module, Parameter
from minigan.table import swappable
from minigan.tensor import Tensor


@swappable
def update_running(running: Tensor, batch: Any, momentum: float) -> None:
    """running = (1 - momentum) running + momentum batch, in place: it moves a little towards the array `batch`.

    This is the exponential average of everything that has passed by; the last 1 / momentum or so count most. As in
    PyTorch, momentum is the share of the new here; in SGD it is that of the old.
    """
    running.data *= 1 - momentum
    running.data += momentum * batch


class _BatchNorm(Module):
    """Batch norm with running statistics, see `ops.batch_norm`.

    In training the batch's own mean and variance are used, and the running ones follow them:
    `running = (1 - momentum) running + momentum batch`, the variance times M / (M - 1), which removes its bias (M is
    how many numbers a mean is over). After `eval()` the
    running ones are used, so that an image no longer depends on the others in its batch.
    """

    ndims: tuple[int, ...]  # how many axes x may have
    mixes_samples = property(lambda self: self.training)

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        check_integer(f"{type(self).__name__}: num_features", num_features, 1)
        check_number(f"{type(self).__name__}: eps", eps)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(np.ones(num_features, np.float32))
        self.bias = Parameter(np.zeros(num_features, np.float32))
        self.running_mean = Tensor(np.zeros(num_features, np.float32))
        self.running_var = Tensor(np.ones(num_features, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_features, ...) -> the same shape."""
        if x.ndim not in self.ndims or x.shape[1] != self.num_features:
            axes = " or ".join(map(str, self.ndims))
            raise ShapeError(
                f"{type(self).__name__} takes x of {axes} axes and {self.num_features} channels, not {x.shape}"
            )
        if not self.training:
            return self._with_running_statistics(x)
        y, mean, variance = ops.batch_norm(x, self.weight, self.bias, self.eps)
        if self.is_frozen:
            return y
        m = x.size // self.num_features  # how many numbers each mean is over
        update_running(self.running_mean, mean, self.momentum)
        update_running(self.running_var, variance * (m / (m - 1)), self.momentum)
        self.running_mean.changed()
        self.running_var.changed()
        return y

    def _with_running_statistics(self, x: Tensor) -> Tensor:
        per_channel = (1, self.num_features, *[1] * (x.ndim - 2))
        scale = self.weight / (self.running_var + self.eps).sqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale.reshape(per_channel) + shift.reshape(per_channel)


class BatchNorm1d(_BatchNorm):
    """Batch norm of (N, num_features), or of sequences (N, num_features, L): then the means are over N and L."""

    ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch norm of (N, num_features, H, W): one mean and variance per channel, over N, H and W."""

    ndims = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch norm of (N, num_features, D, H, W): one mean and variance per channel, over N, D, H and W."""

    ndims = (5,)
