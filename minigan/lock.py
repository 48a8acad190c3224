"""A lock on a folder, held by one process at a time. It is gone with its process, however that ended."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"  # the file in the folder that is locked: empty, or the number of the process that holds the lock
FAR = 1 << 30  # Windows locks bytes of a file, and nobody can read those: one that is not there

with contextlib.suppress(ImportError):  # each system has one of them; a browser has none
    import fcntl
with contextlib.suppress(ImportError):
    import msvcrt


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Inside the `with`, no other process gets through here with the same folder.

    Gives whether that is sure: some network drives know no locks, and then all processes get through. Raises
    ValueError where another process holds the lock, OSError where the folder cannot be written to.
    """
    path = folder / LOCK
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no file that minigan made: delete it")
    with open(path, "ab+", buffering=0) as file:
        try:
            _lock(file.fileno())
            sure = True
        except (BlockingIOError, PermissionError):
            file.seek(0)
            holder = file.read(20).decode("ascii", "replace")
            number = f" ({holder})" if holder.startswith("pid ") else ""
            raise ValueError(f"{folder} is being trained by another process{number}: wait, or stop it") from None
        except (OSError, NameError):
            sure = False
        with contextlib.suppress(OSError):  # a full disk; the number is only said to be helpful
            file.truncate(0)
            file.write(f"pid {os.getpid()}".encode())
        try:
            yield sure
        finally:
            file.truncate(0)


def _lock(file: int) -> None:
    """Lock an open file, or raise an error at once. Closing the file unlocks it."""
    if os.name == "nt":
        os.lseek(file, FAR, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
