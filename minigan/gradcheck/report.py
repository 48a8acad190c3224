"""What a gradient check found, as a table: in a terminal as text, in a notebook as HTML."""

from dataclasses import dataclass
from html import escape

import numpy as np

from minigan.gradcheck.mistakes import Mistake
from minigan.verdict import heading, paragraph

TOLERANCE = 1e-6  # the largest relative error that passes
COLUMNS = ("argument", "shape", "error", "verdict")


@dataclass(frozen=True)
class Line:
    """The verdict on one argument. `errors` has its shape, with NaN where nothing was compared."""

    name: str
    errors: np.ndarray
    worst: tuple[int, ...] = ()  # where the largest error is
    analytic: float = np.nan  # the gradient under test there
    numeric: float = np.nan  # the central difference there
    kinks: int = 0  # elements that were not compared because the function has a corner there
    unknown: int = 0  # elements that could not be measured: they are neither right nor wrong
    why: str = ""  # ... and why not
    mistake: Mistake | None = None

    @property
    def measured(self) -> int:
        """How many elements were compared."""
        return int(np.sum(~np.isnan(self.errors)))

    @property
    def error(self) -> float:
        """The largest relative error, or NaN where nothing was compared."""
        known = self.errors[~np.isnan(self.errors)]
        return float(known.max()) if known.size else np.nan

    @property
    def verdict(self) -> str:
        """A few words for the table."""
        if self.mistake and not self.error > TOLERANCE:  # the numbers agree, or there are none
            return "WRONG"
        if self.mistake:
            return f"WRONG at {self.worst}: yours {self.analytic + 0.0:.6g}, numerical {self.numeric:.6g}"
        if self.unknown and not self.measured:
            return "not measured"
        left_out = self.errors.size - self.measured - self.kinks - self.unknown
        counts = ((self.kinks, "on a kink skipped"), (self.unknown, "not measured"), (left_out, "not checked"))
        notes = [f"{count} {words}" for count, words in counts if count]
        return "right" + (f" ({', '.join(notes)})" if notes else "")

    def row(self) -> tuple[str, str, str, str]:
        """The cells of the table."""
        return self.name, str(self.errors.shape), "" if np.isnan(self.error) else f"{self.error:.1e}", self.verdict


@dataclass(frozen=True)
class Report:
    """What `gradcheck` found. In an `if` or `assert` it is true when no derivative was found wrong.

    An element that could not be measured is neither right nor wrong, and the report says how many there are; `measured`
    is 0 where that is all of them. Print it in a terminal; as the last line of a notebook cell it shows as a table.
    """

    function: str
    lines: tuple[Line, ...] = ()
    problem: Mistake | None = None  # where nothing could be compared at all

    @property
    def passed(self) -> bool:
        """Whether no derivative was found wrong."""
        return self.mistake is None

    @property
    def measured(self) -> int:
        """How many elements were compared, of all arguments."""
        return sum(line.measured for line in self.lines)

    @property
    def verdict(self) -> str:
        """The result in one or two words."""
        if not self.passed:
            return "wrong"
        return (
            "nothing could be measured here"
            if any(line.unknown for line in self.lines) and not self.measured
            else "right"
        )

    @property
    def mistake(self) -> Mistake | None:
        """The first mistake, or None."""
        return self.problem or next((line.mistake for line in self.lines if line.mistake), None)

    def __bool__(self) -> bool:
        return self.passed

    def findings(self) -> list[tuple[str, Mistake]]:
        """Every mistake with the names of its arguments."""
        found = {self.problem: [self.function]} if self.problem else {}
        for line in self.lines:
            if line.mistake:
                found.setdefault(line.mistake, []).append(line.name)
        return [("; ".join(names), mistake) for mistake, names in found.items()]

    def unknown(self) -> list[str]:
        """A sentence for each argument with elements that could not be measured."""
        return [
            f"{line.name}: {line.unknown} of {line.errors.size} elements could not be measured here, they are neither "
            f"right nor wrong: {line.why}"
            for line in self.lines
            if line.unknown
        ]

    def rows(self) -> list[tuple[str, str, str, str]]:
        """The table, with its heading; empty where nothing could be compared."""
        return [COLUMNS, *[line.row() for line in self.lines]] if self.lines else []

    def __str__(self) -> str:
        text = [f"gradcheck of {self.function}: {self.verdict if self.passed else 'WRONG'}"]
        widths = [max((len(row[i]) for row in self.rows()), default=0) for i in range(3)]
        for row in self.rows():
            text.append("  ".join([*(c.ljust(w) for c, w in zip(row[:3], widths, strict=True)), row[3]]))
        text += [f"{sentence}." for sentence in self.unknown()]
        for name, mistake in self.findings():
            text += f"{name}: {mistake}".splitlines()
        return "\n  ".join(text)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        decided = self.mistake or self.measured or not any(line.unknown for line in self.lines)
        verdict = heading(self.passed, self.verdict) if decided else f"<b>{self.verdict}</b>"
        html = [f"<p>gradcheck of <b>{escape(self.function)}</b>: {verdict}</p>"]
        if self.lines:
            style = "text-align:left;padding:2px 14px 2px 0"
            cells = ["".join(f"<td style='{style}'>{escape(cell)}</td>" for cell in row) for row in self.rows()]
            html.append("<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>")
        html += [paragraph(f"{sentence}.") for sentence in self.unknown()]
        for name, mistake in self.findings():
            html.append(paragraph(f"{name}: {mistake}"))
        return "".join(html)
