"""Data: MNIST, your own images, toy distributions, and the loader that cuts arrays into batches.

`load` gives any of them, by its name or its path, as a dict of arrays: images float32 `(N, C, H, W)` in [-1, 1] like
tanh, their labels int64 `(N,)`, toys float32 `(n, 2)`. Everything here is plain NumPy.
"""

from minigan.data.by_name import NAMES, class_names, load
from minigan.data.idx import load_mnist, read_idx
from minigan.data.images import load_images
from minigan.data.loader import DataLoader
from minigan.data.toy import MODES, TOYS, from_picture, grid, mixture_1d, moons, ring, swiss_roll

__all__ = ["NAMES", "DataLoader", "class_names", "load", "load_images", "load_mnist", "read_idx"]
__all__ += ["MODES", "TOYS", "from_picture", "grid", "mixture_1d", "moons", "ring", "swiss_roll"]
