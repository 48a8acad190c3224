"""Fair timing: processes take turns at the same work, so that nothing but the work decides which is faster.

Each rule takes away something else that would decide too:

- Every side has a process of its own, since in one process the threads of each library would starve the other's.
- Before each turn all sides rest. The threads of PyTorch and OpenBLAS go on waiting busily for up to 0.1 seconds after
  their last work, and would take the cores from the side that comes next: that can double the time of a step.
- The order of the sides turns from round to round, so that none always comes after the same one.
- A turn begins with a step that does not count, which wakes the threads and brings the weights back into the caches.
- A turn in which other programs took part of the machine is repeated. That is measured from outside of the working
  process, so that a worker of any version of minigan can be judged.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

REST = 0.06  # seconds before each turn, at least
LONGEST_REST = 0.25  # seconds, where threads are still waiting busily, or nobody can tell
LOOK = 0.02  # seconds between two looks at who is busy: longer than a tick of the system, which updates the CPU clocks
QUIET = 0.05  # up to this share of all cores' time may go to other programs in a turn
REPEATS = 3  # of a turn that was disturbed; then the quietest counts
PATIENCE = 90  # seconds: after that nothing is repeated any more, since a machine that is busy so long stays so
STAT = Path("/proc/stat")


class Side:
    """A worker process, and the questions that it answers. It imports minigan from `folder`."""

    def __init__(self, name: str, folder: Path, workload: str, threads: int, device: str = "cpu") -> None:
        limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MINIGAN_THREADS")
        path = os.pathsep.join([str(folder.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = os.environ | dict.fromkeys(limits, str(threads)) | {"MINIGAN_DEVICE": device, "PYTHONPATH": path}
        kind = "minigan" if name == "other" else name  # another version of minigan does the same work
        # -P: a minigan in the folder where we happen to be does not come before PYTHONPATH.
        command = [sys.executable, "-P", "-m", "minigan.bench.worker", kind, workload, str(threads)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, command: str) -> Any:
        """Send a command and wait for the answer."""
        with contextlib.suppress(BrokenPipeError):
            print(command, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("a process of the benchmark ended early: see the message above")
        return json.loads(answer)

    def end(self) -> None:
        """Stop the process."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def sides_of(folders: dict[str, Path], workload: str, threads: int, device: str) -> Iterator[dict[str, Side]]:
    """One process for each side, ready to work; `folders` says where each finds its minigan."""
    sides: dict[str, Side] = {}
    try:
        for name, folder in folders.items():
            sides[name] = Side(name, folder, workload, threads, device)
        for side in sides.values():
            side.ask("memory")  # any answer shows that it has finished its imports
        yield sides
    finally:
        for side in sides.values():
            side.end()


@dataclass(frozen=True)
class Turn:
    """What a side answered, and the share of the machine that other programs took meanwhile."""

    answer: Any
    neighbours: float

    @property
    def disturbed(self) -> bool:
        """Whether its time says too much about the neighbours."""
        return self.neighbours > QUIET


def cpu_seconds(process: int) -> float | None:
    """The CPU time that all threads of a process have used; None where the system does not tell."""
    try:
        return time.clock_gettime((~process << 3) | 2)  # Linux's number for the CPU clock of another process
    except (OSError, AttributeError):  # another system, or the process has ended
        return None


def clocks(process: int) -> np.ndarray | None:
    """Seconds up to now, summed over the cores: those that went by, idle ones, stolen ones, and the process's own.

    Only the cores that the process may use are counted. None where the system does not tell.
    """
    try:
        cores = {f"cpu{core}" for core in os.sched_getaffinity(process)}
        lines = [line.split() for line in STAT.read_text("ascii").splitlines()]
    except (OSError, AttributeError):
        return None
    own = cpu_seconds(process)
    ticks = np.array([[int(x) for x in line[1:9]] for line in lines if line[0] in cores])
    if own is None or not ticks.any():  # some containers show only zeros
        return None
    _user, _nice, _system, idle, waiting, _irq, _softirq, stolen = ticks.sum(axis=0) / os.sysconf("SC_CLK_TCK")
    return np.array([len(ticks) * time.perf_counter(), idle + waiting, stolen, own])


def neighbours(before: np.ndarray | None, after: np.ndarray | None) -> float:
    """The share of the machine that others took between two readings of the clocks; 0 where nothing is known.

    They took what was neither idle nor our own. (Linux knows idle time exactly, while it only samples busy time.)
    Stolen time went to other virtual machines on the same hardware. Some systems count it as the process's own too,
    so it is set apart first.
    """
    if before is None or after is None:
        return 0.0
    passed, idle, stolen, own = after - before
    return float((max(0.0, passed - idle - stolen - own) + stolen) / passed)


def rest(sides: dict[str, Side]) -> None:
    """Wait until the threads of all sides are asleep."""
    waited, used = 0.0, None
    while waited < LONGEST_REST:
        before, used = used, [cpu_seconds(side.process.pid) for side in sides.values()]
        if waited >= REST and used == before and None not in used:
            return
        time.sleep(LOOK)
        waited += LOOK


def take_turn(sides: dict[str, Side], name: str, command: str, warm_up: str = "", repeats: int = REPEATS) -> Turn:
    """Rest, warm up, and do what counts; again while the turn was disturbed, but not forever."""
    side, tries = sides[name], []
    while not tries or (tries[-1].disturbed and len(tries) <= repeats):
        rest(sides)
        if warm_up:
            side.ask(warm_up)
        before = clocks(side.process.pid)
        answer = side.ask(command)
        tries.append(Turn(answer, neighbours(before, clocks(side.process.pid))))
    return min(tries, key=lambda turn: turn.neighbours)


def take_turns(
    sides: dict[str, Side], command: str, rounds: int, warm_up: str = "", patience: float = PATIENCE
) -> dict[str, list[Turn]]:
    """So many rounds in turned order: A B C, then C B A, and so on. Turns of one round are neighbours in time."""
    turns: dict[str, list[Turn]] = {name: [] for name in sides}
    order, end = list(sides), time.monotonic() + patience
    for _ in range(rounds):
        for name in order:
            repeats = REPEATS if time.monotonic() < end else 0
            turns[name].append(take_turn(sides, name, command, warm_up, repeats))
        order.reverse()
    return turns
