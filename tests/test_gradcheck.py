"""The checker is checked: every planted bug is caught and named, and no right derivative is accused."""

import numpy as np
import pytest
from planted_bugs import BUGS, ORDER_2_BUGS, A, B, X, like, normal, spoiled
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
        assert report and not any(line.unknown for line in report.lines), report


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
    assert line.kinks == 1 and list(np.isnan(line.errors)) == [True, False, False, False, False]  # 3e-6 is beside it
    assert "1 on a kink skipped" in str(report)
    assert not gradcheck(like(ops.relu, lambda g, y, x: g * 0.5), x)


def test_a_sharp_bend_is_no_kink():
    report = gradcheck(lambda x: ops.tanh(x * 50.0), [1e-3, -2e-2, 0.0])
    assert report and report.lines[0].kinks == 0


def test_a_jump_is_left_out():
    report = gradcheck(lambda x: ops.where(x.data > 0.5, x + 1.0, x), [0.5, 0.2])
    assert report and report.lines[0].unknown == 1 and "a jump" in report.lines[0].why


def test_corners_of_nearly_equal_slopes_and_beside_each_other():
    assert gradcheck(lambda x: ops.leaky_relu(x, 0.97), [0.0, 1.0]).lines[0].kinks == 1
    assert gradcheck(lambda x: ops.relu(x) + 2 * ops.relu(x - 1e-6), [0.0, 1.0]).lines[0].kinks == 1
    for near in (1e-6, -1e-8, 1e-10, 1e-100):
        report = gradcheck(lambda x: ops.relu(x) ** 2 + ops.relu(x), [near, 1.0])
        assert report and report.measured == 2, near


def test_where_nothing_can_be_compared_nothing_passes():
    report = gradcheck(ops.relu, [0.0])
    assert not report and report.mistake.name == "nothing compared"


def test_the_corners_of_several_outputs_may_have_other_sides():
    x, weight = [[0.0, 1.0], [0.0, 0.0]], [[1.0, -1.0, 0.5], [2.0, 1.0, -1.0]]
    for seed in SEEDS:
        assert gradcheck(lambda x, w: ops.leaky_relu(x @ w, 0.2), x, weight, seed=seed)


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


# --- where one step does not do: poles, small norms, large and small numbers --------------------------------------


def sine(x):
    return record(np.sin(x.data), (x, lambda g, y: g * cosine(x)))


def cosine(x):
    return record(np.cos(x.data), (x, lambda g, y: -g * sine(x)))


def norm(x):
    return ops.sqrt((x * x).sum(axis=1))


ROWS_OF_ALL_SIZES = normal(4, 3) * [[1e-6], [1e-9], [1.0], [1e-12]]
EACH = np.array([1.0, 1e-6, -2e-8, 3e-11])
MEASURED = {  # the right derivatives pass and are measured, and wrong ones are found
    "1 / x": (lambda x: 1 / x, EACH),
    "1 / x at 1e-100": (lambda x: 1 / x, [1e-100, -2e-30]),
    "1 / (x - 1)": (lambda x: 1 / (x - 1), [1 + 1e-6, 1 - 1e-8]),
    "1 / x^2": (lambda x: x**-2, EACH[:3]),
    "log": (ops.log, np.abs(EACH)),
    "log at 1e-300": (ops.log, [1e-300]),
    "sqrt": (ops.sqrt, np.abs(EACH)),
    "x^0.3": (lambda x: x**0.3, np.abs(EACH)),
    "x / |x|": (lambda x: x / ops.reshape(norm(x), (-1, 1)), ROWS_OF_ALL_SIZES),
    "|x|": (norm, ROWS_OF_ALL_SIZES[:3]),
    "|x| beside a corner": (ops.abs, [1e-6, -1e-8, 1e-10]),
    "sqrt(x^2 + 1e-18)": (lambda x: ops.sqrt(x * x + 1e-18), [1e-9, -1e-8, 1.0]),
    "1e12 + x": (lambda x: 1e12 + x, [1.5, -2.5]),
    "1e10 + x, x beside a corner": (lambda x: 1e10 + ops.relu(x), [0.7, 2.0]),
    "exp a + b": (lambda a, b: ops.exp(a) + b, [27.0], [1.3]),
    "large squares + b": (lambda a, b: (a**2).sum() + b, 1e5 + np.arange(64.0), [0.3]),
    "a product of large and small": (lambda a, b: a * b, 1e8 * A, 1e-8 * B),
    "a sum of large and small": (lambda a, b: a + b, 1e8 * A, 1e-8 * B),
    "a quotient of large and small": (lambda a, b: a / b, 1e8 * A, 1e-8 * B),
    "squares of all sizes": (lambda x: x * x, normal(6) * 10.0 ** np.arange(8, -16, -4)),
    "exp of all sizes": (ops.exp, np.linspace(-40, 40, 7)),
    "exp 1e-300": (lambda x: ops.exp(x) * 1e-300, A),
    "exp 1e-310": (lambda x: ops.exp(x) * 1e-310, A),
    "exp 50 x": (lambda x: ops.exp(x * 50.0), A * 3),
    "exp 1e6 x": (lambda x: ops.exp(x * 1e6), A * 1e-4),
    "tanh 1e6 x": (lambda x: ops.tanh(x * 1e6), A * 1e-6),
    "sin 1e6 x": (lambda x: sine(x * 1e6), A),
    "a large number cancels": (lambda x: (x + 1e8) - 1e8, A),
    "a variance as E x^2 - mu^2": (lambda x: (x * x).mean(axis=0) - x.mean(axis=0) ** 2, 1000 + X),
    "batch norm at 1000": (lambda x: ops.batch_norm(x, Tensor(np.ones(4)), Tensor(np.zeros(4)))[0], 1000 + 0.1 * X),
}


def off_by(f, factor):
    """f with its derivatives times a factor: a number, or one for each element."""
    return lambda *xs: f(*[record(x.data * 1.0, (x, lambda g, y: g * Tensor(factor + 0.0 * y.data))) for x in xs])


@pytest.mark.parametrize("name", MEASURED)
def test_another_step_measures_where_the_usual_one_cannot(name):
    f, *inputs = MEASURED[name]
    for seed in range(5):
        report = gradcheck(f, *inputs, seed=seed)
        assert report and report.measured == sum(np.size(x) for x in inputs), report
    assert gradcheck(f, *inputs, order=2)


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.parametrize("factor", [2.0, -1.0, 0.0, 1.1])
def test_wrong_derivatives_stay_wrong_there(name, factor):
    f, *inputs = MEASURED[name]
    report = gradcheck(off_by(f, factor), *inputs)
    assert not report and all(line.mistake for line in report.lines), report


def test_a_wrong_derivative_near_a_pole_or_of_a_tiny_result_has_its_name():
    at = [1e-6, 2e-7, -3e-8, 1.0]
    assert gradcheck(like(lambda x: 1 / x, lambda g, y, x: g * y * y), at).mistake.name == "sign flipped"
    assert gradcheck(like(lambda x: 1 / x, lambda g, y, x: -2 * g * y * y), at).mistake.name == "factor 2"
    assert gradcheck(like(lambda x: 1 / x, lambda g, y, x: -y * y), at).mistake.name == "upstream forgotten"
    assert gradcheck(like(ops.log, lambda g, y, x: -g / x), np.abs(at)).mistake.name == "sign flipped"
    assert gradcheck(off_by(lambda x: ops.exp(x) * 1e-200, 2.0), A).mistake.name == "factor 2"


def test_a_missing_term_is_found_where_the_other_terms_are_large():
    def large_and_small(x):  # 1e11 + x_0 and exp x: the derivative of the first is forgotten
        y = np.stack([1e11 + x.data[0] + 0 * x.data, np.exp(x.data)])
        return record(y, (x, lambda g, y: g[1] * y[1]))

    report = gradcheck(large_and_small, [0.3, 1.0, 2.0])
    assert not report and report.lines[0].worst == (0,)


SHARP_AND_SMOOTH = {  # all larger steps agree on the slope of x alone
    "a pole": (lambda x: x + 1e-18 / x, [1e-9, -2e-9, 5e-9]),
    "ripples": (lambda x: x + sine(x * 1e9) * 1e-9, A),
    "a bend": (lambda x: x + ops.tanh(x * 1e9) * 1e-9, [3e-10, -1e-9]),
}


@pytest.mark.parametrize("name", SHARP_AND_SMOOTH)
def test_a_sharp_detail_of_a_smooth_curve_is_seen(name):
    f, x = SHARP_AND_SMOOTH[name]
    for seed in range(5):
        assert gradcheck(f, x, seed=seed)


UNKNOWN = {  # right or wrong: who could tell?
    "1e17 + x": (lambda x: 1e17 + x, [1.5, 2.5], "rounding hides"),
    "1e25 + tanh x": (lambda x: 1e25 + ops.tanh(x), [0.5], "rounding hides"),
    "a step": (lambda x: ops.where(x.data > 0.5, x * 0.0 + 1.0, x * 0.0), [0.5], "no step is small enough"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_measured_is_neither_right_nor_wrong(name):
    f, x, why = UNKNOWN[name]
    for function in (f, off_by(f, 2.0), off_by(f, 0.0)):
        report = gradcheck(function, x)
        assert report.passed and report.measured == 0 and report.lines[0].unknown == len(x)
        first, *_, last = str(report).splitlines()
        assert first.endswith("nothing could be measured here") and "right" not in first
        assert f"{len(x)} of {len(x)} elements could not be measured" in last and why in last
        html = report._repr_html_()
        assert "nothing could be measured here" in html and why in html and "✓" not in html and "✗" not in html
        assert gradcheck(f, x, order=2)


def test_the_rest_is_compared():
    report = gradcheck(lambda a, b: ops.exp(a) + b, [60.0], [1.3])
    assert report and report.measured == 1 and [line.verdict for line in report.lines] == ["right", "not measured"]
    assert "b: 1 of 1 elements could not be measured here" in str(report)
    assert not gradcheck(lambda a, b: off_by(ops.exp, 2.0)(a) + b, [60.0], [1.3])


def test_an_infinite_slope_may_be_right_but_nan_never_is():
    report = gradcheck(ops.sqrt, [0.0, 1.0, 4.0], order=2)
    assert report and report.lines[0].unknown == 1 and report.lines[0].measured == 2
    assert gradcheck(ops.exp, [709.78])  # g e^x is more than a float64 can hold
    report = gradcheck(lambda x: x * ops.sqrt(x), [0.0, 1.0])
    assert not report and report.mistake.name == "not finite"


def test_float32_inside_is_named():
    for seed in range(5):
        report = gradcheck(lambda x: ops.tanh(x.astype("float32")).astype("float64"), A, seed=seed)
        assert not report and "float32" in report.mistake.sentence + report.mistake.hint


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


def test_an_operation_that_is_element_by_element_has_no_terms_between_elements_to_forget():
    """tanh whose slope is 0 where it is nearly flat: no hint at softmax."""

    def tanh(x):
        flat = np.where(np.abs(x.data) < 5.0, 1.0, 0.0)
        return record(np.tanh(x.data), (x, lambda g, y: g * (1.0 - y * y) * flat))

    report = gradcheck(tanh, np.append(np.linspace(-1, 1, 11), 9.0))
    assert not report.passed and "depend on its own element" not in str(report)
