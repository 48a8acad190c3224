"""The checker is checked: every planted bug is caught and named, and no right derivative is accused."""

import numpy as np
import pytest
from planted_bugs import BUGS, ORDER_2_BUGS, A, X, like, normal, spoiled
from test_ops import CHECKS

from minigan import Tensor, gradcheck, losses, nn, ops
from minigan.gradcheck import mistakes
from minigan.tensor import record


def test_there_are_enough_planted_bugs():
    names = [bug[0] for bug in BUGS + ORDER_2_BUGS]
    assert len(set(names)) == len(names) >= 40


@pytest.mark.parametrize(("f", "inputs", "mistake", "words"), [pytest.param(*b[1:], id=b[0]) for b in BUGS])
def test_a_planted_bug_is_caught_and_named(f, inputs, mistake, words):
    report = gradcheck(f, *inputs)
    assert not report
    assert report.mistake.name == mistake
    assert words in report.mistake.sentence + report.mistake.hint
    assert report.mistake.sentence in str(report) and report.mistake.hint in str(report)


@pytest.mark.parametrize(("f", "inputs", "mistake", "words"), [pytest.param(*b[1:], id=b[0]) for b in ORDER_2_BUGS])
def test_a_bug_that_shows_only_at_order_2(f, inputs, mistake, words):
    assert gradcheck(f, *inputs)
    report = gradcheck(f, *inputs, order=2)
    assert not report
    assert report.mistake.name == mistake and words in report.mistake.hint
    assert "order 2" in str(report)


def test_every_explanation_has_a_planted_bug(monkeypatch):
    explanations, fired = mistakes.MISTAKES, set()

    def watched(explain):
        def call(evidence):
            mistake = explain(evidence)
            if mistake:
                fired.add(explain.__name__)
            return mistake

        return call

    monkeypatch.setattr(mistakes, "MISTAKES", tuple(watched(explain) for explain in explanations))
    for order, bugs in ((1, BUGS), (2, ORDER_2_BUGS)):
        for _, f, inputs, *_ in bugs:
            gradcheck(f, *inputs, order=order)
    assert fired == {explain.__name__ for explain in explanations}


SEEDS = range(20)
CASES = [
    pytest.param(op, arrays, id=f"{name}-{i}")
    for name, cases in CHECKS.items()
    for i, (op, _, arrays) in enumerate(cases)
    if all(np.size(array) for array in arrays)
]


@pytest.mark.parametrize(("op", "arrays"), CASES)
def test_no_false_alarm_at_20_seeds(op, arrays):
    """Other upstream gradients, and other numbers of the same size and sign (an op may need them positive)."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        inputs = [array * rng.uniform(0.8, 1.2, np.shape(array)) for array in arrays]
        report = gradcheck(op, *inputs, order=1 + (seed == 0), seed=seed)
        assert report, report


COMPOSED = {
    "a dense layer": lambda x: nn.Linear(4, 3, rng=np.random.default_rng(0)).weight.astype("float64") @ x.T,
    "bce": lambda x: losses.bce_with_logits(x, 0.9),
    "hinge": lambda x: losses.hinge.discriminator(x, -x),
    "least squares": lambda x: losses.least_squares.discriminator(x, x * 2),
    "minimax": lambda x: losses.minimax.generator(x),
    "softmax": lambda x: (x - ops.logsumexp(x, 1, True)).exp(),
    "a gradient penalty": lambda x: losses.gradient_penalty(
        lambda z: ops.softplus(z @ x.T).sum(axis=1), Tensor(X), Tensor(X + 1), np.random.default_rng(0)
    ),
    "several uses": lambda x: x * x + x.tanh() * x.sum(),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_no_false_alarm_on_composed_functions(name):
    for seed in SEEDS:
        report = gradcheck(COMPOSED[name], normal(5, 4, seed=seed), seed=seed, order=1 + (seed < 3))
        assert report, report


SHARP = {
    "batch norm of images": (lambda x: ops.batch_norm(x, Tensor(np.ones(3)), Tensor(np.zeros(3)))[0], (4, 3, 3, 3)),
    "log near 0": (lambda x: ops.log(ops.abs(x) * 0.01 + 1e-3), (50,)),
    "1/x near 0": (lambda x: 1 / (ops.abs(x) * 0.1 + 1e-3), (50,)),
    "x^2 / x": (lambda x: x * x / x, (10,)),
}


@pytest.mark.parametrize("name", SHARP)
def test_no_false_alarm_where_a_function_bends_sharply_or_cancels(name):
    f, shape = SHARP[name]
    for seed in range(10):
        x = np.random.default_rng([seed, 1]).standard_normal(shape)
        report = gradcheck(f, x, seed=seed, order=1 + (seed < 2))
        assert report, report


CORNERS = {
    "abs": ops.abs,
    "x |x|": lambda x: x * ops.abs(x),
    "relu^2": lambda x: ops.relu(x) ** 2,
    "half the slope": lambda x: record(np.abs(x.data), (x, lambda g, y: g * Tensor(np.sign(x.data)))),
}


@pytest.mark.parametrize("name", CORNERS)
def test_no_false_alarm_at_corners_at_order_2(name):
    assert gradcheck(CORNERS[name], [-2.0, -1.0, 0.0, 1.0, 0.0], order=2)
    assert gradcheck(lambda a, b: ops.maximum(a, b) + CORNERS[name](a), [1.0, 2.0, 0.0], [1.0, 0.0, 0.0], order=2)


def test_large_inputs_take_neither_long_nor_much_memory():
    x = normal(100_000)
    assert gradcheck(ops.tanh, x) and "99900 not checked" in str(gradcheck(ops.tanh, x))
    assert gradcheck(like(ops.tanh, lambda g, y, x: g * (y * y - 1)), x).mistake.name == "sign flipped"


def test_an_input_as_drawn_from_the_same_seed_hides_nothing():
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal(5)
        assert not gradcheck(like(ops.exp, lambda g, y, x: x * y), x, seed=seed)


# --- kinks and edges -------------------------------------------------------------------------------------------


def test_kinks_are_skipped_and_counted():
    x = np.array([0.0, 1.0, -2.0, 3e-6, 0.5])
    report = gradcheck(ops.relu, x)
    assert report
    (line,) = report.lines
    assert line.kinks == 2 and list(np.isnan(line.errors)) == [True, False, False, True, False]
    assert "2 on a kink skipped" in str(report)


def test_a_sharp_bend_is_no_kink():
    report = gradcheck(lambda x: ops.tanh(x * 50.0), [1e-3, -2e-2, 0.0])
    assert report and report.lines[0].kinks == 0


def test_a_jump_is_left_out():
    report = gradcheck(lambda x: ops.where(x.data > 0.5, x + 1.0, x), [0.5, 0.2])
    assert report and report.lines[0].kinks == 1


def test_where_nothing_can_be_compared_nothing_passes():
    report = gradcheck(ops.relu, [0.0])
    assert not report and report.mistake.name == "nothing compared"


def test_an_argument_that_takes_no_part_has_gradient_zero():
    assert gradcheck(lambda a, b: a * 2.0, [1.0, 2.0], [3.0])


def test_numbers_of_very_different_sizes():
    for scale in (1e-6, 1.0, 1e6):
        assert gradcheck(lambda x, s=scale: ops.exp(x) * s, A), scale
        assert not gradcheck(like(ops.exp, lambda g, y, x: g * y * 1.01), A * 0.1 + np.log(scale))
    assert gradcheck(lambda x: x + 1e6, A)
    assert gradcheck(lambda x: x * x, A * 1e4)


def test_a_small_error_in_one_element_is_found():
    wrong = np.ones(X.shape)
    wrong[3, 1] = 1 + 1e-4
    report = gradcheck(like(ops.exp, lambda g, y, x: g * y * Tensor(wrong)), X)
    assert not report and report.lines[0].worst == (3, 1)
    assert report.lines[0].analytic == pytest.approx(report.lines[0].numeric, rel=1e-3)


def test_of_a_large_argument_a_thousand_elements_are_checked():
    x = normal(50, 50)
    report = gradcheck(lambda x: ops.tanh(x), x)
    assert report and "1500 not checked" in str(report)
    assert gradcheck(like(ops.tanh, lambda g, y, x: g * (y * y - 1)), x).mistake.name == "sign flipped"


def test_empty_and_single_numbers():
    assert gradcheck(lambda x: ops.sum(x), np.zeros((0, 3)))
    assert gradcheck(lambda x: x * x, 3)
    assert gradcheck(lambda x: x * x, 3).lines[0].errors.shape == ()


# --- what it takes and leaves ----------------------------------------------------------------------------------


def test_inputs_are_left_as_they_are():
    array, tensor = A.astype(np.float32), Tensor(A.copy(), requires_grad=True)
    gradcheck(lambda a, b: a * b, array, tensor, order=2)
    assert array.dtype == np.float32 and tensor.grad is None
    np.testing.assert_array_equal(tensor.numpy(), A)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gradcheck(ops.exp), "give the inputs"),
        (lambda: gradcheck(ops.exp, [1.0], order=3), "order must be 1 or 2"),
        (lambda: gradcheck(ops.exp, "one"), "input 0 must be numbers"),
        (lambda: gradcheck(ops.exp, [1.0], [None]), "input 1 must be numbers"),
        (lambda: gradcheck(ops.exp, [[1.0], [1.0, 2.0]]), "input 0 must be numbers in rows of equal length"),
        (lambda: gradcheck(ops.exp, {"x": 1.0}), "input 0 must be numbers"),
        (lambda: gradcheck(3, [1.0]), "f must be a function"),
        (lambda: gradcheck(ops.exp, [1.0], seed=-1), "the seed must be a whole number"),
    ],
)
def test_bad_calls_get_one_sentence(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()


def test_what_f_raises_is_passed_on():
    with pytest.raises(ZeroDivisionError):
        gradcheck(lambda x: 1 / 0, [1.0])
    with pytest.raises(NotImplementedError):
        gradcheck(spoiled(np.exp, _not_written), [1.0])


def test_the_words_of_an_error_steer_nothing():
    def mixes(x):
        raise TypeError("oil and water do not mix")

    def took_no_part(g, y, x):
        raise ValueError("this one took no part, there is nothing to differentiate")

    with pytest.raises(TypeError, match="oil and water"):
        gradcheck(mixes, [1.0])
    report = gradcheck(spoiled(np.exp, took_no_part), [1.0])
    assert report.mistake.name == "raised" and "this one took no part" in report.mistake.sentence


def _not_written(g, y, x):
    raise NotImplementedError("not written yet")


# --- the report ------------------------------------------------------------------------------------------------


def test_the_report_in_a_terminal():
    def product(a, b):
        return record(a.data * b.data, (a, lambda g, y: g * b), (b, lambda g, y: -g * a))

    text = str(gradcheck(product, A, A + 1))
    assert text == repr(gradcheck(product, A, A + 1))
    first, head, a, b, sentence, hint = text.splitlines()
    assert first == "gradcheck of product: WRONG"
    assert head.split() == ["argument", "shape", "error", "verdict"]
    assert a.split()[0] == "a" and a.endswith("right")
    assert b.split()[0] == "b" and "WRONG at (" in b and "yours" in b and "numerical" in b
    assert sentence.strip() == "b: the sign is flipped." and hint.strip().startswith("hint: ")


def test_the_report_in_a_notebook():
    html = gradcheck(like(ops.neg, lambda g, y, x: g), A)._repr_html_()
    assert "✗ wrong" in html and "<table>" in html and "the sign is flipped" in html
    assert "✓ right" in gradcheck(ops.neg, A)._repr_html_()
    html = gradcheck(lambda x: x.numpy(), A)._repr_html_()
    assert "must return one Tensor" in html and "&lt;lambda&gt;" in html
