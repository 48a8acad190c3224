"""Put a student's functions in the library's place, so that they train a GAN."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan import table
from minigan.exercises.catalogue import EXERCISES, Exercise
from minigan.exercises.judges import Answer
from minigan.exercises.loading import shown, where
from minigan.exercises.own import code_of, is_in_minigan
from minigan.tensor import Derivative, Tensor, no_grad

DEEPEST = 20  # calls of a function inside of each other: more, and it calls itself for ever


class ExerciseError(RuntimeError):
    """A student's function failed while it stood in the library's place. The message names its file and line."""


@dataclass
class Served:
    """How often a student's function was called, and how many gradients went back through what it returned."""

    name: str
    file: str
    calls: int = 0
    gradients: int = 0


@contextmanager
def in_place(functions: Iterable[Callable[..., Any]]) -> Iterator[list[Served]]:
    """Let a student's functions run wherever the library would run its own, inside the `with`.

        with in_place([tanh, mul]) as served:
            ...  # training, or anything else
        print(served)

    They are told by their names. Of two with the same name, the later one runs. Afterwards the library is as before,
    and `served` says how often each was called. Raises ValueError for a function that no exercise asks for.
    """
    functions = [functions] if callable(functions) else list(functions)
    if not all(inspect.isfunction(function) for function in functions):
        raise TypeError("in_place takes a list of your functions, such as in_place([tanh, mul])")
    library, stand_ins = _library(), {}
    for function in functions:
        exercise = next((e for e in reversed(EXERCISES) if function.__name__ in e.replaces), None)
        if exercise is None:
            how = "write it with `def`, under the name that the exercise gives it"
            raise ValueError(f"no exercise asks for a function {function.__name__!r}: {how}")
        if (function.__module__ or "").startswith("minigan."):
            raise ValueError(f"{function.__name__} is minigan's own: give in_place a function that you wrote")
        name = function.__name__
        stand_ins[exercise.replaces[name]] = StandIn(exercise, name, function, library)
    with table.replaced(stand_ins):
        yield [stand_in.served for stand_in in stand_ins.values()]


def _library() -> tuple[dict[str, Any], dict[str, Any]]:
    """minigan's own functions as they are now: what a student's function does not take goes there."""
    return dict(table.PLAIN), dict(table.FASTEST)


def try_in_place(exercise: Exercise, answers: Iterable[Answer]) -> None:
    """Call each answer once more as its judge did, and walk back through it, while it stands in the library's place.

    What calls itself through the library is right where the library has its own, and never ends in training. Raises
    ExerciseError.
    """
    library = _library()
    stand_ins = {a: StandIn(exercise, a.name, a.function, library) for a in answers}
    with table.replaced({stand_in.entry: stand_in for stand_in in stand_ins.values()}):
        for answer, stand_in in stand_ins.items():
            result = stand_in(*answer.arguments)
            y = result[0] if isinstance(result, tuple) else result
            if isinstance(y, Tensor) and y.requires_grad:
                y.backward(Tensor(np.ones(y.shape), dtype=y.dtype))


class StandIn:
    """A student's function, as the table holds it in the library's place: counted and watched.

    It takes the first of the library's arguments, perhaps not all: conv2d has no dilation. A call that sets one of the
    others, or for which the exercise is not meant, goes to the library's own function.
    """

    def __init__(
        self,
        exercise: Exercise,
        name: str,
        function: Callable[..., Any],
        library: tuple[dict[str, Any], dict[str, Any]],
    ) -> None:
        self.function, self.only, self.entry = function, exercise.only, exercise.replaces[name]
        code = code_of(function)
        self.path, self.line = (code.co_filename, code.co_firstlineno) if code else ("<unknown>", 1)
        self.served, self.depth = Served(name, shown(self.path)), 0
        self.plain, self.fastest = library
        own = self.plain[self.entry]
        self.__signature__, self.__module__ = inspect.signature(own), own.__module__  # of the next stand-in's `own`
        self.takes = _number_taken(function, self.__signature__)
        # What is no operation and no loss may change its arguments, or draw numbers: it cannot be run twice to compare.
        operation = self.__module__.startswith(("minigan.ops", "minigan.losses"))
        self.can_be_repeated = operation and "rng" not in self.__signature__.parameters
        self.compared: set[Any] = set()  # the shapes for which that was done

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The student's function, if it takes these arguments."""
        own = (self.plain if table.is_plain() else self.fastest)[self.entry]
        call = self.__signature__.bind(*args, **kwargs)
        call.apply_defaults()
        values, rest = call.args[: self.takes], call.args[self.takes :]
        defaults = [p.default for p in self.__signature__.parameters.values()][self.takes :]
        if list(rest) != defaults or not self.only(*call.args):
            return own(*args, **kwargs)
        right = self._right_result(own, values)
        self.served.calls += 1
        result = self._call(f"your {self.served.name}", self.function, *values)
        if right is not None and _describe(result) != _describe(right):
            place = f"{self.served.file}, line {self.line}"
            says = f"returned {_describe(result)}, but it should return {_describe(right)}"
            raise ExerciseError(f"{place}: your {self.served.name} {says}")
        for tensor in result if isinstance(result, tuple) else (result,):
            if isinstance(tensor, Tensor) and not any(tensor is value for value in values):
                tensor.parents = tuple([(parent, self._watched(d, parent)) for parent, d in tensor.parents])
        return result

    def _right_result(self, own: Callable[..., Any], values: tuple[Any, ...]) -> Any:
        """What the library returns, to compare with: once for each shape, since it takes time.

        Where the library refuses the arguments, its error goes to the caller: that is no mistake of the student's.
        """
        key = tuple([_kind(value) for value in values])
        if not self.can_be_repeated or key in self.compared:
            return None
        self.compared.add(key)
        before, table.mode.table = table.mode.table, self.plain if table.is_plain() else self.fastest
        try:  # meanwhile no student's function runs in this thread, nor is it counted
            with no_grad():
                return own(*values)
        finally:
            table.mode.table = before

    def _watched(self, derivative: Derivative, parent: Tensor) -> Derivative:
        """The derivative, counted; a wrong result of it is named."""
        what = f"the derivative of your {self.served.name}"

        def watched(g: Tensor, y: Tensor) -> Tensor:
            self.served.gradients += 1
            share = self._call(what, derivative, g, y)
            if not isinstance(share, Tensor) or share.shape != parent.shape or share.dtype != parent.dtype:
                code = getattr(derivative, "__code__", None)
                line = f", line {code.co_firstlineno}" if code and code.co_filename == self.path else ""
                says = f"gave {_describe(share)} for {_describe(parent)}"
                raise ExerciseError(f"{self.served.file}{line}: {what} {says}")
            return share

        return watched

    def _call(self, what: str, function: Callable[..., Any], *args: Any) -> Any:
        """`function`, whose errors become an ExerciseError with the student's line."""
        self.depth += 1
        try:
            if self.depth > DEEPEST:
                raise ExerciseError(f"{self.served.file}{self._which_calls_itself()}: write it out")
            return function(*args)
        except ExerciseError:
            raise
        except (Exception, SystemExit) as error:  # a student's exit() would end the training without a word
            raise ExerciseError(f"{where(error, self.path)}{what} raised {type(error).__name__}: {error}") from error
        finally:
            self.depth -= 1

    def _which_calls_itself(self) -> str:
        """Which line calls which of minigan's functions, that calls the student's function again."""
        frame, called = inspect.currentframe(), ""
        while frame is not None and frame.f_code.co_filename != self.path:
            if is_in_minigan(frame.f_code):  # a wrapper, of the table, has a variable with the name
                called = frame.f_locals.get("name", frame.f_code.co_name)
            frame = frame.f_back
        line = frame.f_lineno if frame else self.line
        return f", line {line}: your {self.served.name} calls minigan's {called}, which would call yours, without end"


def _number_taken(function: Callable[..., Any], library: inspect.Signature) -> int:
    """How many of the library's arguments a student's function takes; at least all that have no default."""
    kinds = [p.kind for p in inspect.signature(function).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return len(library.parameters)
    needed = [p for p in library.parameters.values() if p.default is p.empty]
    return max(len(needed), len([kind for kind in kinds if kind <= inspect.Parameter.POSITIONAL_OR_KEYWORD]))


def _kind(value: Any) -> Any:
    """What decides on the shape of a result: a tensor's shape and dtype, and a whole number itself."""
    if isinstance(value, Tensor):
        return value.shape, value.dtype
    return value if isinstance(value, int | tuple) else type(value)


def _describe(value: Any) -> str:
    """A result in words: its kind, shape and dtype."""
    if isinstance(value, tuple):
        return ", ".join(_describe(part) for part in value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{'a Tensor' if isinstance(value, Tensor) else 'an array'} of shape {value.shape} in {value.dtype}"
    return type(value).__name__
