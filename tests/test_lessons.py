"""The notebooks are in step with their sources, small, and every exercise in them is checked.

`python lessons/build.py --check` executes them; that takes minutes, so it is a step of its own.
"""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minigan import lessons
from minigan.cli import main
from minigan.exercises import EXERCISES, find

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("build", ROOT / "lessons" / "build.py")
build = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build)
SOURCES = build.sources([])
NOTEBOOKS = [ROOT / "lessons" / f"{path.stem}.ipynb" for path in SOURCES]
each_lesson = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
LESSON_6 = ("d_loss", "g_loss")  # two checks of its own, which are in no catalogue
WIDGET = "application/vnd.jupyter.widget-view+json"


def cells(path):
    return json.loads(path.read_text("utf-8"))["cells"]


def text_of(output):
    data = output.get("data", {})
    return "".join(
        ["".join(part) for kind, part in data.items() if kind.startswith("text")] + [*output.get("text", [])]
    )


def test_there_are_ten():
    assert [int(path.name[:2]) for path in SOURCES] == list(range(1, 11))
    assert sorted(ROOT.glob("lessons/*.ipynb")) == NOTEBOOKS


@each_lesson
def test_the_notebook_is_in_step_with_its_source(path):
    wanted = [(cell.cell_type, cell.source) for cell in build.student(path).cells]
    found = [(cell["cell_type"], "".join(cell["source"])) for cell in cells(NOTEBOOKS[SOURCES.index(path)])]
    assert found == wanted, "run: python lessons/build.py"


@each_lesson
def test_it_makes_slides(path):
    kinds = [cell["metadata"]["slideshow"]["slide_type"] for cell in cells(NOTEBOOKS[SOURCES.index(path)])]
    assert kinds[0] == "slide" and kinds.count("slide") >= 4 and set(kinds) == {"slide", "subslide", "-"}
    assert kinds == [cell.metadata["slideshow"]["slide_type"] for cell in build.student(path).cells]


@each_lesson
def test_it_was_executed_whole_without_an_error(path):
    notebook = NOTEBOOKS[SOURCES.index(path)]
    code = [cell for cell in cells(notebook) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert notebook.stat().st_size < build.LARGEST
    if path.stem[:2] != "07":
        return
    assert any(WIDGET in output.get("data", {}) for output in outputs)  # the stages, one at a time


@each_lesson
def test_its_exercises_are_not_written_yet_and_solved_for_the_teacher(path):
    marked = build.read(path).cells
    exercises = [cell.metadata["exercise"] for cell in marked if "exercise" in cell.metadata]
    checks = [cell.metadata["check"] for cell in marked if "check" in cell.metadata]
    assert set(checks) <= set(exercises)
    assert bool(checks) or path.stem[:2] == "01"
    for cell, text in zip(marked, cells(NOTEBOOKS[SOURCES.index(path)]), strict=True):
        if "check" in cell.metadata:
            assert cell.metadata["check"] in ("d_loss", "g_loss") or find(
                cell.metadata["check"]
            )  # those are lesson 6's own
            assert "not written yet" in " ".join(map(text_of, text["outputs"]))
    for name, student, teacher in zip(marked, build.student(path).cells, build.teacher(path).cells, strict=True):
        if "exercise" in name.metadata:
            assert "### BEGIN SOLUTION" in name.source and student.source != teacher.source
            assert "SOLUTION" not in student.source + teacher.source


def test_the_exercises_of_the_catalogue_stand_in_their_lesson():
    checked = {}
    for path in SOURCES:
        for cell in build.read(path).cells:
            if cell.metadata.get("check", "d_loss") not in LESSON_6:
                checked[cell.metadata["check"]] = int(path.name[:2])
    assert checked == {e.name: e.lesson for e in EXERCISES if e.name in checked}
    homework = {"topological_order", "he_normal", "wasserstein"}
    assert {e.name for e in EXERCISES} - set(checked) <= homework


@each_lesson
def test_it_has_the_spine(path):
    text = "\n".join(cell.source for cell in build.read(path).cells if cell.cell_type == "markdown")
    number = int(path.name[:2])
    assert text.startswith(f"# {number}. ")
    for part in ("what you can now do", "goals", "you need", "two cores") + (("break it",) if number > 1 else ()):
        assert part in text.lower().replace("prerequisites", "you need"), part
    assert max(map(len, path.read_text("utf-8").splitlines())) <= 120


@each_lesson
def test_it_uses_public_names_only_and_no_network(path):
    source = path.read_text("utf-8")
    assert not re.search(r"minigan\.[\w.]*\._\w|import _|\._blas|urllib|requests|https?://(?!arxiv|doi)", source)


def test_for_nbgrader_the_checks_give_points():
    path = SOURCES[2]  # checking gradients
    marked = [cell.metadata["nbgrader"] for cell in build.nbgrader(path).cells if "nbgrader" in cell.metadata]
    assert {m["grade_id"] for m in marked} >= {"exercise-tanh", "check-tanh"}
    assert len({m["grade_id"] for m in marked}) == len(marked)
    for cell in build.nbgrader(path).cells:
        marks = cell.metadata.get("nbgrader")
        if marks and marks["solution"]:
            assert "### BEGIN SOLUTION" in cell.source
        elif marks:
            assert marks["points"] == 1 and "assert result.passed" in cell.source


def test_an_error_in_a_notebook_ends_the_build(tmp_path):
    path = tmp_path / "03_broken.py"
    path.write_text("# %%\n1 / 0\n")
    with pytest.raises(SystemExit, match="03_broken: a cell ended with an error"):
        build.execute(build.student(path), path)


def test_too_slow_and_too_large(tmp_path, monkeypatch):
    path = tmp_path / "03_slow.py"
    path.write_text("# %%\nimport time\n# %%\ntime.sleep(3)\n")
    monkeypatch.setitem(build.BUDGETS, 3, 1)
    with pytest.raises((SystemExit, TimeoutError)):
        build.execute(build.student(path), path)
    notebook = build.student(path)
    notebook.cells[0].source = "x" * 2_000_000
    with pytest.raises(SystemExit, match=r"has 2\.0 MB"):
        build.write(notebook, tmp_path / "large.ipynb")
    with pytest.raises(SystemExit, match="there is no lesson 42"):
        build.sources(["42"])


# --- minigan lessons ---------------------------------------------------------------------------------------------


def test_the_list(capsys):
    assert main(["lessons"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10 and lines[0].startswith("1. ") and lines[9].startswith("10. ")


def test_a_lesson_that_is_not_there(capsys):
    assert main(["lessons", "11"]) == 2
    assert "there is no lesson 11: `minigan lessons` lists them" in capsys.readouterr().err


def test_without_jupyterlab(capsys, monkeypatch):
    monkeypatch.setattr(lessons.importlib.util, "find_spec", lambda name: None)
    assert main(["lessons", "2"]) == 2
    assert "pip install 'minigan[lessons]'" in capsys.readouterr().err


def test_opening_one(capsys, monkeypatch, tmp_path):
    """In a clone the lesson itself; from an installed package a copy that may be changed, and is not overwritten."""
    opened = []
    monkeypatch.setattr(lessons.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(lessons.subprocess, "run", lambda command, check: opened.append(Path(command[-1])))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lessons, "PACKAGE", ROOT / "minigan")
    monkeypatch.setattr(lessons, "FOLDERS", [ROOT / "lessons"])
    assert main(["lessons", "2"]) == 0
    assert opened.pop() == NOTEBOOKS[1]
    package = tmp_path / "package"
    package.mkdir()
    shutil.copy(NOTEBOOKS[1], package)
    monkeypatch.setattr(lessons, "FOLDERS", [package])
    assert main(["lessons", "2"]) == 0
    assert opened.pop() == Path("lessons") / NOTEBOOKS[1].name
    (tmp_path / "lessons" / NOTEBOOKS[1].name).write_text("changed")
    assert main(["lessons", "2"]) == 0
    assert (tmp_path / "lessons" / NOTEBOOKS[1].name).read_text() == "changed"


def test_the_build_command(tmp_path):
    command = [sys.executable, str(ROOT / "lessons" / "build.py"), "3", "--nbgrader", str(tmp_path)]
    subprocess.run(command, check=True)
    assert (tmp_path / SOURCES[2].stem / f"{SOURCES[2].stem}.ipynb").is_file()
