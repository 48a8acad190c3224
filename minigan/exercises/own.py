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
    code = _code(function)
    return code is not None and Path(code.co_filename).is_relative_to(PACKAGE)


def _code(function: Any) -> CodeType | None:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__code__", None)


@contextmanager
def calls_noted(entries: Mapping[str, str], functions: Iterable[Any]) -> Iterator[list[str]]:
    """Inside the `with`, a list of those functions of minigan that `functions` themselves call.

    `entries` are the names in the table of those to watch, by the names that are listed. Calls in a derivative do not
    count: it runs after the function has returned, and there all of minigan may be used.
    """
    codes, noted = {_code(function) for function in functions}, []
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
        for owner, names in _owners():
            before = self.before.get(owner, names)  # what was imported later has nothing to be compared with
            added = [name for name in names if name not in before and callable(names[name])]
            if added and owner.startswith("minigan"):  # it could stand in for a built-in function
                return f"{owner}.{added[0]}"
            for name in before:
                old, new = _parts(before[name]), _parts(names.get(name))
                if len(old) != len(new) or any(a is not b for a, b in zip(old, new, strict=True)):
                    return f"{owner}.{name}"
        return ""


def _owners() -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and values in every module of minigan and NumPy; of minigan also in classes, dicts and exercises."""
    for place, module in list(sys.modules.items()):
        if place.partition(".")[0] not in ("minigan", "numpy"):
            continue
        names = {name: v for name, v in vars(module).items() if name[:2] != "__" and not isinstance(v, ModuleType)}
        yield place, names
        for name, value in names.items() if place.startswith("minigan") else ():
            if isinstance(value, type) and value.__module__ == place:
                yield f"{place}.{name}", dict(vars(value))
            elif isinstance(value, dict):
                yield f"{place}.{name}", {str(key): inside for key, inside in value.items()}
    for exercise in EXERCISES:
        yield f"minigan's exercise {exercise.name}", dict(vars(exercise))


def _parts(value: Any) -> list[Any]:
    """A value; of a function, also its code and defaults, which could be exchanged without a new function."""
    functions = [value, *[getattr(value, name, None) for name in ("fget", "__func__", "__wrapped__")]]
    inside = [part for f in functions if isinstance(f, FunctionType) for part in (f.__code__, f.__defaults__)]
    return [value, *inside]
