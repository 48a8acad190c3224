"""The judges of the exercises: every wrong answer of a long list fails, with a sentence that names it; right ones pass.

`wrong_answers.txt` and `right_answers.txt` hold the lists, and say how they are written.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from solved import SOLUTIONS, solved

from minigan import Tensor
from minigan.exercises import check, find
from minigan.exercises.judges.answer import Answer, side_by_side
from minigan.exercises.runner import load
from minigan.tensor import record

ENTRY = re.compile(r"^# (\w+): (.+)$", re.MULTILINE)


def entries(file):
    """Of each answer in a list: its exercise, what it is, words of the sentence that it must get, and its source."""
    _, *parts = ENTRY.split((Path(__file__).parent / file).read_text("utf-8"))
    for name, what, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        lines = text.strip("\n").splitlines()
        words = [part for line in lines if line.startswith("> ") for part in line[2:].split(" | ")]
        yield pytest.param(name, words, changed(name, lines), id=f"{name}: {what}")


def changed(name, lines):
    """The solved exercise, with the changes that these lines describe."""
    before, rest = "", solved(name)
    for old, new in re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)*)", "\n".join(lines) + "\n", re.MULTILINE):
        old, new = (re.sub(r"^[-+]", "", block, flags=re.MULTILINE) for block in (old, new))
        assert f"\n{solved(name)}".count(f"\n{old}") == 1, (name, old)
        same, rest = rest.split(old, 1)
        before += same + new
    assert before, (name, lines)
    return before + rest


WRONG, RIGHT = list(entries("wrong_answers.txt")), list(entries("right_answers.txt"))


def verdict(folder, name, source):
    """What the check says of a file with this source."""
    path = folder / find(name).file
    path.write_text(source, "utf-8")
    functions = vars(load(find(name), path))
    return check(name, *[functions[function] for function in find(name).replaces])


@pytest.mark.parametrize(("name", "words", "source"), WRONG)
def test_a_wrong_answer_fails_with_a_sentence_that_helps(tmp_path, name, words, source):
    result = verdict(tmp_path, name, source)
    assert result.status == "failed"
    assert words and all(word in result.message for word in words), result


@pytest.mark.parametrize(("name", "words", "source"), RIGHT)
def test_a_right_answer_passes_however_it_is_written(tmp_path, name, words, source):
    result = verdict(tmp_path, name, source)
    assert result.passed and not words, result


def test_the_lists_are_about_every_exercise():
    for answers, least in ((WRONG, 6), (RIGHT, 3)):
        count = {name: sum(answer.values[0] == name for answer in answers) for name in SOLUTIONS}
        assert min(count.values()) >= least, count
        assert sum(count.values()) == len({answer.id for answer in answers})  # each is there once


# --- the tools of the judges -----------------------------------------------------------------------------------


def refusal(function, *arguments, **keywords):
    """What `Answer.value` says of this function."""
    with pytest.raises(Exception, match=r".") as caught:
        Answer("f", function).value(*arguments, **keywords)
    return str(caught.value), getattr(caught.value, "__notes__", [])


def test_the_sentence_says_what_was_tried():
    x = np.ones((2, 3))
    says, _ = refusal(lambda x, slope: x * 2.0, x, 0.5, right=x)
    assert says == "the value of f for x (2, 3), slope 0.5 is wrong at (0, 0): yours is 2, it should be 1"
    says, _ = refusal(lambda x: x.sum(), x, right=x)
    assert says == "the value of f for x (2, 3) must have shape (2, 3), but it has ()"
    says, notes = refusal(lambda x: x.nothing, x, right=x)
    assert "no attribute 'nothing'" in says and notes == ["for x (2, 3)"]


def test_inputs_must_stay_as_they_are():
    def doubles_in_place(x):
        x.data *= 2
        return Tensor(x.data.copy())

    x = np.ones((2, 3))
    says, _ = refusal(doubles_in_place, x, right=2 * x)
    assert says.startswith("f changes its argument x, which others still need")
    assert (x == 1).all()


def test_the_memory_of_an_array_may_be_in_any_order():
    x = np.arange(6.0).reshape(2, 3)
    says, _ = refusal(lambda x: Tensor(x.data.ravel("K").reshape(x.shape)), x, right=x)
    assert "where an array's memory is not in order" in says
    Answer("f", lambda x: Tensor(x.data.copy())).value(x, right=x)


def test_two_numbers_are_shown_with_digits_that_differ():
    assert side_by_side(1.0, 2.0) == "yours is 1, it should be 2"
    assert side_by_side(1.0000001, 1.0).startswith("yours is 1.0000001, it should be 1; that is nearly right")
    assert "a log of 0" in side_by_side(np.nan, 1.0) and "yours is inf" in side_by_side(np.inf, 1.0)


def test_float32_must_keep_its_digits():
    """A difference of large numbers has them in float64 only."""
    x = np.full(3, 0.123456)
    Answer("f", lambda x: x + 1e6 * x).in_float32(x)
    with pytest.raises(Exception, match="f loses its digits in float32, with which training works: as a test"):
        Answer("f", lambda x: (x + 1e6) - 1e6).in_float32(x, why="as a test")


def test_a_tensor_may_have_other_numbers_in_the_next_call():
    kept = {}

    def keeps(x):
        return kept.setdefault(id(x), (x, x * 2.0))[1]

    with pytest.raises(Exception, match="f remembers an earlier call"):
        Answer("f", keeps).in_float32(np.arange(3.0))


def test_a_guess_of_a_gradient_is_shown_in_the_report():
    answer = Answer("f", lambda x: record(x.data**2, (x, lambda g, y: g * x * x)))
    x = np.array([1.0, 2.0, 3.0])
    guesses = {"it is x^2; the slope is 2 x": lambda g: g * x**2, "it is x^3": lambda g: g * x**3}
    with pytest.raises(Exception, match=r"x: it is x\^2\.\n +hint: the slope is 2 x\.") as caught:
        answer.gradients(x, guesses=lambda g: {0: [(says, guess(g)) for says, guess in guesses.items()]})
    assert "it is x^2" in caught.value.report._repr_html_()


def test_what_an_answer_was_called_with_is_kept_to_try_it_in_place():
    answer = Answer("f", lambda x: x * 2.0)
    plain, leaf = Tensor([1.0]), Tensor([1.0], requires_grad=True)
    for tensor, kept in ((plain, plain), (Tensor([2.0]), plain), (leaf, leaf), (plain, leaf)):
        answer(tensor)
        assert answer.arguments == (kept,)


def test_arguments_that_cannot_be_told_leave_no_word_behind():
    with pytest.raises(ValueError, match="bad") as caught:
        Answer("f", lambda tensors: int("bad"))([Tensor([1.0])])
    assert not hasattr(caught.value, "__notes__")
