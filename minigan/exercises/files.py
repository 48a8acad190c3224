"""What a student handed in, read into memory once, before any student's code runs.

A check gets copies of it: whatever a student's code overwrites, no other check sees it. Only plain files are read: a
pipe would be waited for, a device may never end, and a link may lead to another student's work.
"""

import contextlib
import itertools
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LARGEST_FILE = 4 * 2**20  # bytes
LARGEST_FOLDER = 16 * 2**20  # bytes of all its files together
MOST_FILES = 1_000
MOST_NAMES = 20_000  # that are looked at, to choose these files from


@dataclass(frozen=True)
class Folder:
    """A student's folder: the content of its files by their paths in it, such as "helpers/slopes.py"."""

    path: Path
    files: dict[str, bytes]
    refused: dict[str, str]  # why a file was not read, in a few words: "is not a plain file"
    links: frozenset[str]  # those that are links


def read_folder(path: Path, first: Iterable[str]) -> Folder:
    """Read a student's folder: these files first, then Python's, then data. Hidden ones, or too many, are left out."""
    files, refused, links, total = {}, {}, set(), 0
    root = path.resolve()
    others = sorted(itertools.islice(_names(root), MOST_NAMES), key=lambda name: not name.endswith(".py"))
    for name in dict.fromkeys([*first, *others]):  # each once
        if total > LARGEST_FOLDER or len(files) + len(refused) > MOST_FILES:
            break
        try:
            if (root / name).is_symlink():
                links.add(name)
            files[name] = _read(root / name, root)
            total += len(files[name])
        except FileNotFoundError:
            pass  # whoever needs it says so
        except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a link that leads to itself
            refused[name] = getattr(error, "strerror", None) or str(error)
    return Folder(path, files, refused, frozenset(links))


def _names(root: Path) -> Iterator[str]:
    """The paths of all files in a folder, those nearest to its top first; none that is hidden or Python's cache.

    One folder is looked into at a time, so that whoever has enough can stop: a folder may be a link to a whole disk,
    and folders in folders may be too deep for Python's own walk.
    """
    folders = deque([root])
    while folders:
        place = folders.popleft()
        with contextlib.suppress(OSError):  # not readable, or gone, or its path is too long
            for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
                if entry.name.startswith(".") or entry.name == "__pycache__":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(place / entry.name)
                else:
                    yield (place / entry.name).relative_to(root).as_posix()


def _read(path: Path, root: Path) -> bytes:
    """The content of a file. Raises OSError, or ValueError for what is no plain file of this folder."""
    real = path.resolve()
    if not real.is_relative_to(root):
        raise ValueError("is a link to a file outside its folder: put the file itself there")
    about = real.stat()
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("is not a plain file")
    if about.st_size > LARGEST_FILE:
        raise ValueError(f"is too large to be an exercise: {about.st_size:,} bytes")
    with open(real, "rb", opener=_without_waiting) as file:
        return file.read(LARGEST_FILE) or b""


def _without_waiting(path: str, flags: int) -> int:
    """Linux has files in /proc that call themselves plain, and are waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
