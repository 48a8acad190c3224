"""How much memory there is, and an error in time where more is asked for."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

with contextlib.suppress(ImportError):  # Windows has none
    import resource


@contextmanager
def limited() -> Iterator[None]:
    """Inside the `with`, whoever asks for more memory than there is gets a MemoryError.

    Other systems do that by themselves; Linux promises any amount, and ends some process when all is used up.
    """
    try:
        most = _kilobytes("/proc/self/status", "VmData") * 1024 + available()
    except OSError:  # not Linux
        most = None
    if most is None:
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    least = min(limit for limit in (most, before, hard) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_DATA, (least, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def available() -> int:
    """The bytes that programs can still get, swap included. Raises OSError where the system is not Linux."""
    free = _kilobytes("/proc/meminfo", "MemAvailable", "SwapFree") * 1024
    with contextlib.suppress(OSError, ValueError):  # a container may have less: a number, or "max"
        free = min(free, int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    return free


def _kilobytes(file: str, *names: str) -> int:
    """The sum of the lines `NAME: 123 kB` of these names."""
    lines = [line.split(":", 1) for line in Path(file).read_text("ascii", "replace").splitlines()]
    return sum(int(value.split()[0]) for name, value in lines if name in names)
