"""`minigan lessons`: the list of notebooks, and opening one in JupyterLab."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

# An installed minigan carries the notebooks inside the package; in the repository they lie beside the package.
PACKAGE = Path(__file__).resolve().parent
FOLDERS = [PACKAGE / "notebooks", PACKAGE.parent / "lessons"]


def notebooks() -> list[Path]:
    """The lessons' files, in order. Raises RuntimeError where there are none."""
    for folder in FOLDERS:
        if found := sorted(folder.glob("[0-9][0-9]_*.ipynb")):
            return found
    raise RuntimeError("there are no lessons beside this minigan: install it from its repository")


def slug(path: Path) -> str:
    """A lesson's name, by which everything refers to it: its file's, without the number that makes the order."""
    return path.stem[3:]


def find(name: str, paths: list[Path]) -> Path:
    """The lesson of this slug, or in this place of the order, from 1 on. Raises ValueError if there is none."""
    for place, path in enumerate(paths, start=1):
        if name in (slug(path), str(place)):
            return path
    raise ValueError(f"there is no lesson {name!r}: choose one of {', '.join(map(slug, paths))}")


def title(path: Path) -> str:
    """The first line of a notebook, such as "Checking gradients"."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return "".join(cells[0]["source"]).splitlines()[0].lstrip("# ")


def list_lessons() -> str:
    """In each line the slug and the title of a lesson."""
    paths = notebooks()
    width = max(len(slug(path)) for path in paths)
    return "\n".join(f"{slug(path):<{width}}  {title(path)}" for path in paths)


def open_lesson(name: str) -> None:
    """Open a lesson in JupyterLab: in a clone the lesson itself, otherwise a copy in the folder `lessons` here.

    Raises ValueError for a name that no lesson has and RuntimeError where JupyterLab is missing.
    """
    path = find(name, notebooks())
    if importlib.util.find_spec("jupyterlab") is None:
        raise RuntimeError("a lesson opens in JupyterLab, which is not installed: pip install 'minigan[lessons]'")
    if path.parent != PACKAGE.parent / "lessons":  # inside the package: a student's changes must not go there
        copy = Path("lessons") / path.name
        copy.parent.mkdir(exist_ok=True)
        if not copy.exists():
            shutil.copy(path, copy)
        path = copy
    print(f"opening {path}; Ctrl-C ends JupyterLab")
    subprocess.run([sys.executable, "-m", "jupyterlab", str(path)], check=False)
