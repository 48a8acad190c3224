"""Layers and networks: values against plain NumPy, what is trained, what is saved, and which mode does what."""

import copy
import inspect
import re

import numpy as np
import pytest
from test_conv import naive_conv as conv
from test_conv import naive_conv_transpose as conv_transpose

from minigan import Tensor, grad, nn, no_grad
from minigan.networks import dcgan_discriminator, dcgan_generator
from minigan.nn import init


def rng(seed=0):
    return np.random.default_rng(seed)


def randn(*shape, seed=1, dtype=np.float32):
    return rng(seed).standard_normal(shape).astype(dtype)


# --- the layers in plain NumPy, as loops that follow the definition ------------------------------------------


def batch_norm(x, weight, bias, eps):
    axes = (0, *range(2, x.ndim))
    shape = (1, -1, *[1] * (x.ndim - 2))
    x_hat = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)
    return x_hat * weight.reshape(shape) + bias.reshape(shape)


# layer, input shape, output shape, number of parameters, the settings that repr must show, the value in NumPy
LAYERS = [
    (lambda: nn.Linear(3, 5, rng=rng()), (4, 3), (4, 5), 20, ("in_features=3", "out_features=5"),
     lambda x, w, b: x @ w.T + b),
    (lambda: nn.Conv2d(2, 3, 4, stride=2, padding=1, rng=rng()), (2, 2, 6, 8), (2, 3, 3, 4), 99,
     ("in_channels=2", "out_channels=3", "kernel_size=4", "stride=2", "padding=1"),
     lambda x, w, b: conv(x, w, b, 2, 1)),
    (lambda: nn.Conv2d(1, 2, 3, rng=rng()), (2, 1, 5, 4), (2, 2, 3, 2), 20, ("kernel_size=3", "stride=1", "padding=0"),
     lambda x, w, b: conv(x, w, b, 1, 0)),
    (lambda: nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1, rng=rng()), (2, 2, 3, 5), (2, 3, 6, 10), 99,
     ("in_channels=2", "out_channels=3", "kernel_size=4", "stride=2", "padding=1"),
     lambda x, w, b: conv_transpose(x, w, b, 2, 1, 0)),
    (lambda: nn.ConvTranspose2d(1, 2, 3, stride=3, padding=1, output_padding=1, rng=rng()), (2, 1, 3, 2), (2, 2, 8, 5),
     20, ("stride=3", "output_padding=1"), lambda x, w, b: conv_transpose(x, w, b, 3, 1, 1)),
    (lambda: nn.Conv1d(2, 3, 3, stride=2, padding=1, dilation=2, rng=rng()), (2, 2, 7), (2, 3, 3), 21,
     ("in_channels=2", "out_channels=3", "kernel_size=3", "stride=2", "padding=1", "dilation=2"),
     lambda x, w, b: conv(x, w, b, 2, 1, 2)),
    (lambda: nn.Conv2d(1, 2, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), rng=rng()), (2, 1, 6, 5),
     (2, 2, 3, 3), 14, ("kernel_size=(3, 2)", "stride=(2, 1)", "padding=(1, 0)", "dilation=(1, 2)"),
     lambda x, w, b: conv(x, w, b, (2, 1), (1, 0), (1, 2))),
    (lambda: nn.Conv3d(2, 3, 2, stride=(1, 2, 1), rng=rng()), (2, 2, 3, 4, 2), (2, 3, 2, 2, 1), 51,
     ("kernel_size=2", "stride=(1, 2, 1)", "padding=0", "dilation=1"), lambda x, w, b: conv(x, w, b, (1, 2, 1))),
    (lambda: nn.ConvTranspose1d(3, 2, 4, stride=2, padding=1, rng=rng()), (2, 3, 5), (2, 2, 10), 26,
     ("in_channels=3", "out_channels=2", "kernel_size=4", "stride=2", "padding=1", "output_padding=0"),
     lambda x, w, b: conv_transpose(x, w, b, 2, 1)),
    (lambda: nn.ConvTranspose2d(1, 2, 4, stride=2, padding=1, output_padding=(1, 0), rng=rng()), (2, 1, 3, 2),
     (2, 2, 7, 4), 34, ("output_padding=(1, 0)",), lambda x, w, b: conv_transpose(x, w, b, 2, 1, (1, 0))),
    (lambda: nn.ConvTranspose3d(1, 2, (1, 2, 3), stride=(1, 2, 1), rng=rng()), (2, 1, 2, 2, 2), (2, 2, 2, 4, 4), 14,
     ("kernel_size=(1, 2, 3)", "stride=(1, 2, 1)"), lambda x, w, b: conv_transpose(x, w, b, (1, 2, 1))),
    (lambda: nn.BatchNorm1d(3, eps=0.5, momentum=0.25), (5, 3), (5, 3), 6,
     ("num_features=3", "eps=0.5", "momentum=0.25"), lambda x, w, b: batch_norm(x, w, b, 0.5)),
    (lambda: nn.BatchNorm2d(2, eps=0.5), (3, 2, 4, 5), (3, 2, 4, 5), 4, ("num_features=2", "eps=0.5", "momentum=0.1"),
     lambda x, w, b: batch_norm(x, w, b, 0.5)),
    (lambda: nn.BatchNorm1d(2, eps=0.5), (3, 2, 4), (3, 2, 4), 4, ("num_features=2",),
     lambda x, w, b: batch_norm(x, w, b, 0.5)),
    (lambda: nn.BatchNorm3d(2, eps=0.5), (3, 2, 2, 1, 4), (3, 2, 2, 1, 4), 4, ("num_features=2", "eps=0.5"),
     lambda x, w, b: batch_norm(x, w, b, 0.5)),
    (lambda: nn.LeakyReLU(), (4, 3), (4, 3), 0, ("negative_slope=0.01",), lambda x: np.where(x > 0, x, 0.01 * x)),
    (lambda: nn.LeakyReLU(0.3), (4, 3, 2, 2), (4, 3, 2, 2), 0, ("negative_slope=0.3",),
     lambda x: np.where(x > 0, x, 0.3 * x)),
    (lambda: nn.ReLU(), (4, 3), (4, 3), 0, (), lambda x: np.where(x > 0, x, 0)),
    (lambda: nn.Tanh(), (4, 3), (4, 3), 0, (), lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))),
    (lambda: nn.Sigmoid(), (4, 3), (4, 3), 0, (), lambda x: 1 / (1 + np.exp(-x))),
    (lambda: nn.Reshape(3, 2, 2), (4, 12), (4, 3, 2, 2), 0, ("shape=(3, 2, 2)",), lambda x: x.reshape(4, 3, 2, 2)),
    (lambda: nn.Flatten(), (4, 3, 2, 2), (4, 12), 0, (), lambda x: x.reshape(4, 12)),
]  # fmt: skip


@pytest.mark.parametrize(("make", "x_shape", "y_shape", "count", "settings", "reference"), LAYERS)
def test_every_layer_has_the_shape_value_count_and_repr(make, x_shape, y_shape, count, settings, reference):
    layer = make()
    for p in layer.parameters():  # biases are made 0 and norms 1: any numbers will show what is done with them
        p.data[...] = randn(*p.shape, seed=p.size)
    x = randn(*x_shape)
    y = layer(x)
    assert y.shape == y_shape
    expected = reference(x.astype(float), *(p.numpy().astype(float) for p in layer.parameters()))
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert sum(p.size for p in layer.parameters()) == count
    assert repr(layer).startswith(f"{type(layer).__name__}(")
    for setting in settings:
        assert re.search(rf"\b{re.escape(setting)}[,)]", repr(layer)), repr(layer)


@pytest.mark.parametrize("make", [row[0] for row in LAYERS])
def test_every_layer_stays_in_float32_forward_and_back(make):
    layer = make()
    x_shape = next(row[1] for row in LAYERS if row[0] is make)
    x = Tensor(randn(*x_shape), requires_grad=True)
    for mode in (True, False):
        y = layer.train(mode)(x)
        assert y.dtype == np.float32
        y.sum().backward()
    assert x.grad.dtype == np.float32
    assert all(t.dtype == np.float32 for t in layer.state().values())
    assert all(p.grad.dtype == np.float32 for p in layer.parameters())


def test_a_plain_float64_array_is_taken_in_the_dtype_of_the_weights():
    net = nn.Sequential(nn.Linear(3, 4, rng=rng()), nn.BatchNorm1d(4))
    assert net(np.ones((2, 3))).dtype == np.float32
    for tensor in net.state().values():
        tensor.data = tensor.data.astype(np.float64)
    assert net(np.ones((2, 3), np.float32)).dtype == np.float64
    assert net.eval()(np.ones((2, 3), np.float32)).dtype == np.float64


def test_bias_false_has_no_bias_and_adds_none():
    x = randn(2, 2, 4, 4)
    for layer, flat in (
        (nn.Linear(32, 3, bias=False, rng=rng()), True),
        (nn.Conv2d(2, 3, 2, bias=False, rng=rng()), False),
        (nn.ConvTranspose2d(2, 3, 2, bias=False, rng=rng()), False),
    ):
        assert layer.bias is None
        assert list(layer.state_dict()) == ["weight"]
        zero = np.zeros_like(x).reshape(2, -1) if flat else np.zeros_like(x)
        assert not layer(zero).numpy().any()


# --- bad sizes ------------------------------------------------------------------------------------------------


CONVOLUTIONS = [nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d]
CONVS, TRANSPOSED = CONVOLUTIONS[:3], CONVOLUTIONS[3:]
NORMS = [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d]
BAD = (0, -1, 2.5, 2.0, "3", None, True)
SIZES = [
    ("in_features", lambda n: nn.Linear(n, 2)),
    ("out_features", lambda n: nn.Linear(2, n)),
    *[("num_features", kind) for kind in NORMS],
    *[("in_channels", lambda n, kind=kind: kind(n, 2, 3)) for kind in CONVOLUTIONS],
    *[("out_channels", lambda n, kind=kind: kind(2, n, 3)) for kind in CONVOLUTIONS],
]
STEPS = [
    *[("kernel_size", lambda n, kind=kind: kind(2, 2, n)) for kind in CONVOLUTIONS],
    *[("stride", lambda n, kind=kind: kind(2, 2, 3, stride=n)) for kind in CONVOLUTIONS],
    *[("dilation", lambda n, kind=kind: kind(2, 2, 3, dilation=n)) for kind in CONVS],
]
PADDINGS = [
    *[("padding", lambda n, kind=kind: kind(2, 2, 3, padding=n)) for kind in CONVOLUTIONS],
    *[("output_padding", lambda n, kind=kind: kind(2, 2, 3, stride=2, output_padding=n)) for kind in TRANSPOSED],
]


@pytest.mark.parametrize("size", BAD)
@pytest.mark.parametrize(("name", "make"), SIZES + STEPS)
def test_a_bad_size_gets_one_sentence_that_names_it(name, make, size):
    with pytest.raises(
        ValueError, match=rf"^\w+: {name} must be a whole number of at least 1.*{re.escape(repr(size))}$"
    ):
        make(size)


@pytest.mark.parametrize("size", [-1, 0.5, None, False])
@pytest.mark.parametrize(("name", "make"), PADDINGS)
def test_a_bad_padding_gets_one_sentence(name, make, size):
    with pytest.raises(
        ValueError, match=rf"^\w+: {name} must be a whole number of at least 0.*{re.escape(repr(size))}$"
    ):
        make(size)


@pytest.mark.parametrize("wrong", [(1, 1, 1, 1), (), (1, 0.5), (-1, 1), (True, 1), [1, None]])
@pytest.mark.parametrize(("name", "make"), STEPS + PADDINGS)
def test_a_bad_size_for_an_axis_gets_one_sentence(name, make, wrong):
    with pytest.raises(ValueError, match=rf"\b{name} must be a whole number of .*{re.escape(repr(wrong))}"):
        make(wrong)


def test_an_old_call_with_bias_in_the_place_of_dilation_is_refused():
    with pytest.raises(
        ValueError, match="Conv2d: dilation must be a whole number of at least 1, or 2 of them, not False"
    ):
        nn.Conv2d(1, 2, 3, 1, 0, False)


def test_one_number_for_all_axes_is_kept_as_one():
    layer = nn.Conv2d(1, 2, (3, 3), stride=[2, 2], padding=(1, 0))
    assert (layer.kernel_size, layer.stride, layer.padding, layer.dilation) == (3, 2, (1, 0), 1)
    assert (nn.Conv1d(1, 2, (3,)).kernel_size, nn.ConvTranspose3d(1, 2, (2, 2, 2)).kernel_size) == (3, 2)


@pytest.mark.parametrize("kind", [nn.Linear, *CONVOLUTIONS, *NORMS, nn.LeakyReLU], ids=lambda kind: kind.__name__)
def test_names_order_and_defaults_of_arguments_are_pytorchs(kind):
    torch = pytest.importorskip("torch")
    ours = inspect.signature(kind).parameters
    theirs = inspect.signature(getattr(torch.nn, kind.__name__)).parameters
    mine = {name: p.default for name, p in ours.items() if name != "rng"}
    assert list(mine) == [name for name in theirs if name in mine]
    assert mine == {name: theirs[name].default for name in mine}
    assert all(p.kind is p.KEYWORD_ONLY for name, p in ours.items() if name == "rng")


def test_sizes_may_be_numpy_integers():
    two = np.int64(2)
    assert nn.Linear(two, two)(np.ones((1, 2))).shape == (1, 2)
    assert nn.Conv2d(1, two, two, stride=two, padding=np.int64(0))(np.ones((1, 1, 4, 4))).shape == (1, 2, 2, 2)
    transposed = nn.ConvTranspose2d(1, two, two, stride=two, padding=np.int64(0), output_padding=np.int64(1))
    assert transposed(np.ones((1, 1, 4, 4))).shape == (1, 2, 9, 9)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(3, 2), (4, 5)),
        (nn.Linear(3, 2), (4, 3, 1)),
        (nn.Conv2d(3, 2, 2), (4, 2, 5, 5)),
        (nn.Conv2d(3, 2, 6), (4, 3, 5, 5)),
        (nn.ConvTranspose2d(3, 2, 2), (4, 2, 5, 5)),
        (nn.Conv1d(3, 2, 2), (4, 3, 5, 5)),
        (nn.Conv2d(3, 2, 2), (4, 3, 5)),
        (nn.Conv3d(3, 2, 2), (4, 3, 5, 5)),
        (nn.Conv3d(3, 2, 2), (3, 5, 5, 5)),
        (nn.Conv2d(3, 2, 3, dilation=3), (4, 3, 5, 5)),
        (nn.ConvTranspose1d(3, 2, 2), (4, 3, 5, 5)),
        (nn.ConvTranspose3d(3, 2, 2), (4, 3, 5, 5)),
        (nn.BatchNorm3d(3), (4, 3, 2, 2)),
        (nn.BatchNorm2d(3), (4, 3, 2)),
        (nn.BatchNorm1d(3), (4, 2, 3)),
        (nn.BatchNorm1d(3), (4, 3, 2, 2)),
        (nn.BatchNorm2d(3), (4, 3)),
        (nn.BatchNorm1d(3), (4, 2)),
        (nn.BatchNorm1d(3), (4, 1)),
        (nn.BatchNorm1d(1), (4, 3)),
        (nn.BatchNorm2d(3), (4, 1, 2, 2)),
        (nn.Reshape(3, 2), (4, 5)),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_an_input_that_does_not_fit_is_refused_in_both_modes(layer, shape, training):
    with pytest.raises(ValueError) as error:
        layer.train(training)(np.ones(shape))
    assert str(shape) in str(error.value) and "\n" not in str(error.value)
    if (
        isinstance(layer, (*CONVOLUTIONS, *NORMS))
        and len(shape) != {"1d": 3, "2d": 4, "3d": 5}[type(layer).__name__[-2:]]
    ):
        assert type(layer).__name__ in str(error.value)


@pytest.mark.parametrize("eps", [-1e-5, float("nan"), float("inf"), "1"])
def test_a_bad_eps_is_refused(eps):
    with pytest.raises(ValueError, match=rf"BatchNorm1d: eps must be a number in \[0, inf\), not {eps!r}"):
        nn.BatchNorm1d(3, eps=eps)


@pytest.mark.parametrize("wrong", [0, "0", np.random])
def test_an_rng_that_is_no_generator_is_refused(wrong):
    makers = (lambda: nn.Linear(2, 3, rng=wrong), lambda: nn.Conv2d(1, 1, 2, rng=wrong))
    for make in (*makers, lambda: nn.ConvTranspose2d(1, 1, 2, rng=wrong)):
        with pytest.raises(TypeError, match=r"rng must be a random generator, such as np\.random\.default_rng\(0\)"):
            make()


# --- parameters, names, saving ---------------------------------------------------------------------------------


def network(seed=0):
    """A network with a module inside a module, and with running statistics."""
    generator = rng(seed)
    inner = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, rng=generator), nn.BatchNorm2d(3), nn.ReLU())
    return nn.Sequential(
        nn.Linear(4, 32, bias=False, rng=generator),
        nn.Reshape(2, 4, 4),
        inner,
        nn.ConvTranspose2d(3, 1, 4, stride=2, padding=1, rng=generator),
        nn.Tanh(),
    )


NAMES = ["0.weight", "2.0.weight", "2.0.bias", "2.1.weight", "2.1.bias", "2.1.running_mean", "2.1.running_var",
         "3.weight", "3.bias"]  # fmt: skip


def test_parameters_are_found_in_a_fixed_order():
    net = network()
    assert list(net.state()) == NAMES
    trained = [name for name in NAMES if "running" not in name]
    assert len(net.parameters()) == len(trained)
    assert all(p is net.state()[name] for p, name in zip(net.parameters(), trained, strict=True))
    assert [p.shape for p in net.parameters()] == [p.shape for p in network(1).parameters()]
    assert all(p.requires_grad for p in net.parameters())


def test_attributes_of_ones_own_module_are_found():
    class Own(nn.Module):
        def __init__(self):
            self.scale = nn.Parameter([2.0])
            self.layer = nn.Linear(2, 1, rng=rng())
            self.counted = Tensor([0.0])  # saved, not trained
            self.name = "own"

        def forward(self, x):
            return self.layer(x) * self.scale

    own = Own()
    assert sorted(own.state()) == ["counted", "layer.bias", "layer.weight", "scale"]
    assert {id(p) for p in own.parameters()} == {id(own.scale), id(own.layer.weight), id(own.layer.bias)}
    assert list(own.children()) == ["layer"]
    assert list(own.modules()) == [own, own.layer]
    x = randn(3, 2)
    np.testing.assert_allclose(own(x).numpy(), own.layer(x).numpy() * 2, rtol=1e-6)


class Held(nn.Module):
    """Modules, parameters and statistics in lists, tuples and dicts, nested too."""

    def __init__(self, seed=0):
        generator = rng(seed)
        self.blocks = [nn.Linear(2, 2, rng=generator), nn.ReLU(), nn.Linear(2, 2, rng=generator)]
        self.pair = (nn.Parameter([1.0, 2.0]), Tensor([3.0]))
        self.heads = {
            "a": nn.Linear(2, 1, bias=False, rng=generator),
            "b": [nn.BatchNorm1d(2), {"c": nn.Parameter([4.0])}],
        }
        self.deep = [[(nn.Sequential(nn.Linear(2, 2, rng=generator)),)]]
        self.sizes, self.names, self.nothing = (3, 4), ["x"], []  # plain things are left alone

    def forward(self, x):
        for block in (*self.blocks, self.heads["b"][0], *self.deep[0][0]):
            x = block(x)
        return self.heads["a"](x * self.pair[0]) + self.heads["b"][1]["c"]


HELD = {
    "blocks.0.weight": True, "blocks.0.bias": True, "blocks.2.weight": True, "blocks.2.bias": True,
    "pair.0": True, "pair.1": False, "heads.a.weight": True,
    "heads.b.0.weight": True, "heads.b.0.bias": True, "heads.b.0.running_mean": False, "heads.b.0.running_var": False,
    "heads.b.1.c": True, "deep.0.0.0.0.weight": True, "deep.0.0.0.0.bias": True,
}  # fmt: skip


def test_what_lists_tuples_and_dicts_hold_is_found():
    held = Held()
    assert sorted(held.state()) == sorted(HELD)
    assert {name for name, t in held.state().items() if any(t is p for p in held.parameters())} == {
        name for name, trained in HELD.items() if trained
    }
    assert list(held.children()) == ["blocks.0", "blocks.1", "blocks.2", "heads.a", "heads.b.0", "deep.0.0.0"]
    assert [type(m).__name__ for m in held.modules()] == [
        "Held", "Linear", "ReLU", "Linear", "Linear", "BatchNorm1d", "Sequential", "Linear",
    ]  # fmt: skip
    assert held.settings() == {"sizes": (3, 4)}


def test_what_is_held_is_trained_saved_frozen_and_set_to_a_mode():
    a, b = Held(0), Held(1)
    x = randn(6, 2)
    a(x).sum().backward()
    trained = {id(p) for p in a.parameters()}
    assert all((t.grad is not None) == (id(t) in trained) for t in a.state().values())
    b.load_state_dict(a.state_dict())
    np.testing.assert_array_equal(a.eval()(x).numpy(), b.eval()(x).numpy())
    assert not any(m.training for m in a.modules()) and not a.heads["b"][0].training
    a.train()
    before = a.state_dict()
    with a.frozen():
        assert not any(p.requires_grad for p in a.parameters())
        assert a.heads["b"][0].is_frozen and a.deep[0][0][0][0].is_frozen
        assert not a(x).requires_grad
    for name, array in a.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert all(p.requires_grad for p in a.parameters()) and not any(m.is_frozen for m in a.modules())


def test_a_plain_array_takes_the_dtype_of_weights_in_a_list():
    held = Held()
    for tensor in held.state().values():
        tensor.data = tensor.data.astype(np.float64)
    assert held(randn(4, 2)).dtype == np.float64


def test_repr_and_summary_name_what_lists_and_dicts_hold():
    held = Held()
    lines = repr(held).splitlines()
    assert lines[0] == "Held(sizes=(3, 4)"
    assert "  (blocks.0): Linear(in_features=2, out_features=2)" in lines
    assert "  (heads.a): Linear(in_features=2, out_features=1)" in lines
    assert "  (deep.0.0.0): Sequential(" in lines
    rows = [re.split(r" {2,}", line.strip()) for line in held.summary((2,)).splitlines()]
    assert [row[0] for row in rows[1:-1]] == [
        "Linear(2, 2)", "ReLU()", "Linear(2, 2)", "BatchNorm1d(2)", "Linear(2, 2)", "Linear(2, 1)",
    ]  # fmt: skip
    assert rows[-1] == ["total", str(3 * 6 + 2 + 2 + 4 + 1)]  # with the parameters that are in no layer


def test_a_list_that_grows_and_a_dict_that_changes_are_followed():
    held = Held()
    held.blocks.append(nn.Linear(2, 2, rng=rng()))
    del held.heads["a"]
    assert {"blocks.3.weight", "blocks.3.bias"} <= held.state().keys() and "heads.a.weight" not in held.state()
    assert held.blocks[3] in list(held.modules())


def test_a_layer_that_stands_in_two_places_is_trained_once():
    shared = nn.Linear(2, 2, rng=rng())
    assert len(nn.Sequential(shared, nn.ReLU(), shared).parameters()) == 2


def test_a_module_without_forward_says_so():
    class Lazy(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Lazy"):
        Lazy()(np.ones(3))


def test_sequential_runs_its_layers_in_order_and_can_be_indexed():
    double, layer = nn.Linear(2, 2, rng=rng()), nn.LeakyReLU(0.5)
    net = nn.Sequential(double, layer)
    assert len(net) == 2
    assert net[0] is double and net[1] is layer and net[-1] is layer
    x = randn(3, 2)
    y = x @ double.weight.numpy().T
    np.testing.assert_allclose(net(x).numpy(), np.where(y > 0, y, 0.5 * y), rtol=1e-5)


def test_slices_of_a_sequential_are_sequentials_of_the_same_layers():
    net = nn.Sequential(nn.Linear(2, 3, rng=rng()), nn.ReLU(), nn.BatchNorm1d(3), nn.Linear(3, 1, rng=rng()))
    front, back = net[:2], net[2:]
    assert type(front) is type(back) is nn.Sequential and (len(front), len(back)) == (2, 2)
    assert front[0] is net[0] and back[1] is net[3]
    assert list(back.state()) == ["0.weight", "0.bias", "0.running_mean", "0.running_var", "1.weight", "1.bias"]
    x = randn(5, 2)
    np.testing.assert_array_equal(back(front(x)).numpy(), net(x).numpy())
    assert [layer for layer in net[::-2].children().values()] == [net[3], net[1]]
    assert len(net[4:]) == 0 and net[-2:][0] is net[2]
    back.eval()  # the layers are shared, and so are their modes and their weights
    assert not net[2].training and net[0].training
    back[1].weight.data[...] = 0
    assert not net[3].weight.numpy().any()
    with pytest.raises(IndexError):
        net[4]


def test_more_than_ten_layers_stay_in_order():
    net = nn.Sequential(*(nn.Linear(n, n + 1, rng=rng()) for n in range(1, 13)))
    assert net(np.ones((2, 1))).shape == (2, 13)
    assert [p.shape for p in net.parameters() if p.ndim == 2] == [(n + 1, n) for n in range(1, 13)]


def test_repr_of_a_network_shows_what_is_inside_what():
    net = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Flatten()))
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Linear(in_features=3, out_features=4)\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Flatten()\n"
        "  )\n"
        ")"
    )
    assert repr(net.eval()) == repr(net.train())


def test_state_dict_goes_into_another_network_and_gives_its_outputs_bit_for_bit():
    a, b = network(0), network(1)
    x = randn(6, 4)
    for _ in range(3):
        a(x)  # moves the running statistics
    b.load_state_dict(a.state_dict())
    for mode in (False, True):
        np.testing.assert_array_equal(a.train(mode)(x).numpy(), b.train(mode)(x).numpy())
    for name, array in a.state_dict().items():
        np.testing.assert_array_equal(array, b.state_dict()[name])


def test_state_dict_is_a_copy_in_plain_memory_order():
    net = network()
    saved = net.state_dict()
    before = {name: array.copy() for name, array in saved.items()}
    for tensor in net.state().values():
        tensor.data += 1
    for name, array in saved.items():
        assert type(array) is np.ndarray and array.flags.c_contiguous and array.dtype == np.float32
        np.testing.assert_array_equal(array, before[name])
        array[...] = 7
    assert not any((tensor.numpy() == 7).all() for tensor in net.state().values())


def test_load_state_dict_writes_into_the_arrays_that_are_there():
    net = network()
    held = {name: tensor.data for name, tensor in net.state().items()}
    strides = {name: array.strides for name, array in held.items()}
    assert held["2.0.weight"].transpose(0, 2, 3, 1).flags.c_contiguous  # channels last, where products are fast
    assert held["3.weight"].transpose(0, 2, 3, 1).flags.c_contiguous
    net.load_state_dict(network(1).state_dict())
    for name, tensor in net.state().items():
        assert tensor.data is held[name]
        assert tensor.data.strides == strides[name]
        np.testing.assert_array_equal(tensor.numpy(), network(1).state_dict()[name])


def renamed(d):
    d["9.weight"] = d.pop("3.weight")


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (renamed, "3.weight"),
        (lambda d: d.pop("3.bias"), "3.bias"),
        (lambda d: d.update(more=np.zeros(2, np.float32)), "more"),
        (lambda d: d.update({"3.bias": np.zeros(2, np.float32)}), "3.bias"),
        (lambda d: d.update({"3.bias": np.zeros((), np.float32)}), "3.bias"),
        (lambda d: d.update({"3.weight": d["3.weight"].transpose(1, 0, 2, 3)}), "3.weight"),
        (lambda d: d.update({"3.bias": np.array(["x"])}), ""),
    ],
    ids=["renamed", "missing", "unexpected", "shape", "would broadcast", "transposed", "not numbers"],
)
def test_weights_that_do_not_fit_raise_and_change_nothing(spoil, named):
    net = network(0)
    before = net.state_dict()
    other = network(1).state_dict()
    spoil(other)
    with pytest.raises(ValueError, match=re.escape(named) or None):
        net.load_state_dict(other)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


# --- modes ------------------------------------------------------------------------------------------------------


def test_train_and_eval_touch_only_their_own_network():
    a, b = network(), network()
    assert all(module.training for module in [*a.modules(), *b.modules()])
    assert a.eval() is a
    assert not any(module.training for module in a.modules())
    assert all(module.training for module in b.modules())
    assert nn.BatchNorm2d(3).training  # nor is a network that is made now
    a[2].train()
    assert [module.training for module in a.modules()] == [False, False, False, True, True, True, True, False, False]
    assert a.train() is a
    assert all(module.training for module in a.modules())


BATCHES = [(4, 3), (2, 3, 4), (2, 3, 2, 5), (2, 3, 2, 1, 3)]


def norm_for(shape):
    return {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[len(shape)]


@pytest.mark.parametrize("momentum", [0.1, 0.25])
@pytest.mark.parametrize("shape", BATCHES)
def test_running_statistics_follow_the_batches(momentum, shape):
    """running = (1 - momentum) running + momentum batch, from mean 0 and variance 1, the variance with M / (M - 1)."""
    layer = norm_for(shape)(3, momentum=momentum)
    axes = (0, *range(2, len(shape)))
    mean, variance = np.zeros(3), np.ones(3)
    for step in range(3):
        x = 5 + 3 * randn(*shape, seed=step)
        layer(x)
        mean = (1 - momentum) * mean + momentum * x.mean(axes, dtype=float)
        variance = (1 - momentum) * variance + momentum * x.astype(float).var(axes, ddof=1)
        np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-5)
        np.testing.assert_allclose(layer.running_var.numpy(), variance, rtol=1e-5)


def test_running_statistics_by_hand():
    """Of the numbers 1 and 3 the mean is 2, and the variance with M / (M - 1) is 2."""
    layer = nn.BatchNorm1d(1)
    layer(np.array([[1.0], [3.0]]))
    np.testing.assert_allclose(layer.running_mean.numpy(), [0.2], rtol=1e-6)  # 0.9 * 0 + 0.1 * 2
    np.testing.assert_allclose(layer.running_var.numpy(), [1.1], rtol=1e-6)  # 0.9 * 1 + 0.1 * 2
    layer(np.array([[1.0], [3.0]]))
    np.testing.assert_allclose(layer.running_mean.numpy(), [0.38], rtol=1e-6)  # 0.9 * 0.2 + 0.1 * 2
    np.testing.assert_allclose(layer.running_var.numpy(), [1.19], rtol=1e-6)  # 0.9 * 1.1 + 0.1 * 2


@pytest.mark.parametrize("shape", BATCHES)
def test_eval_uses_the_running_statistics_and_leaves_them(shape):
    layer = norm_for(shape)(3, eps=0.5)
    layer.load_state_dict(
        {
            "weight": np.array([1, 2, 3], np.float32),
            "bias": np.array([4, 5, 6], np.float32),
            "running_mean": np.array([-1, 0, 1], np.float32),
            "running_var": np.array([0.5, 1.5, 3.5], np.float32),  # with eps: 1, 2 and 4
        }
    )
    before = layer.state_dict()
    x = randn(*shape)
    y = layer.eval()(x)
    c = [np.array(v).reshape(1, 3, *[1] * (x.ndim - 2)) for v in ([1, 2, 3], [4, 5, 6], [-1, 0, 1], [1, 2, 4])]
    np.testing.assert_allclose(y.numpy(), (x - c[2]) / np.sqrt(c[3]) * c[0] + c[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer(x[:1]).numpy(), y.numpy()[:1], rtol=1e-6)  # alone as in company
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_in_training_the_running_statistics_do_not_change_the_output():
    layer = nn.BatchNorm1d(2)
    x = randn(5, 2)
    first = layer(x).numpy().copy()
    np.testing.assert_array_equal(layer(x).numpy(), first)
    assert layer.running_mean.numpy().any()


def test_eval_trains_weight_and_bias_but_not_the_statistics():
    layer = nn.BatchNorm1d(2).eval()
    x = Tensor(randn(5, 2), requires_grad=True)
    layer(x).sum().backward()
    np.testing.assert_allclose(layer.bias.grad.numpy(), [5, 5])
    np.testing.assert_allclose(layer.weight.grad.numpy(), x.numpy().sum(0) / np.sqrt(1 + 1e-5), rtol=1e-5)
    assert layer.running_mean.grad is None and not layer.running_mean.requires_grad
    layer.train()(x)
    assert not layer.running_mean.requires_grad and not layer.running_mean.parents


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(3), (1, 3)),
        (nn.BatchNorm1d(3), (1, 3, 1)),
        (nn.BatchNorm2d(3), (1, 3, 1, 1)),
        (nn.BatchNorm3d(3), (1, 3, 1, 1, 1)),
    ],
)
def test_a_batch_of_one_number_per_channel_has_no_variance(layer, shape):
    before = layer.state_dict()
    with pytest.raises(ValueError, match="batch of 2 or more"):
        layer(np.ones(shape))
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert layer.eval()(np.ones(shape)).shape == shape


def test_a_single_image_of_several_pixels_has_a_variance():
    x = randn(1, 2, 3, 3)
    y = nn.BatchNorm2d(2)(x).numpy()
    np.testing.assert_allclose(y, batch_norm(x, np.ones(2), np.zeros(2), 1e-5), atol=1e-5)


# --- frozen -----------------------------------------------------------------------------------------------------


def test_frozen_needs_no_gradient_inside_and_does_again_after():
    net, other = network(), network()
    with net.frozen():
        assert not any(p.requires_grad for p in net.parameters())
        assert all(p.requires_grad for p in other.parameters())
        y = net(randn(3, 4))
        assert not y.requires_grad
    assert all(p.requires_grad for p in net.parameters())
    assert net(randn(3, 4)).requires_grad
    assert not any(module.is_frozen for module in net.modules())


def test_frozen_ends_after_an_exception_too():
    net = network()
    with pytest.raises(ZeroDivisionError), net.frozen():
        1 / 0  # noqa: B018
    assert all(p.requires_grad for p in net.parameters())
    before = net.state_dict()
    net(randn(3, 4))
    assert (net.state_dict()["2.1.running_mean"] != before["2.1.running_mean"]).any()


def test_frozen_leaves_the_running_statistics_but_uses_the_batch():
    net, other = network(), network()
    x = 3 + randn(5, 4)
    before = net.state_dict()
    with net.frozen():
        y = net(x).numpy()
        other(x)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert (other.state_dict()["2.1.running_mean"] != before["2.1.running_mean"]).any()
    np.testing.assert_array_equal(net(x).numpy(), y)  # the same as outside, where the batch's statistics are used
    assert (net.state_dict()["2.1.running_mean"] != before["2.1.running_mean"]).any()


def test_gradients_flow_through_a_frozen_network_to_its_input_only():
    net = network()
    x = Tensor(randn(5, 4), requires_grad=True)
    weights = Tensor(randn(5, 1, 8, 8, seed=3))
    (free,) = grad((net(x) * weights).sum(), x)
    with net.frozen():
        loss = (net(x) * weights).sum()
    loss.backward()  # outside: what was recorded inside stays frozen
    np.testing.assert_array_equal(x.grad.numpy(), free.numpy())
    assert np.abs(free.numpy()).max() > 0
    assert all(p.grad is None for p in net.parameters())


def test_frozen_inside_frozen_stays_frozen_until_the_outer_one_ends():
    net = network()
    with net.frozen():
        with net.frozen():
            pass
        assert not any(p.requires_grad for p in net.parameters())
        before = net.state_dict()
        net(randn(5, 4))
        np.testing.assert_array_equal(net.state_dict()["2.1.running_mean"], before["2.1.running_mean"])
    assert all(p.requires_grad for p in net.parameters())


def test_frozen_gives_back_what_was_set_before():
    net = network()
    net[0].weight.requires_grad = False  # somebody trains the other layers only
    with net.frozen():
        assert not any(p.requires_grad for p in net.parameters())
    assert [p.requires_grad for p in net.parameters()] == [False] + [True] * (len(net.parameters()) - 1)


def test_frozen_in_eval_stays_in_eval():
    net = network().eval()
    with net.frozen():
        assert not any(module.training for module in net.modules())
    assert not any(module.training for module in net.modules())


# --- summary ----------------------------------------------------------------------------------------------------


def test_summary_lists_layers_shapes_and_counts():
    lines = [re.split(r" {2,}", line.strip()) for line in network().summary((4,)).splitlines()]
    assert lines == [
        ["layer", "output shape", "parameters"],
        ["Linear(4, 32)", "(N, 32)", "128"],
        ["Reshape(shape=(2, 4, 4))", "(N, 2, 4, 4)", "0"],
        ["Conv2d(2, 3, 3, padding=1)", "(N, 3, 4, 4)", "57"],
        ["BatchNorm2d(3)", "(N, 3, 4, 4)", "6"],
        ["ReLU()", "(N, 3, 4, 4)", "0"],
        ["ConvTranspose2d(3, 1, 4, stride=2, padding=1)", "(N, 1, 8, 8)", "49"],
        ["Tanh()", "(N, 1, 8, 8)", "0"],
        ["total", "240"],
    ]  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 128, 128)])
def test_summaries_of_the_dcgan_fit_in_80_columns(shape):
    for net, inputs in ((dcgan_generator(74, shape, 32, rng()), (74,)), (dcgan_discriminator(shape, 32, rng()), shape)):
        assert max(map(len, net.summary(inputs).splitlines())) <= 80


def test_summary_shows_layers_of_your_own():
    class Scale(nn.Module):
        def __init__(self, factor, power=1):
            self.factor, self.power, self.half = factor, power, factor / 2

        def forward(self, x):
            return x * self.factor

    assert "Scale(3, half=1.5)" in Scale(3).summary((2,))
    assert "Scale(3, power=2, half=1.5)" in Scale(3, power=2).summary((2,))


def test_summary_shows_settings_per_axis():
    net = nn.Sequential(
        nn.Conv1d(2, 3, 5, dilation=2), nn.ConvTranspose1d(3, 1, 4, stride=2, padding=1), nn.BatchNorm1d(1)
    )
    lines = [re.split(r" {2,}", line.strip()) for line in net.summary((2, 20)).splitlines()]
    assert lines[1:-1] == [
        ["Conv1d(2, 3, 5, dilation=2)", "(N, 3, 12)", "33"],
        ["ConvTranspose1d(3, 1, 4, stride=2, padding=1)", "(N, 1, 24)", "13"],
        ["BatchNorm1d(1)", "(N, 1, 24)", "2"],
    ]
    assert "Conv3d(1, 2, (1, 2, 3), padding=(0, 1, 1))  (N, 2, 4, 5, 4)" in nn.Conv3d(
        1, 2, (1, 2, 3), padding=(0, 1, 1)
    ).summary((1, 4, 4, 4))
    conv = nn.Conv2d(1, 1, 2, bias=False)
    assert conv.summary((1, 3, 3)).splitlines()[-1].split() == ["total", "4"]


def test_summary_counts_parameters_beside_the_layers():
    class Scaled(nn.Module):
        def __init__(self):
            self.layer, self.scale = nn.Linear(2, 3, rng=rng()), nn.Parameter([1.0, 2.0, 3.0])

        def forward(self, x):
            return self.layer(x) * self.scale

    assert Scaled().summary((2,)).splitlines()[-1].split() == ["total", "12"]
    shared = nn.Linear(2, 2, rng=rng())
    lines = nn.Sequential(shared, nn.ReLU(), shared).summary((2,)).splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["6", "0", "6"]  # a layer in two places has its weights once


def test_summary_marks_thousands_and_works_on_a_single_layer():
    assert "1,001,000" in nn.Linear(1000, 1000).summary((1000,))


@pytest.mark.parametrize("shape", [(4,), (5,)], ids=["fits", "does not fit"])
def test_summary_leaves_modes_statistics_and_gradients_as_they_were(shape):
    net = network()
    net[2].eval()
    modes = [module.training for module in net.modules()]
    before = net.state_dict()
    if shape == (4,):
        net.summary(shape)
    else:
        with pytest.raises(ValueError):
            net.summary(shape)
    assert [module.training for module in net.modules()] == modes
    assert not any("forward" in vars(module) for module in net.modules())
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert all(p.requires_grad and p.grad is None for p in net.parameters())


def test_summary_shows_a_batch_size_of_any_and_needs_no_batch():
    assert "(N, 3)" in nn.BatchNorm1d(3).summary((3,))  # a batch of 1 is refused in training only


# --- initial weights -----------------------------------------------------------------------------------------


def assert_moments(w, std):
    """Mean 0 and this standard deviation, within 5 standard errors."""
    assert abs(w.mean()) < 5 * std / np.sqrt(w.size)
    assert abs(w.std() / std - 1) < 5 / np.sqrt(2 * w.size)
    assert w.dtype == np.float32


def test_initialisers_have_their_mean_and_variance():
    shape = (400, 250)
    assert_moments(init.normal(shape, rng()), 0.02)
    assert_moments(init.normal(shape, rng(), mean=3.0, std=0.5) - np.float32(3), 0.5)
    assert_moments(init.he_normal(shape, rng(), fan_in=250), np.sqrt(2 / 250))
    assert_moments(init.he_normal(shape, rng(), fan_in=250, slope=0.5), np.sqrt(2 / (1.25 * 250)))
    kurtosis = np.mean(init.he_normal(shape, rng(), fan_in=250).astype(float) ** 4) / (2 / 250) ** 2
    assert abs(kurtosis - 3) < 0.15  # 3 for a normal, 1.8 for a uniform distribution


def test_layers_start_as_he_proposes_with_their_own_fan_in():
    assert_moments(nn.Linear(300, 200, rng=rng()).weight.numpy(), np.sqrt(2 / 300))
    assert_moments(nn.Conv2d(20, 70, 5, rng=rng()).weight.numpy(), np.sqrt(2 / (20 * 5 * 5)))
    assert_moments(nn.ConvTranspose2d(64, 30, 4, stride=2, rng=rng()).weight.numpy(), np.sqrt(2 / (64 * 2 * 2)))
    assert_moments(nn.ConvTranspose2d(64, 30, 4, rng=rng()).weight.numpy(), np.sqrt(2 / (64 * 4 * 4)))
    assert_moments(nn.Conv1d(60, 100, 5, rng=rng()).weight.numpy(), np.sqrt(2 / (60 * 5)))
    assert_moments(nn.Conv3d(10, 60, (1, 2, 5), rng=rng()).weight.numpy(), np.sqrt(2 / (10 * 1 * 2 * 5)))
    assert_moments(nn.ConvTranspose1d(64, 90, 6, stride=3, rng=rng()).weight.numpy(), np.sqrt(2 / (64 * 2)))
    transposed = nn.ConvTranspose3d(20, 30, (4, 3, 2), stride=(2, 3, 1), rng=rng())
    assert_moments(transposed.weight.numpy(), np.sqrt(2 / (20 * 2 * 1 * 2)))
    for layer in (nn.Linear(3, 2), nn.Conv2d(3, 2, 2), nn.ConvTranspose2d(3, 2, 2)):
        assert not layer.bias.numpy().any()


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(256, 256, rng=rng()), (64, 256)),
        (nn.Conv2d(32, 32, 4, stride=2, rng=rng()), (8, 32, 16, 16)),
        (nn.ConvTranspose2d(32, 32, 4, stride=2, padding=3, rng=rng()), (8, 32, 8, 8)),  # without its border
        (nn.Conv1d(32, 64, 4, dilation=2, rng=rng()), (16, 32, 40)),
        (nn.ConvTranspose1d(32, 64, (4,), stride=2, padding=3, rng=rng()), (16, 32, 20)),
        (nn.Conv3d(16, 64, 2, rng=rng()), (4, 16, 6, 6, 6)),
    ],
)
def test_fan_in_is_the_number_of_terms_an_output_is_summed_from(layer, shape):
    """A sum of fan_in terms of variance 2 / fan_in has twice the variance of the input."""
    with no_grad():
        y = layer(randn(*shape)).numpy()
    assert abs(y.var() / 2 - 1) < 0.1


def test_twenty_relu_layers_keep_the_scale():
    generator = rng(5)
    net = nn.Sequential(*(layer for _ in range(20) for layer in (nn.Linear(512, 512, rng=generator), nn.ReLU())))
    with no_grad():
        y = net(randn(64, 512)).numpy()
    # A ReLU after a layer of variance 2 / fan_in keeps the mean square: 2 x, of which it drops half.
    assert 1 / 3 < np.mean(y**2) < 3


def test_a_seed_makes_the_same_weights_and_another_seed_others():
    a, b, c = network(0).state_dict(), network(0).state_dict(), network(1).state_dict()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
        if name.endswith("weight") and a[name].ndim > 1:
            assert (a[name] != c[name]).any()
    generator = rng()
    assert (nn.Linear(2, 2, rng=generator).weight.numpy() != nn.Linear(2, 2, rng=generator).weight.numpy()).any()
    assert (nn.Linear(2, 2).weight.numpy() != nn.Linear(2, 2).weight.numpy()).any()


def test_a_deep_copy_is_a_network_of_its_own():
    net = network()
    twin = copy.deepcopy(net).eval()
    twin[0].weight.data += 1
    assert net.training and (net[0].weight.numpy() != twin[0].weight.numpy()).all()
    assert all(p.requires_grad for p in twin.parameters())


def test_sequential_takes_layers_only():
    for wrong in ([nn.Linear(2, 3)], nn.ReLU, len):
        with pytest.raises(TypeError, match="Sequential takes layers, one after the other, but number 0 is"):
            nn.Sequential(wrong)
