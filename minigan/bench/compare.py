"""Let minigan and PyTorch take turns at the same work, and compare.

The two must not run in one process, for the threads of each would wait busily and starve the other's. So every side
has a process of its own, and only one works at a time. Machines are noisy: a turn is about half a second, the turns
alternate, and what is reported is the median of the ratios of neighbouring turns.
"""

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigan import backend
from minigan.bench.workloads import LARGE, OPS, WORKLOADS

SIDES = ("minigan", "torch", "torch tuned")
THREADS = (2, 1)
TOLERANCE = 1e-6  # how far losses and gradients in float64 may be apart, relative to the largest in each array


class Side:
    """A worker process, and the questions that it answers."""

    def __init__(self, side: str, workload: str, threads: int, device: str = "cpu") -> None:
        limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MINIGAN_THREADS")
        command = [sys.executable, "-m", "minigan.bench.worker", side, workload, str(threads)]
        environment = os.environ | dict.fromkeys(limits, str(threads)) | {"MINIGAN_DEVICE": device}
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
def sides_of(workload: str, threads: int, device: str) -> Iterator[dict[str, Side]]:
    """One process for each side."""
    sides: dict[str, Side] = {}
    try:
        for name in SIDES:
            sides[name] = Side(name, workload, threads, device)
        yield sides
    finally:
        for side in sides.values():
            side.end()


def prove(workload: str, device: str) -> float:
    """The largest relative difference between minigan's losses and gradients and PyTorch's, from the same weights.

    Raises RuntimeError where they are not the same, for then there is nothing to compare.
    """
    with tempfile.TemporaryDirectory() as folder, sides_of(workload, 1, device) as sides:
        proofs = []
        for number, side in enumerate(sides.values()):
            path = Path(folder) / f"{number}.npz"
            side.ask(f"proof {path}")
            with np.load(path) as arrays:
                proofs.append(dict(arrays))
    worst = 0.0
    for other in proofs[1:]:
        for name, array in proofs[0].items():
            scale = float(np.max(np.abs(other[name])))
            if scale > 1e-9:  # a bias before batch norm has the gradient 0, up to rounding
                worst = max(worst, float(np.max(np.abs(array - other[name]))) / scale)
        if proofs[0].keys() != other.keys() or worst > TOLERANCE:
            raise RuntimeError(f"minigan and PyTorch do not compute the same (off by {worst:.1e}): nothing was timed")
    return worst


@dataclass
class Row:
    """One line of the table: seconds of each turn, and bytes."""

    workload: str
    threads: int
    difference: float  # of the losses and gradients, before the timing
    seconds: dict[str, list[float]]
    memory: dict[str, int]

    def ratios(self, other: str) -> np.ndarray:
        """minigan's seconds over the other's, turn by turn."""
        return np.array(self.seconds["minigan"]) / np.array(self.seconds[other])


def measure(workload: str, threads: int, turns: int, seconds: float, device: str = "cpu") -> Row:
    """Prove, warm up, and time so many turns of about so many seconds."""
    difference = prove(workload, device)
    with sides_of(workload, threads, device) as sides:
        steps = {name: max(1, round(seconds / side.ask("steps 2") * 2)) for name, side in sides.items()}
        for name, side in sides.items():
            side.ask(f"steps {max(1, steps[name] // 2)}")
        times: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(turns):
            for name, side in sides.items():
                times[name].append(side.ask(f"steps {steps[name]}") / steps[name])
        memory = {name: side.ask("memory") for name, side in sides.items()}
    return Row(workload, threads, difference, times, memory)


def table(rows: list[Row], before: dict[str, float]) -> str:
    """The rows as text; `before` holds the ratios of an earlier result, by workload and threads."""
    lines = [
        "                             threads   minigan   PyTorch   ratio (quartiles)    tuned ratio   peak memory"
    ]
    titles = {workload.name: workload.title for workload in [*WORKLOADS, *LARGE]}
    for row in rows:
        low, middle, high = np.percentile(row.ratios("torch"), (25, 50, 75))
        tuned = float(np.median(row.ratios("torch tuned")))
        own, other = (1e3 * float(np.median(row.seconds[name])) for name in ("minigan", "torch"))
        memory = [row.memory[name] / 2**20 for name in ("minigan", "torch")]
        line = f"{row.workload} {titles[row.workload]:<25} {row.threads:>7} {own:>7.1f}ms {other:>7.1f}ms"
        line += f"   {middle:.2f} ({low:.2f} to {high:.2f}) {tuned:>11.2f}   {memory[0]:.0f} / {memory[1]:.0f} MB"
        key = f"{row.workload} {row.threads}"
        lines.append(line + (f"   before: {before[key]:.2f}" if key in before else ""))
    return "\n".join(lines)


def op_table(threads: int, turns: int) -> str:
    """Each operation's forward pass and gradients, in milliseconds, and the ratios to PyTorch's."""
    lines = [f"operations in ms, {threads} threads                      minigan   PyTorch   ratio"]
    sides = {name: Side(name, "ops", threads) for name in ("minigan", "torch")}
    try:
        for number, op in enumerate(OPS):
            times = [{name: side.ask(f"op {number}") for name, side in sides.items()} for _ in range(turns)]
            for part in times[0]["minigan"]:
                own, other = (np.array([turn[name][part] for turn in times]) for name in ("minigan", "torch"))
                ratio = float(np.median(own / other))
                milliseconds = f"{1e3 * np.median(own):>9.3f} {1e3 * np.median(other):>9.3f}"
                lines.append(f"{op.title:<32} {part:<10} {milliseconds} {ratio:>7.2f}")
    finally:
        for side in sides.values():
            side.end()
    return "\n".join(lines)


def run(
    json_path: Path | None = None,
    against: Path | None = None,
    device: str = "cpu",
    turns: int = 9,
    seconds: float = 0.4,
) -> None:
    """Measure everything and print both tables; on a GPU the first one, with two large batches more.

    Raises RuntimeError where PyTorch is missing, and ValueError where `against` is no earlier result.
    """
    if importlib.util.find_spec("torch") is None:
        raise RuntimeError("the benchmark compares with PyTorch, which is not installed: pip install 'minigan[bench]'")
    before = _ratios_of(against) if against else {}
    for line in [_machine(), *(backend.describe() if device == "cuda" else [])]:
        print(line)
    rows: list[Row] = []
    for threads in THREADS if device == "cpu" else THREADS[:1]:
        for workload in WORKLOADS if device == "cpu" else [*WORKLOADS, *LARGE]:
            rows.append(measure(workload.name, threads, turns, seconds, device))
            print(table(rows[-1:], before).splitlines()[-1] if len(rows) > 1 else table(rows, before), flush=True)
            if json_path:
                _write(json_path, rows)
    if device == "cpu":
        print(op_table(THREADS[0], turns))


def _machine() -> str:
    return (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, PyTorch {importlib.metadata.version('torch')}; ratios below 1: minigan is faster"
    )


def _write(path: Path, rows: list[Row]) -> None:
    ratios = {f"{row.workload} {row.threads}": float(np.median(row.ratios("torch"))) for row in rows}
    content = {"machine": _machine(), "ratios": ratios, "rows": [vars(row) for row in rows]}
    path.write_text(json.dumps(content, indent=1), "utf-8")


def _ratios_of(path: Path) -> dict[str, float]:
    try:
        return dict(json.loads(path.read_text("utf-8"))["ratios"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is not a result of `minigan bench --json`") from None
