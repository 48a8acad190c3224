"""Compare minigan with PyTorch, or with another version of itself, and print tables.

That both compute the same is proved first. What is reported is the median of the ratios of neighbouring turns: if the
machine is slower for a minute, both sides are. `turns.py` says what else makes the turns fair.
"""

import importlib.metadata
import importlib.util
import json
import os
import platform
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from minigan import backend
from minigan.bench.turns import QUIET, sides_of, take_turn, take_turns
from minigan.bench.workloads import LARGE, OPS, WORKLOADS

SIDES = ("minigan", "torch", "torch tuned")
HERE = Path(__file__).parents[2]  # the folder from which this minigan was imported
THREADS = (2, 1)
TURNS, SECONDS = 12, 0.4  # of a side in each row; an even number, so that each order comes equally often
OP_TURNS = 7
TOLERANCE = 1e-6  # how far losses and gradients in float64 may be apart, relative to the largest in each array
SLOWER = 1.03  # the verdict names what takes more than this times as long as before: less may be chance


def prove(folders: dict[str, Path], workload: str, device: str) -> float:
    """The largest relative difference between the losses and gradients of the sides, from the same weights.

    Raises RuntimeError where they are not the same, since then there is nothing to compare.
    """
    with tempfile.TemporaryDirectory() as folder, sides_of(folders, workload, 1, device) as sides:
        proofs = []
        for number, side in enumerate(sides.values()):
            path = Path(folder) / f"{number}.npz"
            side.ask(f"proof {path}")
            with np.load(path) as arrays:
                proofs.append(dict(arrays))
    worst = 0.0
    for name, other in zip(list(folders)[1:], proofs[1:], strict=True):
        if proofs[0].keys() != other.keys():
            raise RuntimeError(f"{workload}: minigan and {name} do not have the same gradients to be compared")
        for key, array in proofs[0].items():
            scale = float(np.max(np.abs(other[key])))
            if not scale <= 1e-9:  # a bias before batch norm has the gradient 0, up to rounding
                worst = float(np.maximum(worst, np.max(np.abs(array - other[key])) / scale))  # NaN stays NaN
        if not worst <= TOLERANCE:
            raise RuntimeError(f"{workload}: minigan and {name} do not compute the same (off by {worst:.1e})")
    return worst


@dataclass
class Row:
    """One line of the table: seconds of a step in each turn, bytes, and the neighbours' share of each turn."""

    workload: str
    threads: int
    difference: float  # of the losses and gradients, before the timing
    seconds: dict[str, list[float]]
    memory: dict[str, int]
    neighbours: dict[str, list[float]] = field(default_factory=dict)  # older results have none

    @property
    def key(self) -> str:
        """What the row is called in a result."""
        return f"{self.workload} {self.threads}"

    @property
    def name(self) -> str:
        """What a sentence calls it."""
        return f"{self.workload} with {self.threads} thread{'s' * (self.threads > 1)}"

    @property
    def start(self) -> str:
        """How its line begins in every table."""
        title = next(workload.title for workload in [*WORKLOADS, *LARGE] if workload.name == self.workload)
        return f"{self.workload} {title:<25} {self.threads:>7}"

    def milliseconds(self, side: str) -> float:
        """Of a step, in the median turn."""
        return 1e3 * float(np.median(self.seconds[side]))

    def ratios(self, other: str) -> np.ndarray:
        """minigan's seconds over the other's, turn by turn."""
        return np.array(self.seconds["minigan"]) / np.array(self.seconds[other])

    def ratio(self, other: str) -> float:
        """The one that counts."""
        return float(np.median(self.ratios(other)))


def measure(
    folders: dict[str, Path],
    workload: str,
    threads: int,
    difference: float,
    device: str = "cpu",
    turns: int = TURNS,
    seconds: float = SECONDS,
) -> Row:
    """Time so many turns of about so many seconds; `difference` is what `prove` found."""
    with sides_of(folders, workload, threads, device) as sides:
        trial = [take_turn(sides, name, "steps 2", warm_up="steps 1").answer / 2 for name in sides]
        steps = max(1, round(seconds / float(np.median(trial))))  # the same number for all sides
        found = take_turns(sides, f"steps {steps}", turns, warm_up="steps 1")
        memory = {name: side.ask("memory") for name, side in sides.items()}
    times = {name: [turn.answer / steps for turn in found[name]] for name in sides}
    shares = {name: [turn.neighbours for turn in found[name]] for name in sides}
    return Row(workload, threads, difference, times, memory, shares)


def disturbed(sides: Iterable[list[float]]) -> str:
    """What a line says about turns that stayed disturbed however often they were repeated."""
    shares = [share for side in sides for share in side]
    count = sum(share > QUIET for share in shares)
    return f"   {count} of {len(shares)} turns disturbed" if count else ""


def spread(ratios: np.ndarray) -> str:
    """Median and quartiles."""
    low, middle, high = np.percentile(ratios, (25, 50, 75))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


HEADER = "                             threads   minigan   PyTorch   ratio (quartiles)    tuned ratio   peak memory"
HEADER_BESIDE = "                             threads       now     other   now / other (quartiles)"
HEADER_AGAINST = "                             threads    before       now   ratio before   ratio now   now / before"


def line(row: Row) -> str:
    """minigan beside PyTorch."""
    own, other = row.milliseconds("minigan"), row.milliseconds("torch")
    memory = [row.memory[name] / 2**20 for name in ("minigan", "torch")]
    text = f"{row.start} {own:>7.1f}ms {other:>7.1f}ms   {spread(row.ratios('torch'))}"
    text += f" {row.ratio('torch tuned'):>11.2f}   {memory[0]:.0f} / {memory[1]:.0f} MB"
    return text + disturbed(row.neighbours.values())


def line_beside(row: Row) -> str:
    """This version of minigan beside another one."""
    own, other = row.milliseconds("minigan"), row.milliseconds("other")
    text = f"{row.start} {own:>7.1f}ms {other:>7.1f}ms   {spread(row.ratios('other'))}"
    return text + disturbed(row.neighbours.values())


def table_against(rows: list[Row], before: dict[str, Row]) -> str:
    """An earlier result and this one. Both were measured beside PyTorch, so that a slower hour cancels out."""
    lines, quotients = [HEADER_AGAINST], {}
    for new in rows:
        if new.key in before:
            old = before[new.key]
            ratios = [row.ratio("torch") for row in (old, new)]
            quotients[new.name] = ratios[1] / ratios[0]
            times = "".join(f" {row.milliseconds('minigan'):>7.1f}ms" for row in (old, new))
            text = f"{new.start}{times} {ratios[0]:>14.2f} {ratios[1]:>11.2f} {quotients[new.name]:>14.2f}"
            lines.append(text + disturbed([*old.neighbours.values(), *new.neighbours.values()]))
    if not all(row.neighbours for row in before.values()):
        lines.append("careful: the earlier result is of a benchmark whose sides still disturbed each other")
    return "\n".join([*lines, verdict(quotients)])


def verdict(quotients: dict[str, float]) -> str:
    """One sentence on all rows, by their names: which take longer than before, or than in the other version?"""
    slower = [f"{name} ({x:.2f})" for name, x in quotients.items() if x > SLOWER]
    if slower:
        return f"slower than {SLOWER} times: {', '.join(slower)}"
    if quotients:
        return f"no workload is slower than {SLOWER} times; at most {max(quotients.values()):.2f}"
    return "the two results have no row in common"


def op_table(threads: int, turns: int) -> str:
    """Each operation's forward pass and gradients, in milliseconds, and the ratios to PyTorch's."""
    lines = [f"operations in ms, {threads} threads                      minigan   PyTorch   ratio"]
    with sides_of(dict.fromkeys(("minigan", "torch"), HERE), "ops", threads, "cpu") as sides:
        for number, op in enumerate(OPS):
            found = take_turns(sides, f"op {number}", turns)
            for part in found["minigan"][0].answer:
                own, other = (np.array([turn.answer[part] for turn in found[name]]) for name in sides)
                ratio = float(np.median(own / other))
                milliseconds = f"{1e3 * np.median(own):>9.3f} {1e3 * np.median(other):>9.3f}"
                lines.append(f"{op.title:<32} {part:<10} {milliseconds} {ratio:>7.2f}")
            lines[-1] += disturbed([[turn.neighbours for turn in side] for side in found.values()])
    return "\n".join(lines)


def run(
    json_path: Path | None = None,
    against: Path | None = None,
    device: str = "cpu",
    beside: Path | None = None,
    turns: int = TURNS,
    seconds: float = SECONDS,
) -> None:
    """Measure everything beside PyTorch, or beside the minigan in the folder `beside`, and print the tables.

    On a GPU there are two large batches more, and no table of operations.
    Raises RuntimeError where PyTorch is missing, and ValueError where `against` is no earlier result, or `beside` has
    no minigan.
    """
    folders = _folders(beside)
    if against and beside:
        raise ValueError("--against is about ratios to PyTorch, which --beside does not measure: leave out one of them")
    before = _read(against) if against else {}
    for text in [_machine(), *(backend.describe() if device == "cuda" else []), HEADER_BESIDE if beside else HEADER]:
        print(text, flush=True)
    rows: list[Row] = []
    differences: dict[str, float] = {}
    for threads in THREADS if device == "cpu" else THREADS[:1]:
        for workload in WORKLOADS if device == "cpu" else [*WORKLOADS, *LARGE]:
            name = workload.name
            if name not in differences:
                differences[name] = prove(folders, name, device)
            rows.append(measure(folders, name, threads, differences[name], device, turns, seconds))
            print(line_beside(rows[-1]) if beside else line(rows[-1]), flush=True)
            if json_path:
                _write(json_path, rows)
    if beside:
        print(verdict({row.name: row.ratio("other") for row in rows}))
    elif device == "cpu":
        print(op_table(THREADS[0], min(turns, OP_TURNS)))
    if against:
        print(table_against(rows, before))


def _folders(beside: Path | None) -> dict[str, Path]:
    """The sides, and where each finds its minigan."""
    if beside is None:
        if importlib.util.find_spec("torch") is None:
            raise RuntimeError(
                "the benchmark compares with PyTorch, which is not installed: pip install 'minigan[bench]'"
            )
        return dict.fromkeys(SIDES, HERE)
    worker = Path("minigan", "bench", "worker.py")
    if not (beside / worker).is_file():
        raise ValueError(f"{beside} is no folder with a version of minigan: it has no {worker}")
    return {"minigan": HERE, "other": beside}


def _machine() -> str:
    torch = importlib.metadata.version("torch") if importlib.util.find_spec("torch") else "not installed"
    return (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, PyTorch {torch}; ratios below 1: minigan, as it is now, is faster"
    )


def _write(path: Path, rows: list[Row]) -> None:
    ratios = {row.key: row.ratio("torch") for row in rows if "torch" in row.seconds}
    content = {"machine": _machine(), "ratios": ratios, "rows": [vars(row) for row in rows]}
    path.write_text(json.dumps(content, indent=1), "utf-8")


def _read(path: Path) -> dict[str, Row]:
    """The rows of an earlier result beside PyTorch, by their keys; older and newer ones have other fields too."""
    known = {field.name for field in fields(Row)}
    try:
        if path.exists() and not path.is_file():  # such as a pipe, which would be waited for
            raise ValueError("not a file")
        content = json.loads(path.read_text("utf-8"))["rows"]
        rows = [Row(**{name: value for name, value in row.items() if name in known}) for row in content]
        return {row.key: row for row in rows if row.ratio("torch")}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{path} is not a result of `minigan bench --json`") from None
