"""A GAN on the plane in one picture: what is real, what is made up, and what each network thinks of it."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image

from minigan.nn import Module
from minigan.plots.figures import FAKE, REAL, as_array, new_figure, to_image
from minigan.tensor import Tensor, no_grad

BELIEF = LinearSegmentedColormap.from_list("belief", ["#F7C7A3", "#FFFFFF", "#A9CDE6"])  # fake, undecided, real


def gan_view(
    real: Any = None,
    fake: Any = None,
    discriminator: Module | None = None,
    generator: Module | None = None,
    gradients: Any = None,
    title: str = "",
    limits: tuple[float, float] | None = None,
) -> Image.Image:
    """Whatever of these is given, in one picture (after GAN Lab, Kahng et al., 2018).

    real           points (n, 2): blue circles
    fake           points (m, 2): orange triangles
    discriminator  its belief at every place, from orange (fake) by white to blue (real)
    generator      the net that it makes of a plane of noise: its first two numbers from -2 to 2, the others 0
    gradients      of a loss at the fakes (m, 2): arrows show where a step down the slope would move them
    limits         of both axes; by default, those of the real points and some room
    """
    low, high = limits or _limits(real, fake)
    with matplotlib.rc_context({"font.size": 13}):
        figure = new_figure(6, 6)
        axes = figure.subplots()
        if discriminator is not None:
            picture = axes.imshow(
                _belief(discriminator, low, high), BELIEF, extent=(low, high, low, high), origin="lower", vmin=0, vmax=1
            )
            figure.colorbar(picture, ax=axes, label="D's belief that it is real", shrink=0.7)
        if generator is not None:
            for line in _net(generator):
                axes.plot(*line.T, color="0.45", lw=0.7)
        if real is not None:
            axes.scatter(*as_array(real).T, s=12, color=REAL, alpha=0.6, label="real")
        if fake is not None:
            axes.scatter(*as_array(fake).T, s=16, marker="^", color=FAKE, alpha=0.8, label="fake")
        if gradients is not None:
            down = -as_array(gradients)
            longest = max(float(np.linalg.norm(down, axis=1).max()), 1e-12)
            arrows = down * (0.15 * (high - low) / longest)  # the longest is 15 % of the picture
            axes.quiver(*as_array(fake).T, *arrows.T, angles="xy", scale_units="xy", scale=1, width=0.004)
        axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", xlabel="x1", ylabel="x2", title=title)
        if real is not None or fake is not None:
            axes.legend(loc="upper right")
        return to_image(figure)


def _limits(real: Any, fake: Any) -> tuple[float, float]:
    """Of both axes, so that the real points fill most of the picture."""
    points = as_array(real if real is not None else fake) if real is not None or fake is not None else np.eye(2)
    middle, reach = (points.max() + points.min()) / 2, 0.65 * (points.max() - points.min())
    return float(middle - reach), float(middle + reach)


def _belief(discriminator: Module, low: float, high: float, n: int = 80) -> np.ndarray:
    """sigmoid(D(x)) at n x n places, (n, n), the second axis of the plane first."""
    grid = np.linspace(low, high, n)
    places = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2).astype(np.float32)
    with discriminator.frozen(), no_grad():
        return discriminator(Tensor(places)).sigmoid().numpy().reshape(n, n)


def _net(generator: Module, lines: int = 11, n: int = 60) -> list[np.ndarray]:
    """What the generator makes of lines in its noise: along the first number and, if there is one, the second."""
    width = generator.parameters()[0].shape[1]  # of a dense layer's weight (out, in)
    along, across = np.linspace(-2, 2, n), np.linspace(-2, 2, lines)
    found = []
    for first, second in ((0, 1), (1, 0)) if width > 1 else ((0, 0),):
        for value in across if width > 1 else [0.0]:
            noise = np.zeros((n, width), np.float32)
            noise[:, second] = value
            noise[:, first] = along
            with generator.frozen(), no_grad():
                found.append(generator(Tensor(noise)).numpy())
    return found
