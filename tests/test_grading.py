"""Grades: a student's code is alike wherever it is checked, stops nobody's report and changes nobody's verdict."""

import csv
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from solved import solved

from minigan import Tensor, cli, ops
from minigan.exercises import EXERCISES, check, check_file, commands, files, find, in_place, isolation, runner
from minigan.exercises.catalogue import STUBS
from minigan.exercises.files import LARGEST_FILE
from minigan.exercises.in_place import ExerciseError
from minigan.exercises.loading import load
from minigan.exercises.own import Library

TANH = find("tanh")
RIGHT = solved("tanh")
WRONG = solved("tanh", ("1.0 - y * y", "1.0 - y"))
WITH_HELPER = "from myhelper import slope\n" + solved("tanh", ("(1.0 - y * y)", "slope(y)"))
GOOD_HELPER, BAD_HELPER = "def slope(y):\n    return 1.0 - y * y\n", "def slope(y):\n    return 7.0 + 0.0 * y\n"
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
OWN_WORLD = isolation._walls() == isolation.OWN_WORLD


def hand_in(folder, files):
    """A student's folder with these files, {path: text}; a lone text is that of 04_tanh.py."""
    for name, content in ({TANH.file: files} if isinstance(files, str | bytes) else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def verdict(folder, files, seconds=20.0):
    return check_file(TANH, hand_in(folder, files) / TANH.file, seconds)


def report(capsys, output, *folders):
    """The rows of the exercise tanh in a report on these folders, and what was printed."""
    assert cli.main(["exercise", "report", *map(str, folders), "-o", str(output)]) == 0
    with open(output, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(folders) * len(EXERCISES)
    return [row for row in rows if row["exercise"] == "tanh"], capsys.readouterr().out


# --- helpers beside a file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("students", [GOOD_HELPER, BAD_HELPER])
def test_the_students_helper_decides_wherever_the_command_is_typed(tmp_path, monkeypatch, capsys, students):
    """Never the teacher's of the same name, in the current folder, even if that is on PYTHONPATH."""
    folder = hand_in(tmp_path / "ada", {TANH.file: WITH_HELPER, "myhelper.py": students})
    teacher = hand_in(tmp_path, {"myhelper.py": BAD_HELPER if students == GOOD_HELPER else GOOD_HELPER})
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(teacher), os.environ.get("PYTHONPATH", "")]))
    right = students == GOOD_HELPER
    for place in (teacher, folder):
        monkeypatch.chdir(place)
        assert cli.main(["exercise", "check", "tanh", "--folder", str(folder)]) == (0 if right else 1)
        (row,), _ = report(capsys, tmp_path / "r.csv", folder)
        assert row["status"] == ("passed" if right else "failed")
        if right:
            (tanh,) = commands.passed_functions(folder)
            x = Tensor([0.5], requires_grad=True)
            tanh(x).sum().backward()
            np.testing.assert_allclose(x.grad.numpy(), 1 - np.tanh(0.5) ** 2, rtol=1e-6)


def test_without_a_helper_of_ones_own_the_teachers_is_not_found(tmp_path, monkeypatch):
    hand_in(tmp_path, {"myhelper.py": GOOD_HELPER})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    result = verdict(tmp_path / "ada", WITH_HELPER)
    assert "04_tanh.py, line 1: ModuleNotFoundError: No module named 'myhelper'" in result.message


def test_helpers_of_two_students_do_not_mix_in_one_process(tmp_path):
    """Nor do those that are packages, or imported in a function; and the folder before is off the path again."""
    source = "import tools.deep\nfrom myhelper import who\n\n\ndef tanh(x):\n    import later\n"
    source += "    return who, tools.deep.WHO, later.WHO\n"
    for who in ("ada", "ben"):
        files = {"myhelper.py": f"who = {who!r}", "later.py": f"WHO = {who!r}", "tools/deep.py": f"WHO = {who!r}"}
        hand_in(tmp_path / who, files | {TANH.file: source})
    for who in ("ada", "ben", "ada"):
        assert load(TANH, tmp_path / who / TANH.file).tanh(None) == (who, who, who)
        assert str(tmp_path / who) in sys.path
    assert str(tmp_path / "ben") not in sys.path


def test_a_changed_helper_counts_in_the_same_process(tmp_path):
    for slope in (GOOD_HELPER, BAD_HELPER, GOOD_HELPER):
        folder = hand_in(tmp_path, {TANH.file: WITH_HELPER, "myhelper.py": slope})
        x = Tensor([0.5], requires_grad=True)
        load(TANH, folder / TANH.file).tanh(x).sum().backward()
        assert (abs(x.grad.item() - 7) > 1) == (slope == GOOD_HELPER)


HONEST = {  # unusual, and right
    "a package": (
        {"helpers/__init__.py": "", "helpers/s.py": GOOD_HELPER},
        WITH_HELPER.replace("myhelper", "helpers.s"),
    ),
    "a folder of modules": ({"helpers/s.py": GOOD_HELPER}, WITH_HELPER.replace("myhelper", "helpers.s")),
    "an import in a function": (
        {"later.py": GOOD_HELPER},
        solved("tanh", ("return g * (1.0 - y * y)", "import later; return g * later.slope(y)")),
    ),
    "another exercise": ({"01_unbroadcast.py": solved("unbroadcast")}, RIGHT + "__import__('01_unbroadcast')\n"),
    "a relative read": ({"data.txt": "1"}, RIGHT + "assert open('data.txt').read() == '1'\n"),
    "a read beside __file__": (
        {"d.txt": "1"},
        RIGHT + "import pathlib\npathlib.Path(__file__).with_name('d.txt').stat()\n",
    ),
    "Windows' line ends": ({}, RIGHT.replace("\n", "\r\n")),
    "a byte order mark": ({}, "\ufeff" + RIGHT),
    "tabs": ({}, RIGHT.replace("    ", "\t")),
    "Latin-1": ({}, ("# -*- coding: latin-1 -*-\n# größe\n" + RIGHT).encode("latin-1")),
    "a dataclass": (
        {},
        RIGHT.replace("import numpy", "from __future__ import annotations\nimport numpy", 1)
        + "from dataclasses import dataclass\n\n\n@dataclass\nclass P:\n    a: int = 3\n",
    ),
    "a lambda": ({}, RIGHT.replace("def tanh(", "def mine(") + "tanh = lambda x: mine(x)\n"),
    "an object": (
        {},
        RIGHT.replace("def tanh(", "def m(") + "class T:\n    def __call__(self, x): return m(x)\ntanh = T()\n",
    ),
    "settings": ({}, RIGHT + "np.random.seed(0); np.seterr(all='ignore'); np.set_printoptions(precision=3)\n"),
    "files of its own": ({}, RIGHT + "open('notes.txt', 'w').write('x')\n"),
    "prints of everything": ({}, RIGHT + "print('größe ✓ \\ud800')\n"),
    "a check in the file": ({}, RIGHT + "from minigan.exercises import check\nprint(check('tanh', tanh))\n"),
    "a use in place": (
        {},
        RIGHT + "from minigan.exercises import in_place\nwith in_place([tanh]):\n    tanh(Tensor([1.0]))\n",
    ),
    "another process": ({}, RIGHT + "import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''], check=True)\n"),
    "a thread": ({}, RIGHT + "import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()\n"),
}


@pytest.mark.parametrize("what", HONEST)
def test_what_is_unusual_and_right_passes(tmp_path, what):
    files, source = HONEST[what]
    result = verdict(tmp_path / "größe", files | {TANH.file: source})
    assert result.passed and result.note == "", result


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("random.py", "random.py beside it hides Python's own random: rename it"),
        ("numpy.py", "numpy.py beside it hides the real numpy: rename it"),
        ("minigan/__init__.py", "minigan beside it hides the real minigan: rename it"),
    ],
)
def test_a_file_that_hides_pythons_own_is_named(tmp_path, name, words):
    result = verdict(tmp_path, {TANH.file: RIGHT, name: "x = 1\n"})
    assert result.passed and result.note == words
    result = verdict(tmp_path, {TANH.file: WRONG})
    assert result.status == "failed" and result.message.endswith(f"({words})")


def test_a_hidden_module_of_python_is_the_reason(tmp_path):
    files = {TANH.file: "from colorsys import hls_to_rgb\n" + RIGHT, "colorsys.py": ""}
    message = verdict(tmp_path, files).message
    assert "04_tanh.py, line 1: ImportError" in message and "hides Python's own colorsys: rename it" in message
    assert str(isolation.tempfile.gettempdir()) not in message  # nor the folder of the copy, which is gone
    assert verdict(tmp_path / "b", {TANH.file: RIGHT, "logging/notes.txt": "a folder hides nothing"}).note == ""


def test_pytest_in_a_folder_with_a_file_that_hides_pythons_own(tmp_path):
    hand_in(tmp_path, {TANH.file: RIGHT, "random.py": "", "numpy.py": "raise ImportError\n"})
    shutil.copyfile(STUBS / "test_exercises.py", tmp_path / "test_exercises.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "tanh", str(tmp_path)]
    text = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path.parent).stdout
    assert "1 passed" in text, text


# --- words that a console, a file or a spreadsheet cannot take -----------------------------------------------------


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_a_console_without_check_marks_gets_what_can_be_printed(tmp_path, monkeypatch, encoding):
    folder = hand_in(tmp_path / "größe", RIGHT)
    for source, arguments, code in ((RIGHT, ["check", "tanh"], 0), (WRONG, ["check", "tanh"], 1), (RIGHT, [], 0)):
        hand_in(folder, source)
        out, err = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        found = cli.main(["exercise", *arguments, "--folder", str(folder)])
        monkeypatch.undo()
        out.flush()
        text = out.buffer.getvalue().decode(encoding)
        assert found == code and "tanh" in text and ("✓" if encoding == "utf-8" else "?") in text + "✓" * (code == 1)


WORDS = {
    "a lone surrogate": ("ValueError('bad \\ud800')", "ValueError: bad \\ud800"),
    "a terminal's escapes": ("ValueError('\\x1b[2J\\r\\x07\\x00 red')", "ValueError: \\x1b[2J\\r\\x07\\x00 red"),
    "text that turns round": ("ValueError('\\u202e gpj')", "ValueError: \\u202e gpj"),
    "no text": ("ValueError", "line 1: ValueError"),
    "text that fails": (
        "type('E', (Exception,), {'__str__': lambda self: exit()})",
        "line 1: E: its text cannot be shown",
    ),
}


@pytest.mark.parametrize("what", WORDS)
def test_an_errors_text_is_made_harmless(tmp_path, what):
    raised, words = WORDS[what]
    result = verdict(tmp_path, f"raise {raised}\n")
    assert result.status == "failed" and result.message.endswith(words), result
    result.message.encode("utf-8")


def test_a_diagnosis_is_cut(tmp_path):
    result = verdict(tmp_path, "print('x' * 100_000)\nraise ValueError('x' * 10**7)\n")
    assert len(result.message) == 2000 and result.message.endswith("x ...") and len(result.output) <= 2000


def test_what_the_code_prints_is_made_harmless(tmp_path):
    assert verdict(tmp_path, RIGHT + "print('\\x1b[31m\\tred')\n").output == "\\x1b[31m\tred\n"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@sum(a1)", "\t=1"])
def test_a_cell_is_no_formula(tmp_path, capsys, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    hand_in(tmp_path / name, STUBS.joinpath(TANH.file).read_bytes())
    assert cli.main(["exercise", "report", "-o", "r.csv", "--", name]) == 0
    with open("r.csv", newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert f"'{name}" in cells and not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


# --- one student does not stop the class ---------------------------------------------------------------------------

NUISANCES = {
    "a lone surrogate": "raise ValueError('bad \\ud800')\n",
    "something else on every channel": (
        'import os\nfor fd in range(20):\n    try: os.write(fd, b\'{"status": "passed"}\\n\')\n'
        "    except OSError: pass\nos._exit(0)\n"
    ),
    "every channel closed": "import os\nos.closerange(0, 20)\n" + RIGHT,
    "its folder removed": "import os, shutil\nshutil.rmtree(os.environ['HOME'], True)\nraise SystemExit\n",
    "its folder closed": "import os\nos.chmod('.', 0)\nos.chmod('..', 0)\nraise SystemExit\n",
    "folders in folders": "import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')\n",
    "pipes and folders in place of all": (
        "import os\nfor name in ('answer', 'trace', 'printed', 'partial'):\n"
        "    os.mkfifo(name)\n    os.mkdir('../' + name)\nraise SystemExit\n"
    ),
    "a killed parent": "import os\nos.kill(os.getppid(), 9)\nraise SystemExit\n",
    "a killed group": "import os\nos.kill(0, 9)\nraise SystemExit\n",
    "another program": "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'print(1)'])\n",
    "a standard output of its own": (
        "import sys\nclass Out:\n    def write(self, text): raise SystemExit\n    flush = write\n"
        "sys.stdout = sys.stderr = Out()\n"
    ),
    "no text": b"\xff\xfe\x00",
    "nothing": "",
}


@POSIX
@pytest.mark.parametrize("walls", ["its own world", "a shell"])
def test_one_student_does_not_stop_the_report(tmp_path, capsys, monkeypatch, walls):
    """Each of these is one failed exercise of one student, and those after it are checked."""
    if walls == "a shell":
        monkeypatch.setattr(isolation, "_walls", lambda: isolation.SHELL)
    folders = [hand_in(tmp_path / what, source) for what, source in NUISANCES.items()]
    folders.append(hand_in(tmp_path / "zoe", RIGHT))
    rows, out = report(capsys, tmp_path / "r.csv", *folders)
    assert [row["status"] for row in rows] == ["failed"] * len(NUISANCES) + ["passed"], rows
    assert all(row["diagnosis"].startswith("04_tanh.py") for row in rows[:-1]), rows
    assert out.count(" of 19 passed") == len(folders)


@POSIX
def test_folders_in_folders_too_deep_for_python_stop_no_report(tmp_path, capsys):
    ada, ben, here = hand_in(tmp_path / "ada", RIGHT), hand_in(tmp_path / "ben", RIGHT + "# ben's"), os.getcwd()
    try:
        os.chdir(ada)
        for _ in range(1_500):
            os.mkdir("d")
            os.chdir("d")
        os.chdir(here)
        rows, _ = report(capsys, tmp_path / "r.csv", ada, ben)
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", ada])
    assert [row["status"] for row in rows] == ["passed", "passed"]


def test_a_report_that_is_stopped_at_once_leaves_the_earlier_table(tmp_path, monkeypatch):
    def stopped(folder):
        raise KeyboardInterrupt

    (tmp_path / "r.csv").write_text("last week's")
    monkeypatch.setattr("minigan.exercises.report.check_all", stopped)
    assert cli.main(["exercise", "report", str(hand_in(tmp_path / "ada", RIGHT)), "-o", str(tmp_path / "r.csv")]) == 130
    assert (tmp_path / "r.csv").read_text() == "last week's"


@POSIX
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such names")
def test_a_folder_whose_name_is_not_utf8(tmp_path, capsys):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/gr\xf6sse"))
    rows, out = report(capsys, tmp_path / "r.csv", hand_in(folder, RIGHT), hand_in(tmp_path / "b", WRONG))
    assert [row["status"] for row in rows] == ["passed", "failed"]
    assert rows[0]["folder"].endswith("gr\\xf6sse") and "gr\\xf6sse: 1 of 19 passed" in out


@pytest.mark.parametrize("name", ["größe", "日本", "with space", "plain"])
def test_an_endless_loop_is_placed_whatever_the_folder_is_called(tmp_path, name, monkeypatch):
    (tmp_path / name).mkdir()
    monkeypatch.setattr(isolation.tempfile, "tempdir", str(tmp_path / name))  # where the copies lie
    message = verdict(tmp_path / name / "mine", "while True:\n    pass\n", seconds=1.0).message
    assert message.startswith("04_tanh.py, line ") and "still running after 1 seconds" in message


def test_an_endless_loop_in_a_file_with_another_name(tmp_path):
    path = tmp_path / "tanh größe.py"
    path.write_text("while True:\n    pass\n", "utf-8")
    message = check_file(TANH, path, 1.0).message
    assert message.startswith("tanh größe.py, line ") and "still running" in message


UNREADABLE = {
    "a pipe": (lambda path: os.mkfifo(path), "is not a plain file"),
    "a folder": (lambda path: path.mkdir(), "is not a plain file"),
    "a socket": (lambda path: bind(path), "is not a plain file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is a link to a file outside its folder"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "04_tanh.py: "),
    "too large": (
        lambda path: path.write_bytes(b"#" * (LARGEST_FILE + 1)),
        "is too large to be an exercise: 4,194,305 bytes",
    ),
    "a promise": (lambda path: (path.touch(), os.truncate(path, 10**12)), "is too large to be an exercise"),
}


def bind(path):
    os.chdir(path.parent)  # a socket's name may have 100 characters
    socket.socket(socket.AF_UNIX).bind(path.name)


@POSIX
@pytest.mark.parametrize("what", UNREADABLE)
def test_what_is_no_plain_file_is_refused_and_never_waited_for(tmp_path, monkeypatch, capsys, what):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ada").mkdir()
    make, words = UNREADABLE[what]
    make(tmp_path / "ada" / TANH.file)
    monkeypatch.chdir(tmp_path)
    assert words in check_file(TANH, tmp_path / "ada" / TANH.file).message
    rows, _ = report(capsys, tmp_path / "r.csv", tmp_path / "ada", hand_in(tmp_path / "ben", RIGHT))
    assert [row["status"] for row in rows] == ["failed", "passed"] and words in rows[0]["diagnosis"]
    hand_in(tmp_path / "ada", {"01_unbroadcast.py": ""})  # so that exercises are found there
    assert cli.main(["exercise", "reset", "tanh", "--folder", str(tmp_path / "ada")]) == 0
    assert (tmp_path / "ada" / TANH.file).read_bytes() == (STUBS / TANH.file).read_bytes()


def test_a_pipe_beside_an_exercise_is_left_out(tmp_path):
    if os.name == "posix":
        os.mkfifo(tmp_path / "myhelper.py")
    hand_in(tmp_path, {f"notes/{n}.bin": b"0" * 2**21 for n in range(12)})  # more than is copied
    assert verdict(tmp_path, RIGHT).passed


@POSIX
def test_a_file_that_is_waited_for_only_when_it_is_read(tmp_path, monkeypatch):
    """It calls itself plain, as /proc/kmsg does, or took the place of a plain one in the meantime."""
    monkeypatch.setattr(files.stat, "S_ISREG", lambda mode: True)
    os.mkfifo(tmp_path / "pipe")
    assert files.read_folder(hand_in(tmp_path, RIGHT), [TANH.file]).files == {TANH.file: RIGHT.encode(), "pipe": b""}


@pytest.mark.parametrize("many", ["files", "bytes", "pipes"])
def test_a_helper_is_found_behind_a_folder_of_data(tmp_path, monkeypatch, many):
    """Of what is too much to be copied, data are left out first."""
    monkeypatch.setattr(files, "MOST_FILES", 10)
    monkeypatch.setattr(files, "LARGEST_FOLDER", 30_000)
    for number in range(40):
        place = hand_in(tmp_path, {f"data/{number}.txt": "x" * (20_000 if many == "bytes" else 1)}) / "data"
        if many == "pipes" and os.name == "posix":
            os.mkfifo(place / f"{number}.pipe")
    student = WITH_HELPER.replace("from myhelper", "from helpers.slopes")
    assert verdict(tmp_path, {TANH.file: student, "helpers/slopes.py": GOOD_HELPER}).passed
    assert len(files.read_folder(tmp_path, []).files) <= 11


def test_a_folder_without_end_is_not_read_to_its_end(tmp_path, monkeypatch):
    """Such as a link to a whole disk: what is looked at is counted, too."""
    monkeypatch.setattr(files, "MOST_NAMES", 10)
    looked, scandir = [], os.scandir
    monkeypatch.setattr(files.os, "scandir", lambda place: looked.append(place) or scandir(place))
    hand_in(tmp_path, {f"{number}/x.txt": "" for number in range(50)} | {TANH.file: RIGHT})
    assert TANH.file in files.read_folder(tmp_path, [TANH.file]).files and len(looked) < 15


def test_a_full_disk_is_one_failed_check(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(isolation.tempfile, "TemporaryDirectory", full)
    assert verdict(tmp_path, RIGHT).message == "04_tanh.py could not be checked: No space left on device"


# --- no student changes a grade ------------------------------------------------------------------------------------

JUDGES = "from minigan.exercises.judges import answer, chain_rule\n"
FORGERIES = {  # after a wrong answer
    "the catalogue's check": (
        "from minigan.exercises.catalogue import find\nobject.__setattr__(find('tanh'), 'check', print)\n",
        "minigan's exercise tanh.check",
    ),
    "its judge": (
        "from minigan.exercises.catalogue import find\nobject.__setattr__(find('tanh'), 'judge', print)\n",
        "minigan's exercise tanh.judge",
    ),
    "the check of all": ("from minigan.exercises import Exercise\nExercise.check = print\n", "Exercise.check"),
    "a judge's code": (JUDGES + "chain_rule.tanh.__code__ = (lambda t: None).__code__\n", "chain_rule.tanh"),
    "a judge's tool": (JUDGES + "answer.Answer.gradients = lambda *a, **k: None\n", "Answer.gradients"),
    "the gradient check": (JUDGES + "answer.gradcheck = lambda *a, **k: True\n", "answer.gradcheck"),
    "a tolerance": ("from minigan.gradcheck import report\nreport.TOLERANCE = 1e9\n", "report.TOLERANCE"),
    "the verdict": ("from minigan.gradcheck import Report\nReport.__bool__ = lambda self: True\n", "Report.__bool__"),
    "a property": ("from minigan.gradcheck import Report\nReport.passed = True\n", "Report.passed"),
    "the result": (
        "from minigan.exercises import Result\n"
        "Result.__post_init__ = lambda self: object.__setattr__(self, 'status', 'passed')\n",
        "Result.__post_init__",
    ),
    "what a judge calls": (
        "from minigan.exercises import child, runner, Result\n"
        "child.judge = runner.judge = lambda e, *rest: Result(e.name, 'passed')\n",
        "minigan.exercises.",
    ),
    "a name beside a judge": (JUDGES + "answer.isinstance = lambda *a: True\n", "answer.isinstance"),
    "NumPy": ("np.allclose = lambda *a, **k: True\n", "numpy.allclose"),
    "a built-in function": ("import builtins\nbuiltins.any = lambda *a: False\n", "builtins.any"),
    "two built-in functions": ("import builtins\nbuiltins.zip = builtins.dict = lambda *a, **k: []\n", "04_tanh.py"),
    "the table": (
        "from minigan import table\ntable.PLAIN['tanh'] = table.FASTEST['tanh'] = tanh\n",
        "table.PLAIN.tanh",
    ),
    "a tensor's method": ("Tensor.numpy = lambda self: np.tanh(0)\n", "Tensor.numpy"),
    "the comparison too": (
        "from minigan.exercises import own\nown.Library.changed = lambda self: ''\n"
        "np.allclose = lambda *a, **k: True\n",
        "04_tanh.py: it changes",
    ),
    "JSON": ('import json\njson.dumps = lambda *a, **k: \'{"status": "passed"}\'\n', "gradcheck of tanh: WRONG"),
    "exit": ("import os, sys\nsys.exit = os._exit = lambda *a: None\n", "gradcheck of tanh: WRONG"),
    "an early end": ("import os\nos._exit(0)\n", "ended without an answer (exit code 0)"),
    "an answer in a file": (
        "import json, os, pathlib, sys\nfor place in [*sys.argv, 'x', '../x']:\n"
        "    answer = dict(exercise='tanh', status='passed', message='')\n"
        "    try: pathlib.Path(place).with_name('answer').write_text(json.dumps(answer))\n"
        "    except OSError: pass\nos._exit(0)\n",
        "ended without an answer",
    ),
    "an answer on every channel": (
        "import os\nfor fd in range(20):\n"
        "    try: os.write(fd, b'passed\\0\\0\\0')\n    except OSError: pass\nos._exit(0)\n",
        "ended without an answer",
    ),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_wrong_answer_cannot_change_its_judge(tmp_path, what):
    code, words = FORGERIES[what]
    result = verdict(tmp_path, WRONG + "\n" + code)
    assert result.status == "failed" and words in result.message, result


def test_what_is_changed_during_the_check_is_found_too(tmp_path):
    source = WRONG.replace("    return record(", "    np.allclose = lambda *a, **k: True\n    return record(")
    assert "it changes numpy.allclose" in verdict(tmp_path, source).message


def test_an_untouched_library_is_as_it_was():
    library = Library()
    for exercise in EXERCISES:
        exercise.check({name: exercise.solution(name) for name in exercise.replaces})
    assert library.changed() == ""


OWN = {
    "imported": "from minigan.ops import tanh\n",
    "from the quick versions": "from minigan import table\ntanh = table.FASTEST['tanh']\n",
    "under another name": "import minigan\ntanh = minigan.Tensor.tanh\n",
    "a partial": "from functools import partial\nfrom minigan import ops\ntanh = partial(ops.tanh)\n",
    "its code": (
        "import types\nfrom minigan import table\nown = table.PLAIN['tanh']\n"
        "tanh = types.FunctionType(own.__code__, own.__globals__)\n"
    ),
}


@pytest.mark.parametrize("what", OWN)
def test_minigans_own_function_is_no_answer(tmp_path, what):
    result = verdict(tmp_path, OWN[what])
    assert result.status == "failed" and result.note == "is minigan's own function", result
    assert result.message == "04_tanh.py: tanh is minigan's own function: write it yourself"


@pytest.mark.parametrize("name", [exercise.name for exercise in EXERCISES])
def test_no_exercise_takes_minigans_own_function(name):
    exercise = find(name)
    result = runner.judge(exercise, {f: exercise.solution(f) for f in exercise.replaces}, "the notebook")
    assert result.status == "failed" and "write it yourself" in result.message


CALLS = {
    "a call": "from minigan import ops\ndef tanh(x):\n    return ops.tanh(x)\n",
    "a method": "def tanh(x):\n    return x.tanh()\n",
    "a lambda": "from minigan import ops\ntanh = lambda x: ops.tanh(x)\n",
    "an object": "from minigan import ops\nclass T:\n    def __call__(self, x): return ops.tanh(x)\ntanh = T()\n",
    "through a helper": "from minigan import ops\ndef h(x): return ops.tanh(x) * 1.0\ndef tanh(x):\n    return h(x)\n",
}


@pytest.mark.parametrize("what", CALLS)
def test_a_call_of_minigans_own_would_never_end_in_its_place(tmp_path, what, capsys):
    (row,), _ = report(capsys, tmp_path / "r.csv", hand_in(tmp_path / "a", CALLS[what]))
    assert (row["status"], row["note"]) == ("failed", "calls minigan's own tanh")
    assert re.fullmatch(
        r"04_tanh.py, line \d: your tanh calls minigan's tanh, which would call yours, without end: write it out",
        row["diagnosis"],
    )


def test_a_call_of_the_other_one_of_an_exercise_is_noted(tmp_path):
    """It does not call itself, and trains."""
    source = solved(
        "bce_with_logits",
        ("return mean(softplus(-logits)", "from minigan import ops\n    return mean(ops.softplus(-logits)"),
    )
    exercise = find("bce_with_logits")
    result = check_file(exercise, hand_in(tmp_path, {exercise.file: source}) / exercise.file)
    assert result.passed and result.note == "calls minigan's own softplus"


@pytest.mark.parametrize("name", [exercise.name for exercise in EXERCISES])
def test_a_solution_calls_nothing_of_minigans_that_it_should_be(tmp_path, name):
    exercise = find(name)
    path = hand_in(tmp_path, {exercise.file: solved(name)}) / exercise.file
    module = load(exercise, path)
    result = check(name, *[getattr(module, function) for function in exercise.replaces])
    assert result.passed and result.note == ""


def test_a_derivative_may_use_all_of_minigan(tmp_path):
    """The derivative of tanh may call tanh again, and that of mul is made of products."""
    assert verdict(tmp_path, solved("tanh", ("1.0 - y * y", "1.0 - x.tanh() * x.tanh()"))).note == ""


# --- neighbours ------------------------------------------------------------------------------------------------------


def test_a_neighbours_file_that_is_overwritten_is_checked_as_it_was(tmp_path, capsys):
    other = tmp_path / "ben" / TANH.file
    spoils = f"import pathlib\npathlib.Path({str(other)!r}).write_text('raise SystemExit')\n"
    a, b = hand_in(tmp_path / "ada", spoils + WRONG), hand_in(tmp_path / "ben", RIGHT)
    rows, _ = report(capsys, tmp_path / "r.csv", a, b)
    assert [row["status"] for row in rows] == ["failed", "passed"]


def test_a_check_leaves_the_students_folder_alone(tmp_path):
    source = RIGHT + "import pathlib\nfor p in pathlib.Path().iterdir():\n    p.unlink()\nopen('new', 'w').close()\n"
    folder = hand_in(tmp_path, {TANH.file: source, "myhelper.py": GOOD_HELPER})
    assert check_file(TANH, folder / TANH.file).passed
    assert sorted(p.name for p in folder.iterdir()) == [TANH.file, "myhelper.py"]


@POSIX
def test_links_are_noted_and_not_followed_to_others(tmp_path, capsys):
    ben = hand_in(tmp_path / "ben", RIGHT)
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / TANH.file).symlink_to(ben / TANH.file)
    cleo = hand_in(tmp_path / "cleo", {"mine.py": RIGHT + "# mine\n"})
    (cleo / TANH.file).symlink_to("mine.py")
    dora = hand_in(tmp_path / "dora", {TANH.file: WITH_HELPER})
    (dora / "myhelper.py").symlink_to(hand_in(tmp_path / "else", {"myhelper.py": GOOD_HELPER}) / "myhelper.py")
    (tmp_path / "linked").symlink_to(cleo)  # the folder itself may be one
    rows, _ = report(capsys, tmp_path / "r.csv", tmp_path / "ada", ben, cleo, dora, tmp_path / "linked")
    assert [row["status"] for row in rows] == ["failed", "passed", "passed", "failed", "passed"]
    assert "is a link to a file outside its folder" in rows[0]["diagnosis"] and rows[0]["note"] == "is a link"
    assert rows[1]["note"] == "" and rows[2]["note"].startswith("is a link; same bytes as ")
    assert "No module named 'myhelper'" in rows[3]["diagnosis"]


def test_the_same_bytes_are_noted(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stub = (STUBS / TANH.file).read_bytes()
    sources = {"ada": RIGHT, "ben": RIGHT, "cleo": RIGHT + "# mine\n", "dora": stub, "eve": stub}
    rows, _ = report(capsys, Path("r.csv"), *[hand_in(Path(who), source) for who, source in sources.items()])
    assert [row["note"] for row in rows] == ["same bytes as ben", "same bytes as ada", "", "", ""]


def test_a_check_sees_no_path_of_the_class(tmp_path, monkeypatch):
    folder = tmp_path / "class" / "ada"
    prints = "print(os.getcwd(), sys.argv, sys.path, sorted(os.environ.items()))\n"
    prints += "print({os.getcwd().split('/exercises')[0]} == {os.path.expanduser('~'), tempfile.gettempdir()})\n"
    hand_in(folder, "import os, sys, tempfile\n" + prints + RIGHT)
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("PWD", str(folder.parent))
    monkeypatch.setenv("CLASS", str(folder.parent))
    monkeypatch.setenv("HOME", str(folder.parent))
    result = check_file(TANH, folder / TANH.file)
    assert result.passed and "/class" not in result.output and result.output.endswith("True\n"), result.output


@pytest.mark.parametrize(
    "makes", ["os.mkdir('d')\nopen('d/x', 'w').close()\nos.chmod('d', 0)\n", NUISANCES["folders in folders"]]
)
def test_a_check_leaves_nothing_behind(tmp_path, monkeypatch, makes):
    monkeypatch.setattr(isolation.tempfile, "tempdir", str(tmp_path / "new"))
    (tmp_path / "new").mkdir()
    assert verdict(tmp_path / "ada", f"{RIGHT}import os\n{makes}").passed
    assert not list((tmp_path / "new").iterdir())


@POSIX
def test_where_a_check_gets_no_world_of_its_own_a_shell_is_its_parent(monkeypatch):
    monkeypatch.setattr(isolation, "OWN_WORLD", ("false",))
    assert isolation._walls.__wrapped__() == isolation.SHELL
    monkeypatch.setattr(isolation, "OWN_WORLD", ("no_such_command",))
    assert isolation._walls.__wrapped__() == isolation.SHELL


def grows(path):
    """Whether something still writes to this file."""
    size = path.stat().st_size
    time.sleep(0.5)
    return path.stat().st_size > size


def beat(path):
    """The source of a function that writes to this file for ever."""
    writes = f"open({str(path)!r}, 'a').write('x')"
    return f"import os, time\ndef beat():\n    while True:\n        {writes}\n        time.sleep(0.02)\n"


@pytest.mark.skipif(not OWN_WORLD, reason="the system gives a check no world of its own")
@pytest.mark.parametrize("wait", ["", "while True: pass\n", "os.kill(0, 9)\n"])
def test_what_runs_away_ends_with_the_check(tmp_path, wait):
    heart = tmp_path / "heart"
    away = "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        beat()\n    os._exit(0)\n"
    away += "time.sleep(0.2)\n"
    verdict(tmp_path / "ada", beat(heart) + away + wait + RIGHT, seconds=2.0)
    assert heart.stat().st_size > 0 and not grows(heart)


@pytest.mark.skipif(not OWN_WORLD, reason="the system gives a check no world of its own")
def test_a_check_has_no_network_and_sees_no_other_process(tmp_path):
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    tries = f"import os, socket\ntry:\n    socket.create_connection(('127.0.0.1', {port}), 1)\n"
    tries += "except OSError:\n    print('none')\nprint([n for n in os.listdir('/proc') if n.isdigit()])\n"
    result = verdict(tmp_path, tries + RIGHT)
    server.close()
    assert result.output == "none\n['1']\n"


@POSIX
@pytest.mark.parametrize("walls", ["its own world", "a shell"])
@pytest.mark.parametrize("arguments", [["report", "ada", "ben", "-o", "r.csv"], ["check", "tanh", "--folder", "ada"]])
def test_ctrl_c_ends_everything_without_a_traceback(tmp_path, arguments, walls):
    heart, temporary = tmp_path / "heart", tmp_path / "temporary"
    temporary.mkdir()
    for who in ("ada", "ben"):  # which do not watch their time
        hand_in(
            tmp_path / who,
            "import faulthandler\nfaulthandler.cancel_dump_traceback_later()\n" + beat(heart) + "beat()\n",
        )
    code = "import sys; from minigan import __main__; from minigan.exercises import isolation; isolation.GRACE = 1e6\n"
    code += "isolation._walls = lambda: isolation.SHELL\n" if walls == "a shell" else ""
    command = [sys.executable, "-c", code + "sys.exit(__main__.main())", "exercise", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"TMPDIR": str(temporary)}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # to hear it under nohup too
        **pipes,
    )
    try:
        while not heart.exists() and process.poll() is None:
            time.sleep(0.02)
        for _ in range(3):  # people press it more than once
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode in (130, -signal.SIGINT) and "Traceback" not in out + err, err
    assert not grows(heart) and not list(temporary.iterdir())


def test_a_stopped_check_ends_its_children_on_windows(monkeypatch):
    class Process:
        pid = 1234

        def kill(self):
            called.append("kill")

        wait = kill

    called = []
    monkeypatch.setattr(isolation.subprocess, "run", lambda command, **options: called.append(command))
    monkeypatch.setattr(isolation.os, "name", "nt")
    isolation._end(Process())
    monkeypatch.undo()
    assert called[0] == ["taskkill", "/T", "/F", "/PID", "1234"] and "kill" in called


# --- in this process: notebooks and training -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", ["SystemExit", "SystemExit(3)", "KeyboardInterrupt", "RecursionError", "GeneratorExit"]
)
@pytest.mark.parametrize("inside", ["the function", "its derivative"])
def test_a_check_in_a_notebook_survives(error, inside):
    line = "return record(np.tanh(x.data)" if inside == "the function" else "return g * (1.0 - y * y)"
    names = {}
    exec(RIGHT.replace(line, f"raise {error}\n    {'    ' * (inside != 'the function')}{line}"), names)
    result = check("tanh", names["tanh"])
    assert result.status == "failed" and error.split("(")[0] in result.message, result
    json.dumps(result._repr_html_()).encode()


def test_a_file_that_passes_and_leaves_when_it_trains(tmp_path):
    """The check runs on a copy. What tells it from the real place may still fail there: one sentence."""
    folder = hand_in(tmp_path, RIGHT + f"import os\nif os.getcwd() == {str(tmp_path)!r}:\n    raise SystemExit(5)\n")
    with pytest.raises(ValueError, match=r"04_tanh.py, line \d+: SystemExit: 5$"):
        commands.passed_functions(folder)


def test_an_exit_while_training_is_named():
    def tanh(x):
        raise SystemExit

    with pytest.raises(ExerciseError, match="your tanh raised SystemExit"), in_place([tanh]):
        ops.tanh(Tensor([1.0]))


def test_a_lambda_trains_and_an_object_is_left_out(tmp_path, capsys):
    hand_in(tmp_path, RIGHT.replace("def tanh(", "def mine(") + "tanh = lambda x: mine(x)\n")
    mul = solved("mul").replace("def mul(", "def mine(")
    hand_in(tmp_path, {"02_mul.py": mul + "class M:\n    def __call__(self, *a): return mine(*a)\nmul = M()\n"})
    with in_place(commands.passed_functions(tmp_path)) as served:
        ops.tanh(Tensor([1.0]))
    assert [(s.name, s.calls) for s in served] == [("tanh", 1)]
    assert "left out, since it is an object and no function: mul" in capsys.readouterr().out


def test_a_relative_read_is_alike_where_it_trains(tmp_path):
    hand_in(tmp_path, {TANH.file: RIGHT + "open('data.txt').close()\n", "data.txt": ""})
    here = os.getcwd()
    assert len(commands.passed_functions(tmp_path)) == 1 and os.getcwd() == here


def test_an_error_of_syntax_that_is_none(tmp_path):
    """A student's code can raise it itself, with anything as the name of the file."""
    error = "error = SyntaxError('mine')\nerror.filename = 5\nraise error\n"
    assert "SyntaxError: mine" in verdict(tmp_path, error).message


def test_a_check_works_in_another_thread(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.extend(runner.check_folder(hand_in(tmp_path, RIGHT))))
    thread.start()
    thread.join()
    assert [r.exercise for r in results if r.passed] == ["tanh"]
