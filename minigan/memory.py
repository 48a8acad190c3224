"""How much memory there is, and an error in time where more is asked for."""

import contextlib
import os
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
        most = _bytes(Path("/proc/self/status"), "VmData") + free() + _bytes(Path("/proc/meminfo"), "SwapFree")
    except OSError:  # not Linux
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    least = min(limit for limit in (most, before, hard) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_DATA, (least, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def free(root: Path = Path("/")) -> int | None:
    """Bytes that this process can still take before the machine swaps; None where the system does not tell.

    Linux tells it exactly, also of the group (a container's, a job's) whose limit can be lower than the machine's. Of
    other systems, it is all the memory that the machine has.
    """
    try:
        return min([_bytes(root / "proc/meminfo", "MemAvailable"), *_free_in_groups(root)])
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _free_in_groups(root: Path) -> Iterator[int]:
    """What is left of the limit of each of Linux's control groups around this process, of version 2 or 1."""
    groups = root / "proc/self/cgroup"
    for line in groups.read_text().splitlines() if groups.exists() else []:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            mount, limit, used = root / "sys/fs/cgroup", "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            mount, limit, used = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        inner = mount / group.lstrip("/")
        for folder in [inner, *inner.parents][: len(Path(group).parts)]:  # up to the mount
            try:
                free = int((folder / limit).read_text()) - int((folder / used).read_text())
                numbers = dict(pair.split() for pair in (folder / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):  # no such file here, or the limit is the word "max"
                continue
            caches = ("inactive_file", "active_file")  # copies of files, which make room when needed
            yield free + sum(int(numbers.get(f"total_{cache}", numbers.get(cache, 0))) for cache in caches)


def _bytes(file: Path, name: str) -> int:
    """The number in the line `NAME: 123 kB` of one of Linux's tables. Raises OSError where there is none."""
    for line in file.read_text("ascii", "replace").splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{file} does not tell {name}")
