"""minigan: a from-scratch GAN library in NumPy that is written to be read. Start with `tensor.py`."""

from minigan import data, losses, nn, ops, optim
from minigan.backend import use
from minigan.gradcheck import gradcheck
from minigan.parallel import plain
from minigan.tensor import ShapeError, Tensor, grad, no_grad

__version__ = "0.1.0"
__all__ = [
    "ShapeError",
    "Tensor",
    "data",
    "grad",
    "gradcheck",
    "losses",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "plain",
    "use",
]
