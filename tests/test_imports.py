"""Imports go down only: cli -> run -> train, metrics, plots -> models -> nn, losses, optim -> ops -> tensor -> backend.

So whoever reads a file needs to know the rooms below it only. `data` and `checkpoint` stand apart and need nothing.
"""

import ast
from pathlib import Path

import pytest

import minigan

PACKAGE = Path(minigan.__file__).resolve().parent

FLOORS = {
    "checks": -1,
    "verdict": -1,
    "backend": 0,
    "tensor": 1,
    "parallel": 1,
    "ops": 2,
    "gradcheck": 3,
    "nn": 3,
    "losses": 3,
    "optim": 3,
    "models": 4,
    "train": 5,
    "metrics": 5,
    "plots": 5,
    "bench": 6,
    "exercises": 6,
    "run": 6,
    "lessons": 6,
    "cli": 7,
}
ALONE = {"data": 0, "checkpoint": 0}  # import nothing of minigan; everyone from train upwards may use them
SAME_FLOOR = {("optim", "nn")}  # an optimizer knows what a Parameter is
EXEMPT = {"__init__", "__main__"}


def room_of(path):
    """The room of a file, given by its path inside the package: "nn/layers.py" is in the room nn."""
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
        room = room_of(path)
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
                continue
            if other in ALONE:
                allowed = FLOORS.get(room, 0) >= FLOORS["train"]
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
    assert {"tensor.py", "nn/layers.py", "data/idx.py", "cli.py"} <= {path.replace("\\", "/") for path in files}
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
        ("tensor.py", "from minigan import ops"),
        ("tensor.py", "def late():\n    from minigan.ops import math"),
        ("ops/math.py", "import minigan.nn"),
        ("ops/math.py", "from ..nn import Module"),
        ("ops/math.py", "from .. import nn"),
        ("parallel.py", "import minigan.tensor"),
        ("nn/layers.py", "from minigan.losses import hinge"),
        ("nn/layers.py", "from minigan.optim import Adam"),
        ("nn/layers.py", "from minigan.models import mlp_generator"),
        ("losses.py", "from minigan.nn import Module"),
        ("losses.py", "from minigan.train import train"),
        ("optim.py", "from minigan.models import mlp_generator"),
        ("optim.py", "from minigan import losses"),
        ("models/mlp.py", "from minigan.train import train"),
        ("models/mlp.py", "from minigan.data import ring"),
        ("metrics.py", "from minigan.plots import scatter"),
        ("train.py", "from minigan.plots import scatter"),
        ("train.py", "from minigan.run import Run"),
        ("plots.py", "import minigan.cli"),
        ("run.py", "from minigan.cli import main"),
        ("data/idx.py", "from minigan.tensor import Tensor"),
        ("data/idx.py", "from ..checkpoint import write_file"),
        ("checkpoint.py", "from minigan import backend"),
        ("nn/layers.py", "from minigan import Tensor"),
        ("nn/layers.py", "import minigan"),
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
        ("optim.py", "from minigan.nn import Parameter"),
        ("losses.py", "from minigan.ops import mean\nfrom minigan.tensor import grad"),
        ("nn/layers.py", "from minigan.nn import init\nfrom .module import Module\nfrom minigan import ops, backend"),
        ("models/mlp.py", "from minigan.nn import Linear"),
        ("train.py", "from minigan.data import DataLoader\nfrom minigan import checkpoint, losses, optim"),
        ("data/toy.py", "from .images import open_picture\nfrom . import checks"),
        ("backend.py", "import cupy"),
        ("cli.py", "from minigan import run, plots, backend"),
        ("__init__.py", "from minigan import cli"),
    ],
)
def test_a_right_import_is_not(path, source):
    assert violations({path: source}) == []
