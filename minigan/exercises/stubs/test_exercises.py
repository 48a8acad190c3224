"""`pytest` in this folder checks every exercise in it: the files beside this one, as they are now."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# pytest puts this folder on Python's path. A file in it, such as random.py, would then hide Python's own.
sys.path[:] = [place for place in sys.path if Path(place).resolve() != HERE]

from minigan.exercises import EXERCISES, Exercise, check_file  # noqa: E402


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise: Exercise) -> None:
    """The exercise is solved; otherwise the failure says what is wrong."""
    result = check_file(exercise, HERE / exercise.file)
    if not result.passed:
        pytest.fail(str(result), pytrace=False)
