"""What runs in the process of a check: it loads a student's file, judges it and answers. (`isolation.py` starts it.)

What it needs after the student's code has run is looked up before, and what a student's code may have changed of
minigan is compared with what it was: an answer that changes its judge is none.
"""

import contextlib
import faulthandler
import json
import os
import sys
from pathlib import Path

from minigan.exercises.catalogue import Exercise, find
from minigan.exercises.loading import hides, load, told, where
from minigan.exercises.own import Library
from minigan.exercises.result import FAILED, NOT_WRITTEN, Result
from minigan.exercises.runner import judge

MEMORY = 4 * 2**30  # bytes that a check may use
OUTPUT = 10 * 2**20  # bytes that it may write into one file, or print
PROCESSOR = 120  # seconds for each process: what escapes all else does not run for ever
PROCESSES = 64  # where it has a world of its own; the system would count those of the whole user otherwise


def main() -> None:
    """Check one file, as the request on standard input says, and write the answer to standard output."""
    request = json.loads(sys.stdin.buffer.readline())
    exercise, path, word = find(request["exercise"]), Path(request["file"]), request.pop("word").encode()
    answer = _take_the_streams()
    write, leave, changed, failed = os.write, os._exit, Library().changed, FAILED
    faulthandler.dump_traceback_later(request["seconds"], exit=True, file=answer)
    _limit()
    hidden = hides(path.parent)
    result = _result(exercise, path)
    with contextlib.suppress(BaseException):  # these may be the student's own by now
        sys.stdout.flush()
        sys.stderr.flush()
    status, message, html, note = result.status, result.message, result.html, result.note
    if what := changed():
        message = f"{path.name}: it changes {what}: leave minigan, its checks and NumPy as they are"
        status, html, note = failed, "", f"changes {what}"
    message = message.replace(f"{path.parent}{os.sep}", "")
    if hidden:
        message += f" ({hidden})" if status == failed else ""
        note = f"{note}; {hidden}" if note else hidden
    write(answer, word + "\0".join([status, message, html, note]).encode() + word)
    leave(0)  # at once, whatever threads the student's code has left running


def _result(exercise: Exercise, path: Path) -> Result:
    """The verdict on a student's file, or what went wrong when it was loaded."""
    try:
        return judge(exercise, vars(load(exercise, path)), str(path))
    except NotImplementedError as error:
        return Result(exercise.name, NOT_WRITTEN, f"{where(error, str(path))}{error}")
    except BaseException as error:  # SystemExit too: a student's file may call exit()
        return Result(exercise.name, FAILED, told(error, str(path)))


def _take_the_streams() -> int:
    """Keep standard output for the answer. The student's code prints to where errors go, and reads nothing."""
    answer = os.dup(1)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return answer


def _limit() -> None:
    """What the process may use, where the system has such limits (Windows has none)."""
    try:
        import resource
    except ImportError:
        return
    limits = {resource.RLIMIT_AS: MEMORY, resource.RLIMIT_FSIZE: OUTPUT, resource.RLIMIT_CPU: PROCESSOR}
    if os.getpid() == 1:
        limits[resource.RLIMIT_NPROC] = PROCESSES
    for kind, limit in limits.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))
