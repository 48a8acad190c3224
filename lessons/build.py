"""Make the notebooks from their sources: `python lessons/build.py`, or `python lessons/build.py saturation` for one.

A source in lessons/source/ is a Python file of cells (`# %%`), which jupytext reads. Its name is a number, which makes
the order, and the lesson's slug. Its first cell says how long the lesson may take: "- **Run time**: under 40 seconds on
two cores." Three kinds of cells are marked:

    # %% exercise="tanh"    a function to write; the answer stands between ### BEGIN SOLUTION and ### END SOLUTION
    # %% check="tanh"       the check of what was written
    # %% setup=true         what a check needs beside the first code cell (the imports) and the exercises

From one source come three notebooks: the student's, with empty answers (lessons/, executed, committed); the teacher's,
with answers (`--teacher FOLDER`, executed); and one for nbgrader, which hands out and collects (`--nbgrader FOLDER`).

Every check must say "passed" in the teacher's version, and "not written yet" in the student's. All other cells are the
same in both. So where the teacher's version is executed whole, `--check` executes of the student's only the imports and
the marked cells, and writes nothing. (That the student's version runs whole is seen each time it is built: the
notebooks in lessons/ are this version, executed, and a test holds them in step with their sources.)
"""

import argparse
import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from minigan.lessons import find, slug

LESSONS = Path(__file__).resolve().parent
LARGEST = 900_000  # bytes of a notebook
MARKS = ("exercise", "check", "setup")  # of cells
RUN_TIME = re.compile(r"^- \*\*Run time\*\*: under (\d+) seconds on two cores\.$", re.MULTILINE)
ANSWER = re.compile(r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION$", re.DOTALL | re.MULTILINE)
MARKERS = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)


def sources(wanted: list[str]) -> list[Path]:
    """The sources of the lessons with these slugs, or of all."""
    paths = sorted((LESSONS / "source").glob("[0-9][0-9]_*.py"))
    try:
        return [find(name, paths) for name in wanted] or paths
    except ValueError as error:
        raise SystemExit(str(error)) from None


def read(path: Path) -> NotebookNode:
    """The notebook of a source as it is written, with cell ids that stay the same from one build to the next."""
    notebook = jupytext.read(path)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def budget(path: Path) -> int:
    """The seconds that a lesson may take on two cores, as its header states them."""
    found = RUN_TIME.search(read(path).cells[0].source)
    if not found:
        raise SystemExit(f'{path.stem}: its header needs the line "- **Run time**: under 40 seconds on two cores."')
    return int(found[1])


def student(path: Path) -> NotebookNode:
    """Without the answers."""
    notebook = read(path)
    for cell in notebook.cells:
        cell.source = ANSWER.sub(r'\1raise NotImplementedError("not written yet")', cell.source)
        cell.metadata = {}
    return with_slides(notebook)


def teacher(path: Path) -> NotebookNode:
    """With the answers."""
    notebook = read(path)
    for cell in notebook.cells:
        cell.source = MARKERS.sub("", cell.source)
        cell.metadata = {}
    return with_slides(notebook)


def with_slides(notebook: NotebookNode) -> NotebookNode:
    """Marks for `jupyter nbconvert --to slides`: a slide for each heading, below it one for each text with its code."""
    after_text = False
    for cell in notebook.cells:
        is_text = cell.cell_type == "markdown"
        heading = is_text and re.search("^#+ ", cell.source, re.MULTILINE)
        kind = "slide" if heading else "subslide" if is_text or not after_text else "-"
        cell.metadata["slideshow"] = {"slide_type": kind}
        after_text = is_text
    return notebook


def nbgrader(path: Path) -> NotebookNode:
    """With the answers between nbgrader's marks, and its metadata: the checks give a point each."""
    notebook = read(path)
    for cell in notebook.cells:
        kind = "exercise" if "exercise" in cell.metadata else "check" if "check" in cell.metadata else None
        if kind is None:
            cell.metadata = {}
            continue
        marks = {"schema_version": 3, "grade_id": f"{kind}-{cell.metadata[kind]}", "task": False}
        if kind == "exercise":
            cell.metadata = {"nbgrader": marks | {"solution": True, "grade": False, "locked": False}}
        else:
            cell.metadata = {"nbgrader": marks | {"solution": False, "grade": True, "locked": True, "points": 1}}
            cell.source = f"result = {cell.source}\nassert result.passed, result\nresult"
    return notebook


def marked(path: Path) -> dict[str, dict[str, str]]:
    """How the cells of a source are marked, by the cells' ids."""
    marks = {}
    for cell in read(path).cells:
        marks[cell.id] = {kind: cell.metadata[kind] for kind in MARKS if kind in cell.metadata}
    return marks


def for_checks(notebook: NotebookNode, path: Path) -> NotebookNode:
    """Of the code cells only what the checks need: the imports, which are the first, and the marked ones."""
    code, marks = [cell for cell in notebook.cells if cell.cell_type == "code"], marked(path)
    notebook.cells = [cell for cell in code if cell is code[0] or marks[cell.id]]
    return notebook


def execute(notebook: NotebookNode, path: Path) -> float:
    """Run every cell in a fresh kernel; returns the seconds. Raises SystemExit at an error or at twice the budget."""
    allowed = 2 * budget(path)
    began = time.perf_counter()
    try:
        folder = {"metadata": {"path": str(LESSONS)}}
        NotebookClient(notebook, timeout=allowed, resources=folder, coalesce_streams=True).execute()
    except CellExecutionError as error:
        raise SystemExit(f"{path.stem}: a cell ended with an error\n{error}") from None
    seconds = time.perf_counter() - began
    if seconds > allowed:
        raise SystemExit(f"{path.stem} took {seconds:.0f} s, more than twice its budget of {allowed // 2} s")
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the time of day: it would change with every build
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"].pop("image/jpeg", None)  # the same picture once more
    return seconds


def checks_say(notebook: NotebookNode, path: Path, word: str) -> int:
    """Raise SystemExit unless every check in the executed notebook says `word`; returns how many there are."""
    marks = marked(path)
    checks = [cell for cell in notebook.cells if "check" in marks[cell.id]]
    for cell in checks:
        shown = " ".join(str(output.get("data", "")) for output in cell.outputs)
        if word not in shown:
            raise SystemExit(f"{path.stem}: the check of {marks[cell.id]['check']} does not say {word!r}: {shown}")
    return len(checks)


def write(notebook: NotebookNode, path: Path) -> None:
    """Save it. Raises SystemExit if it is too large to be committed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = nbformat.writes(notebook) + "\n"
    if len(text) > LARGEST:
        raise SystemExit(f"{path} has {len(text) // 1000} kB, more than {LARGEST // 1000}: use fewer colours or frames")
    path.write_text(text, "utf-8")


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", help="slugs of lessons, such as saturation; all of them by default")
    parser.add_argument("--teacher", type=Path, metavar="FOLDER", help="write the teacher's version here")
    parser.add_argument("--nbgrader", type=Path, metavar="FOLDER", help="write the version for nbgrader here")
    parser.add_argument("--check", action="store_true", help="execute the student's exercises only, and write nothing")
    options = parser.parse_args()
    for path in sources(options.lessons):
        if options.nbgrader:
            write(nbgrader(path), options.nbgrader / path.stem / f"{path.stem}.ipynb")
            continue
        notebook = teacher(path) if options.teacher else student(path)
        if options.check:
            notebook = for_checks(notebook, path)
        seconds = execute(notebook, path)
        word = "passed" if options.teacher else "not written yet"
        count = checks_say(notebook, path, word)
        print(f"{slug(path)}: {seconds:.0f} s (budget {budget(path)} s); {word}: {count}", flush=True)
        if not options.check:
            write(notebook, (options.teacher or LESSONS) / f"{path.stem}.ipynb")


if __name__ == "__main__":
    sys.exit(main())
