"""The recorded graph of an expression as a drawing, with the values and the gradients in it."""

import matplotlib
import numpy as np
from PIL import Image

from minigan.plots.figures import FAKE, REAL, new_figure, to_image
from minigan.tensor import Tensor, grad, topological_order


def graph(y: Tensor, names: dict[str, Tensor] | None = None, gradients: bool = True) -> Image.Image:
    """Every tensor that y was computed from, as a box: its name or operation, its value, and dy/d(it) below.

    Operands stand to the left of what was made of them. `names` are for some of the tensors, such as {"a": a}. For
    small expressions: raises ValueError for more than 40 tensors, and where y is no single number or needs no gradient.
    """
    order = topological_order([y])
    if len(order) > 40:
        raise ValueError(f"the graph has {len(order)} tensors, and a drawing has room for 40: draw a part of it")
    slopes: dict[Tensor, Tensor] = dict(zip(order, grad(y, order), strict=True)) if gradients else {}
    labels = {tensor: name for name, tensor in (names or {}).items()}
    column: dict[Tensor, int] = {}
    for tensor in order:  # operands come before what was made of them
        column[tensor] = 1 + max((column[parent] for parent, _ in tensor.parents), default=-1)
    place: dict[Tensor, tuple[float, float]] = {}
    for number in range(max(column.values()) + 1):
        members = [tensor for tensor in order if column[tensor] == number]
        for row, tensor in enumerate(members):
            place[tensor] = (float(number), row - (len(members) - 1) / 2)
    heights = [y for _, y in place.values()]
    width, height = 2.3 * (max(column.values()) + 1), 1.5 * (max(heights) - min(heights) + 1)
    with matplotlib.rc_context({"font.size": 12}):
        figure = new_figure(min(14.0, width + 0.5), height + 0.5)
        axes = figure.subplots()
        boxes = {}
        for tensor, (x, level) in place.items():
            text = f"{labels.get(tensor, _operation(tensor))}\n{_short(tensor)}"
            colour = FAKE if tensor is y else REAL if not tensor.parents else "0.4"
            box = {"boxstyle": "round,pad=0.4", "fc": "white", "ec": colour, "lw": 2}
            boxes[tensor] = axes.text(x, level, text, ha="center", va="center", bbox=box, zorder=3).get_bbox_patch()
            if tensor in slopes:
                below = {"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none"}  # a link behind it is interrupted
                slope = f"gradient {_short(slopes[tensor])}"
                axes.text(x, level - 0.36, slope, ha="center", va="top", color=FAKE, bbox=below, zorder=6)
        for tensor in order:
            parents = [parent for parent, _ in tensor.parents]
            for number, parent in enumerate(parents):
                links = [other is parent for other in parents].count(True)  # a tensor used twice has two
                bend = 0.2 * (-1) ** number if links > 1 else 0.0
                style = {"arrowstyle": "->", "lw": 1.5, "color": "0.4", "connectionstyle": f"arc3,rad={bend}"}
                style |= {"patchA": boxes[parent], "patchB": boxes[tensor], "shrinkA": 0, "shrinkB": 2}
                axes.annotate("", place[tensor], place[parent], arrowprops=style, zorder=5)  # when the boxes are drawn
        axes.set(xlim=(-0.6, max(column.values()) + 0.6), ylim=(min(heights) - 0.75, max(heights) + 0.55))
        axes.axis("off")
        return to_image(figure)


def _operation(tensor: Tensor) -> str:
    """The operation that made it: the function in which its derivative was written."""
    if not tensor.parents:
        return "given"
    return tensor.parents[0][1].__qualname__.split(".")[0]


def _short(tensor: Tensor) -> str:
    if tensor.size <= 4:
        return np.array2string(tensor.numpy(), precision=3, separator=", ", suppress_small=True)
    return f"shape {tensor.shape}"
