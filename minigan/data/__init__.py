"""Data: MNIST, your own images, toy distributions, and the loader that cuts arrays into batches.

Everything here is plain NumPy: images float32 `(N, C, H, W)` in [-1, 1] like tanh, toys float32 `(n, 2)`.
"""

from minigan.data.idx import load_mnist, read_idx
from minigan.data.images import load_images
from minigan.data.loader import DataLoader
from minigan.data.toy import MODES, TOYS, from_picture, grid, mixture_1d, moons, ring, swiss_roll

__all__ = ["DataLoader", "load_images", "load_mnist", "read_idx"]
__all__ += ["MODES", "TOYS", "from_picture", "grid", "mixture_1d", "moons", "ring", "swiss_roll"]
