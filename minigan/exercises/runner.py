"""Run the check of an exercise on a student's code, and say in one sentence what came of it.

A student's file is run in a process of its own, with limits: an endless loop, a crash or a flood of memory ends that
process, and the check says where. `main` is what runs in there.
"""

import contextlib
import faulthandler
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from minigan.exercises.catalogue import EXERCISES, STUBS, Exercise, find
from minigan.exercises.judges import Wrong
from minigan.gradcheck import in_plain_words
from minigan.verdict import heading, paragraph

PASSED, FAILED, NOT_WRITTEN = "passed", "failed", "not written yet"
SECONDS = 20.0  # the time limit of a check, which takes about one
MEMORY = 4 * 2**30  # bytes that a check may use
OUTPUT = 10 * 2**20  # bytes that a student's code may print

_running: set[subprocess.Popen] = set()  # the processes that check a file just now


@dataclass(frozen=True)
class Result:
    """What came of a check: its status is "passed", "failed" or "not written yet"."""

    exercise: str
    status: str
    message: str = ""  # what is wrong, with the file and line where it is known
    html: str = ""  # the report of the gradient check, where one failed
    output: str = ""  # what the student's code printed

    @property
    def passed(self) -> bool:
        """Whether the exercise is solved."""
        return self.status == PASSED

    def __str__(self) -> str:
        return f"{self.exercise}: {self.status}" + (f"\n{self.message}" if self.message else "")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = f"<p>{heading(self.passed, f'{self.exercise}: {self.status}')}</p>"
        return head + (self.html or paragraph(self.message))


def check(name: str, *functions: Callable[..., Any]) -> Result:
    """Check functions that were written in a notebook: `check("tanh", tanh)`. The result shows itself in the cell.

    With `assert check("tanh", tanh).passed` the cell fails unless the exercise is solved (for nbgrader).
    """
    exercise = find(str(name))
    for function in functions:
        if not inspect.isfunction(function):
            raise TypeError(f"check takes your functions, such as check('tanh', tanh), not {function!r}")
    return _run(exercise, {function.__name__: function for function in functions}, "the notebook")


def check_file(exercise: Exercise, path: Path, seconds: float = SECONDS) -> Result:
    """Check a student's file, in a process of its own that may take so many seconds."""
    if not path.is_file():
        how = f"`minigan exercise reset {exercise.name}` brings it back"
        return Result(exercise.name, FAILED, f"there is no file {path}: {how}")
    try:
        if path.read_bytes() == (STUBS / exercise.file).read_bytes():
            return Result(exercise.name, NOT_WRITTEN, f"{path.name} is as it was handed out")
    except OSError as error:
        return Result(exercise.name, FAILED, f"{path}: {error.strerror}")
    with tempfile.TemporaryDirectory() as folder:
        printed = Path(folder) / "printed"
        exit_code = _run_process([exercise.name, str(path.resolve()), folder, str(seconds)], printed, seconds)
        output = printed.read_text("utf-8", "replace")[:2000]
        answer, trace = Path(folder) / "answer", Path(folder) / "trace"
        if answer.exists():
            return Result(**json.loads(answer.read_text("utf-8")), output=output)
        line = _line_of(path, trace.read_text("utf-8", "replace") if trace.exists() else "")
    if line:
        says = f", line {line}: still running after {seconds:g} seconds; is there a loop that never ends?"
    else:
        says = f": the process ended without an answer (exit code {exit_code})"
    return Result(exercise.name, FAILED, path.name + says, output=output)


def _run_process(arguments: list[str], printed: Path, seconds: float) -> int:
    """Run `main` in a process of its own until it ends, or is ended; returns its exit code."""
    command = [sys.executable, "-m", "minigan.exercises", *arguments]
    with printed.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        _running.add(process)
        try:
            process.wait(seconds + 10)  # the process watches its time itself, and says where it was
        except subprocess.TimeoutExpired:
            pass  # it does not watch any more: it is ended here
        finally:
            _running.discard(process)
            _end(process)
    return process.returncode


def check_folder(folder: Path, seconds: float = SECONDS) -> Iterator[Result]:
    """Check every exercise of a student's folder, in order; several at once."""
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        yield from pool.map(lambda exercise: check_file(exercise, folder / exercise.file, seconds), EXERCISES)
    finally:  # after Ctrl-C too: nobody waits for an endless loop then
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(_running):
            _end(process)


def load(exercise: Exercise, path: Path) -> ModuleType:
    """The student's file as a module, run in this process. Raises whatever it raises."""
    spec = importlib.util.spec_from_file_location(f"exercise_{exercise.name}", path)
    module = importlib.util.module_from_spec(spec)
    # Compiled from the text as it is now: Python's own cache goes by the time and size of a file, and a correction
    # that is saved within the same second may change neither.
    exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    return module


def where(error: BaseException, path: str) -> str:
    """The file and the last line in it that led to an error, as "04_tanh.py, line 31: "."""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).name == Path(path).name:
        return f"{Path(path).name}, line {error.lineno}: "
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f"{Path(path).name}, line {lines[-1]}: " if lines else f"{Path(path).name}: "


def _run(exercise: Exercise, names: dict[str, Any], path: str) -> Result:
    """The check itself, in this process. `names` are those that the student's file defines."""
    file = Path(path).name
    for name in exercise.replaces:
        if not callable(names.get(name)):
            return Result(exercise.name, FAILED, f"{file}: there is no function {name}; keep the name that it had")
    try:
        exercise.check(names)
    except NotImplementedError as error:
        return Result(exercise.name, NOT_WRITTEN, f"{where(error, path)}{error or NOT_WRITTEN}")
    except Wrong as wrong:
        if wrong.report is not None:  # it says itself which function it is about
            return Result(exercise.name, FAILED, f"{file}: {wrong}", wrong.report._repr_html_())
        place = f"{file}, {wrong.function} in line {_first_line(names[wrong.function])}"
        return Result(exercise.name, FAILED, f"{place}: {wrong}")
    except Exception as error:
        tried = "".join(f", {note}" for note in getattr(error, "__notes__", []))  # a judge's: for which arguments
        says = f"{type(error).__name__}: {in_plain_words(error)}{tried}"
        return Result(exercise.name, FAILED, f"{where(error, path)}{says}")
    return Result(exercise.name, PASSED)


def _first_line(function: Any) -> int:
    try:
        return inspect.getsourcelines(function)[1]
    except (OSError, TypeError):
        return getattr(getattr(function, "__code__", None), "co_firstlineno", 1)


def _line_of(path: Path, trace: str) -> str:
    """The line of the student's file that a dumped traceback names first, that is, innermost."""
    for line in trace.splitlines():
        if f'"{path.resolve()}", line ' in line:
            return line.split(", line ")[1].split()[0]
    return ""


def _end(process: subprocess.Popen) -> None:
    """End the process and whatever it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, 9)
    process.kill()
    process.wait()


def _limit_memory_and_output() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    for kind, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, OUTPUT)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))


def main(name: str, path: str, folder: str, seconds: str) -> None:
    """The process: check one file, and leave the answer in a file of `folder`."""
    exercise = find(name)
    _limit_memory_and_output()
    with (Path(folder) / "trace").open("w") as trace:
        faulthandler.dump_traceback_later(float(seconds), exit=True, file=trace)
        try:
            result = _run(exercise, vars(load(exercise, Path(path))), path)
        except NotImplementedError as error:
            result = Result(exercise.name, NOT_WRITTEN, f"{where(error, path)}{error}")
        except SyntaxError as error:
            result = Result(exercise.name, FAILED, f"{where(error, path)}{type(error).__name__}: {error.msg}")
        except BaseException as error:  # SystemExit too: a student's file may call exit()
            result = Result(exercise.name, FAILED, f"{where(error, path)}{type(error).__name__}: {error}")
        faulthandler.cancel_dump_traceback_later()
        fields = asdict(result)
        fields.pop("output")
        partial = Path(folder) / "partial"
        partial.write_text(json.dumps(fields), "utf-8")
        partial.replace(Path(folder) / "answer")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # at once, whatever threads the student's code has left running
