"""A student's file as a module: it finds the helpers that lie beside it, and never those of another student."""

import contextlib
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from minigan.exercises.catalogue import Exercise

_home: list[str] = []  # the folder of the student whose file was loaded last: it is then the first of Python's path
_before: set[str] = set()  # the modules that were there before that file
OTHERS = ("numpy", "minigan")  # not Python's own, but imported by every exercise


def load(exercise: Exercise, path: Path) -> ModuleType:
    """The student's file as a module, run in this process, in its own folder. Raises whatever it raises.

    The folder stays on Python's path until the next file is loaded, since functions import too.
    """
    _move_to(path.parent.resolve())
    module = ModuleType(f"exercise_{exercise.name}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where its dataclasses, for example, look for it
    with contextlib.chdir(path.parent):
        # Compiled from the text as it is now: Python's own cache goes by the time and size of a file, and a correction
        # that is saved within the same second may change neither.
        exec(compile(Path(path.name).read_bytes(), str(path), "exec"), vars(module))
    return module


def _move_to(folder: Path) -> None:
    """Let `import` look into this folder first, and forget what it found in the folder before."""
    for place in _home:
        with contextlib.suppress(ValueError):
            sys.path.remove(place)
        helpers = {name for name, module in sys.modules.items() if name not in _before and _place_of(module) == place}
        for name in list(sys.modules):
            if name.partition(".")[0] in helpers:
                del sys.modules[name]
    _home[:] = [str(folder)]
    sys.path.insert(0, str(folder))
    _before.clear()
    _before.update(sys.modules)


def _place_of(module: ModuleType) -> str:
    """The folder in which a module or package lies."""
    places = [*getattr(module, "__path__", []), getattr(module, "__file__", None) or ""]
    return str(Path(places[0]).parent)


def hides(folder: Path) -> str:
    """A sentence about the files of a folder that have a name which Python needs, such as random.py; or nothing."""
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        name = path.stem if path.suffix == ".py" else path.name if (path / "__init__.py").is_file() else ""
        if name in sys.stdlib_module_names:
            found.append(f"{path.name} beside it hides Python's own {name}: rename it")
        elif name in OTHERS:
            found.append(f"{path.name} beside it hides the real {name}: rename it")
    return "; ".join(found)


def told(error: BaseException, path: str, cells: Mapping[str, str] | None = None) -> str:
    """An error of the student's code in one sentence, with the file and line; its text may be code of theirs too."""
    try:
        notes = getattr(error, "__notes__", [])  # a judge's: for which arguments
        says = ", ".join([error.msg if isinstance(error, SyntaxError) else str(error), *notes])
    except BaseException:
        says = "its text cannot be shown"
    return f"{where(error, path, cells)}{type(error).__name__}" + (f": {says}" if says else "")


def where(error: BaseException, path: str, cells: Mapping[str, str] | None = None) -> str:
    """The file and the last line in it that led to an error, as "04_tanh.py, line 31: ".

    In a notebook, `cells` has the names of functions by what Python calls the cells in which they are.
    """
    name = shown(path)
    if isinstance(error, SyntaxError) and Path(str(error.filename)).name == Path(path).name:
        return f"{name}, line {error.lineno}: "
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == path:
            return f"{name}, line {frame.lineno}: "
        if cells and frame.filename in cells:
            return f"{name}, line {frame.lineno} of {cells[frame.filename]}'s cell: "
    return f"{name}: "


def shown(path: str) -> str:
    """The name of a file for people. Python gives the cells of a notebook names that nobody knows."""
    return "the notebook" if path.startswith("<") or "ipykernel" in path else Path(path).name
