"""The noise itself, before a generator has bent its plane."""

from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from minigan.plots.figures import GREEN, as_array, new_figure, to_image


def noise_view(noise: Any, title: str = "") -> Image.Image:
    """The first two numbers of noise (n, >= 2) as green dots, on the net that `gan_view` draws through a generator."""
    points = as_array(noise)
    with matplotlib.rc_context({"font.size": 13}):
        figure = new_figure(6, 6)
        axes = figure.subplots()
        for place in np.linspace(-2, 2, 11):
            axes.plot([place, place], [-2, 2], color="0.45", lw=0.7)
            axes.plot([-2, 2], [place, place], color="0.45", lw=0.7)
        axes.scatter(points[:, 0], points[:, 1], s=20, color=GREEN, label="noise")
        axes.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xlabel="z1", ylabel="z2", title=title)
        axes.legend(loc="upper right")
        return to_image(figure)
