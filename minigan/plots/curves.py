"""Curves, histograms, heat maps and paths on a map. Each function returns a PIL image, with its axes labelled."""

from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from minigan.plots.figures import COLOURS, as_array, new_figure, to_image

FONT = {"font.size": 13, "axes.prop_cycle": matplotlib.cycler(color=COLOURS)}


def lines(
    series: dict[str, tuple[Any, Any]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    log: str = "",
    markers: bool = False,
    ylim: tuple[float, float] | None = None,
) -> Image.Image:
    """A curve for each name: series[name] = (x, y), arrays of one length. `log` is "x", "y" or "xy" for such axes."""
    with matplotlib.rc_context(FONT):
        figure = new_figure(8, 4.5)
        axes = figure.subplots()
        for number, (name, (x, y)) in enumerate(series.items()):
            style = ("-", "--", "-.", ":")[number % 4]  # so that colour is not all that tells them apart
            axes.plot(as_array(x), as_array(y), style, label=name, lw=2, marker="o" if markers else None, ms=4)
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
        if ylim:
            axes.set_ylim(*ylim)
        if "y" in log:
            axes.set_yscale("log")
        if "x" in log:
            axes.set_xscale("log")
        elif all(np.array_equal(x, np.round(x)) for x, _ in series.values()):
            axes.locator_params(axis="x", integer=True)  # steps, layers and the like
        axes.grid(alpha=0.3)
        if len(series) > 1:
            axes.legend(loc="best")
        return to_image(figure)


def histograms(groups: dict[str, Any], xlabel: str, title: str = "", bins: Any = 40) -> Image.Image:
    """A histogram for each name, side by side: groups[name] = numbers of any shape; `bins` as in `np.histogram`."""
    with matplotlib.rc_context(FONT):
        figure = new_figure(max(4.0, 2.6 * len(groups)), 3.2)
        panels = figure.subplots(1, len(groups), squeeze=False)[0]
        for axes, (name, values) in zip(panels, groups.items(), strict=True):
            axes.hist(as_array(values).ravel(), bins=bins, color=COLOURS[0])
            axes.set(title=name, xlabel=xlabel, yticks=[])
        panels[0].set_ylabel("how many")
        figure.suptitle(title)
        return to_image(figure)


def heat_map(table: Any, xlabel: str, ylabel: str, title: str = "", numbers: bool | None = None) -> Image.Image:
    """A table (rows, columns) as colours; small ones with their numbers in them, unless `numbers` says otherwise."""
    table = as_array(table)
    rows, columns = table.shape
    with matplotlib.rc_context(FONT):
        figure = new_figure(min(10.0, 2.5 + 0.6 * columns), min(8.0, 1.8 + 0.6 * rows))
        axes = figure.subplots()
        picture = axes.imshow(table, cmap="cividis", interpolation="nearest", aspect="auto")
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
        axes.locator_params(integer=True)
        if numbers if numbers is not None else table.size <= 150:
            middle = (table.max() + table.min()) / 2
            for (row, column), value in np.ndenumerate(table):
                colour = "black" if value > middle else "white"
                axes.text(column, row, f"{value:.3g}", ha="center", va="center", color=colour, fontsize=11)
        figure.colorbar(picture, ax=axes)
        return to_image(figure)


def paths(
    height: Callable[[Any, Any], Any],
    steps: dict[str, Any],
    xlim: tuple[float, float],
    ylim: tuple[float, float],
    title: str = "",
    xlabel: str = "x",
    ylabel: str = "y",
) -> Image.Image:
    """Paths over a map: steps[name] = points (n, 2), and contour lines of height(x, y), a function of arrays."""
    with matplotlib.rc_context(FONT):
        figure = new_figure(7, 5.5)
        axes = figure.subplots()
        x, y = np.meshgrid(np.linspace(*xlim, 200), np.linspace(*ylim, 200))
        axes.contour(x, y, height(x, y), levels=15, cmap="Greys", linewidths=1)
        for number, (name, points) in enumerate(steps.items()):
            points = as_array(points)
            colour, marker = COLOURS[number % len(COLOURS)], "os^Dv"[number % 5]
            axes.plot(*points.T, "-", marker=marker, ms=4, lw=1.5, color=colour, label=name)
            axes.plot(*points[0], marker="*", ms=16, color=colour)  # where it begins
        axes.set(xlim=xlim, ylim=ylim, xlabel=xlabel, ylabel=ylabel, title=title)
        axes.legend(loc="best")
        return to_image(figure)
