"""Leaky ReLU, Adam, averages and a loss, in few passes over their arrays.

np.where and masks cost 4 to 28 times an addition, so a mask is made by arithmetic: (x > 0) (1 - slope) + slope.
"""

from numbers import Number
from typing import Any

import numpy as np

from minigan import backend, losses, ops
from minigan.fast import kernels
from minigan.fast.derivatives import quick
from minigan.fast.threads import in_blocks
from minigan.nn import norm
from minigan.ops.math import check_slope, sigmoid
from minigan.optim import Adam
from minigan.table import fast, plain_version
from minigan.tensor import Tensor, op, record


@fast(ops.leaky_relu)
def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """`ops.leaky_relu`, with one new array where the plain version makes several."""
    slope = check_slope(slope)
    if backend.on_gpu(x.data):
        y = kernels.leaky_relu(x.data, slope)
    elif slope == 0:
        y = np.maximum(x.data, 0)
    else:
        y = np.multiply(x.data, slope, out=np.empty_like(x.data))
        np.maximum(x.data, y, out=y)
    return record(y, (x, lambda g, y: gate(g, x, slope)))


@op
def gate(g: Tensor, x: Tensor, slope: float) -> Tensor:
    """Gives g where x > 0, else slope g: leaky ReLU's derivative. It is linear in g, so its derivative is itself."""
    if backend.on_gpu(g.data):
        result = kernels.gate(g.data, x.data, slope)
    else:
        result = (x.data > 0).astype(x.dtype)  # 1 or 0
        if slope:
            result *= 1 - slope
            result += slope  # 1 or slope
        result *= g.data
    return record(result, (g, lambda gg, y: gate(gg, x, slope)))


@fast(sigmoid)
def fast_sigmoid(x: Tensor) -> Tensor:
    """On a GPU one launch, where `ops.sigmoid` needs seven."""
    if not backend.on_gpu(x.data):
        return plain_version(sigmoid)(x)
    return record(kernels.sigmoid(x.data), (x, lambda g, y: g * (y * sigmoid(-x))))


@fast(losses.bce_with_logits)
def bce_with_logits(logits: Tensor, target: Any) -> Tensor:
    """On a GPU one launch forward and one back, for one target for all."""
    if not (backend.on_gpu(logits.data) and isinstance(target, Number) and 0 <= target <= 1):
        return plain_version(losses.bce_with_logits)(logits, target)
    x, t = logits.data, float(target)
    to_logits = quick(losses.bce_with_logits, (logits, t), logits, lambda g: kernels.bce_to_logits(x, g, t))
    return record(kernels.bce(x, t), (logits, to_logits))


@fast(Adam.update)
def adam_update(self: Any, theta: Any, g: Any, m: Any, v: Any, t: int) -> None:
    """Adam in blocks that stay in the cache; on a GPU in one launch.

    Both corrections are folded into two numbers: with root = sqrt(1 - b2^t), sqrt v_hat = sqrt v / root.
    """
    b1, b2 = self.betas
    root = (1 - b2**t) ** 0.5
    rate, eps = self.lr * root / (1 - b1**t), self.eps * root
    if backend.on_gpu(theta):
        kernels.adam(theta, g, m, v, b1, b2, rate, eps)
        return

    def work(theta: Any, g: Any, m: Any, v: Any) -> None:
        step = np.multiply(g, 1 - b1, out=np.empty_like(g))  # holds one term after the other
        m *= b1
        m += step
        np.multiply(g, g, out=step)
        step *= 1 - b2
        v *= b2
        v += step
        np.sqrt(v, out=step)
        step += eps
        np.divide(m, step, out=step)
        step *= rate
        theta -= step

    in_blocks(work, theta, g, m, v)


@fast(norm.update_running)
def update_running(running: Tensor, batch: Any, momentum: float) -> None:
    """On a GPU one launch, where the plain version needs three."""
    if backend.on_gpu(running.data):
        kernels.blend(running.data, batch, 1 - momentum)
    else:
        plain_version(norm.update_running)(running, batch, momentum)
