"""Values that are changed between the forward pass and the walk back: refused, or the old ones are kept."""

import copy
import operator

import numpy as np
import pytest

from minigan import Tensor, grad, losses, ops
from minigan.errors import ChangedError
from minigan.gan import minimise, update_average
from minigan.nn import BatchNorm1d, LeakyReLU, Linear, Module, Parameter, Sequential
from minigan.optim import SGD, Adam, RMSprop, clip_weights
from minigan.table import plain


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class WrittenOut(Module):
    """A dense layer as a student writes it: its derivatives look into W.T, a view of the weight."""

    def __init__(self, rng):
        self.W, self.b = Parameter(rng.standard_normal((1, 2))), Parameter(np.zeros(1))

    def forward(self, x):
        return x @ self.W.T + self.b


def players(rng):
    """G and D on points, float64."""
    G = Sequential(Linear(2, 3, rng=rng), LeakyReLU(0.2), Linear(3, 2, rng=rng))
    D = Sequential(Linear(2, 4, rng=rng), LeakyReLU(0.2), Linear(4, 1, rng=rng))
    for network in (G, D):
        for p in network.parameters():
            p.data = p.data.astype("float64")
    return G, D


CHANGES = {
    "SGD": lambda D: SGD(D.parameters(), 0.1).step(),
    "Adam": lambda D: Adam(D.parameters(), 0.1).step(),
    "RMSprop": lambda D: RMSprop(D.parameters(), 0.1).step(),
    "clip_weights": lambda D: clip_weights(D.parameters(), 0.01),
    "load_state_dict": lambda D: D.load_state_dict({name: 2 * array for name, array in D.state_dict().items()}),
    "update_average": lambda D: update_average(D, copy.deepcopy(D), 0.5),
    "a step by hand": lambda D: [setattr(p, "data", operator.isub(p.data, 0.1 * p.grad.data)) for p in D.parameters()],
    "written into": lambda D: [(p.data.fill(0.5), p.changed()) for p in D.parameters()],
    "new arrays": lambda D: [setattr(p, "data", 2 * p.data) for p in D.parameters()],
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("frozen", [False, True])
def test_a_change_of_the_other_player_before_its_walk_back_is_refused(what, frozen, rng):
    """The stale step: G's loss is computed, D moves, and then gradients would flow through the new D."""
    G, D = players(rng)
    for p in D.parameters():
        p.grad = Tensor(np.ones(p.shape))
    fake = G(Tensor(rng.standard_normal((5, 2))))
    if frozen:
        with D.frozen():
            loss = losses.non_saturating.generator(D(fake))
    else:
        loss = losses.non_saturating.generator(D(fake))
    CHANGES[what](D)
    with pytest.raises(ChangedError, match=r"tensor of shape .* was changed .* call backward\(\) before"):
        loss.backward(inputs=G.parameters())
    with pytest.raises(ChangedError):
        grad(loss, G.parameters(), create_graph=True)
    loss = losses.non_saturating.generator(D(G(Tensor(rng.standard_normal((5, 2))))))  # computed anew
    loss.backward(inputs=G.parameters())


def test_in_plain_mode_too(rng):
    with plain():
        test_a_change_of_the_other_player_before_its_walk_back_is_refused("SGD", True, rng)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    "view",
    [
        lambda W: W.T,
        lambda W: ops.reshape(W, 2, 1),
        lambda W: ops.reshape(W, 2)[:, None],
        lambda W: ops.transpose(W.T.T, (1, 0)),
    ],
)
def test_views_of_a_weight_are_watched_too(view, frozen, rng):
    """x @ W.T: the derivative to x looks into W's memory, whether W needs a gradient or not."""
    W, x = Parameter(np.array([[2.0, 3.0]])), Tensor(np.ones((4, 2)), requires_grad=True)
    W.requires_grad = not frozen
    y = (x @ view(W)).sum()
    W.requires_grad = True
    W.grad = Tensor(np.ones((1, 2)))
    SGD([W], 0.1).step()
    with pytest.raises(ChangedError):
        y.backward(inputs=[x])


def test_a_layer_written_out_by_hand_is_watched(rng):
    D, x = WrittenOut(rng), Tensor(rng.standard_normal((3, 2)), requires_grad=True)
    with D.frozen():
        loss = D(x).sum()
    for p in D.parameters():
        p.grad = Tensor(np.ones(p.shape))
    SGD(D.parameters(), 0.1).step()
    with pytest.raises(ChangedError):
        loss.backward()


def test_running_statistics_that_move_before_the_walk_back_are_watched(rng):
    layer, x = BatchNorm1d(2), rng.standard_normal((4, 2)).astype(np.float32)
    layer.eval()
    loss = (layer(Tensor(x)) ** 2).sum()
    layer.train()
    layer(Tensor(3 * x + 1))
    with pytest.raises(ChangedError):
        loss.backward(inputs=layer.parameters())


def test_steps_in_the_right_order_go_through(rng):
    """No false alarm: both losses first, both walks back, then both steps; and the alternating order."""
    G, D = players(rng)
    g_optimizer, d_optimizer = SGD(G.parameters(), 0.1), SGD(D.parameters(), 0.1)
    for _ in range(3):
        fake = G(Tensor(rng.standard_normal((5, 2))))
        d_loss = losses.minimax.discriminator(D(Tensor(np.ones((5, 2)))), D(fake.detach()))
        g_loss = losses.minimax.generator(D(fake))
        g_optimizer.zero_grad(), d_optimizer.zero_grad()
        d_loss.backward(inputs=D.parameters())
        g_loss.backward(inputs=G.parameters())
        g_optimizer.step(), d_optimizer.step()
        minimise(losses.minimax.discriminator(D(Tensor(np.ones((5, 2)))), D(fake.detach())), d_optimizer)
        minimise(losses.minimax.generator(D(G(Tensor(np.ones((5, 2)))))), g_optimizer)


def test_a_change_of_what_the_walk_does_not_meet_is_none(rng):
    """D has moved, but only gradients of the part after D are asked for."""
    _, D = players(rng)
    scale = Parameter(np.array(2.0))
    loss = (D(Tensor(np.ones((3, 2)))) * scale).sum()
    clip_weights(D.parameters(), 0.01)
    loss.backward(inputs=[scale])
    assert scale.grad is not None


REUSED = {
    "the array of a Tensor": (lambda w, b: (Tensor(b) * w).sum(), np.float32),
    "an operand": (lambda w, b: (w * b).sum(), np.float32),
    "an operand on the left": (lambda w, b: (b * w).sum(), np.float32),
    "a factor of a product": (lambda w, b: (w @ b).sum(), np.float32),
    "an exponent": (lambda w, b: (w**b).sum(), np.float32),
    "a detached tensor's values": (lambda w, b: (w * Tensor(b).detach()).sum(), np.float32),
    "an index": (lambda w, b: w[b].sum(), np.int64),
    "an index of a tuple": (lambda w, b: ops.reshape(w, 1, 3)[:, b].sum(), np.int64),
    "a mask": (lambda w, b: w[b].sum(), bool),
    "a condition": (lambda w, b: ops.where(b, w, 2 * w).sum(), bool),
    "targets": (lambda w, b: losses.bce_with_logits(w, b), np.float32),
    "a list of places": (lambda w, b: w[b].sum(), list),
}


@pytest.mark.parametrize("what", REUSED)
def test_a_buffer_of_the_caller_may_be_used_again(what):
    """Its old values are kept."""
    function, kind = REUSED[what]
    gradients = []
    for reuse in (False, True):
        w = Parameter(np.array([0.5, 0.7, 0.9], np.float32))
        buffer = [1, 0, 1] if kind is list else np.array([1, 0, 1]).astype(kind)
        loss = function(w, buffer)
        if reuse:
            buffer[:] = [0, 0, 0]
        loss.backward()
        gradients.append(w.grad.numpy().tolist())
    assert gradients[0] == gradients[1] and any(gradients[0])


def test_what_was_read_from_a_tensor_may_be_changed():
    """Pictures are scaled in place before they are shown: the fakes stay as they are."""
    w = Parameter(np.array([1.0, 2.0]))
    y = w * w
    for values in (y.numpy(), y.detach().data, np.asarray(y.detach()), w.numpy()):
        values *= 0
    (y * y).sum().backward()
    assert w.grad.numpy().tolist() == [4.0, 32.0]


LEAVES = {
    "a sum": lambda a, b: (a + b) * 4,
    "a difference": lambda a, b: (a - b) * 4,
    "a view": lambda a, b: (ops.reshape(a, 3, 1) + ops.reshape(b, 3, 1)) * 4,
    "joined": lambda a, b: ops.concatenate([a, b]) * 4,
    "transposed": lambda a, b: (a[None].T + b[None].T) * 4,
    "the same leaf on two paths": lambda a, b: (a + a + b) * 4,
}


@pytest.mark.parametrize("what", LEAVES)
def test_each_leaf_has_a_gradient_array_of_its_own(what):
    """So that clipping one in place does not scale another."""
    a, b = Parameter(np.ones(3)), Parameter(np.ones(3))
    y = LEAVES[what](a, b)
    y.backward(Tensor(np.ones(y.shape)))
    before = b.grad.numpy()
    assert not np.shares_memory(a.grad.data, b.grad.data)
    a.grad.data *= 0.5
    assert np.array_equal(b.grad.numpy(), before)


@pytest.mark.parametrize(
    "function", [lambda a: a + 0.0, lambda a: ops.reshape(a, 3, 1), lambda a: ops.transpose(a[None])]
)
def test_the_upstream_gradient_stays_the_callers(function):
    a = Parameter(np.ones(3))
    y = function(a)
    upstream = Tensor(np.ones(y.shape))
    y.backward(upstream)
    a.grad.data += 5
    assert np.array_equal(upstream.numpy(), np.ones(y.shape))
    a.grad = None
    function(a).backward(upstream)
    upstream.data += 5
    assert a.grad.numpy().tolist() == [1.0, 1.0, 1.0]


def test_a_leaf_that_is_itself_the_output():
    a = Parameter(np.ones(2))
    upstream = Tensor(np.ones(2))
    a.backward(upstream)
    a.grad.data += 5
    assert upstream.numpy().tolist() == [1.0, 1.0]
