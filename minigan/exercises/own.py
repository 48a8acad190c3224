"""What is minigan's own: a student's answer must not be it, and must leave it as it is."""

import builtins
import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from minigan import table
from minigan.exercises.catalogue import EXERCISES

PACKAGE = Path(table.__file__).parent  # the folder of minigan


def is_own(function: Any) -> bool:
    """Whether a function is minigan's, perhaps with some arguments given already."""
    code = code_of(function)
    return code is not None and is_in_minigan(code)


def is_in_minigan(code: CodeType) -> bool:
    """Whether this is minigan's code."""
    return Path(code.co_filename).is_relative_to(PACKAGE)


def code_of(function: Any) -> CodeType | None:
    """The code that a call runs, also of an object or with some arguments given already; None if it is not Python's."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)


@contextmanager
def calls_noted(entries: Mapping[str, str], functions: Iterable[Any]) -> Iterator[list[str]]:
    """Inside the `with`, a list of those functions of minigan that `functions` themselves call.

    `entries` are the names in the table of those to watch, by the names that are listed. Calls in a derivative do not
    count: it runs after the function has returned, and there all of minigan may be used.
    """
    codes, noted = {code_of(function) for function in functions}, []
    with table.replaced({entry: _watched(name, entry, codes, noted) for name, entry in entries.items()}):
        yield noted


def _watched(name: str, entry: str, codes: set[CodeType | None], noted: list[str]) -> Callable[..., Any]:
    """minigan's function of this entry, which notes its name when it is called from one of these codes."""
    plain, fastest = table.PLAIN[entry], table.FASTEST[entry]

    @functools.wraps(plain)
    def watched(*args: Any, **kwargs: Any) -> Any:
        frame = inspect.currentframe()
        while name not in noted and frame is not None:
            if frame.f_code in codes:
                noted.append(name)
            frame = frame.f_back
        return (plain if table.is_plain() else fastest)(*args, **kwargs)

    return watched


class Library:
    """minigan, NumPy and Python's built-in functions as they are now, to see later whether they were changed."""

    def __init__(self) -> None:
        self.builtins, self.names = dict(vars(builtins)), vars(builtins)
        self.before = dict(_owners())

    def changed(self) -> str:
        """The name of something that is not as it was, such as "minigan.gradcheck.report.TOLERANCE"; or nothing."""
        for name, value in self.builtins.items():  # first, since the rest needs them
            if self.names.get(name) is not value:
                return f"builtins.{name}"
        for owner, now in _owners():
            before = self.before.get(owner, now)  # what was imported later has nothing to be compared with
            for name in now.keys() - before.keys() if owner.startswith("minigan") else ():
                if callable(now[name][0]):  # it could stand in for a built-in function
                    return f"{owner}.{name}"
            for name, parts in before.items():
                found = now.get(name, ())
                if len(found) != len(parts) or any(a is not b for a, b in zip(found, parts, strict=True)):
                    return f"{owner}.{name}"
        return ""


Names = dict[str, tuple[Any, ...]]  # names, and of what their values are made


def _owners() -> Iterator[tuple[str, Names]]:
    """The names in every module of minigan and NumPy; of minigan also in classes, dicts and exercises."""
    for place, module in list(sys.modules.items()):
        if place.partition(".")[0] not in ("minigan", "numpy"):
            continue
        values = {name: v for name, v in vars(module).items() if name[:2] != "__" and not isinstance(v, ModuleType)}
        yield place, _names(values)
        for name, value in values.items() if place.startswith("minigan") else ():
            if isinstance(value, type) and value.__module__ == place:
                yield f"{place}.{name}", _names(vars(value))
            elif isinstance(value, dict):
                yield f"{place}.{name}", _names(value)
    for exercise in EXERCISES:
        yield f"minigan's exercise {exercise.name}", _names(vars(exercise))


def _names(values: Mapping[Any, Any]) -> Names:
    return {str(name): (value, *_code_in(value)) for name, value in values.items()}


def _code_in(value: Any) -> tuple[Any, ...]:
    """Of a function or method, its code and defaults: they could be exchanged without a new function."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, property):
        value = value.fget
    if not isinstance(value, FunctionType):
        return ()
    wrapped = vars(value).get("__wrapped__")
    return value.__code__, value.__defaults__, *(_code_in(wrapped) if wrapped is not value else ())
