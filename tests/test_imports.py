"""Imports go down only: cli -> run -> fast -> gans -> gan -> networks -> nn, losses, optim -> ops -> tensor -> backend.

So whoever reads a file needs to know the rooms below it only. `data` and `checkpoint` stand apart and need nothing.
`fast` stands above all that is read: no readable room imports it. The papers in `gans` stand side by side.
"""

import ast
from pathlib import Path

import pytest

import minigan

PACKAGE = Path(minigan.__file__).resolve().parent

FLOORS = {
    "start": -1,
    "lock": -1,
    "memory": -1,
    "checks": -1,
    "verdict": -1,
    "errors": -1,
    "table": -1,
    "backend": 0,
    "tensor": 1,
    "ops": 2,
    "gradcheck": 3,
    "nn": 3,
    "losses": 3,
    "optim": 3,
    "networks": 4,
    "gan": 5,
    "metrics": 5,
    "plots": 5,
    "gans": 6,
    "fast": 7,
    "bench": 8,
    "exercises": 8,
    "run": 8,
    "lessons": 8,
    "cli": 9,
}
ALONE = {"data": 0, "checkpoint": 0}  # import no room but checks and memory; everyone from gan upwards may use them
SAME_FLOOR = {("optim", "nn"), ("losses", "nn")}  # they know what a Parameter is, and that a layer may mix samples
EXEMPT = {"__init__", "__main__"}
OVER_THE_PAPERS = {"gans/__init__.py", "gans/about.py"}  # the list of papers, and what it says about each


def room_of(path):
    """The room of a file, given by its path inside the package: "nn/conv.py" is in the room nn."""
    return Path(path).parts[0].removesuffix(".py")


def imported(path, source):
    """Every module that a file imports, in full, wherever in the file the import stands: `minigan.nn.init`."""
    package = ["minigan", *Path(path).parts[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            yield from (argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant))


def violations(files):
    """One sentence for each broken rule in `files`, {path inside minigan/: source}."""
    found = []
    for path, source in files.items():
        room, papers = room_of(path), Path(path).as_posix() not in OVER_THE_PAPERS
        if room in EXEMPT:
            continue
        if room not in FLOORS | ALONE:
            found.append(f"{path}: give the room {room} its floor in this test")
            continue
        for module in imported(path, source):
            top, _, rest = module.partition(".")
            if top == "cupy" and room != "backend":
                found.append(f"{path} imports cupy: only backend.py may")
            if top != "minigan":
                continue
            other = rest.partition(".")[0]
            if other == room:
                if room == "gans" and papers:
                    found.append(f"{path} imports {module}: the papers stand side by side")
                continue
            if other in ALONE:
                allowed = FLOORS.get(room, 0) >= FLOORS["gan"]
            elif other in FLOORS:
                floor = FLOORS.get(room, 0)  # data and checkpoint stand on the ground
                allowed = FLOORS[other] < floor or (room, other) in SAME_FLOOR
            else:
                allowed = False  # `from minigan import Tensor` goes up, to __init__.py
            if not allowed:
                found.append(f"{path} may not import {module}")
    return found


def sources():
    # The stubs are the students'; an installed minigan carries the lessons in `notebooks`.
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if not {"stubs", "notebooks"} & set(path.parts)]
    return {str(path.relative_to(PACKAGE)): path.read_text("utf-8") for path in paths}


def test_imports_go_down_only():
    files = sources()
    assert {"tensor.py", "nn/conv.py", "data/idx.py", "gans/gan.py", "cli.py"} <= {Path(p).as_posix() for p in files}
    assert violations(files) == []


def test_no_two_rooms_import_each_other():
    links = {}
    for path, source in sources().items():
        if room_of(path) not in EXEMPT:
            names = {m.split(".")[1] for m in imported(path, source) if m.startswith("minigan.")}
            links.setdefault(room_of(path), set()).update(names - {room_of(path)})
    assert [(a, b) for a in links for b in links[a] if a < b and a in links.get(b, ())] == []
    assert "tensor" in links["ops"]  # the links were found at all


def test_only_the_backend_speaks_of_cupy_in_code():
    users = {
        path for path, source in sources().items() if any(m.partition(".")[0] == "cupy" for m in imported(path, source))
    }
    assert users == {"backend.py"}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("backend.py", "from minigan.tensor import Tensor"),
        ("table.py", "from minigan.errors import ShapeError"),
        ("errors.py", "from minigan import table"),
        ("tensor.py", "from minigan import ops"),
        ("tensor.py", "def late():\n    from minigan.ops import math"),
        ("ops/math.py", "import minigan.nn"),
        ("ops/math.py", "from ..nn import Module"),
        ("ops/math.py", "from .. import nn"),
        ("ops/conv.py", "from minigan.fast.threads import THREADS"),
        ("nn/conv.py", "from minigan import fast"),
        ("nn/conv.py", "from minigan.losses import hinge"),
        ("nn/conv.py", "from minigan.optim import Adam"),
        ("nn/conv.py", "from minigan.networks import mlp_generator"),
        ("nn/conv.py", "from minigan.data import ring"),
        ("losses.py", "from minigan.networks import mlp_generator"),
        ("losses.py", "from minigan.gan import minimise"),
        ("optim.py", "from minigan.networks import mlp_generator"),
        ("optim.py", "from minigan import losses"),
        ("networks/mlp.py", "from minigan.gan import train"),
        ("networks/mlp.py", "from minigan.data import ring"),
        ("gan.py", "from minigan.gans import GANS"),
        ("gan.py", "from minigan.fast import steps"),
        ("gan.py", "from minigan.plots import scatter"),
        ("gan.py", "from minigan.run import Run"),
        ("gans/dcgan.py", "from minigan.fast.threads import THREADS"),
        ("gans/dcgan.py", "from minigan.run import Run"),
        ("gans/dcgan.py", "from minigan.gans.gan import discriminator_step"),
        ("gans/dcgan.py", "from minigan.gans import GANS"),
        ("gans/dcgan.py", "from .gan import discriminator_step"),
        ("gans/dcgan.py", "from minigan.gans.about import about"),
        ("gans/about.py", "from minigan.run import Run"),
        ("metrics.py", "from minigan.plots import scatter"),
        ("metrics.py", "from minigan.fast import threads"),
        ("gradcheck/measure.py", "from minigan.fast import threads"),
        ("fast/steps.py", "from minigan.run import Run"),
        ("fast/kernels.py", "import cupy"),
        ("plots.py", "import minigan.cli"),
        ("run.py", "from minigan.cli import main"),
        ("data/idx.py", "from minigan.tensor import Tensor"),
        ("data/idx.py", "from ..checkpoint import write_file"),
        ("checkpoint.py", "from minigan import backend"),
        ("nn/conv.py", "from minigan import Tensor"),
        ("nn/conv.py", "import minigan"),
        ("tensor.py", "import cupy as cp"),
        ("ops/conv.py", "from cupy.lib import stride_tricks"),
        ("ops/conv.py", "import importlib\ncp = importlib.import_module('cupy')"),
        ("attic.py", ""),
    ],
)
def test_a_wrong_import_is_found(path, source):
    assert len(violations({path: source})) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("optim.py", "from minigan.nn import Parameter\nfrom minigan.table import swappable"),
        ("losses.py", "from minigan.ops import mean\nfrom minigan.tensor import grad"),
        ("tensor.py", "from minigan import backend, errors, table"),
        ("nn/conv.py", "from minigan.nn import init\nfrom .module import Module\nfrom minigan import ops, backend"),
        ("networks/mlp.py", "from minigan.nn import Linear"),
        ("gan.py", "from minigan.data import DataLoader\nfrom minigan import checkpoint, optim"),
        ("gans/dcgan.py", "from minigan.gan import GAN\nfrom minigan.networks import dcgan_generator"),
        ("gans/about.py", "from minigan.gan import GAN\nfrom minigan.gans import GANS"),
        ("gans/__init__.py", "from minigan.gans.dcgan import DCGAN"),
        ("fast/steps.py", "from minigan.gans.gan import discriminator_step\nfrom minigan.fast.threads import THREADS"),
        ("data/toy.py", "from .images import open_picture\nfrom . import checks"),
        ("backend.py", "import cupy"),
        ("cli.py", "from minigan import run, plots, backend\nfrom minigan.fast import threads"),
        ("__init__.py", "from minigan import cli, fast"),
    ],
)
def test_a_right_import_is_not(path, source):
    assert violations({path: source}) == []
