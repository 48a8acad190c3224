"""The engine: what is recorded, how the walk back goes, what it costs, and what it leaves behind."""

import gc
import threading
import weakref

import numpy as np
import pytest
import versions
from finite_differences import check_gradients, leaves

from minigan import ShapeError, Tensor, grad, no_grad, ops
from minigan.tensor import is_recording, record, topological_order


def scalar(value):
    return Tensor(np.array(value, dtype=np.float64), requires_grad=True)


def double(x, calls, name="double"):
    """2 x, an op that writes down when its derivative is asked for."""

    def to_x(g, y):
        calls.append(name)
        return g * 2.0

    return record(x.data * 2.0, (x, to_x))


# --- making tensors ----------------------------------------------------------------------------------------------


def test_float64_stays_and_everything_else_becomes_float32():
    assert Tensor(np.zeros(2)).dtype == np.float64
    assert Tensor(np.float64(2)).dtype == np.float64
    for data in (np.zeros(2, np.float32), np.zeros(2, np.float16), np.arange(3), np.array([True]), [1.5, 2], 3, 2.5):
        assert Tensor(data).dtype == np.float32
    assert Tensor([1, 2], dtype="float64").dtype == np.float64
    assert Tensor(np.zeros(2), dtype=np.float32).dtype == np.float32
    assert Tensor(Tensor(np.zeros(2))).dtype == np.float64


@pytest.mark.parametrize(
    "data",
    [
        "abc",
        "1.5",
        ["1", "2"],
        np.array(["1", "2"]),
        None,
        [None, 1.0],
        object(),
        [object()],
        {"a": 1},
        [[1.0, 2.0], [3.0]],
        1j,
        [1j],
        np.array([1 + 2j]),
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("error")
def test_what_is_no_array_of_numbers_is_refused(data):
    with pytest.raises(TypeError) as error:
        Tensor(data)
    assert "Tensor" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", ["int64", "float16", "complex128", bool])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match="float32 or float64"):
        Tensor([1.0], dtype=dtype)


def test_properties():
    x = Tensor(np.zeros((2, 3)))
    assert (x.shape, x.ndim, x.size, len(x)) == ((2, 3), 2, 6, 2)
    assert (x.requires_grad, x.grad, x.parents) == (False, None, ())
    with pytest.raises(TypeError, match="no length"):
        len(Tensor(1.0))


def test_item_and_numpy():
    assert Tensor([[2.5]]).item() == 2.5
    assert type(Tensor(2.5).item()) is float
    with pytest.raises(ValueError, match=r"item.*\(2,\)"):
        Tensor([1.0, 2.0]).item()
    with pytest.raises(ValueError, match=r"item.*\(0,\)"):
        Tensor([]).item()
    x = Tensor([1.0, 2.0])
    assert isinstance(x.numpy(), np.ndarray) and not np.shares_memory(x.numpy(), x.data)


def test_repr_shows_the_numbers():
    assert repr(Tensor([1.0, 2.0], requires_grad=True)) == "Tensor([1., 2.], requires_grad=True)"
    assert repr(Tensor([[1.5]])) == "Tensor([[1.5]])"


def test_the_result_of_a_sum_is_an_array_too():
    y = Tensor([1.0, 2.0]).sum()
    assert isinstance(y.data, np.ndarray) and y.shape == ()


# --- what is recorded --------------------------------------------------------------------------------------------


def test_only_parents_that_need_a_gradient_are_recorded():
    a, b = Tensor([1.0], requires_grad=True), Tensor([2.0])
    y = a * b
    assert y.requires_grad and [parent for parent, _ in y.parents] == [a]
    assert not (b * b).requires_grad and (b * 2.0).parents == ()


def test_an_unneeded_derivative_is_never_computed():
    calls = []
    a, b = Tensor([1.0], requires_grad=True), Tensor([2.0])

    def spy(name):
        def derivative(g, y):
            calls.append(name)
            return g

        return derivative

    y = record(a.data + b.data, (a, spy("to a")), (b, spy("to b")))
    y.backward()
    assert calls == ["to a"] and b.grad is None


def test_no_grad_records_nothing_and_puts_the_switch_back():
    x = scalar(3.0)
    with no_grad():
        assert not is_recording()
        with no_grad():
            assert not is_recording()
        assert not is_recording()  # the inner one must not switch recording on
        y = x * x
    assert is_recording()
    assert y.item() == 9.0 and not y.requires_grad and y.parents == ()
    assert (x * x).requires_grad


def test_no_grad_is_left_behind_by_an_exception():
    with pytest.raises(RuntimeError, match="inside"), no_grad():
        raise RuntimeError("inside")
    assert is_recording()
    with no_grad():
        with pytest.raises(ShapeError):
            Tensor([1.0, 2.0]) + Tensor([1.0, 2.0, 3.0])
        assert not is_recording()


def test_a_failing_derivative_leaves_recording_as_it_was():
    def fail(g, y):
        raise RuntimeError("no derivative")

    x = scalar(1.0)
    y = record(x.data * 1.0, (x, fail))
    for create_graph in (False, True):
        with pytest.raises(RuntimeError, match="no derivative"):
            grad(y, x, create_graph=create_graph)
        assert is_recording()


def test_no_grad_is_a_switch_of_each_thread():
    seen = {}

    def other():
        seen["at the start"] = is_recording()
        with no_grad():
            inside.set()
            go_on.wait(10)
        seen["at the end"] = is_recording()

    inside, go_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=other)
    with no_grad():
        thread.start()
        assert inside.wait(10)
    assert is_recording()  # while the other thread is inside its own no_grad
    go_on.set()
    thread.join(10)
    assert seen == {"at the start": True, "at the end": True}


def test_detach_cuts_the_graph_and_keeps_the_values():
    x = scalar(3.0)
    y = (x * x).detach()
    assert y.item() == 9.0 and not y.requires_grad and y.parents == ()
    z = x * y  # y is a constant here: dz/dx = 9, not 27
    assert grad(z, x)[0].item() == 9.0
    w = Tensor(np.ones(2))
    assert w.detach().dtype == np.float64 and not np.shares_memory(w.detach().data, w.data)


# --- the walk ----------------------------------------------------------------------------------------------------


def test_several_outputs_and_inputs():
    a, b, c = scalar(2.0), scalar(3.0), scalar(5.0)
    y, z = a * b, b * c
    gradients = grad([y, z], [a, b, c])
    assert [g.item() for g in gradients] == [3.0, 2.0 + 5.0, 3.0]
    gradients = grad([y, z], [c, a, b], grad_outputs=[Tensor(np.array(10.0)), Tensor(np.array(100.0))])
    assert [g.item() for g in gradients] == [300.0, 30.0, 20.0 + 500.0]
    assert [g.item() for g in grad((y, z), (a,), (None, np.array(7.0)))] == [3.0]
    assert [g.item() for g in grad([y, y], a)] == [6.0]  # an output given twice counts twice
    assert [g.item() for g in grad(y, [a, a])] == [3.0, 3.0]
    assert a.grad is None and b.grad is None and c.grad is None


def test_grad_of_one_output_and_one_input_is_a_tuple():
    x = scalar(2.0)
    result = grad(x * x, x)
    assert isinstance(result, tuple) and len(result) == 1 and result[0].item() == 4.0


def test_an_output_with_respect_to_itself():
    x = scalar(2.0)
    y = x * 3.0
    assert [g.item() for g in grad(y, [y, x])] == [1.0, 3.0]
    assert grad(x, x)[0].item() == 1.0


def test_an_output_that_another_output_was_computed_from():
    x = scalar(2.0)
    y = x * 3.0
    z = y * y
    assert [g.item() for g in grad([z, y], [x, y])] == [(2 * 6.0 + 1.0) * 3.0, 2 * 6.0 + 1.0]
    assert [g.item() for g in grad([y, z], [x, y])] == [(2 * 6.0 + 1.0) * 3.0, 2 * 6.0 + 1.0]


def test_inputs_that_are_outputs_of_other_inputs():
    x = scalar(2.0)
    y = x * x  # 4
    z = y * y * x  # z = y^2 x
    to_x, to_y = grad(z, [x, y])
    assert to_y.item() == 2 * 4.0 * 2.0
    assert to_x.item() == 5 * 2.0**4  # z = x^5: y's share must be carried on
    to_y, to_x = grad(z, [y, x])
    assert (to_x.item(), to_y.item()) == (80.0, 16.0)


def test_the_upstream_gradient_may_be_an_array():
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    np.testing.assert_array_equal(grad(x * x, x, np.array([1.0, 10.0]))[0].numpy(), [2, 40])
    np.testing.assert_array_equal(grad(x * x, x, [[1.0, 10.0]])[0].numpy(), [2, 40])


def test_create_graph_records_the_walk_and_otherwise_nothing():
    x = scalar(3.0)
    assert not grad(x * x * x, x)[0].requires_grad
    (first,) = grad(x * x * x, x, create_graph=True)
    assert first.requires_grad
    assert grad(first, x)[0].item() == 18.0
    with no_grad():
        assert not is_recording()
    y = x * x * x
    with no_grad():  # create_graph means it, wherever it is asked for
        (first,) = grad(y, x, create_graph=True)
    assert first.requires_grad


def test_backward_leaves_gradients_without_a_graph():
    x = scalar(3.0)
    (x * x).backward()
    assert x.grad.item() == 6.0 and not x.grad.requires_grad and x.grad.parents == ()
    (x * x).backward()
    assert not x.grad.requires_grad and x.grad.parents == ()


def test_higher_derivatives_of_a_polynomial():
    x = Tensor(np.array([2.0, -1.0]), requires_grad=True)
    y = x**5 - 4 * x**3 + x * x * 7
    ones = np.ones(2)
    expected = [
        5 * x.data**4 - 12 * x.data**2 + 14 * x.data,
        20 * x.data**3 - 24 * x.data + 14,
        60 * x.data**2 - 24,
        120 * x.data,
        120 * ones,
    ]
    for order in range(5):
        (y,) = grad(y, x, [ones], create_graph=True)
        np.testing.assert_allclose(y.numpy(), expected[order], rtol=1e-12)


def test_a_gradient_penalty_by_finite_differences():
    """The use of second derivatives: the gradient with respect to the weights of a gradient with respect to x."""

    def penalty(x, w1, w2):
        score = ops.tanh(x @ w1) @ w2
        (g,) = grad(score.sum(), x, create_graph=True)
        return ((g * g).sum(axis=1).sqrt() - 1.0) ** 2

    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in [(3, 2), (2, 4), (4, 1)]]

    def function(x, w1, w2):  # x must be a leaf that needs a gradient, also where a check asks for none of it
        return penalty(x if x.requires_grad else Tensor(x, requires_grad=True), w1, w2)

    w1, w2 = arrays[1:]
    check_gradients(lambda w1, w2: function(Tensor(arrays[0]), w1, w2), w1, w2, order=1)


def test_backward_twice_adds_twice():
    x, w = scalar(3.0), scalar(5.0)
    loss = x * x * w
    loss.backward()
    assert (x.grad.item(), w.grad.item()) == (30.0, 9.0)
    loss.backward()
    assert (x.grad.item(), w.grad.item()) == (60.0, 18.0)
    (x * 2.0).backward()
    assert (x.grad.item(), w.grad.item()) == (62.0, 18.0)


def test_backward_twice_does_not_write_into_the_first_gradient():
    x = scalar(3.0)
    (x * x).backward()
    first = x.grad
    (x * x).backward()
    assert first.item() == 6.0 and x.grad.item() == 12.0


def test_a_non_leaf_may_be_used_again():
    x = scalar(3.0)
    y = x * x
    (y * 2.0).backward()
    (y * 5.0).backward()
    assert x.grad.item() == 6.0 * 7.0
    assert y.grad is None  # only leaves keep their gradient


def test_backward_with_an_upstream_gradient():
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    (x * x).backward(Tensor(np.array([1.0, -1.0])))
    np.testing.assert_array_equal(x.grad.numpy(), [2, -4])


def test_backward_from_a_leaf():
    x = scalar(3.0)
    x.backward()
    assert x.grad.item() == 1.0


def test_backward_for_some_inputs_computes_nothing_else():
    calls = []
    x, w, v = scalar(1.0), scalar(2.0), scalar(3.0)
    y = double(double(x, calls, "x") + double(w, calls, "w"), calls, "sum") * double(v, calls, "v")
    y.backward(inputs=[w])
    assert calls == ["sum", "w"]
    assert w.grad.item() == 24.0
    assert x.grad is None and v.grad is None
    y.backward(inputs=(v, v))  # named twice, counted once
    assert calls == ["sum", "w", "v"] and v.grad.item() == 24.0


def test_grad_computes_nothing_that_was_not_asked_for():
    calls = []
    x, w = scalar(1.0), scalar(2.0)
    hidden = double(x, calls, "x")
    y = double(hidden * w, calls, "y")
    grad(y, w)
    assert calls == ["y"]
    grad(y, hidden)  # stops at hidden, and does not go on to x
    assert calls == ["y", "y"]


def test_backward_for_a_non_leaf():
    x = scalar(2.0)
    y = x * x
    (y * y).backward(inputs=[y])
    assert y.grad.item() == 8.0 and x.grad is None


# --- each node once ----------------------------------------------------------------------------------------------


def test_sixteen_chained_sums_visit_each_node_once():
    calls = []
    x = y = scalar(1.0)
    for _ in range(16):
        y = double(y, calls)
        y = y + y
    y.backward()
    assert len(calls) == 16  # not 2 + 4 + ... + 2**16
    assert x.grad.item() == 4.0**16
    assert len(topological_order([y])) == 33


@pytest.mark.parametrize("create_graph", [False, True])
def test_ten_thousand_operations_in_a_row(create_graph):
    calls = []
    x = y = scalar(1.0)
    for _ in range(5_000):
        y = -double(y, calls) * 0.5
    (g,) = grad(y, x, create_graph=create_graph)
    assert g.item() == 1.0
    assert len(calls) == 5_000


def test_a_hundred_thousand_operations_are_freed_without_recursion():
    y = Tensor([1.0], requires_grad=True)
    for _ in range(100_000):
        y = -y
    alive = weakref.ref(y.parents[0][0].data)
    del y
    assert alive() is None


def test_topological_order():
    x, w = scalar(1.0), scalar(2.0)
    a = x * w
    b = a + x
    c = b * a * b
    aside = x * 5.0  # no part of c
    order = topological_order([c])
    assert len(order) == len(set(order))
    assert set(order) >= {x, w, a, b, c} and aside not in order
    place = {tensor: i for i, tensor in enumerate(order)}
    for tensor in order:
        for parent, _ in tensor.parents:
            assert place[parent] < place[tensor]
    assert order[-1] is c


def test_topological_order_of_several_outputs():
    x = scalar(1.0)
    y = x * 2.0
    z = y * y
    for outputs in ([y, z], [z, y], [z, y, z]):
        order = topological_order(outputs)
        assert order.index(x) < order.index(y) < order.index(z) and len(order) == 3
    assert topological_order([]) == []


@pytest.mark.parametrize("seed", range(5))
def test_random_graphs(seed):
    """Layers of sums and products of what came before, with numpy as the judge of order 1 and 2."""
    rng = np.random.default_rng(seed)
    plan = [(int(rng.integers(0, i + 2)), int(rng.integers(0, i + 2)), bool(rng.integers(2))) for i in range(8)]

    def function(a, b):
        nodes = [a, b]
        for left, right, is_sum in plan:
            l, r = nodes[left], nodes[right]
            nodes.append(l + r if is_sum else ops.tanh(l * r))
        return nodes[-1] + nodes[-2] * a + b  # a and b take part for certain

    check_gradients(function, rng.standard_normal((2, 2)), rng.standard_normal(2))


# --- memory ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[versions.plain, versions.fast], ids=["plain", "fast"])
def no_gc(request):
    """Without the cycle collector: what is part of a reference cycle stays alive."""
    gc.collect()
    gc.disable()
    with request.param():
        yield
    gc.enable()


def network():
    """A loss through an op of every file, and weak references to the arrays on the way."""
    x, weight, kernel, scale, shift = (
        Tensor(np.random.default_rng(i).standard_normal(shape), requires_grad=True)
        for i, shape in enumerate([(2, 1, 4, 4), (3, 8), (2, 1, 3, 3), (2,), (2,)])
    )
    steps = [ops.conv2d(x, kernel, None, 2, 1)]
    steps.append(ops.batch_norm(steps[-1], scale, shift)[0])
    steps.append(ops.leaky_relu(steps[-1], 0.2))
    steps.append(ops.linear(steps[-1].reshape(2, -1), weight))
    steps.append(ops.concatenate([steps[-1], ops.maximum(steps[-1], 0.0)])[np.array([0, 1, 1])])
    steps.append(ops.where(steps[-1].numpy() > 0, ops.softplus(steps[-1]), steps[-1] ** 2))
    steps.append(ops.logsumexp(steps[-1], axis=1) / ops.max(steps[-1], axis=1))
    steps.append(steps[-1].mean())
    arrays = [weakref.ref(step.data) for step in steps]
    return [x, weight, kernel, scale, shift], steps[-1], arrays


def test_no_cycle_keeps_the_graph_alive_after_backward(no_gc):
    leaves_, loss, arrays = network()
    loss.backward()
    assert all(array() is not None for array in arrays)
    del loss
    assert [array() for array in arrays] == [None] * len(arrays)
    assert all(leaf.grad is not None for leaf in leaves_)


def test_no_cycle_keeps_the_graph_alive_after_grad_with_create_graph(no_gc):
    leaves_, loss, arrays = network()
    gradients = grad(loss, leaves_, create_graph=True)
    penalty = sum((g * g).sum() for g in gradients)
    arrays += [weakref.ref(g.data) for g in gradients] + [weakref.ref(penalty.data)]
    penalty.backward()
    assert all(array() is not None for array in arrays)
    del loss, penalty, gradients
    assert [array() for array in arrays] == [None] * len(arrays)


def test_no_cycle_is_made_by_an_error(no_gc):
    x = Tensor(np.ones(3), requires_grad=True)
    y = x * 2.0
    alive = weakref.ref(y.data)
    try:
        y + Tensor(np.ones(4))
    except ShapeError:
        pass
    try:
        y.backward()
    except ValueError:
        pass
    del y
    assert alive() is None


def test_the_walk_frees_gradients_that_are_used_up():
    alive, seen = [], []
    x = y = Tensor(np.ones(3), requires_grad=True)

    def derivative(g, y):
        seen.append([array() is not None for array in alive])
        alive.append(weakref.ref(g.data))
        return g * 2.0

    for _ in range(5):
        y = record(y.data * 2.0, (y, derivative))
    grad(y, x, np.ones(3))
    assert seen[4][1:3] == [False, False]  # at the fifth step the second and third gradient are gone


# --- bad input ---------------------------------------------------------------------------------------------------


def test_an_input_that_took_no_part():
    x, other = scalar(1.0), Tensor(np.ones((2, 3)), requires_grad=True)
    with pytest.raises(ValueError, match=r"grad: input 1, of shape \(2, 3\)"):
        grad(x * x, [x, other])
    y = x * x
    with pytest.raises(ValueError, match="input 0"):
        grad(x * 2.0, y)  # y came from x, but is no part of x * 2


def test_backward_from_more_than_a_single_number():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    for call in (lambda: (x * x).backward(), lambda: grad(x * x, x)):
        with pytest.raises(ValueError, match=r"single number.*\(2, 3\).*mean"):
            call()
    assert x.grad is None
    (x[:1, :1] * 2.0).backward()  # one number in any shape is fine
    assert x.grad.numpy()[0, 0] == 2.0


def test_nothing_to_differentiate():
    x = scalar(1.0)
    with no_grad():
        recorded_off = x * x
    for loss in (Tensor([1.0]), x.detach() * 2.0, recorded_off):
        with pytest.raises(ValueError, match="nothing to differentiate"):
            loss.backward()
        with pytest.raises(ValueError, match="nothing to differentiate"):
            grad(loss, x)


def test_an_upstream_gradient_of_the_wrong_shape():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    for call in (lambda u: (x * x).backward(u), lambda u: grad(x * x, x, u)):
        with pytest.raises(ShapeError, match=r"\(3,\).*\(2, 3\)"):
            call(Tensor(np.ones(3)))


@pytest.mark.parametrize("operation", [lambda x: x.sum(axis=0), lambda x: x * x, lambda x: -x])
def test_an_upstream_gradient_of_the_wrong_dtype(operation):
    x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    y = operation(x)
    with pytest.raises(TypeError, match="float32"):
        grad(y, x, Tensor(np.ones(y.shape)))


def test_the_number_of_upstream_gradients():
    x = scalar(1.0)
    with pytest.raises(ValueError, match=r"2 outputs.*1"):
        grad([x * x, x + x], x, [Tensor(np.array(1.0))])


def test_a_derivative_of_the_wrong_shape_is_caught():
    (x,) = leaves(np.ones((2, 3)))
    y = record(x.data.sum(axis=0), (x, lambda g, y: g))
    with pytest.raises(ShapeError, match=r"\(3,\).*\(2, 3\)"):
        grad(y, x, np.ones(3))


def test_a_loss_that_depends_on_none_of_the_inputs_is_refused():
    """An optimizer whose parameters took no part would otherwise stand still, in silence."""
    a, b = Tensor([1.0], requires_grad=True), Tensor([2.0], requires_grad=True)
    with pytest.raises(ValueError, match="depends on none of these parameters: was a tensor detached"):
        (a * a).backward(inputs=[b])
    (a * a).backward(inputs=[a, b])  # one is enough
    assert a.grad.item() == 2.0 and b.grad is None
