"""An answer is a student's function under its name. Its methods are the judges' tools: each raises `Wrong`, or not."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minigan.errors import MixedTypesError
from minigan.gradcheck import Report, gradcheck
from minigan.tensor import Tensor, grad

Guesses = Iterable[tuple[str, Any]]  # pairs: what would be the mistake, in a sentence, and what that mistake would give


class Wrong(Exception):  # noqa: N818
    """What is wrong with the function of this name, in one sentence; and the gradient check's report, if any."""

    def __init__(self, function: str, sentence: str, report: Report | None = None) -> None:
        super().__init__(sentence)
        self.function, self.report = function, report


class Answer:
    """A student's function under its name. `what` is the subject of a sentence, where the name alone would not do."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name, self.function = name, function

    def __call__(self, *arguments: Any) -> Any:
        """What the student's function returns."""
        return self.function(*arguments)

    def wrong(self, sentence: str, report: Report | None = None) -> Wrong:
        """The error to raise about this function."""
        return Wrong(self.name, sentence, report)

    def value(self, *inputs: Any, right: Any, what: str = "", guesses: Guesses = (), tolerance: float = 1e-9) -> None:
        """Call it and compare what it returns. Arrays among the inputs become Tensors."""
        right = np.asarray(right)
        found = self(*[Tensor(x) if isinstance(x, np.ndarray) else x for x in inputs])
        array = self.array(found, right.shape, right.dtype, what)
        self.compare(array, right, what or f"the value of {self.name}", guesses, tolerance)

    def array(self, found: Any, shape: tuple[int, ...], dtype: Any = np.float64, what: str = "") -> np.ndarray:
        """The array in what it returned, if that is a Tensor of this shape and dtype."""
        if not isinstance(found, Tensor):
            verbs = ("must be", "it is") if what else ("must return", "it returned")
            raise self.wrong(f"{what or self.name} {verbs[0]} a Tensor, but {verbs[1]} {kind_of(found)}")
        what = what or self.name
        if found.shape != shape:
            raise self.wrong(f"{what} must have shape {shape}, but it has {found.shape}")
        if found.dtype != dtype:
            raise self.wrong(
                f"{what} must be {np.dtype(dtype)}, as what it is computed from, but it is {found.dtype}: make arrays "
                "with the dtype of the input, x.dtype"
            )
        return found.numpy()

    def compare(self, found: np.ndarray, right: Any, what: str, guesses: Guesses = (), tolerance: float = 1e-9) -> None:
        """The arrays must be equal; else the guess that `found` agrees with says why, or its worst place is shown."""
        right = np.asarray(right)
        if np.allclose(found, right, rtol=tolerance, atol=tolerance):
            return
        for sentence, guess in guesses:
            if np.shape(guess) == found.shape and np.allclose(found, guess, rtol=tolerance, atol=tolerance):
                raise self.wrong(f"{what} is wrong: {sentence}")
        distance = np.where(np.isfinite(found), np.abs(found - right), np.inf)
        worst = np.unravel_index(int(np.argmax(distance)), right.shape)
        place = f" at {tuple(int(i) for i in worst)}" if right.ndim else ""
        raise self.wrong(f"{what} is wrong{place}: yours is {found[worst]:.6g}, it should be {right[worst]:.6g}")

    def gradients(
        self,
        *inputs: np.ndarray,
        settings: tuple[Any, ...] = (),
        f: Callable[..., Tensor] | None = None,
        what: str = "",
        order: int = 2,
    ) -> None:
        """Every derivative in the inputs must be right. `settings` are further arguments; f calls the function."""
        report = gradcheck(self._of_inputs(settings, f, what), *inputs, order=order)
        if not report:
            raise self.wrong(str(report), report)

    def in_float32(
        self, *inputs: np.ndarray, settings: tuple[Any, ...] = (), f: Callable[..., Tensor] | None = None
    ) -> None:
        """Training computes in float32: the value and all gradients must stay in it."""
        tensors = [Tensor(x.astype(np.float32), requires_grad=True) for x in inputs]
        y = self._of_inputs(settings, f)(*tensors)
        self.array(y, getattr(y, "shape", ()), np.float32, f"{self.name}, for float32 inputs,")
        try:
            gradients = grad(y, tensors, Tensor(np.ones(y.shape, np.float32)))
        except MixedTypesError as error:
            sentence = f"{self.name}: its derivative fails for float32 inputs, with which training works: {error}"
            raise self.wrong(sentence) from None
        for x, gradient in zip(tensors, gradients, strict=True):
            self.array(gradient, x.shape, np.float32, f"the gradient of {self.name}, for float32 inputs,")

    def _of_inputs(
        self, settings: tuple[Any, ...], f: Callable[..., Tensor] | None, what: str = ""
    ) -> Callable[..., Tensor]:
        """The function of the inputs alone, under the name that a report should show."""

        @functools.wraps(f or self.function)  # so that a report knows the arguments by the student's own names
        def of_inputs(*tensors: Tensor) -> Tensor:
            return (f or self.function)(*tensors, *settings)

        of_inputs.__name__ = what or self.name
        return of_inputs


def kind_of(value: Any) -> str:
    """What a function returned, in words."""
    return "nothing (is a `return` missing?)" if value is None else type(value).__name__


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers, always the same ones for a shape and seed."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)
