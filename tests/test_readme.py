"""What README shows must work as it stands there."""

import re
from pathlib import Path

from PIL import Image

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_example_runs_and_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    short = example.replace("range(25)", "range(1)")
    assert short != example
    exec(compile(short, "README.md", "exec"), {})
    assert Image.open("moons.png").size == (500, 500)


def test_the_gradient_check_passes():
    _, check = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    imports, call = check.strip().split("\n\n")
    names = {}
    exec(imports, names)
    assert eval(call, names).passed


def test_links_and_files_exist():
    root = Path(__file__).parents[1]
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (root / link).exists(), link
    for file in re.findall(r"^\| `(minigan/\S+)`", README, re.MULTILINE):
        assert (root / file).exists(), file
