"""Run the check of an exercise on a student's code, and say in one sentence what came of it.

A student's file is read with what lies beside it (`files.py`), and runs in a process of its own (`isolation.py`), so
that an endless loop, a crash or a flood of memory ends that process, and the check says where. Functions of a notebook
are judged where they are.
"""

import inspect
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from minigan.exercises import isolation
from minigan.exercises.catalogue import EXERCISES, STUBS, Exercise, find
from minigan.exercises.files import Folder, read_folder
from minigan.exercises.in_place import ExerciseError, try_in_place
from minigan.exercises.judges import Wrong
from minigan.exercises.loading import load, told, where
from minigan.exercises.own import calls_noted, code_of, is_own
from minigan.exercises.result import FAILED, NOT_WRITTEN, PASSED, STATUSES, Result

__all__ = ["FAILED", "NOT_WRITTEN", "PASSED", "Result", "check", "check_file", "check_folder", "load", "where"]
NOTEBOOK = "the notebook"
SECONDS = 20.0  # the time limit of a check, which takes about one


def check(name: str, *functions: Callable[..., Any]) -> Result:
    """Check functions that were written in a notebook: `check("tanh", tanh)`. The result shows itself in the cell.

    With `assert check("tanh", tanh).passed` the cell fails unless the exercise is solved (for nbgrader).
    """
    exercise, names, others = find(str(name)), {}, []
    for function in functions:
        if not callable(function):
            raise TypeError(f"check takes your functions, such as check('tanh', tanh), not {function!r}")
        if getattr(function, "__name__", "") in exercise.replaces:
            names[function.__name__] = function
        else:
            others.append(function)
    missing = [wanted for wanted in exercise.replaces if wanted not in names]
    if len(missing) == len(others) == 1 and not _was_named(others[0]):
        names[missing[0]] = others[0]
    elif missing and others:
        says = f"there is no function {missing[0]}; write `def {missing[0]}(...)`, so that it has this name"
        return Result(exercise.name, FAILED, f"{NOTEBOOK}: {says}")
    return judge(exercise, names, NOTEBOOK)


def _was_named(function: Any) -> bool:
    """Whether a `def` of the notebook gave it a name. A lambda has none, and what a decorator returns has its own."""
    return inspect.isfunction(function) and not any(mark in function.__qualname__ for mark in ("<lambda>", "<locals>"))


def check_file(exercise: Exercise, path: Path, seconds: float = SECONDS) -> Result:
    """Check a student's file, in a process of its own that may take so many seconds."""
    return _check_one(exercise, read_folder(path.parent, [path.name]), path.name, seconds)


def check_folder(folder: Path, seconds: float = SECONDS) -> Iterator[Result]:
    """Check every exercise of a student's folder, in order; several at once."""
    return check_all(read(folder), seconds)


def read(folder: Path) -> Folder:
    """A student's folder, read as it is now, for `check_all`."""
    return read_folder(folder, [exercise.file for exercise in EXERCISES])


def check_all(folder: Folder, seconds: float = SECONDS) -> Iterator[Result]:
    """Check every exercise of a folder that was read before, in order; several at once."""
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    checks = [pool.submit(_check_one, exercise, folder, exercise.file, seconds) for exercise in EXERCISES]
    try:
        yield from (check.result() for check in checks)
    finally:  # after Ctrl-C too: nobody waits for an endless loop then
        with isolation.undisturbed():
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(check.done() for check in checks):  # one of them may just be starting
                isolation.end_all()
                time.sleep(0.02)


def _check_one(exercise: Exercise, folder: Folder, file: str, seconds: float) -> Result:
    """Check one file of a folder."""
    if file in folder.refused:
        return Result(exercise.name, FAILED, f"{file}: {folder.refused[file]}")
    if file not in folder.files:
        how = f"`minigan exercise reset {exercise.name}` brings it back"
        return Result(exercise.name, FAILED, f"there is no file {folder.path / file}: {how}")
    if folder.files[file] == (STUBS / exercise.file).read_bytes():
        return Result(exercise.name, NOT_WRITTEN, f"{file} is as it was handed out")
    try:
        ended = isolation.run(exercise.name, file, folder.files, seconds)
    except OSError as error:  # a full disk, say
        return Result(exercise.name, FAILED, f"{file} could not be checked: {error.strerror}")
    if len(ended.answer) == 4 and ended.answer[0] in STATUSES:
        status, message, html, note = ended.answer
        return Result(exercise.name, status, message, html, ended.printed, note)
    if line := ended.line_of(file):
        says = f", line {line}: still running after {seconds:g} seconds; is there a loop that never ends?"
    else:
        says = f": the process ended without an answer (exit code {ended.exit_code})"
    return Result(exercise.name, FAILED, file + says, output=ended.printed)


def judge(exercise: Exercise, names: dict[str, Any], path: str) -> Result:
    """The check itself, in this process. `names` are those that the student's file defines."""
    file = Path(path).name
    for name in exercise.replaces:
        if not callable(names.get(name)):
            return Result(exercise.name, FAILED, f"{file}: there is no function {name}; keep the name that it had")
        if is_own(names[name]):
            says = f"{file}: {name} is minigan's own function: write it yourself"
            return Result(exercise.name, FAILED, says, note="is minigan's own function")
    with calls_noted(exercise.replaces, [names[name] for name in exercise.replaces]) as calls:
        status, message, html = _verdict(exercise, names, path)
    note = f"calls minigan's own {' and '.join(calls)}" if calls else ""
    return Result(exercise.name, status, message, html, note=note)


def _verdict(exercise: Exercise, names: dict[str, Any], path: str) -> tuple[str, str, str]:
    """The status, the message and the report of the gradient check."""
    file = Path(path).name
    codes = {name: code_of(names[name]) for name in exercise.replaces} if path == NOTEBOOK else {}
    cells = {code.co_filename: name for name, code in codes.items() if code}
    try:
        try_in_place(exercise, exercise.check(names))
    except NotImplementedError as error:
        return NOT_WRITTEN, f"{where(error, path, cells)}{error or NOT_WRITTEN}", ""
    except ExerciseError as error:  # it names the file and the line itself
        return FAILED, str(error), ""
    except Wrong as wrong:
        if wrong.report is not None:  # it says itself which function it is about
            return FAILED, f"{file}: {wrong}", wrong.report._repr_html_()
        return FAILED, f"{file}, {wrong.function} in line {_first_line(names[wrong.function])}: {wrong}", ""
    except BaseException as error:  # SystemExit too, which would end a notebook's kernel
        return FAILED, told(error, path, cells), ""
    return PASSED, "", ""


def _first_line(function: Any) -> int:
    try:
        return inspect.getsourcelines(function)[1]
    except (OSError, TypeError):
        return getattr(getattr(function, "__code__", None), "co_firstlineno", 1)
