"""An answer is a student's function under its name. Its methods are the judges' tools: each raises `Wrong`, or not."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from minigan.errors import ChangedError, MixedTypesError
from minigan.gradcheck import Report, gradcheck
from minigan.gradcheck.inputs import argument_names
from minigan.gradcheck.mistakes import Mistake
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
        self.arguments: tuple[Any, ...] = ()  # of a call; of one that can be differentiated, if there was any

    def __call__(self, *arguments: Any) -> Any:
        """What the student's function returns. An error that it raises gets a note that says for which arguments."""
        try:
            result = self.function(*arguments)
        except Exception as error:
            if words := self._in_words(arguments):
                error.add_note(f"for {words}")
            raise
        first = result[0] if isinstance(result, tuple) and result else result
        if not self.arguments or getattr(first, "requires_grad", False):
            self.arguments = arguments
        return result

    def wrong(self, sentence: str, report: Report | None = None) -> Wrong:
        """The error to raise about this function."""
        return Wrong(self.name, sentence, report)

    def value(self, *inputs: Any, right: Any, what: str = "", guesses: Guesses = (), tolerance: float = 1e-9) -> None:
        """Call it and compare what it returns. Arrays among the inputs become Tensors, and must stay as they are.

        Their memory is in another order than NumPy's usual one, as that of a transposed array.
        """
        right = np.asarray(right)
        what = what or f"the value of {self.name} for {self._in_words(inputs)}"
        found = self._of_arrays("F", inputs, right, what)
        if not np.allclose(found, right, rtol=tolerance, atol=tolerance):
            in_order = self._of_arrays("C", inputs, right, what)
            if np.allclose(in_order, right, rtol=tolerance, atol=tolerance):
                raise self.wrong(
                    f"{what} is wrong where an array's memory is not in order, as after a transpose: leave that order "
                    "to NumPy (no strides, no ravel('K'), no order='F')"
                )
        self.compare(found, right, what, guesses, tolerance)

    def _of_arrays(self, order: Any, inputs: tuple[Any, ...], right: np.ndarray, what: str) -> np.ndarray:
        """The array that it returns for these inputs, whose memory is in the order "C" or "F"."""
        given = [Tensor(np.array(x, order=order)) if isinstance(x, np.ndarray) else x for x in inputs]
        found = self(*given)
        array = self.array(found, right.shape, right.dtype, what if isinstance(found, Tensor) else "")
        for name, x, tensor in zip(self._names(len(inputs)), inputs, given, strict=True):
            if isinstance(x, np.ndarray) and not np.array_equal(tensor.numpy(), x):
                how = f"compute with new arrays, not in place (no {name}.data[...] = ..., no {name}.data *= ...)"
                raise self.wrong(f"{self.name} changes its argument {name}, which others still need: {how}")
        return array

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
        raise self.wrong(f"{what} is wrong{place}: {side_by_side(float(found[worst]), float(right[worst]))}")

    def gradients(
        self,
        *inputs: np.ndarray,
        settings: tuple[Any, ...] = (),
        f: Callable[..., Tensor] | None = None,
        what: str = "",
        order: int = 2,
        guesses: Callable[[Any], dict[int, Guesses]] | None = None,
    ) -> None:
        """Every derivative in the inputs must be right. `settings` are further arguments; f calls the function.

        `guesses` takes an upstream gradient g; for some inputs, by their numbers, it says what mistakes would give.
        """
        of_inputs = self._of_inputs(settings, f, what)
        report = gradcheck(of_inputs, *inputs, order=order)
        measured = all(line.measured for line in report.lines if line.errors.size)
        if not (report and measured):  # at these inputs, the right function can be measured
            report = _with_guesses(report, of_inputs, inputs, guesses) if guesses and report.lines else report
            raise self.wrong(str(report), report)

    def in_float32(
        self,
        *inputs: np.ndarray,
        settings: tuple[Any, ...] = (),
        f: Callable[..., Tensor] | None = None,
        tolerance: float = 1e-3,
        why: str = "",
    ) -> None:
        """Training computes in float32: the value and all gradients must stay in it, and keep their digits.

        `why` says what usually takes the digits at these inputs.
        """
        arrays = [x.astype(np.float32) for x in inputs]
        found, right = (self._value_and_gradients(arrays, dtype, settings, f) for dtype in (np.float32, np.float64))
        names = [self.name, *[f"the gradient of {self.name} in {x}" for x in self._names(len(inputs), f)]]
        for what, yours, exact in zip(names, found, right, strict=True):
            array = self.array(yours, exact.shape, np.float32, f"{what}, for float32 inputs,")
            largest = np.max(np.abs(exact.numpy()), initial=1.0)
            if not np.allclose(array, exact.numpy(), rtol=0, atol=tolerance * largest):
                reason = why or "is there a difference of large numbers, or an overflow?"
                raise self.wrong(f"{what} loses its digits in float32, with which training works: {reason}")
        try:
            again = self._value_and_gradients(arrays, np.float32, settings, f, used_before=True)
        except ChangedError:
            again = []
        if not again or any(not np.array_equal(a.numpy(), b.numpy()) for a, b in zip(again, found, strict=True)):
            raise self.wrong(
                f"{self.name} remembers an earlier call: the numbers of a tensor may have changed since, by an "
                "optimizer's step. Compute with those that are in it now, and keep nothing for the next call"
            )

    def _value_and_gradients(
        self,
        arrays: list[np.ndarray],
        dtype: Any,
        settings: tuple[Any, ...],
        f: Callable[..., Tensor] | None,
        used_before: bool = False,
    ) -> list[Tensor]:
        """What it gives in a dtype: its value, and the gradients for an upstream gradient of normal numbers.

        With `used_before`, it was called for the same tensors, when they had other numbers.
        """
        others = [0.9 * np.roll(x, 1) if used_before else x for x in arrays]
        tensors = [Tensor(x, requires_grad=True, dtype=dtype) for x in others]
        if used_before:
            self._of_inputs(settings, f)(*tensors)
            for tensor, x in zip(tensors, arrays, strict=True):
                tensor.data[...] = Tensor(x, dtype=dtype).data
                tensor.changed()
        y = self._of_inputs(settings, f)(*tensors)
        self.array(y, getattr(y, "shape", ()), dtype, f"{self.name}, for {np.dtype(dtype)} inputs,")
        try:
            return [y, *grad(y, tensors, Tensor(normal(*y.shape), dtype=dtype))]
        except MixedTypesError as error:
            sentence = f"{self.name}: its derivative fails for float32 inputs, with which training works: {error}"
            raise self.wrong(sentence) from None

    def _of_inputs(
        self, settings: tuple[Any, ...], f: Callable[..., Tensor] | None, what: str = ""
    ) -> Callable[..., Tensor]:
        """The function of the inputs alone, under the name that a report should show."""

        @functools.wraps(f or self.function)  # so that a report knows the arguments by the student's own names
        def of_inputs(*tensors: Tensor) -> Tensor:
            return (f or self)(*tensors, *settings)

        of_inputs.__name__ = what or self.name
        return of_inputs

    def _names(self, count: int, f: Callable[..., Any] | None = None) -> list[str]:
        """The names of its first arguments, or of those of f."""
        return argument_names(f or self.function, count)

    def _in_words(self, arguments: tuple[Any, ...]) -> str:
        """The arguments of a call in words: "x (3, 4), slope 0.2"."""
        words = []
        for name, value in zip(self._names(len(arguments)), arguments, strict=True):
            if isinstance(value, int | float | tuple | None):
                words.append(f"{name} {value}")
            elif hasattr(value, "shape"):
                words.append(f"{name} {value.shape}" + (" in float32" if value.dtype == np.float32 else ""))
        return ", ".join(words)


def _with_guesses(
    report: Report, f: Callable[..., Tensor], inputs: tuple[np.ndarray, ...], guesses: Callable[[Any], Any]
) -> Report:
    """The report, with the guesses that the gradients agree with, for an upstream gradient of normal numbers."""
    tensors = [Tensor(x, requires_grad=True, dtype=np.float64) for x in inputs]
    try:
        y = f(*tensors)
        g = normal(*y.shape, seed=9)
        found = grad(y, tensors, Tensor(g))
    except Exception:  # the report has it
        return report
    lines = list(report.lines)
    for k, pairs in guesses(g).items():
        for sentence, guess in pairs if lines[k].mistake else ():
            if found[k].shape == np.shape(guess) and np.allclose(found[k].numpy(), guess, rtol=1e-6, atol=1e-9):
                says, _, hint = sentence.partition("; ")
                lines[k] = replace(lines[k], mistake=Mistake("a guess", says, hint))
                break
    return replace(report, lines=tuple(lines))


def side_by_side(found: float, right: float) -> str:
    """Two numbers that differ, with as many digits as show it, and a reason where the kind of number tells it."""
    digits = next((n for n in (6, 9, 12) if f"{found:.{n}g}" != f"{right:.{n}g}"), 17)
    why = ""
    if not np.isfinite(found):
        why = "; look for a division by 0, a root of a negative number, a log of 0, or e to a large power"
    elif digits > 6:
        why = "; that is nearly right: is something small added, or float32 used in between?"
    return f"yours is {found:.{digits}g}, it should be {right:.{digits}g}{why}"


def kind_of(value: Any) -> str:
    """What a function returned, in words."""
    return "nothing (is a `return` missing?)" if value is None else type(value).__name__


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers, always the same ones for a shape and seed."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)
