"""A network as a table: its layers, the shapes that go through it, and how many parameters each has."""

import inspect
from typing import Any

import numpy as np

from minigan.tensor import Tensor, no_grad


def summary(network: Any, input_shape: tuple[int, ...]) -> str:
    """A table of the layers of a Module with output shapes and parameter counts, for inputs (N, *input_shape)."""
    rows: list[tuple[str, str, str]] = []

    def watched(layer: Any) -> Any:
        def forward(x: Tensor) -> Tensor:
            y = type(layer).forward(layer, x)
            count = sum(p.size for p in layer.parameters())
            rows.append((as_written(layer), str(("N", *y.shape[1:])).replace("'", ""), f"{count:,}"))
            return y

        return forward

    leaves = [module for module in network.modules() if not module.children()]
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        for leaf in leaves:
            leaf.forward = watched(leaf)
        with no_grad():
            network(np.zeros((1, *input_shape)))
    finally:
        for leaf in leaves:
            vars(leaf).pop("forward", None)
        for module, training in modes:
            module.training = training
    return _table([*rows, ("total", "", f"{sum(p.size for p in network.parameters()):,}")])


def _table(rows: list[tuple[str, str, str]]) -> str:
    rows = [("layer", "output shape", "parameters"), *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows)


def as_written(layer: Any) -> str:
    """The layer as it is written in code: without what is left at its default, so that a table has room for it."""
    words, parameters = [], inspect.signature(type(layer)).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD}
    for name, value in layer.settings().items():
        if defaults.get(name) is inspect.Parameter.empty:
            words.append(repr(value))
        elif defaults.get(name) != value:
            words.append(f"{name}={value!r}")
    return f"{type(layer).__name__}({', '.join(words)})"
