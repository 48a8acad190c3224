"""`minigan exercise`: the list, checks, hints, solutions, and the teacher's report."""

import argparse
import inspect
import os
import shlex
import time
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any

from minigan import table
from minigan.checkpoint import write_file
from minigan.exercises.catalogue import EXERCISES, STUBS, Exercise, find
from minigan.exercises.files import read_folder
from minigan.exercises.in_place import Served
from minigan.exercises.loading import hides, load, told
from minigan.exercises.report import write_report
from minigan.exercises.result import FAILED, NOT_WRITTEN, PASSED, Result
from minigan.exercises.runner import check_file, check_folder
from minigan.verdict import RIGHT, WRONG

FOLDER = Path("exercises")  # where a student's files lie, unless they are here or another folder is named
MARKS = {PASSED: RIGHT[0], FAILED: WRONG[0], NOT_WRITTEN: "·"}


def add_command(commands: Any) -> None:
    """Add `exercise` and its actions to the command line's parser."""
    folder = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    folder.add_argument("--folder", type=Path, help="where your files are, default: here or in exercises")
    exercise = commands.add_parser("exercise", help="write parts of minigan yourself", parents=[folder])
    exercise.add_argument("--watch", action="store_true", help="check the next exercise again each time you save it")
    exercise.set_defaults(command=_list)
    actions = exercise.add_subparsers(metavar="ACTION", title="actions (none: the list with your progress)")

    def add(
        name: str, command: Callable[[Any], int], text: str, takes_exercise: bool = True
    ) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=text, description=text, parents=[folder] if takes_exercise else [])
        action.set_defaults(command=command)
        if takes_exercise:
            optional = {"nargs": "?"} if name == "check" else {}
            action.add_argument("exercise", metavar="EXERCISE", help="its name or number", **optional)
        return action

    add("check", _check, "check one exercise, or the next one to solve")
    hint = add("hint", _hint, "show a hint")
    hint.add_argument("level", type=int, nargs="?", default=1, choices=(1, 2, 3), help="3 is nearly the answer")
    add("reset", _reset, "start an exercise again; your version is kept beside it")
    solution = add("solution", _solution, "show minigan's own version, once yours passes")
    solution.add_argument("--give-up", action="store_true", help="show it before yours passes")
    start = add("start", _start, "lay the exercises out in a new folder", takes_exercise=False)
    start.add_argument("target", type=Path, nargs="?", default=FOLDER, metavar="FOLDER", help=f"default: {FOLDER}")
    report = add("report", _report, "check the folders of many students and write a CSV table", takes_exercise=False)
    report.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    report.add_argument("-o", "--output", type=Path, default=Path("report.csv"), help="default: report.csv")


def folder_of(given: Path | None) -> Path:
    """The folder of exercises: as given, or here, or `exercises`. Raises ValueError if there is none."""
    for place in [given] if given else [Path(), FOLDER]:
        if any((place / exercise.file).is_file() for exercise in EXERCISES):
            return place
    command = shlex.join(["minigan", "exercise", "start", *([str(given)] if given else [])])
    raise ValueError(f"there are no exercises {f'in {given}' if given else 'here'}: `{command}` lays them out")


def passed_functions(folder: Path) -> list[Callable[..., Any]]:
    """The functions of all exercises that pass, from the student's files. Raises ValueError if none does.

    Those that fail are named; those that are not written yet need no word.
    """
    functions = []
    results = list(check_folder(folder))  # all, before any file is run in this process
    for exercise, result in zip(EXERCISES, results, strict=True):
        if result.passed:
            module = _loaded(exercise, folder / exercise.file)
            for name in exercise.replaces:
                functions += _function(module, name)
        elif result.status == FAILED:
            print(f"left out, since it fails its check: {exercise.name}")
    if not functions:
        raise ValueError(f"no exercise in {folder} passes yet: see `minigan exercise`")
    return functions


def _loaded(exercise: Exercise, path: Path) -> Any:
    """The student's file, run in this process. It passed its check, but may fail here all the same."""
    path = path.resolve()
    try:
        return load(exercise, path)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too
        hidden = f" ({hides(path.parent)})" if hides(path.parent) else ""
        raise ValueError(f"{told(error, str(path))}{hidden}") from None


def _function(module: Any, name: str) -> list[Callable[..., Any]]:
    """What the student's file has under this name, if it is a function; in place, functions are told by their names."""
    function = getattr(module, name)
    if not inspect.isfunction(function):
        print(f"left out, since it is an object and no function: {name}")
        return []
    function.__name__ = name  # a lambda or a wrapper has another
    return [function]


def summary_of(served: Iterable[Served]) -> str:
    """A table of what the student's functions did in training."""
    ran = [s for s in served if s.calls]
    rows = [
        f"  {s.name:<26}{s.file:<26}{s.calls:>9,} calls" + (f"{s.gradients:>10,} gradients" if s.gradients else "")
        for s in ran
    ]
    idle = ", ".join(s.name for s in served if not s.calls)
    total = sum(s.gradients for s in ran)
    return "\n".join(
        ["your code in this run:", *rows]
        + [f"not called by minigan in this run: {idle}"] * bool(idle)
        + [f"{total:,} gradients went back through your code"]
    )


def _folder(options: argparse.Namespace) -> Path:
    return folder_of(getattr(options, "folder", None))


def _command(options: argparse.Namespace, *words: object) -> str:
    """The command that comes next, for the same folder."""
    folder = getattr(options, "folder", None)
    return shlex.join(["minigan", "exercise", *map(str, words), *(["--folder", str(folder)] if folder else [])])


def _list(options: argparse.Namespace) -> int:
    folder = _folder(options)
    following = _print_list(options, folder)
    if options.watch:
        while following:
            following = _watch(options, following, folder)
    return 0


def _print_list(options: argparse.Namespace, folder: Path) -> Exercise | None:
    """Print the list with progress; returns the next exercise to solve, or None."""
    following, passed = None, 0
    for exercise, result in zip(EXERCISES, check_folder(folder), strict=True):
        about = f"{exercise.name:<22}{exercise.level:<11}{exercise.lesson:<28}"
        print(f"{exercise.number:>3} {MARKS[result.status]} {about}{result.status}")
        passed += result.passed
        following = following or (None if result.passed else exercise)
    print(f"{passed} of {len(EXERCISES)} passed", end="")
    if following is None:
        train = f"minigan train gan --data ring --with-exercises {shlex.quote(str(folder))}"
        print(f": all done. Now let your code train a GAN: {train}")
    else:
        print(f". Next: edit {folder / following.file}, then: {_command(options, 'check', following.name)}")
    return following


def _watch(options: argparse.Namespace, exercise: Exercise, folder: Path) -> Exercise | None:
    """Check an exercise each time its file is saved, until it passes; returns the next one."""
    path = folder / exercise.file
    seen = None
    while True:
        saved = path.stat().st_mtime_ns if path.exists() else 0
        if saved != seen:
            seen = saved
            result = check_file(exercise, path)
            _print_result(options, exercise, result)
            if result.passed:
                return _print_list(options, folder)
            print(f"\nwaiting for you to save {path} (Ctrl-C stops)", flush=True)
        time.sleep(0.2)


def _check(options: argparse.Namespace) -> int:
    folder = _folder(options)
    if options.exercise is None:
        results = zip(EXERCISES, check_folder(folder), strict=True)
        exercise = next((exercise for exercise, result in results if not result.passed), EXERCISES[-1])
    else:
        exercise = find(options.exercise)
    result = check_file(exercise, folder / exercise.file)
    _print_result(options, exercise, result)
    return 0 if result.passed else 1


def _print_result(options: argparse.Namespace, exercise: Exercise, result: Result) -> None:
    print(f"{MARKS[result.status]} {result}")
    if result.note:
        print(f"note: {result.note}")
    if result.output:
        lines = result.output.rstrip().splitlines()
        print("\n".join(["your code printed:", *lines[:10], *["..."] * (len(lines) > 10)]))
    if result.passed:
        print(f"see how the library does it: {_command(options, 'solution', exercise.name)}")
        print(f"what comes next: {_command(options)}")
    else:
        print(f"stuck? minigan exercise hint {exercise.name}")


def _hint(options: argparse.Namespace) -> int:
    exercise = find(options.exercise)
    print(exercise.hints[options.level - 1])
    if options.level < len(exercise.hints):
        print(f"more: minigan exercise hint {exercise.name} {options.level + 1}")
    return 0


def _reset(options: argparse.Namespace) -> int:
    exercise, folder = find(options.exercise), _folder(options)
    path = folder / exercise.file
    if read_folder(folder, [exercise.file]).files.get(exercise.file) == (STUBS / exercise.file).read_bytes():
        print(f"{path} is as it was handed out")
        return 0
    if os.path.lexists(path):  # a pipe, a folder or a link to nothing too
        kept = next(p for n in count(1) if not (p := path.with_name(f"{path.stem}_old{n}.py")).exists())
        path.rename(kept)
        print(f"your version is now {kept}")
    write_file(path, (STUBS / exercise.file).read_bytes())
    print(f"{path} is as it was handed out")
    return 0


def _solution(options: argparse.Namespace) -> int:
    exercise = find(options.exercise)
    if not options.give_up:
        folder = _folder(options)
        if not check_file(exercise, folder / exercise.file).passed:
            raise ValueError(f"{exercise.name} does not pass yet; to see the solution all the same, add --give-up")
    for function in [*map(exercise.solution, exercise.replaces), *map(table.PLAIN.get, exercise.beside)]:
        source, line = inspect.getsourcelines(function)
        print(f"# {inspect.getsourcefile(function)}, line {line}\n{''.join(source)}")
    return 0


def _start(options: argparse.Namespace) -> int:
    target = options.target
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} exists already: choose a new folder, `minigan exercise start FOLDER`")
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(STUBS.iterdir()):
        if path.is_file():
            write_file(target / path.name, path.read_bytes())
    go_there = "" if target == FOLDER else f"cd {shlex.quote(str(target))} && "
    print(f"{len(EXERCISES)} exercises are in {target}; begin with: {go_there}minigan exercise")
    return 0


def _report(options: argparse.Namespace) -> int:
    write_report(options.folders, options.output)
    print(f"the table is in {options.output}")
    return 0
