"""Optimizers, step by step against numbers that were worked out by hand."""

import numpy as np
import pytest
import versions

from minigan import Tensor, nn
from minigan.nn.module import load_arrays
from minigan.optim import SGD, Adam, RMSprop, clip_weights

OPTIMIZERS = [SGD, RMSprop, Adam]


@pytest.fixture(autouse=True, params=[versions.plain, versions.fast], ids=["plain", "fast"])
def version(request):
    """Every test here runs the code that is read, and the fast version of Adam too."""
    with request.param():
        yield


def parameter(*values, dtype=np.float64):
    return nn.Parameter(np.array(values, dtype))


def steps(optimizer, theta, gradients):
    """The values of `theta` after each of the steps."""
    path = []
    for g in gradients:
        theta.grad = Tensor(np.full(theta.shape, g, theta.dtype))
        optimizer.step()
        path.append(theta.numpy().ravel()[0])
    return path


def test_sgd_by_hand():
    theta = parameter(1.0)
    # theta = theta - lr g
    assert steps(SGD([theta], lr=0.1), theta, [1, 2, -1]) == pytest.approx([0.9, 0.7, 0.8], rel=1e-12)


def test_sgd_with_momentum_by_hand():
    theta = parameter(1.0)
    optimizer = SGD([theta], lr=0.1, momentum=0.9)
    # velocity = 1;   0.9 * 1 + 2 = 2.9;   0.9 * 2.9 - 1 = 1.61
    # theta    = 1 - 0.1 = 0.9;   0.9 - 0.29 = 0.61;   0.61 - 0.161 = 0.449
    assert steps(optimizer, theta, [1, 2, -1]) == pytest.approx([0.9, 0.61, 0.449], rel=1e-12)
    assert optimizer.state()["0.velocity"] == pytest.approx(1.61)


def test_rmsprop_by_hand():
    theta = parameter(1.0)
    optimizer = RMSprop([theta], lr=0.1, alpha=0.75, eps=0.5)
    # v     = 0.25;   0.75 * 0.25 + 0.25 * 4 = 1.1875;   0.75 * 1.1875 + 0.25 * 1 = 1.140625
    # sqrt v + eps = 1;   1.5897247;   1.5680005
    # theta = 1 - 0.1 * 1 / 1 = 0.9;   0.9 - 0.1 * 2 / 1.5897247;   0.7741921 + 0.1 * 1 / 1.5680005
    path = steps(optimizer, theta, [1, 2, -1])
    assert path == pytest.approx([0.9, 0.7741920563444975, 0.8379675475068489], rel=1e-12)
    assert optimizer.state()["0.v"] == pytest.approx(1.140625)


def test_adam_by_hand():
    theta = parameter(1.0)
    optimizer = Adam([theta], lr=0.1, betas=(0.5, 0.75), eps=0.5)
    # m     = 0.5;    0.5 * 0.5 + 0.5 * 2 = 1.25;             0.5 * 1.25 - 0.5 * 1 = 0.125
    # v     = 0.25;   0.75 * 0.25 + 0.25 * 4 = 1.1875;        0.75 * 1.1875 + 0.25 * 1 = 1.140625
    # m_hat = 0.5 / 0.5 = 1;     1.25 / 0.75 = 1.6666667;     0.125 / 0.875 = 0.1428571
    # v_hat = 0.25 / 0.25 = 1;   1.1875 / 0.4375 = 2.7142857; 1.140625 / 0.578125 = 1.9729730
    # theta = 1 - 0.1 / 1.5;     - 0.1 * 1.6666667 / (1.6475089 + 0.5);   - 0.1 * 0.1428571 / (1.4046256 + 0.5)
    path = steps(optimizer, theta, [1, 2, -1])
    assert path == pytest.approx([0.9333333333333333, 0.8557240329017315, 0.8482234960186513], rel=1e-12)
    assert optimizer.state()["0.m"] == pytest.approx(0.125)
    assert optimizer.state()["0.v"] == pytest.approx(1.140625)


@pytest.mark.parametrize("g", [1e-3, -1.0, 1e3])
def test_adams_first_step_has_the_size_of_the_learning_rate(g):
    """m_hat = g and v_hat = g^2, so that it is lr g / |g|, whatever the size of g."""
    theta = parameter(1.0)
    steps(Adam([theta], lr=0.01), theta, [g])
    assert theta.item() == pytest.approx(1 - 0.01 * np.sign(g), rel=1e-6)


def test_the_defaults_are_pytorchs():
    theta = parameter(1.0)
    assert (Adam([theta]).lr, Adam([theta]).betas, Adam([theta]).eps) == (1e-3, (0.9, 0.999), 1e-8)
    assert (RMSprop([theta]).lr, RMSprop([theta]).alpha, RMSprop([theta]).eps) == (1e-2, 0.99, 1e-8)
    assert (SGD([theta]).lr, SGD([theta]).momentum) == (1e-3, 0.0)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_parameter_has_a_memory_of_its_own(kind):
    """Two parameters trained together move as each does alone."""
    together = [parameter(1.0, 2.0), parameter([3.0])]
    optimizer = kind(together, lr=0.1)
    alone = [parameter(1.0, 2.0), parameter([3.0])]
    optimizers = [kind([p], lr=0.1) for p in alone]
    for a, b in ((1.0, -5.0), (0.5, 2.0), (-1.0, 3.0)):
        for p, q, g in zip(together, alone, (a, b), strict=True):
            p.grad, q.grad = Tensor(np.full(p.shape, g)), Tensor(np.full(p.shape, g))
        optimizer.step()
        for single in optimizers:
            single.step()
    for p, q in zip(together, alone, strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-12)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_elements_do_not_mix(kind):
    theta, first = parameter(1.0, 1.0), parameter(1.0)
    optimizer, alone = kind([theta], lr=0.1), kind([first], lr=0.1)
    for g in ([1.0, 10.0], [-2.0, 7.0]):
        theta.grad, first.grad = Tensor(np.array(g)), Tensor(np.array(g[:1]))
        optimizer.step()
        alone.step()
    assert theta.numpy()[0] == pytest.approx(first.item(), rel=1e-12)
    assert theta.numpy()[1] != theta.numpy()[0]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_parameter_without_a_gradient_is_left_alone(kind):
    a, b = parameter(1.0), parameter(1.0)
    optimizer = kind([a, b], lr=0.1)
    a.grad = b.grad = Tensor(np.array([1.0]))
    optimizer.step()
    after, memory = b.item(), {k: v.copy() for k, v in optimizer.state().items() if k.startswith("1.")}
    optimizer.zero_grad()
    assert a.grad is None and b.grad is None
    a.grad = Tensor(np.array([1.0]))
    optimizer.step()
    assert b.item() == after and a.item() < after
    for name, array in memory.items():
        np.testing.assert_array_equal(optimizer.state()[name], array)


@pytest.mark.parametrize(
    ("kind", "names"),
    [(SGD, ["0.velocity", "1.velocity"]), (RMSprop, ["0.v", "1.v"]), (Adam, ["0.m", "0.v", "1.m", "1.v"])],
)
def test_state_names_what_is_remembered_and_resumes_a_run(kind, names):
    rng = np.random.default_rng(0)
    gradients = [[rng.standard_normal(3), rng.standard_normal((2, 2))] for _ in range(4)]

    def run(optimizer, gradients):
        for gs in gradients:
            for p, g in zip(optimizer.parameters, gs, strict=True):
                p.grad = Tensor(g)
            optimizer.step()

    one = kind([parameter(1.0, 2.0, 3.0), parameter([1.0, 2.0], [3.0, 4.0])], lr=0.1)
    if kind is SGD:
        one.momentum = 0.9
    run(one, gradients[:2])
    assert sorted(one.state()) == sorted([*names, "steps"])
    assert [a.shape for n, a in one.state().items() if n.startswith("1.")] == [(2, 2)] * (len(names) // 2)
    two = kind([nn.Parameter(p.numpy().copy()) for p in one.parameters], lr=0.1)
    if kind is SGD:
        two.momentum = 0.9
    for name, array in two.state().items():
        array[...] = one.state()[name]  # live arrays, not copies
    assert two.steps.tolist() == [2, 2]  # they are among the arrays
    run(one, gradients[2:])
    run(two, gradients[2:])
    for p, q in zip(one.parameters, two.parameters, strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_late_first_gradient_moves_a_parameter_as_a_first_step_does(kind):
    """Each parameter counts its own steps, so that Adam's correction fits its own memory."""
    late, other, alone = parameter(1.0), parameter(1.0), parameter(1.0)
    optimizer, first = kind([other, late], lr=0.1), kind([alone], lr=0.1)
    for g in (2.0, -1.0, 3.0):
        other.grad = Tensor(np.array([g]))
        optimizer.step()
    assert optimizer.steps.tolist() == [3, 0] and late.item() == 1.0
    for step, g in enumerate((0.5, -2.0), start=1):
        other.grad, late.grad, alone.grad = (Tensor(np.array([x])) for x in (1.0, g, g))
        optimizer.step()
        first.step()
        assert optimizer.steps.tolist() == [3 + step, step]
        assert late.item() == pytest.approx(alone.item(), rel=1e-14)


def test_adams_correction_by_hand_for_a_parameter_that_starts_late():
    early, late = parameter(1.0), parameter(1.0)
    optimizer = Adam([early, late], lr=0.1, betas=(0.5, 0.75), eps=0.5)
    early.grad = Tensor(np.array([1.0]))
    optimizer.step()
    early.grad, late.grad = Tensor(np.array([1.0])), Tensor(np.array([1.0]))
    optimizer.step()
    assert late.item() == pytest.approx(1 - 0.1 / 1.5, rel=1e-12)  # m_hat = v_hat = 1, as in a first step
    # m = 0.75, v = 0.4375 and so m_hat = v_hat = 1 again
    assert early.item() == pytest.approx(1 - 2 * 0.1 / 1.5, rel=1e-12)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_number_of_steps_is_handed_to_the_update(kind, monkeypatch):
    a, b = parameter(1.0), parameter(1.0, 2.0)
    optimizer, seen = kind([a, b]), []
    monkeypatch.setattr(
        kind, "update", lambda self, theta, g, *memory_and_t: seen.append((theta.size, memory_and_t[-1]))
    )
    for has_a in (True, False, True):
        optimizer.zero_grad()
        a.grad = Tensor(np.ones(1)) if has_a else None
        b.grad = Tensor(np.ones(2))
        optimizer.step()
    assert seen == [(1, 1), (2, 1), (2, 2), (1, 2), (2, 3)]
    assert all(type(t) is int for _, t in seen)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_steps_are_saved_and_restored_with_the_memory(kind):
    """Through `state` and `load_arrays`, as a checkpoint does it: also where parameters have made unequal steps."""

    def made():
        return kind([parameter(1.0), parameter(1.0)], lr=0.1)

    def go_on(optimizer):
        for p, g in zip(optimizer.parameters, (0.3, -0.7), strict=True):
            p.grad = Tensor(np.array([g]))
        optimizer.step()

    one, two = made(), made()
    one.parameters[0].grad = Tensor(np.array([1.0]))
    one.step()
    one.step()
    go_on(one)
    saved = {name: array.copy() for name, array in one.state().items()}
    assert saved["steps"].tolist() == [3, 1]
    for p, q in zip(one.parameters, two.parameters, strict=True):
        q.data[...] = p.data
    load_arrays(two.state(), saved)
    go_on(one)
    go_on(two)
    assert two.steps.tolist() == [4, 2]
    for p, q in zip(one.parameters, two.parameters, strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_steps_stay_in_float32_in_the_same_array_and_memory_order(kind):
    layer = nn.Conv2d(2, 3, 3, rng=np.random.default_rng(0))
    optimizer = kind(layer.parameters(), lr=np.float64(0.1))
    data, strides = layer.weight.data, layer.weight.data.strides
    layer(np.random.default_rng(1).standard_normal((2, 2, 5, 5))).mean().backward()
    for _ in range(2):
        optimizer.step()
    assert layer.weight.data is data and data.strides == strides and data.dtype == np.float32
    for name, array in optimizer.state().items():
        assert array.dtype == (np.int64 if name == "steps" else np.float32)
        if name.startswith("0."):
            assert array.strides == strides


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_step_does_not_change_the_gradient(kind):
    theta = parameter(1.0, -2.0)
    theta.grad = g = Tensor(np.array([3.0, 4.0]))
    optimizer = kind([theta], lr=0.1)
    for _ in range(2):
        optimizer.step()
    assert theta.grad is g
    np.testing.assert_array_equal(g.numpy(), [3.0, 4.0])


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_optimizer_finds_the_bottom_of_a_bowl(kind):
    theta = parameter(1.0, -0.5)
    optimizer = kind([theta], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        ((theta - Tensor(np.array([0.25, 0.5]))) ** 2).sum().backward()
        optimizer.lr *= 0.99
        optimizer.step()
    np.testing.assert_allclose(theta.numpy(), [0.25, 0.5], atol=0.01)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_zero_grad_starts_anew(kind):
    theta = parameter(1.0)
    optimizer = kind([theta])
    (theta * 2.0).sum().backward()
    optimizer.zero_grad()
    (theta * 3.0).sum().backward()
    assert theta.grad.item() == 3  # not 5


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("lr", [-0.1, float("nan"), float("inf")])
def test_a_bad_learning_rate_is_refused(kind, lr):
    with pytest.raises(ValueError, match=f"learning rate.*{lr}"):
        kind([parameter(1.0)], lr=lr)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_no_parameters_are_refused(kind):
    for nothing in ([], (), nn.ReLU().parameters(), iter([])):
        with pytest.raises(ValueError, match=f"{kind.__name__}.*no parameters"):
            kind(nothing)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_parameters_may_come_from_a_generator(kind):
    a, b = parameter(1.0), parameter(2.0)
    assert kind(p for p in (a, b)).parameters == [a, b]


@pytest.mark.parametrize("betas", [(1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9, float("nan")), (0.9,), (0.9, 0.9, 0.9)])
def test_bad_betas_are_refused(betas):
    with pytest.raises(ValueError, match="betas"):
        Adam([parameter(1.0)], betas=betas)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "0.5", None])
@pytest.mark.parametrize(("kind", "name"), [(SGD, "momentum"), (RMSprop, "alpha"), (RMSprop, "eps"), (Adam, "eps")])
def test_other_bad_settings_are_refused(kind, name, value):
    with pytest.raises(ValueError, match=rf"{kind.__name__}: {name} must be a number in \[0, .*, not {value!r}"):
        kind([parameter(1.0)], **{name: value})
    kind([parameter(1.0)], **{name: np.float32(0)})


@pytest.mark.parametrize(("kind", "name"), [(SGD, "momentum"), (RMSprop, "alpha")])
def test_a_memory_that_never_fades_is_refused(kind, name):
    with pytest.raises(ValueError, match=rf"{name} must be a number in \[0, 1\), not 1"):
        kind([parameter(1.0)], **{name: 1.0})


def test_clip_weights_on_both_sides_and_in_place():
    a, b = parameter(-3.0, -0.01, 0.0, 0.01, 3.0), parameter([0.5], [-0.5], dtype=np.float32)
    held = a.data
    clip_weights([a, b], limit=0.02)
    assert a.data is held
    np.testing.assert_array_equal(a.numpy(), [-0.02, -0.01, 0.0, 0.01, 0.02])
    np.testing.assert_allclose(b.numpy(), [[0.02], [-0.02]])
    assert b.dtype == np.float32
    clip_weights([a])
    np.testing.assert_array_equal(a.numpy(), [-0.01, -0.01, 0.0, 0.01, 0.01])


@pytest.mark.parametrize("limit", [0, -0.01, float("nan")])
def test_a_limit_that_leaves_nothing_is_refused(limit):
    a = parameter(1.0)
    with pytest.raises(ValueError, match=f"limit.*{limit}"):
        clip_weights([a], limit)
    assert a.item() == 1


def test_optimizers_refuse_what_they_cannot_train():
    weight = nn.Parameter(np.ones(3))
    for wrong in (weight, [Tensor(np.ones(3))], [np.ones(3)], [weight * 2]):
        with pytest.raises(TypeError, match="takes a list of parameters, such as"):
            Adam(wrong)
    with pytest.raises(ValueError, match="the same parameter twice"):
        Adam([weight, weight])
