"""What README shows must work as it stands there."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigan.gans.about import about

README = (Path(__file__).parents[1] / "README.md").read_text()


BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)  # a GAN in one file, its training, a gradient check


def test_the_example_runs_and_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paper, training, _ = BLOCKS
    short = training.replace('FogGAN({"points": (2,)}, rng)', 'FogGAN({"points": (2,)}, rng, epochs=1)')
    assert short != training
    exec(compile(paper + short, "README.md", "exec"), {"__name__": "example"})
    assert Image.open("moons.png").size == (500, 500)


def test_the_paper_says_what_the_command_line_asks_for():
    names = {"__name__": "example"}
    exec(compile(BLOCKS[0], "README.md", "exec"), names)
    paper = about(names["FogGAN"])
    assert paper.needs == ["points"] and list(paper.settings) == ["fog", "lr", "batch_size", "epochs"]
    for wrong in ({"fog": np.nan}, {"lr": np.nan}, {"batch_size": 0}, {"epochs": 1.5}):
        with pytest.raises(ValueError):
            names["FogGAN"]({"points": (2,)}, np.random.default_rng(0), **wrong)


def test_the_gradient_check_passes():
    imports, call = BLOCKS[2].strip().split("\n\n")
    names = {}
    exec(imports, names)
    assert eval(call, names).passed


def test_links_and_files_exist():
    root = Path(__file__).parents[1]
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (root / link).exists(), link
    for file in re.findall(r"^\| `(minigan/\S+)`", README, re.MULTILINE):
        assert (root / file).exists(), file


def test_the_length_of_the_core_is_measured():
    """README says how many lines of text its first rows have."""
    root = Path(__file__).parents[1]
    first, last = README.index("| `minigan/tensor.py`"), README.index("| `minigan/gans/`")
    names = re.findall(r"`(minigan/[\w/.]+)`", README[first:last])
    files = [file for name in names for file in sorted((root / name).rglob("*.py")) or [root / name]]
    files.append(root / "minigan/ops/__init__.py")
    lines = sum(bool(line.strip()) for file in files for line in file.read_text("utf-8").splitlines())
    said = int(re.search(r"about ([\d,]+) lines", README)[1].replace(",", ""))
    assert abs(lines - said) <= 50


def test_the_oldest_versions_are_those_that_can_be_installed():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    words = " ".join(README.split()).lower()
    for package, version in (line.split(">=") for line in project["dependencies"]):
        assert re.search(rf"\b{package} {re.escape(version)}\b(?!\.\d)", words), package
    assert project["requires-python"] == ">=3.11" and "python 3.11" in words
