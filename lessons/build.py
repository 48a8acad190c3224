"""Make the notebooks from their sources: `python lessons/build.py`.

A source in lessons/source/ is a Python file of cells (`# %%`), which jupytext reads. Two kinds of cells are marked:

    # %% exercise="tanh"    a function to write; the answer stands between ### BEGIN SOLUTION and ### END SOLUTION
    # %% check="tanh"       the check of what was written

From one source come three notebooks: the student's, with empty answers (lessons/, executed, committed); the teacher's,
with answers (`--teacher FOLDER`, executed); and one for nbgrader, which hands out and collects (`--nbgrader FOLDER`).
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

LESSONS = Path(__file__).resolve().parent
BUDGETS = {1: 30, 2: 15, 3: 20, 4: 20, 5: 20, 6: 30, 7: 60, 8: 40, 9: 40, 10: 150}  # seconds on two cores
LARGEST = 1_500_000  # bytes of a notebook
ANSWER = re.compile(r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION$", re.DOTALL | re.MULTILINE)
MARKERS = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)


def sources(wanted: list[str]) -> list[Path]:
    """The sources of the lessons with these numbers, or of all."""
    paths = sorted((LESSONS / "source").glob("[0-9][0-9]_*.py"))
    chosen = [path for path in paths if not wanted or str(int(path.name[:2])) in [w.lstrip("0") for w in wanted]]
    if not chosen:
        raise SystemExit(f"there is no lesson {' '.join(wanted)}: choose from {', '.join(p.stem for p in paths)}")
    return chosen


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


def execute(notebook: NotebookNode, path: Path) -> float:
    """Run every cell in a fresh kernel; returns the seconds. Raises SystemExit at an error or at twice the budget."""
    budget = BUDGETS[int(path.name[:2])]
    began = time.perf_counter()
    try:
        folder = {"metadata": {"path": str(LESSONS)}}
        NotebookClient(notebook, timeout=2 * budget, resources=folder, coalesce_streams=True).execute()
    except CellExecutionError as error:
        raise SystemExit(f"{path.stem}: a cell ended with an error\n{error}") from None
    seconds = time.perf_counter() - began
    if seconds > 2 * budget:
        raise SystemExit(f"{path.stem} took {seconds:.0f} s, more than twice its budget of {budget} s")
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the time of day: it would change with every build
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"].pop("image/jpeg", None)  # the same picture once more
    return seconds


def checks_say(notebook: NotebookNode, path: Path, word: str) -> None:
    """Raise SystemExit unless every check in the executed notebook says `word`."""
    for marked, cell in zip(read(path).cells, notebook.cells, strict=True):
        shown = " ".join(str(output.get("data", "")) for output in cell.get("outputs", []))
        if "check" in marked.metadata and word not in shown:
            raise SystemExit(f"{path.stem}: the check of {marked.metadata['check']} does not say {word!r}: {shown}")


def write(notebook: NotebookNode, path: Path) -> None:
    """Save it. Raises SystemExit if it is too large to be committed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = nbformat.writes(notebook) + "\n"
    if len(text) > LARGEST:
        raise SystemExit(f"{path} has {len(text) / 1e6:.1f} MB, more than {LARGEST / 1e6}: draw fewer frames")
    path.write_text(text, "utf-8")


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", help="numbers of lessons, such as 2 3; all of them by default")
    parser.add_argument("--teacher", type=Path, metavar="FOLDER", help="write the teacher's version here")
    parser.add_argument("--nbgrader", type=Path, metavar="FOLDER", help="write the version for nbgrader here")
    parser.add_argument("--check", action="store_true", help="execute the students' version, and write nothing")
    options = parser.parse_args()
    for path in sources(options.lessons):
        if options.nbgrader:
            write(nbgrader(path), options.nbgrader / path.stem / f"{path.stem}.ipynb")
            continue
        notebook = teacher(path) if options.teacher else student(path)
        seconds = execute(notebook, path)
        checks_say(notebook, path, "passed" if options.teacher else "not written yet")
        budget = BUDGETS[int(path.name[:2])]
        print(f"{path.stem}: {seconds:.0f} s (budget {budget} s)", flush=True)
        if not options.check:
            write(notebook, (options.teacher or LESSONS) / f"{path.stem}.ipynb")


if __name__ == "__main__":
    sys.exit(main())
