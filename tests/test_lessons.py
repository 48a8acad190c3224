"""The notebooks are in step with their sources, small, and every exercise in them is checked.

`python lessons/build.py --teacher FOLDER` executes them; that takes minutes, so it is a step of its own.
"""

import ast
import importlib.util
import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minigan import gans, lessons
from minigan.cli import main
from minigan.exercises import EXERCISES

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("build", ROOT / "lessons" / "build.py")
build = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build)
SOURCES = build.sources([])
NOTEBOOKS = [ROOT / "lessons" / f"{path.stem}.ipynb" for path in SOURCES]
TITLES = [build.read(path).cells[0].source.splitlines()[0].removeprefix("# ") for path in SOURCES]
each_lesson = pytest.mark.parametrize("path", SOURCES, ids=lessons.slug)
OWN_CHECKS = ("d_loss", "g_loss")  # of the lesson the_first_gan, which are in no catalogue
HEADER = "# %% [markdown]\n# # A lesson\n#\n# - **Run time**: under 1 seconds on two cores.\n\n"
WIDGET = "application/vnd.jupyter.widget-view+json"


def cells(path):
    return json.loads(path.read_text("utf-8"))["cells"]


def source_of(slug):
    return lessons.find(slug, SOURCES)


def words_of(path):
    """All markdown of a source, in one line."""
    return " ".join(" ".join(cell.source for cell in build.read(path).cells if cell.cell_type == "markdown").split())


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
    if lessons.slug(path) == "one_training_step":
        assert any(WIDGET in output.get("data", {}) for output in outputs)  # the stages, one at a time


@each_lesson
def test_its_exercises_are_not_written_yet_and_solved_for_the_teacher(path):
    marked = build.read(path).cells
    exercises = [cell.metadata["exercise"] for cell in marked if "exercise" in cell.metadata]
    checks = [cell.metadata["check"] for cell in marked if "check" in cell.metadata]
    assert set(checks) <= set(exercises)
    assert bool(checks) or path == SOURCES[0]
    for cell, text in zip(marked, cells(NOTEBOOKS[SOURCES.index(path)]), strict=True):
        if "check" in cell.metadata:
            assert "not written yet" in " ".join(map(text_of, text["outputs"]))
    for name, student, teacher in zip(marked, build.student(path).cells, build.teacher(path).cells, strict=True):
        if "exercise" in name.metadata:
            assert "### BEGIN SOLUTION" in name.source and student.source != teacher.source
            assert "SOLUTION" not in student.source + teacher.source


def test_the_exercises_of_the_catalogue_stand_in_their_lesson():
    checked = {}
    for path in SOURCES:
        for cell in build.read(path).cells:
            if cell.metadata.get("check", "d_loss") not in OWN_CHECKS:
                checked[cell.metadata["check"]] = lessons.slug(path)
    homework = {"topological_order": "tensors_and_the_chain_rule", "wasserstein": "batch_norm_and_the_dcgan"}
    assert checked | homework == {e.name: e.lesson for e in EXERCISES}
    for name, slug in homework.items():
        assert f"`{name}`" in words_of(source_of(slug))


@each_lesson
def test_it_has_the_spine(path):
    text = words_of(path)
    for part in ("What you can now do", "**Goals**", "**Next:**") + (("Break it",) if path != SOURCES[0] else ()):
        assert part in text, part
    assert "**Prerequisites**" in text or "**You need**" in text
    assert 10 <= build.budget(path) <= 150
    assert max(map(len, path.read_text("utf-8").splitlines())) <= 120


def test_lessons_are_named_and_not_numbered():
    texts = {path.name: path.read_text("utf-8") for path in (*SOURCES, *(ROOT / "lessons").glob("*.[mp][dy]"))}
    texts |= {name: (ROOT / name).read_text("utf-8") for name in ("README.md", "minigan/lessons.py")}
    for name, text in texts.items():
        assert not re.search(r"\b(lessons?|exercises?) \d", text, re.IGNORECASE), name
    assert not [title for title in TITLES if title[0].isdigit()]


@each_lesson
def test_the_lessons_that_it_names_are_there(path):
    """A text names another lesson by its title, in italics."""
    named = re.findall(r"(?<!\*)\*(?!\*)([^*`$]+)\*(?!\*)", words_of(path))
    capital = [name for name in named if name[0].isupper() and len(name) > 3 and not name.startswith("The loss")]
    assert set(capital) <= set(TITLES)
    following = SOURCES[SOURCES.index(path) + 1 :]
    if following:
        assert f"**Next:** *{TITLES[SOURCES.index(following[0])]}*" in words_of(path)


def test_the_syllabus_lists_every_lesson():
    readme = (ROOT / "lessons" / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| \[(.+)\]\((.+)\) \|", readme, re.MULTILINE)
    assert listed == [(title, path.name) for title, path in zip(TITLES, NOTEBOOKS, strict=True)]


@each_lesson
def test_it_uses_public_names_only_and_no_network(path):
    source = path.read_text("utf-8")
    assert not re.search(r"minigan\.[\w.]*\._\w|import _|\._blas|urllib|requests|https?://(?!arxiv|doi)", source)


def test_the_stages_of_a_training_step_are_lines_of_the_library():
    """D 2 to D 4 and G 2 to G 4 stand in the lesson as they stand in gans/gan.py, and nothing comes before them."""
    stages = {}
    for function in (gans.gan.discriminator_step, gans.gan.generator_step):
        lines = inspect.getsource(function).splitlines()
        for statement in ast.parse(inspect.getsource(function)).body[0].body:
            for line in lines[statement.lineno - 1 : statement.end_lineno]:
                if found := re.search(r"# ([DG] [2-4]): ", line):
                    stages[found[1]] = ast.unparse(statement)
    assert sorted(stages) == ["D 2", "D 3", "D 4", "G 2", "G 3", "G 4"]
    of_lesson = {}
    for text, code in zip(*[build.read(source_of("one_training_step")).cells[i:] for i in (0, 1)], strict=False):
        if found := re.search(r"^\*\*([DG] [2-4]): ", text.source, re.MULTILINE):
            of_lesson[found[1]] = ast.unparse(ast.parse(code.source).body[0])
    assert of_lesson == stages


def test_for_nbgrader_the_checks_give_points():
    path = source_of("checking_gradients")
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
    path.write_text(HEADER + "# %%\n1 / 0\n")
    with pytest.raises(SystemExit, match="03_broken: a cell ended with an error"):
        build.execute(build.student(path), path)


def test_too_slow_and_too_large(tmp_path):
    path = tmp_path / "03_slow.py"
    path.write_text(HEADER + "# %%\nimport time\n# %%\ntime.sleep(3)\n")
    with pytest.raises((SystemExit, TimeoutError)):
        build.execute(build.student(path), path)
    notebook = build.student(path)
    notebook.cells[0].source = "x" * 1_000_000
    with pytest.raises(SystemExit, match=r"has 1000 kB, more than 900"):
        build.write(notebook, tmp_path / "large.ipynb")
    with pytest.raises(SystemExit, match="there is no lesson 'cooking': choose one of what_is_a_gan, "):
        build.sources(["cooking"])


def test_a_lesson_states_its_run_time(tmp_path):
    path = tmp_path / "03_timeless.py"
    path.write_text(HEADER.replace("under 1 seconds", "some time"))
    with pytest.raises(SystemExit, match=r"03_timeless: its header needs the line .*under 40 seconds on two cores"):
        build.budget(path)


def test_for_the_checks_only_what_is_marked_is_executed(tmp_path):
    path = tmp_path / "03_marks.py"
    exercise = "def f():\n    ### BEGIN SOLUTION\n    return y\n    ### END SOLUTION\n"
    check = "try:\n    f()\nexcept NotImplementedError as error:\n    shown = str(error)\nshown"
    marked = [f'# %% exercise="f"\n{exercise}', "# %% setup=true\ny = x\n", f'# %% check="f"\n{check}\n']
    path.write_text(HEADER.replace("1 ", "9 ") + "# %%\nx = 1\n\n# %%\n1 / 0\n\n" + "\n".join(marked))
    notebook = build.for_checks(build.student(path), path)
    build.execute(notebook, path)
    assert build.checks_say(notebook, path, "not written yet") == 1
    assert [cell.source for cell in notebook.cells if cell.source[0] in "xy"] == ["x = 1", "y = x"]
    with pytest.raises(SystemExit, match="the check of f does not say 'passed'"):
        build.checks_say(notebook, path, "passed")


# --- minigan lessons ---------------------------------------------------------------------------------------------


def test_the_list(capsys):
    assert main(["lessons"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [tuple(line.split(maxsplit=1)) for line in lines] == list(
        zip(map(lessons.slug, SOURCES), TITLES, strict=True)
    )


@pytest.mark.parametrize("name", ["11", "0", "satur"])
def test_a_lesson_that_is_not_there(capsys, name):
    assert main(["lessons", name]) == 2
    assert f"there is no lesson '{name}': choose one of what_is_a_gan, " in capsys.readouterr().err


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
    for name in ("2", "tensors_and_the_chain_rule"):
        assert main(["lessons", name]) == 0
        assert opened.pop() == NOTEBOOKS[1]
    package = tmp_path / "package"
    package.mkdir()
    shutil.copy(NOTEBOOKS[1], package)
    monkeypatch.setattr(lessons, "FOLDERS", [package])
    assert main(["lessons", "tensors_and_the_chain_rule"]) == 0
    assert opened.pop() == Path("lessons") / NOTEBOOKS[1].name
    (tmp_path / "lessons" / NOTEBOOKS[1].name).write_text("changed")
    assert main(["lessons", "tensors_and_the_chain_rule"]) == 0
    assert (tmp_path / "lessons" / NOTEBOOKS[1].name).read_text() == "changed"


def test_the_build_command(tmp_path):
    path = source_of("checking_gradients")
    command = [sys.executable, str(ROOT / "lessons" / "build.py"), "checking_gradients", "--nbgrader", str(tmp_path)]
    subprocess.run(command, check=True)
    assert (tmp_path / path.stem / f"{path.stem}.ipynb").is_file()
