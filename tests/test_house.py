"""The house keeps its promises: how long its parts may be, and what the rooms that are read must not know.

What may import what stands in `test_imports.py`.
"""

import ast
from pathlib import Path

import pytest

import minigan

PACKAGE = Path(minigan.__file__).resolve().parent

CORE = ["tensor.py", "table.py", "errors.py", "ops", "nn", "losses.py", "optim.py", "networks", "gan.py", "gans/gan.py"]
READABLE = ["ops", "nn", "losses.py", "optim.py", "networks", "gan.py", "gans"]
LINES_OF_THE_CORE, LINES_OF_A_PAPER, LINES_OF_A_FUNCTION = 2_200, 120, 40


def files(*rooms):
    """The Python files of rooms, which are files or folders, with their text."""
    paths = [path for room in rooms for path in sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / room]]
    return {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in paths}


def long_functions(source):
    """The names of functions with too many lines, from the `def` to the end, and how many."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    lengths = {function.name: function.end_lineno - function.lineno + 1 for function in functions}
    return {name: lines for name, lines in lengths.items() if lines > LINES_OF_A_FUNCTION}


# --- what is short enough to be read ------------------------------------------------------------------------------


def test_the_core_can_be_read():
    """Lines of text: blank ones are counted by nobody who reads, and the formatter sets hundreds of them."""
    text = [line for source in files(*CORE).values() for line in source.splitlines() if line.strip()]
    assert 1_000 < len(text) <= LINES_OF_THE_CORE


@pytest.mark.parametrize("path", files("gans"))
def test_a_paper_is_one_short_file(path):
    assert len(files("gans")[path].splitlines()) <= LINES_OF_A_PAPER


@pytest.mark.parametrize("path", files(*CORE, "gans", "fast"))
def test_functions_are_short(path):
    assert long_functions((PACKAGE / path).read_text("utf-8")) == {}


def test_all_files_are_found():
    found = files(*CORE)
    assert {"tensor.py", "ops/conv.py", "ops/__init__.py", "nn/module.py", "gans/gan.py"} <= found.keys()
    assert "gans/dcgan.py" not in found and "gans/dcgan.py" in files("gans") and all(found.values())


def test_a_long_function_is_found_wherever_it_stands():
    body = "        x = 1\n" * LINES_OF_A_FUNCTION
    source = f"class A:\n    def long(self):\n{body}\n    def short(self):\n{body[: body.rindex('        x')]}"
    assert long_functions(source) == {"long": LINES_OF_A_FUNCTION + 1}


# --- what is plain --------------------------------------------------------------------------------------------------

# By these a function could tell whether it runs in plain mode, on which device, with kernels or threads, or recorded.
SWITCHES = {"is_plain", "is_recording", "on_gpu", "use_kernels", "mode", "device", "THREADS", "fast"}


def switches(source):
    """The names among SWITCHES that a source uses, imports or defines."""
    used = set()
    for node in ast.walk(ast.parse(source)):
        for field in ("id", "attr", "arg", "name", "asname"):  # names, attributes, arguments, definitions, imports
            used |= set(str(getattr(node, field, None)).split("."))
        used |= set((getattr(node, "module", None) or "").split("."))
    return used & SWITCHES


@pytest.mark.parametrize("path", files(*READABLE))
def test_what_is_read_knows_no_mode_device_or_thread(path):
    assert switches((PACKAGE / path).read_text("utf-8")) == set()


@pytest.mark.parametrize(
    "source",
    [
        "if is_plain():\n    pass",
        "y = 1 if table.mode.table is table.PLAIN else 2",
        "from minigan.table import is_plain as reads_slowly",
        "from minigan.tensor import is_recording",
        "from minigan import backend\nif backend.on_gpu(x.data):\n    pass",
        "kernels = backend.device() == 'cuda'",
        "from minigan.fast import kernels",
        "import minigan.fast.threads",
        "from minigan.fast.threads import THREADS",
        "def op(x, fast=True):\n    return x",
        "op(x, use_kernels=False)",
        "def is_recording():\n    return True",
    ],
)
def test_a_switch_is_found(source):
    assert len(switches(source)) >= 1


@pytest.mark.parametrize(
    "source", ["modes = 8", "breakfast = devices", "x.faster()", '"""In plain mode, fast/ rests."""']
)
def test_other_words_are_no_switches(source):
    assert switches(source) == set()
