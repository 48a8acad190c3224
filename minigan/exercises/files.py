"""What a student handed in, read into memory once, before any student's code runs.

A check gets copies of it: whatever a student's code overwrites, no other check sees it. Only plain files are read: a
pipe would be waited for, a device may never end, and a link may lead to another student's work.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LARGEST_FILE = 4 * 2**20  # bytes
LARGEST_FOLDER = 16 * 2**20  # bytes of all its files together
MOST_FILES = 1_000


@dataclass(frozen=True)
class Folder:
    """A student's folder: the content of its files by their paths in it, such as "helpers/slopes.py"."""

    path: Path
    files: dict[str, bytes]
    refused: dict[str, str]  # why a file was not read, in a few words: "is not a plain file"
    links: frozenset[str]  # those that are links


def read_folder(path: Path, first: Iterable[str]) -> Folder:
    """Read a student's folder, these files before all others. What is hidden, or too much, is left out."""
    files, refused, links, total = {}, {}, set(), 0
    root = path.resolve()
    for name in dict.fromkeys([*first, *_names(root)]):  # each once
        if total > LARGEST_FOLDER or len(files) > MOST_FILES:
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
    """The paths of all files in a folder, those nearest to its top first; none that is hidden or Python's cache."""
    for place, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        for name in sorted(files):
            if not name.startswith("."):
                yield (Path(place) / name).relative_to(root).as_posix()


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
    with real.open("rb") as file:
        return file.read(LARGEST_FILE)
