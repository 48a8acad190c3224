"""Pictures. Every function returns a PIL image, which a notebook shows and `.save()` writes.

images.py     of a training run: samples, points, losses; the errors of a gradient check
curves.py     curves, histograms, heat maps, paths on a map
gan_view.py   a GAN on the plane in one picture
graph.py      the recorded graph of an expression
noise_view.py the noise of a generator, on its plane
notebook.py   what moves: animations, live pictures, stepping
"""

from minigan.plots.curves import heat_map, histograms, lines, paths
from minigan.plots.figures import beside
from minigan.plots.gan_view import gan_view
from minigan.plots.graph import graph
from minigan.plots.images import draw, error_map, image_grid, loss_curves, scatter, to_bytes, to_uint8
from minigan.plots.noise_view import noise_view
from minigan.plots.notebook import Live, animation, play, stepper

__all__ = [
    "Live",
    "animation",
    "beside",
    "draw",
    "error_map",
    "gan_view",
    "graph",
    "heat_map",
    "histograms",
    "image_grid",
    "lines",
    "loss_curves",
    "noise_view",
    "paths",
    "play",
    "scatter",
    "stepper",
    "to_bytes",
    "to_uint8",
]
