"""One table of all functions that can be swapped: operations, an optimizer's update, a training step.

Under its name, each has the *plain* version, which is the one that you read. Some have a *fast* version too, from
`fast/`, which gives the same numbers up to rounding. And while an exercise is in place, a *student's* function runs
instead of both. A call of the function looks here which of them to run.
"""

import functools
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Function = Callable[..., Any]

PLAIN: dict[str, Function] = {}  # every function of the table by its name, as it is read
FASTEST: dict[str, Function] = {}  # the same names, with the fast version where there is one


class _Mode(threading.local):
    """Which of the two dicts this thread's calls look into. MINIGAN_PLAIN=1 makes it the plain one from the start."""

    table = PLAIN if os.environ.get("MINIGAN_PLAIN") in ("1", "yes") else FASTEST


mode = _Mode()  # mode.table[name] is the version that this thread's calls run


@contextmanager
def plain() -> Iterator[None]:
    """Inside the `with`, this thread runs exactly the code that you read: no shortcuts, no threads but BLAS's own."""
    before, mode.table = mode.table, PLAIN
    try:
        yield
    finally:
        mode.table = before


def is_plain() -> bool:
    """Whether this thread runs the plain versions."""
    return mode.table is PLAIN


def enter(function: Function) -> str:
    """Put a plain version into the table; returns its name, such as "tanh" or "Adam.update"."""
    name = function.__qualname__
    if name in PLAIN:
        raise ValueError(f"there are two functions {name!r} in the table: give one another name")
    PLAIN[name] = FASTEST[name] = function
    return name


def swappable(function: Function) -> Function:
    """`@swappable` enters a function such as Adam's update. (Operations are entered by `@op`, in `tensor.py`.)"""
    name = enter(function)
    return functools.wraps(function)(lambda *args, **kwargs: mode.table[name](*args, **kwargs))


def fast(function: Function) -> Callable[[Function], Function]:
    """`@fast(ops.conv)` enters a fast version; it calls `plain_version(ops.conv)` where it has nothing to offer."""
    name = function.__qualname__

    def enter_fast(version: Function) -> Function:
        if FASTEST[name] is not PLAIN[name]:
            raise ValueError(f"{name!r} has a fast version already")
        FASTEST[name] = version
        return version

    return enter_fast


def plain_version(function: Function) -> Function:
    """The function as it is read, whatever runs in its place."""
    return function.__wrapped__  # functools.wraps has left it there


@contextmanager
def replaced(functions: Mapping[str, Function]) -> Iterator[None]:
    """Inside the `with`, the functions of these names run instead of minigan's own, in every thread and mode."""
    before = [(table, {name: table[name] for name in functions}) for table in (PLAIN, FASTEST)]
    try:
        for table, _ in before:
            table.update(functions)
        yield
    finally:
        for table, own in before:
            table.update(own)
