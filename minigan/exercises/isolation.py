"""A process of its own for each check, which can neither be waited for in vain nor spoil another student's grade.

A student's code runs with the rights of whoever checks it. So it gets:

- copies of the files of its own folder, in a new folder that is its home as well, and an environment without the paths
  of the class;
- on Linux, where the system allows it, a world without network and without other processes, with whose end everything
  ends that was started in it; elsewhere a shell as its parent, so that what kills its parent ends its own check only;
- limits of time, memory and output;
- no say in the answer: that stands between two copies of a secret word, which the process reads before the student's
  file. (`child.py` is the other end.)

All this stops accidents and simple tricks. It is no wall against someone who reads this file: README says what is one.
"""

import contextlib
import functools
import json
import os
import re
import secrets
import signal
import site
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

CHILD = Path(__file__).with_name("__main__.py")
GRACE = 10.0  # seconds: a check watches its time itself and says where it was; after these it is ended
MOST_READ = 2**20  # bytes of an answer, or of what was printed
# Of the environment, a check sees only these.
KEPT = ("PATH", "SYSTEMROOT", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")
HOMES = ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP")
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MINIGAN_THREADS")
OWN_WORLD = ("unshare", "--user", "--map-current-user", "--net", "--pid", "--mount-proc", "--kill-child")
SHELL = ("sh", "-c", '"$@"; exit $?', "sh")

_running: set[subprocess.Popen] = set()  # the processes that check a file just now


@dataclass(frozen=True)
class Ended:
    """What a check's process left: the fields of its answer, or none, and where it was when its time was over."""

    answer: list[str]
    trace: str
    printed: str
    exit_code: int

    def line_of(self, file: str) -> str:
        """The line of this file in which it was, or nothing. (A trace spells "ö" in escapes.)"""
        name = re.escape(file.encode("ascii", "backslashreplace").decode())
        found = re.search(rf'File "(?:.*[/\\])?{name}", line (\d+)', self.trace)
        return found[1] if found else ""


def run(exercise: str, file: str, files: Mapping[str, bytes], seconds: float) -> Ended:
    """Check one of these files, in a process of its own that may take so many seconds. Raises OSError."""
    temporary = tempfile.TemporaryDirectory(prefix="minigan-", ignore_cleanup_errors=True)
    home = Path(temporary.name).resolve()
    try:
        folder = home / "exercises"
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        word = secrets.token_hex(16)
        request = {"word": word, "exercise": exercise, "file": str(folder / file), "seconds": seconds}
        with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as printed:
            exit_code = _process(json.dumps(request), folder, home, answer, printed, seconds + GRACE)
            text, output = _content(answer), _content(printed)
    finally:
        _remove(temporary)
    parts = text.split(word)
    return Ended(parts[1].split("\0") if len(parts) == 3 else [], text, output, exit_code)


def _remove(folder: tempfile.TemporaryDirectory) -> None:
    """Remove it, whatever the student's code has made of it."""
    with contextlib.suppress(OSError):
        try:
            folder.cleanup()
        except RecursionError:  # folders in folders in folders
            subprocess.run(["rm", "-rf", folder.name], capture_output=True)


def _process(request: str, folder: Path, home: Path, answer: IO[bytes], printed: IO[bytes], seconds: float) -> int:
    """Run `child.py` until it ends, or is ended; returns its exit code."""
    process = subprocess.Popen(
        [*_walls(), sys.executable, "-P", str(CHILD)],
        stdin=subprocess.PIPE,
        stdout=answer,
        stderr=printed,
        cwd=folder,
        env=_environment(home),
        start_new_session=True,
    )
    _running.add(process)
    try:
        with contextlib.suppress(BrokenPipeError):
            process.communicate(request.encode(), seconds)
    except subprocess.TimeoutExpired:
        pass  # it does not watch its time any more: it is ended here
    finally:
        _running.discard(process)
        _end(process)
    return process.returncode


@functools.cache
def _walls() -> tuple[str, ...]:
    """What stands before the command of a check: a world of its own if the system allows it, or a shell."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            if subprocess.run([*OWN_WORLD, "true"], capture_output=True, timeout=10).returncode == 0:
                return OWN_WORLD
    return SHELL if os.name == "posix" else ()


def _environment(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    places = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept["PYTHONPATH"] = os.pathsep.join(p for p in places if os.path.isabs(p) and os.path.realpath(p) != os.getcwd())
    own = dict.fromkeys(HOMES, str(home)) | dict.fromkeys(THREADS, "1")
    # One thread each, since checks run side by side. Printing must not fail, whatever is printed. And the packages that
    # this user has installed lie in the old home.
    return kept | own | {"PYTHONIOENCODING": "utf-8:backslashreplace", "PYTHONUSERBASE": site.getuserbase() or ""}


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(MOST_READ).decode("utf-8", "replace")


def _end(process: subprocess.Popen) -> None:
    """End the process and whatever it started."""
    if os.name == "nt":
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True)
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def end_all() -> None:
    """End all checks that run now."""
    for process in list(_running):
        _end(process)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Inside the `with`, Ctrl-C is ignored: for what must be tidied up after a first one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        if before is not None:  # None: it was not set in Python
            signal.signal(signal.SIGINT, before)
