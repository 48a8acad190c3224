"""What a file is and what it promises, looked at before it is read: pipes and devices, absurd sizes, too little memory.

A pipe that nobody writes to would be waited for without end, and a file of 50 kB can promise, and unpack to, gigabytes.
"""

import os
import stat
from pathlib import Path

from minigan import memory

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
HARMLESS = 2**28  # bytes that any file may unpack to
DENSEST = 500  # times: simple shapes are packed about 100 times tighter, and only blank data 1000 times


def check_file(path: str | Path) -> int:
    """The size in bytes of an ordinary file. Raises ValueError for all else, which could be waited for without end.

    Raises FileNotFoundError for a missing file.
    """
    try:
        status = os.stat(path)
    except OSError:
        if os.path.islink(path):
            raise ValueError(f"{path}: is a link that leads to no file: mend it or take it away") from None
        raise
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise ValueError(f"{path}: is {kind}, not a file: give another path, or take it away")
    return status.st_size


def check_promise(path: str | Path, promised: int, packed: int, harmless: int = HARMLESS) -> None:
    """Raise ValueError where a file of `packed` bytes promises to unpack to absurdly many."""
    if promised > max(harmless, DENSEST * packed):
        raise ValueError(
            f"{path}: promises {_amount(promised)} in a file of {_amount(packed)}, which no real data do: "
            "is it blank, or damaged? Make it smaller, or take it away"
        )


def check_memory(path: str | Path, needed: int, what: str) -> None:
    """Raise ValueError where the `needed` bytes that `what` of `path` takes are more than this process can get."""
    free = memory.free()
    if free is not None and needed > free:
        raise ValueError(
            f"{path}: {what} would take {_amount(needed)} of memory, and {_amount(max(free, 0))} are free: "
            "give a smaller --size, or fewer of them"
        )


def _amount(size: int) -> str:
    """1200 -> '1.2 kB'."""
    size = min(size, 10**18)  # a damaged header can promise more than a float can hold
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size} bytes"


def some_of(names: list[str]) -> str:
    """`a, b, c`: at most five names, and how many more there are, so that a sentence stays on its line."""
    return ", ".join(printable(name) for name in names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")


def printable(name: str) -> str:
    """A file's name as it can be printed anywhere: line breaks and bytes that are no letters become escapes."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)
