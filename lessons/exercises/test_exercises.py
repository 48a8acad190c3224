"""`pytest` in this folder checks every exercise in it: the files beside this one, as they are now."""

from pathlib import Path

import pytest

from minigan.exercises import EXERCISES, Exercise, check_file


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise: Exercise) -> None:
    """The exercise is solved; otherwise the failure says what is wrong."""
    result = check_file(exercise, Path(__file__).parent / exercise.file)
    if not result.passed:
        pytest.fail(str(result), pytrace=False)
