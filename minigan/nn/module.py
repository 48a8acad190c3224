"""Parameter, Module and Sequential: what every layer and network is made of."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigan import backend
from minigan.tensor import Tensor, no_grad


class Parameter(Tensor):
    """A tensor that training changes. Parameters found on a Module are trained by its optimizer."""

    __slots__ = ()

    def __init__(self, data: Any, dtype: Any = None) -> None:
        super().__init__(data, requires_grad=True, dtype=dtype)


class Module:
    """A layer or a network: parameters, and `forward`, which computes with them.

    Whatever a module holds as an attribute is found by itself: Parameters are trained and saved, plain
    Tensors (such as running statistics) are saved only, and Modules are searched in turn.
    """

    training = True
    is_frozen = False
    mixes_samples = False  # True where a sample's output depends on the others in its batch, as in batch norm

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output of the module. Every subclass writes its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __call__(self, x: Any) -> Tensor:
        """`forward`; a plain array is made a Tensor first."""
        if not isinstance(x, Tensor):  # a plain array takes the dtype of the weights
            x = Tensor(x, dtype=next((p.dtype for p in self.parameters()), None))
        return self.forward(x)

    def children(self) -> dict[str, "Module"]:
        """The modules that this one holds, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Module)}

    def modules(self) -> Iterator["Module"]:
        """This module and all modules inside it."""
        yield self
        for child in self.children().values():
            yield from child.modules()

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the module by its dotted name, such as "3.weight": parameters and statistics."""
        own = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        for prefix, child in self.children().items():
            own |= {f"{prefix}.{name}": tensor for name, tensor in child.state().items()}
        return own

    def parameters(self) -> list[Parameter]:
        """All parameters, in a fixed order."""
        return list(dict.fromkeys(tensor for tensor in self.state().values() if isinstance(tensor, Parameter)))

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every tensor of the module as a NumPy array, by name."""
        return {name: np.array(tensor.numpy(), order="C") for name, tensor in self.state().items()}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Put back what `state_dict` gave; raises ValueError, and changes nothing, unless names and shapes fit."""
        load_arrays({name: tensor.data for name, tensor in self.state().items()}, arrays)

    def train(self, training: bool = True) -> "Module":
        """Set this module, and those inside it, to training (or to evaluation); others are not touched."""
        for module in self.modules():
            module.training = training
        return self

    def eval(self) -> "Module":
        """Set to evaluation: batch norm uses its running statistics."""
        return self.train(False)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """`with model.frozen():` uses the model without changing or training it.

        Its parameters need no gradient (though gradients flow through it to its input), and batch norm still
        takes the batch's statistics but leaves its running ones alone.
        """
        parameters, modules = self.parameters(), list(self.modules())
        before = [p.requires_grad for p in parameters], [m.is_frozen for m in modules]
        try:
            for parameter in parameters:
                parameter.requires_grad = False
            for module in modules:
                module.is_frozen = True
            yield
        finally:
            for parameter, value in zip(parameters, before[0], strict=True):
                parameter.requires_grad = value
            for module, value in zip(modules, before[1], strict=True):
                module.is_frozen = value

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v!r}" for k, v in self.settings().items())
        if not self.children():
            return f"{type(self).__name__}({settings})"
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.children().items()]
        return "\n  ".join([f"{type(self).__name__}({settings}", *lines]) + "\n)"

    def settings(self) -> dict[str, Any]:
        """The plain numbers and tuples that a layer was made with, for `repr`."""
        return {
            k: v
            for k, v in vars(self).items()
            if k not in ("training", "is_frozen") and isinstance(v, int | float | tuple)
        }

    def summary(self, input_shape: tuple[int, ...]) -> str:
        """A table of the layers with output shapes and parameter counts, for inputs (N, *input_shape)."""
        rows: list[tuple[str, str, str]] = []

        def watched(layer: Module) -> Any:
            def forward(x: Tensor) -> Tensor:
                y = type(layer).forward(layer, x)
                count = sum(p.size for p in layer.parameters())
                rows.append((_as_written(layer), str(("N", *y.shape[1:])).replace("'", ""), f"{count:,}"))
                return y

            return forward

        leaves = [module for module in self.modules() if not module.children()]
        modes = [(module, module.training) for module in self.modules()]
        try:
            self.eval()
            for leaf in leaves:
                leaf.forward = watched(leaf)
            with no_grad():
                self(np.zeros((1, *input_shape)))
        finally:
            for leaf in leaves:
                vars(leaf).pop("forward", None)
            for module, training in modes:
                module.training = training
        rows = [("layer", "output shape", "parameters"), *rows]
        rows.append(("total", "", f"{sum(p.size for p in self.parameters()):,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows)


class Sequential(Module):
    """Modules one after the other: `Sequential(f, g)(x) = g(f(x))`. Index it to get one layer."""

    def __init__(self, *layers: Module) -> None:
        for number, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(f"Sequential takes layers, one after the other, but number {number} is {layer!r}")
            setattr(self, str(number), layer)

    def forward(self, x: Tensor) -> Tensor:
        """x through every layer in turn."""
        for layer in self.children().values():
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.children())

    def __getitem__(self, index: int) -> Module:
        return list(self.children().values())[index]


def _as_written(layer: Module) -> str:
    """The layer as it is written in code: without what is left at its default, so that a table has room for it."""
    words, parameters = [], inspect.signature(type(layer)).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD}
    for name, value in layer.settings().items():
        if defaults.get(name) is inspect.Parameter.empty:
            words.append(repr(value))
        elif defaults.get(name) != value:
            words.append(f"{name}={value!r}")
    return f"{type(layer).__name__}({', '.join(words)})"


def load_arrays(targets: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Copy `arrays` into the arrays of `targets` that have the same names.

    Raises ValueError, before anything is changed, unless all names and shapes agree.
    """
    if targets.keys() != arrays.keys():
        missing, extra = sorted(targets.keys() - arrays.keys()), sorted(arrays.keys() - targets.keys())
        raise ValueError(f"these weights are of another model: missing {missing[:3]}, unexpected {extra[:3]}")
    for name, target in targets.items():
        if target.shape != arrays[name].shape:
            raise ValueError(
                f"these weights are of another model: {name} has shape {arrays[name].shape}, not {target.shape}"
            )
    ready = {name: backend.asarray(arrays[name], target.dtype) for name, target in targets.items()}
    for name, target in targets.items():
        target[...] = ready[name]
