"""What came of a check, in words that are safe to print and to keep, whatever a student's code made of them."""

from dataclasses import dataclass

from minigan.verdict import heading, paragraph

PASSED, FAILED, NOT_WRITTEN = "passed", "failed", "not written yet"
STATUSES = (PASSED, FAILED, NOT_WRITTEN)
LONGEST = 2_000  # characters of a diagnosis, and of what the student's code printed
LONGEST_HTML = 200_000


@dataclass(frozen=True)
class Result:
    """What came of a check: its status is "passed", "failed" or "not written yet"."""

    exercise: str
    status: str
    message: str = ""  # what is wrong, with the file and line where it is known
    html: str = ""  # the report of the gradient check, where one failed
    output: str = ""  # what the student's code printed
    note: str = ""  # what a teacher should know beside the verdict, such as "calls minigan's own tanh"

    def __post_init__(self) -> None:
        for name in ("message", "output", "note"):
            object.__setattr__(self, name, plain_text(getattr(self, name)))
        html = self.html if len(self.html) <= LONGEST_HTML else ""  # then the message is shown
        object.__setattr__(self, "html", html.replace("\0", "").encode("utf-8", "backslashreplace").decode())

    @property
    def passed(self) -> bool:
        """Whether the exercise is solved."""
        return self.status == PASSED

    def __str__(self) -> str:
        return f"{self.exercise}: {self.status}" + (f"\n{self.message}" if self.message else "")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = f"<p>{heading(self.passed, f'{self.exercise}: {self.status}')}</p>"
        return head + (self.html or paragraph(self.message))


def plain_text(text: str) -> str:
    r"""The text without what could harm a terminal or a file: control characters and lone surrogates are spelled \x1b.

    New lines and tabs stay. What is longer than 2,000 characters is cut.
    """
    some = text[: 2 * LONGEST].replace("\r\n", "\n")
    some = "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in some)
    return some if len(some) <= LONGEST else some[: LONGEST - 4] + " ..."
