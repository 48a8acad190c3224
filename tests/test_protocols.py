"""What Python and NumPy may ask of a Tensor: numbers, comparisons, and functions that would cut the graph."""

import math
import operator

import numpy as np
import pytest

from minigan import Tensor, losses, ops, plots
from minigan.errors import CutError, ShapeError
from minigan.nn import Parameter
from minigan.tensor import no_grad

NUMBERS = {
    "float": float,
    "int": int,
    "round": round,
    "round to digits": lambda x: round(x, 2),
    "f-string": lambda x: f"{x:.3f}",
    "f-string without a format": lambda x: f"{x}",
    "percent": lambda x: "%.3f" % x,  # noqa: UP031
    "str.format": lambda x: f"{x:8.2e}",
    "math": math.sqrt,
    "array of a list": lambda x: np.array([x, x]).tolist(),
    "mean of a list": lambda x: float(np.mean([x, x])),
    "stored in an array": lambda x: np.array([0.0, x])[1],
    "max of a list": lambda x: float(max([x, x - 1])),
    "sorted": lambda x: [float(y) for y in sorted([x + 1, x])],
    "np.full": lambda x: np.full(2, x).tolist(),
    "truth": lambda x: "true" if x else "false",
    "compared": lambda x: bool(x < 3),
}


@pytest.mark.parametrize("what", NUMBERS)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_a_tensor_of_one_number_is_a_number(what, requires_grad):
    """With a graph too: what a class keeps in a list is a number."""
    x, use = Tensor(np.float64(2.25), requires_grad=requires_grad) * 1.0, NUMBERS[what]
    assert use(x) == use(2.25)


def test_one_number_of_any_shape_is_a_number():
    assert float(Tensor([[2.5]])) == 2.5 and f"{Tensor([[2.5]]):.1f}" == "2.5" and round(Tensor([2.5])) == 2


@pytest.mark.parametrize("use", [float, int, round, lambda x: f"{x:.2f}", lambda x: "%.2f" % x])  # noqa: UP031
def test_several_numbers_are_none(use):
    with pytest.raises(TypeError, match=r"\(2,\).* x.mean\(\)"):
        use(Tensor([1.0, 2.0]))


def test_several_numbers_print_as_before():
    assert f"{Tensor([1.0, 2.0])}" == "Tensor([1., 2.])"


@pytest.mark.parametrize("compare", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons_are_element_by_element(compare):
    compare = getattr(operator, compare)
    x, y = np.array([[1.0, 2.0], [3.0, 2.0]]), np.array([2.0, 2.0])
    for other in (2, 2.0, np.float32(2), y, Tensor(y), [2.0, 2.0]):
        assert np.array_equal(compare(Tensor(x), other), compare(x, y))
        assert np.array_equal(compare(other, Tensor(x)), compare(y, x))


def test_a_tensor_is_not_equal_to_what_is_no_number():
    x = Tensor([1.0, 2.0])
    assert (x == None) is False and (x != None) is True and (x == "x") is False  # noqa: E711
    assert x in {x} and {x: 1}[x] == 1  # by identity, as before
    with pytest.raises(TypeError):
        _ = x < "x"


def test_shapes_that_do_not_fit_are_no_comparison():
    for compare in (lambda x, y: x == y, lambda x, y: x > y):
        with pytest.raises(ShapeError, match=r"\(2,\) and \(3,\)"):
            compare(Tensor([1.0, 2.0]), Tensor([1.0, 2.0, 3.0]))


def test_the_truth_of_several_numbers_is_an_error():
    for x in (Tensor([1.0, 1.0]), Tensor([])):
        with pytest.raises(ValueError, match=r"neither true nor false"):
            bool(x)
    assert bool(Tensor(0.5)) and not bool(Tensor([[0.0]])) and bool(Tensor(np.nan))


def test_a_mask_of_a_comparison_picks_elements():
    x = Parameter(np.array([1.0, -2.0, 3.0]))
    (x[x > 0].sum() + ops.where(x < 0, 10 * x, 0.0).sum()).backward()
    assert x.grad.numpy().tolist() == [1.0, 10.0, 1.0]


CUTS = {
    "np.clip": lambda x: np.clip(x, 0, 1),
    "np.concatenate": lambda x: np.concatenate([x, x]),
    "np.stack": lambda x: np.stack([x, x]),
    "np.hstack": lambda x: np.hstack((x, np.ones(2))),
    "np.where": lambda x: np.where(x > 1, x, 0),
    "np.dot": lambda x: np.dot(x, x),
    "np.pad": lambda x: np.pad(x, 1),
    "np.tile": lambda x: np.tile(x, 2),
    "np.flip": lambda x: np.flip(x),
    "np.cumsum": lambda x: np.cumsum(x),
    "np.einsum": lambda x: np.einsum("i->i", x),
    "np.sum": lambda x: np.sum(x),
    "np.mean": lambda x: np.mean(x, axis=0),
    "np.max": lambda x: np.max(x),
    "np.reshape": lambda x: np.reshape(x, (2, 1)),
    "np.exp": lambda x: np.exp(x),
    "np.maximum": lambda x: np.maximum(x, 0),
    "np.add.reduce": lambda x: np.add.reduce(x),
    "np.linalg.norm": lambda x: np.linalg.norm(x),
    "in place": lambda x: np.add(np.ones(2), x, out=np.zeros(2)),
    "as a keyword": lambda x: np.clip(a_min=x, a_max=5, a=np.ones(2)),
    "np.array": lambda x: np.array(x),
    "np.asarray": lambda x: np.asarray(x),
    "np.array of a list": lambda x: np.array([x]),
    "np.array of a nested list": lambda x: np.array([[x, x], [x, x]]),
    "np.float32": lambda x: np.float32(x),
    "into an array": lambda x: np.zeros(2).__setitem__(slice(None), x),
    "a new Tensor": lambda x: Tensor(x),
    "a Tensor of a list": lambda x: Tensor([x[0], x[1]]),
    "a new Parameter": lambda x: Parameter(x),
    "a permutation": lambda x: np.random.default_rng(0).permutation(x),
    "targets": lambda x: losses.bce_with_logits(Tensor([1.0, 2.0]), x),
}


@pytest.mark.parametrize("what", CUTS)
def test_what_would_cut_the_gradient_is_refused(what):
    """And says what to do; where no gradients flow, it is answered."""
    x = Parameter(np.array([0.5, 0.25], np.float32))
    for tensor in (x, x * 2):
        with pytest.raises(CutError, match=r"would cut the gradient off|no gradient flows"):
            CUTS[what](tensor)
    CUTS[what](Tensor(x.numpy()))
    with no_grad():
        CUTS[what](x)


@pytest.mark.parametrize(
    ("use", "instead"),
    [
        (lambda x: np.sum(x), "minigan.ops.sum"),
        (lambda x: np.exp(x), "minigan.ops.exp"),
        (lambda x: np.absolute(x), "minigan.ops.abs"),
        (lambda x: np.vstack([x, x]), "minigan.ops.concatenate"),
        (lambda x: np.clip(x, 0, 1), "minigan.ops.minimum and minigan.ops.maximum"),
        (lambda x: np.cumsum(x), "operations of minigan.ops"),
        (lambda x: np.asarray(x), r"x.numpy\(\)"),
    ],
)
def test_the_sentence_says_what_to_call(use, instead):
    with pytest.raises(CutError, match=instead):
        use(Parameter(np.ones(2)))


def test_numpys_operators_with_an_array_on_the_left_are_ours():
    x, a = Parameter(np.array([2.0, 3.0])), np.array([4.0, 5.0])
    for operation in (
        lambda a, x: a + x,
        lambda a, x: a - x,
        lambda a, x: a * x,
        lambda a, x: a / x,
        lambda a, x: a**x,
        lambda a, x: a @ x,
        lambda a, x: np.multiply(a, x),
        lambda a, x: np.float64(2) * x,
        lambda a, x: a[0] - x,
    ):
        x.grad = None
        y = operation(a, x)
        assert isinstance(y, Tensor) and y.requires_grad
        y.sum().backward()
        assert np.isfinite(x.grad.numpy()).all() and x.grad.numpy().all()


def test_values_without_a_gradient_are_taken_by_numpy():
    x = Tensor([1.0, 4.0])
    assert np.sqrt(x).tolist() == [1.0, 2.0] and np.concatenate([x, x]).shape == (4,) and np.sum(x) == 5
    a = np.zeros(2, np.float32)
    a += x
    assert a.tolist() == [1.0, 4.0] and isinstance(a, np.ndarray)


def test_questions_about_shape_and_order_have_no_gradient():
    x = Parameter(np.array([2.0, 1.0]))
    assert np.shape(x) == (2,) and np.ndim(x) == 1 and np.size(x) == 2 and np.argmax(x) == 0
    assert np.zeros_like(x).tolist() == [0.0, 0.0] and np.isfinite(x).all() and np.array_equal(x, x)


def test_curves_take_losses_as_they_are():
    """Kept in a list, with their graph or without."""
    x = Parameter(np.array(0.5))
    history = [x * 1.0, x * 2.0, 0.25, Tensor(0.125)]
    plots.lines({"loss": (range(4), history)}, "step", "loss")
    plots.loss_curves([{"step": n, "d_loss": loss, "d_real": loss} for n, loss in enumerate(history, 1)])


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: plots.lines({"x": (range(3), x[:, 0])}, "step", "x"),
        lambda x: plots.histograms({"x": x}, "x"),
        lambda x: plots.heat_map(x, "i", "j"),
        lambda x: plots.paths(lambda a, b: a * b, {"x": x}, (0, 3), (0, 3)),
        lambda x: plots.noise_view(x),
        lambda x: plots.gan_view(real=x, fake=x, gradients=x),
        lambda x: plots.scatter(x, x),
        lambda x: plots.draw(x / 10, x / 10),
        lambda x: plots.image_grid(x.reshape(1, 1, 3, 2) / 10),
    ],
)
def test_pictures_take_tensors_with_a_graph(draw):
    draw(Parameter(np.arange(6.0).reshape(3, 2)) * 1.0)
