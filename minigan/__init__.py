"""minigan: a from-scratch GAN library in NumPy that is written to be read. Start with `tensor.py`."""

from minigan import start  # noqa: F401  (before all others)

# isort: split
from minigan import data, fast, losses, nn, ops, optim
from minigan.backend import use
from minigan.errors import ShapeError
from minigan.gradcheck import gradcheck
from minigan.table import plain
from minigan.tensor import Tensor, grad, no_grad

__version__ = "0.2.0"
__all__ = [
    "ShapeError",
    "Tensor",
    "data",
    "fast",
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
