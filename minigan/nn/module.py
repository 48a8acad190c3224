"""Parameter, Module and Sequential: what every layer and network is made of."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigan.nn.summary import summary
from minigan.tensor import Tensor


class _Samples(threading.local):
    apart = False  # whether layers that mix the samples of a batch are refused


_samples = _Samples()


@contextmanager
def samples_apart() -> Iterator[None]:
    """Inside the `with`, each sample must go through the networks on its own: layers that mix them raise ValueError."""
    before, _samples.apart = _samples.apart, True
    try:
        yield
    finally:
        _samples.apart = before


class Parameter(Tensor):
    """A tensor that training changes. Parameters found on a Module are trained by its optimizer."""

    __slots__ = ()

    def __init__(self, data: Any, dtype: Any = None) -> None:
        super().__init__(data, requires_grad=True, dtype=dtype)

    def _set_data(self, array: Any) -> None:
        Tensor.data.__set__(self, array)
        if hasattr(self, "version"):  # it has none yet while it is being made
            self.changed()

    # `p.data -= lr * p.grad.data` ends in an assignment, so it counts as a change. (p.data[...] = x is none: after it,
    # call p.changed().)
    data = property(Tensor.data.__get__, _set_data)


class Module:
    """A layer or a network: parameters, and `forward`, which computes with them.

    Whatever a module holds is found by itself, in its attributes and in lists, tuples and dicts there: Parameters are
    trained and saved, plain Tensors (such as running statistics) are saved only, and Modules are searched in turn.
    """

    training = True
    is_frozen = False
    mixes_samples = False  # True where a sample's output depends on the others in its batch, as in batch norm

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output of the module. Every subclass writes its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __call__(self, x: Any) -> Tensor:
        """`forward`; a plain array is made a Tensor first. Raises ValueError for a layer that must not mix samples."""
        if self.mixes_samples and _samples.apart:
            name = type(self).__name__
            raise ValueError(
                f"{name} mixes the samples, so that none has a slope of its own: take a critic without {name}"
            )
        if not isinstance(x, Tensor):  # a plain array takes the dtype of the weights
            x = Tensor(x, dtype=next((p.dtype for p in self.parameters()), None))
        return self.forward(x)

    def children(self) -> dict[str, "Module"]:
        """The modules that this one holds, by name: "head", or "blocks.0" for the first of a list."""
        return {name: value for name, value in _held(vars(self)) if isinstance(value, Module)}

    def modules(self) -> Iterator["Module"]:
        """This module and all modules inside it."""
        yield self
        for child in self.children().values():
            yield from child.modules()

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the module by its dotted name, such as "3.weight": parameters and statistics."""
        held = _held(vars(self))
        own = {name: value for name, value in held if isinstance(value, Tensor)}
        for prefix, child in held:
            if isinstance(child, Module):
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
        state = self.state()
        load_arrays({name: tensor.data for name, tensor in state.items()}, arrays)
        for tensor in state.values():
            tensor.changed()

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

        Its parameters are left out of what is recorded here, so that they get no gradient, though gradients flow
        through the model to its input; the walk back may come after the `with`. Batch norm still takes the batch's
        statistics, but leaves its running ones alone.
        """
        parameters, modules = self.parameters(), list(self.modules())
        needed, frozen = [p.requires_grad for p in parameters], [m.is_frozen for m in modules]
        try:
            for parameter in parameters:
                parameter.requires_grad = False
            for module in modules:
                module.is_frozen = True
            yield
        finally:
            for parameter, value in zip(parameters, needed, strict=True):
                parameter.requires_grad = value
            for module, value in zip(modules, frozen, strict=True):
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
            if k not in ("training", "is_frozen") and isinstance(v, int | float | tuple) and not _held({k: v})
        }

    def summary(self, input_shape: tuple[int, ...]) -> str:
        """A table of the layers with output shapes and parameter counts, for inputs (N, *input_shape)."""
        return summary(self, input_shape)


def _held(parts: dict[Any, Any]) -> list[tuple[str, Any]]:
    """Every Tensor and Module among `parts`, and in lists, tuples and dicts there, nested too, with its dotted name."""
    found = []
    for name, value in parts.items():
        if isinstance(value, (Tensor, Module)):
            found.append((str(name), value))
        elif isinstance(value, (dict, list, tuple)):
            inside = value if isinstance(value, dict) else dict(enumerate(value))
            found += [(f"{name}.{key}", part) for key, part in _held(inside)]
    return found


class Sequential(Module):
    """Modules one after the other: `Sequential(f, g)(x) = g(f(x))`. Index it for one layer, slice it for a part."""

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

    def __getitem__(self, index: int | slice) -> Module:
        layers = list(self.children().values())[index]
        return Sequential(*layers) if isinstance(index, slice) else layers


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
    ready = {name: np.asarray(arrays[name], target.dtype, like=target) for name, target in targets.items()}
    for name, target in targets.items():
        target[...] = ready[name]
