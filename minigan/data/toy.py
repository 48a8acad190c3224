"""Toy distributions: small enough to plot, hard enough to show mode collapse.

Each function draws n float32 points with the generator `rng` and raises ValueError where n < 1.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.random import Generator

from minigan.checks import check_integer
from minigan.data.pictures import open_picture

Floats = Sequence[float]
LARGEST_SIDE = 2048  # pixels of a drawing: below are probabilities, 16 bytes for each pixel
_angles, _ticks = np.arange(8) * 2 * np.pi / 8, np.arange(-4, 5, 2)

# The modes of ring and grid: centres (modes, 2) and the standard deviation of the Gaussian around each, as in
# PacGAN's 2D-ring and 2D-grid (Lin et al. 2018; after VEEGAN, Srivastava et al. 2017). Unrolled GAN (Metz et
# al. 2017) has the same ring at twice the scale: radius 2, standard deviation 0.02.
MODES = {
    "ring": (np.stack([np.cos(_angles), np.sin(_angles)], axis=1), 0.01),
    "grid": (np.stack(np.meshgrid(_ticks, _ticks), axis=-1).reshape(25, 2).astype(float), 0.05),
}


def mixture_1d(
    n: int, rng: Generator, means: Floats = (-2, 2), stds: Floats = (0.5, 0.5), weights: Floats = (1, 1)
) -> np.ndarray:
    """Points `(n, 1)` from Gaussians on the line; the weights are relative and need not sum to 1."""
    check_integer("n", n, low=1)
    if not 0 < np.size(means) == np.size(stds) == np.size(weights):
        raise ValueError("means, stds and weights need equal lengths, one number per Gaussian")
    means, stds, weights = values = np.array([means, stds, weights], dtype=np.float64)  # (3, modes)
    if not np.isfinite(values).all() or values[1:].min() < 0 or not weights.any():
        raise ValueError("means must be finite, stds and weights not negative, and one weight above zero")
    mode = rng.choice(len(means), size=n, p=weights / weights.sum())  # (n,)
    return rng.normal(means[mode], stds[mode])[:, None].astype(np.float32)


def ring(n: int, rng: Generator) -> np.ndarray:
    """Points `(n, 2)` from 8 equal Gaussians on the unit circle; see MODES."""
    return _around(*MODES["ring"], n, rng)


def grid(n: int, rng: Generator) -> np.ndarray:
    """Points `(n, 2)` from 25 equal Gaussians, 2 apart on a 5x5 grid in [-4, 4]; see MODES."""
    return _around(*MODES["grid"], n, rng)


def swiss_roll(n: int, rng: Generator) -> np.ndarray:
    """Points `(n, 2)` on a spiral within about [-2, 2], scaled as in WGAN-GP (Gulrajani et al. 2017)."""
    check_integer("n", n, low=1)
    angle = 1.5 * np.pi * (1 + 2 * rng.random(n))  # and the radius equals the angle
    spiral = np.stack([angle * np.cos(angle), angle * np.sin(angle)], axis=1)  # (n, 2)
    return ((spiral + 0.25 * rng.standard_normal((n, 2))) / 7.5).astype(np.float32)


def moons(n: int, rng: Generator) -> np.ndarray:
    """Points `(n, 2)` on two interlocking half circles of radius 1, with noise of deviation 0.05."""
    check_integer("n", n, low=1)
    angle = np.pi * rng.random(n)
    upper = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], axis=1)  # (n, 2)
    points = np.where(rng.random((n, 1)) < 0.5, upper, -upper)  # half a turn makes the lower moon
    return (points + 0.05 * rng.standard_normal((n, 2))).astype(np.float32)


TOYS = {"ring": ring, "grid": grid, "swiss_roll": swiss_roll, "moons": moons}


def from_picture(picture: str | Path | np.ndarray, n: int, rng: Generator) -> np.ndarray:
    """Points `(n, 2)` from a drawn shape: the darker a pixel, the more points fall into it.

    picture: a file of a picture or an array `(H, W)`, uint8 (0 ink, 255 paper) or float (0 ink, 1 paper).
    The longer side spans [-1, 1], the aspect ratio is kept and y points up.
    Raises ValueError for a blank picture or an unfit array, FileNotFoundError for a missing file.
    """
    check_integer("n", n, low=1)
    if not isinstance(picture, np.ndarray):
        image = open_picture(picture).convert("L")
        image = image.reduce(max(1, max(image.size) // LARGEST_SIDE))  # to the mean of blocks of pixels
        picture = np.asarray(image)
    if picture.ndim != 2 or (picture.dtype != np.uint8 and picture.dtype.kind != "f"):
        raise ValueError(f"the picture must be (H, W) uint8 or float, not {picture.dtype} {picture.shape}")
    ink = 1 - picture / np.float64(255 if picture.dtype == np.uint8 else 1)  # 0 paper .. 1 ink
    if not ((ink >= 0) & (ink <= 1)).all():  # NaN fails this too
        raise ValueError("a float picture must lie between 0 (ink) and 1 (paper)")
    if not ink.any():
        raise ValueError("the picture is blank: draw something dark on a white ground")
    height, width = ink.shape
    pixel = rng.choice(ink.size, size=n, p=ink.ravel() / ink.sum())
    x = pixel % width + rng.random(n) - width / 2  # anywhere inside the pixel; the middle of the picture is 0
    y = height / 2 - (pixel // width + rng.random(n))
    return (np.stack([x, y], axis=1) * 2 / max(height, width)).astype(np.float32)


def _around(centres: np.ndarray, std: float, n: int, rng: Generator) -> np.ndarray:
    """Pick one of the centres `(modes, 2)` for each point, all equally likely, and add Gaussian noise."""
    check_integer("n", n, low=1)
    mode = rng.integers(len(centres), size=n)
    return (centres[mode] + std * rng.standard_normal((n, 2))).astype(np.float32)
