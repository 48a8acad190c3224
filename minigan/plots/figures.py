"""What the pictures share: large letters, colours that colour-blind eyes can tell apart, and drawing off screen."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from minigan.tensor import Tensor

REAL, FAKE, GREEN, PINK, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (REAL, FAKE, GREEN, PINK, ORANGE, SKY, "#000000")  # of Okabe and Ito (2008)


def as_array(x: Any) -> np.ndarray:
    """What is to be drawn as an array: a tensor may have a graph, since a picture needs no gradient."""
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches of 100 pixels."""
    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def to_image(figure: Figure) -> Image.Image:
    """The figure as a PIL image."""
    buffer = io.BytesIO()
    with rc_context({"font.size": 13}):
        figure.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")


MODES = ("1", "L", "LA", "P", "RGB", "RGBA")  # of pictures with at most 8 bits for each colour


def check_pictures(pictures: Sequence[Any]) -> None:
    """Raise ValueError unless all are PIL images of 8 bits: others would be cut off at 255, and so be all white."""
    for picture in pictures:
        if not isinstance(picture, Image.Image):
            kind = type(picture).__name__
            raise ValueError(f"pictures must be PIL images, as image_grid makes them of arrays, not {kind}")
        if picture.mode not in MODES:
            raise ValueError(f"a picture of mode {picture.mode} has other numbers than 0..255: convert it to RGB")


def beside(*pictures: Image.Image) -> Image.Image:
    """Pictures side by side, on white."""
    if not pictures:
        raise ValueError("there are no pictures to put side by side")
    sheet = Image.new("RGB", (sum(p.width for p in pictures), max(p.height for p in pictures)), "white")
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, (sheet.height - picture.height) // 2))
        left += picture.width
    return sheet
