"""Losses: their formulas, their gradients as the docstrings derive them, and the gradient penalty."""

from functools import partial

import numpy as np
import pytest
from finite_differences import numerical_gradient

from minigan import Tensor, grad, gradcheck, losses, nn
from minigan.gans.wgan_gp import WGANGP
from minigan.losses import bce_with_logits, find_game, gradient_penalty
from minigan.networks import dcgan_discriminator, dcgan_generator, mlp_discriminator, mlp_generator
from minigan.nn import BatchNorm1d, LeakyReLU, Linear, Parameter, Sequential

GAMES = losses.GAMES | {"wasserstein": losses.wasserstein}  # whose critic must be bounded, so no setting names it
REAL = np.array([[0.3], [-1.7], [2.9], [0.9], [-0.4]])
FAKE = np.array([[1.1], [-2.5], [0.2], [-0.6], [3.3]])
N = len(REAL)


def belief(x):
    return 1 / (1 + np.exp(-x))


def logit(x, dtype=np.float64):
    return Tensor(np.array(x, dtype).reshape(-1, 1), requires_grad=True)


# --- the formulas, in terms of probabilities where the paper has them, and their closed-form gradients ------------

DISCRIMINATOR = {
    "minimax": lambda r, f: -np.mean(np.log(belief(r))) - np.mean(np.log(1 - belief(f))),
    "non_saturating": lambda r, f: -np.mean(np.log(belief(r))) - np.mean(np.log(1 - belief(f))),
    "least_squares": lambda r, f: np.mean((r - 1) ** 2) / 2 + np.mean(f**2) / 2,
    "hinge": lambda r, f: np.mean(np.maximum(0, 1 - r)) + np.mean(np.maximum(0, 1 + f)),
    "wasserstein": lambda r, f: np.mean(f) - np.mean(r),
}
GENERATOR = {
    "minimax": lambda f: np.mean(np.log(1 - belief(f))),
    "non_saturating": lambda f: -np.mean(np.log(belief(f))),
    "least_squares": lambda f: np.mean((f - 1) ** 2) / 2,
    "hinge": lambda f: -np.mean(f),
    "wasserstein": lambda f: -np.mean(f),
}
# N times the gradient at a real logit, at a fake logit, and at a fake logit in the generator's loss
GRADIENTS = {
    "minimax": (lambda r: belief(r) - 1, lambda f: belief(f), lambda f: -belief(f)),
    "non_saturating": (lambda r: belief(r) - 1, lambda f: belief(f), lambda f: belief(f) - 1),
    "least_squares": (lambda r: r - 1, lambda f: f, lambda f: f - 1),
    "hinge": (lambda r: -1.0 * (r < 1), lambda f: 1.0 * (f > -1), lambda f: -np.ones_like(f)),
    "wasserstein": (lambda r: -np.ones_like(r), lambda f: np.ones_like(f), lambda f: -np.ones_like(f)),
}


def test_every_loss_is_listed_under_its_name():
    assert set(GAMES) == set(DISCRIMINATOR)
    assert all(GAMES[name] is getattr(losses, name) for name in GAMES)
    games = {
        name for name, value in vars(losses).items() if isinstance(value, type) and hasattr(value, "discriminator")
    }
    assert games == set(GAMES)


@pytest.mark.parametrize("name", losses.GAMES)
def test_a_game_is_found_by_its_name(name):
    assert find_game(name) is getattr(losses, name)


@pytest.mark.parametrize("name", ["wasserstein", "Hinge", "", "bce_with_logits"])
def test_a_game_that_is_not_there_gets_one_sentence(name):
    sentence = f"there is no loss '{name}': choose one of non_saturating, minimax, least_squares, hinge"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        find_game(name)


@pytest.mark.parametrize("name", DISCRIMINATOR)
def test_values_are_those_of_the_formulas(name):
    game = GAMES[name]
    assert game.discriminator(logit(REAL), logit(FAKE)).shape == ()
    assert game.discriminator(logit(REAL), logit(FAKE)).item() == pytest.approx(DISCRIMINATOR[name](REAL, FAKE), 1e-12)
    assert game.generator(logit(FAKE)).item() == pytest.approx(GENERATOR[name](FAKE), 1e-12)
    fewer = FAKE[:3]  # there may be fewer fakes than reals: each mean is over its own
    assert game.discriminator(logit(REAL), logit(fewer)).item() == pytest.approx(DISCRIMINATOR[name](REAL, fewer))


@pytest.mark.parametrize("name", DISCRIMINATOR)
def test_gradients_are_the_docstrings_and_the_slopes(name):
    game, (to_real, to_fake, to_generated) = GAMES[name], GRADIENTS[name]
    real, fake, generated = logit(REAL), logit(FAKE), logit(FAKE)
    game.discriminator(real, fake).backward()
    game.generator(generated).backward()
    for x, formula in ((real, to_real), (fake, to_fake), (generated, to_generated)):
        np.testing.assert_allclose(x.grad.numpy(), formula(x.numpy()) / N, rtol=1e-12)
    for x, f in (
        (real, lambda: game.discriminator(real, fake).item()),
        (fake, lambda: game.discriminator(real, fake).item()),
        (generated, lambda: game.generator(generated).item()),
    ):
        np.testing.assert_allclose(x.grad.numpy(), numerical_gradient(f, x.data), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", DISCRIMINATOR)
def test_the_discriminator_gains_where_reals_score_high_and_fakes_low(name):
    game = GAMES[name]
    good = game.discriminator(logit([0.9]), logit([-0.1])).item()
    assert good < game.discriminator(logit([-0.1]), logit([0.9])).item()
    assert game.generator(logit([0.9])).item() < game.generator(logit([-0.1])).item()


@pytest.mark.parametrize("name", DISCRIMINATOR)
def test_losses_stay_in_float32(name):
    real, fake = logit(REAL, np.float32), logit(FAKE, np.float32)
    for loss in (GAMES[name].discriminator(real, fake), GAMES[name].generator(fake)):
        assert loss.dtype == np.float32
        loss.backward()
    assert real.grad.dtype == fake.grad.dtype == np.float32


# --- large logits. e^-100 = 3.72e-44 is the smallest belief that float32 can just hold. ---------------------------

SURE = np.exp(-100.0)  # 1 - D at a logit of 100, and D at -100


def softplus(x):
    return max(x, 0.0) + np.log1p(np.exp(-abs(x)))


def exactly(dtype):
    """To a few roundings; in float32 numbers as small as e^-100 are multiples of 1.4e-45."""
    return {"rel": 1e-6, "abs": 3e-45} if dtype == np.float32 else {"rel": 1e-13, "abs": 0}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("x", [100.0, -100.0])
@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
@pytest.mark.filterwarnings("error")
def test_losses_with_logarithms_are_right_at_100(name, x, dtype):
    exact = exactly(dtype)
    real, fake, generated = logit([x], dtype), logit([-x], dtype), logit([x], dtype)
    loss = GAMES[name].discriminator(real, fake)  # both right at x = 100, both wrong at -100
    assert loss.item() == pytest.approx(2 * softplus(-x), **exact)
    loss.backward()
    wrong = SURE if x > 0 else 1.0  # how wrong both beliefs are
    assert real.grad.item() == pytest.approx(-wrong, **exact)
    assert fake.grad.item() == pytest.approx(wrong, **exact)
    loss = GAMES[name].generator(generated)
    loss.backward()
    if name == "minimax":
        assert loss.item() == pytest.approx(-softplus(x), **exact)
        assert generated.grad.item() == pytest.approx(-(1.0 if x > 0 else SURE), **exact)
    else:
        assert loss.item() == pytest.approx(softplus(-x), **exact)
        assert generated.grad.item() == pytest.approx(-wrong, **exact)


@pytest.mark.parametrize("x", [20.0, 40.0])
def test_a_discriminator_that_is_sure_still_learns_in_float32(x):
    """D rounds to 1 here, so a gradient that was computed as D - 1 would be 0."""
    real, generated = logit([x], np.float32), logit([x], np.float32)
    losses.minimax.discriminator(real, logit([0.0], np.float32)).backward()
    losses.non_saturating.generator(generated).backward()
    assert real.grad.item() == pytest.approx(-np.exp(-x), rel=1e-5, abs=0)
    assert generated.grad.item() == pytest.approx(-np.exp(-x), rel=1e-5, abs=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("real", "fake"), [(100.0, -100.0), (-100.0, 100.0), (100.0, 100.0), (-100.0, -100.0)])
@pytest.mark.parametrize("name", ["least_squares", "hinge", "wasserstein"])
@pytest.mark.filterwarnings("error")
def test_losses_without_logarithms_are_exact_at_100(name, real, fake, dtype):
    r, f, generated = logit([real], dtype), logit([fake], dtype), logit([fake], dtype)
    loss, g_loss = GAMES[name].discriminator(r, f), GAMES[name].generator(generated)
    assert loss.item() == DISCRIMINATOR[name](real, fake)
    assert g_loss.item() == GENERATOR[name](fake)
    loss.backward()
    g_loss.backward()
    for x, formula in zip((r, f, generated), GRADIENTS[name], strict=True):
        assert x.grad.item() == formula(x.numpy()).item()


@pytest.mark.parametrize("target", [0.0, 0.3, 0.9, 1.0])
def test_bce_is_the_cross_entropy_with_its_target(target):
    x = logit(REAL)
    loss = bce_with_logits(x, target)
    D = belief(REAL)
    assert loss.item() == pytest.approx(np.mean(-target * np.log(D) - (1 - target) * np.log(1 - D)), rel=1e-12)
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), (D - target) / N, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_label_smoothing_is_for_the_reals_only(name):
    real, fake = logit(REAL), logit(FAKE)
    loss = GAMES[name].discriminator(real, fake, label_smoothing=0.1)
    D = belief(REAL)
    reals = -np.mean(0.9 * np.log(D) + 0.1 * np.log(1 - D))
    fakes = -np.mean(np.log(1 - belief(FAKE)))
    assert loss.item() == pytest.approx(reals + fakes, rel=1e-12)
    loss.backward()
    np.testing.assert_allclose(real.grad.numpy(), (D - 0.9) / N, rtol=1e-12)
    np.testing.assert_allclose(fake.grad.numpy(), belief(FAKE) / N, rtol=1e-12)
    certain = logit([100.0])
    GAMES[name].discriminator(certain, logit([0.0]), label_smoothing=0.1).backward()
    assert certain.grad.item() == pytest.approx(0.1)  # a too certain D is pulled back


def test_the_saturating_generator_learns_little_where_the_other_learns_most():
    """At D = 0.01 the gradients are -D and D - 1."""
    x = np.log(0.01 / 0.99)
    a, b = logit([x]), logit([x])
    losses.minimax.generator(a).backward()
    losses.non_saturating.generator(b).backward()
    assert a.grad.item() == pytest.approx(-0.01)
    assert b.grad.item() == pytest.approx(-0.99)


# --- the gradient penalty -----------------------------------------------------------------------------------------


def to_float64(model):
    for tensor in model.state().values():
        tensor.data = tensor.data.astype(np.float64)
    return model


def pairs(*shape, dtype=np.float64):
    generator = np.random.default_rng(3)
    return tuple(Tensor(generator.standard_normal(shape), dtype=dtype) for _ in range(2))


def linear_critic(*weights):
    """One critic of known weights: its slope at every x is the weights."""
    w = Tensor(np.array(weights))
    return lambda x: (x.reshape(len(x), -1) * w).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("shape", [(7, 4), (7, 1, 2, 2)])
@pytest.mark.parametrize(
    ("weights", "slope"), [((0.6, 0.0, -0.8, 0.0), 1), ((3.0, 0, 4, 0), 5), ((0.3, 0, 0, 0.4), 0.5)]
)
def test_penalty_of_a_linear_critic_is_its_slope_less_1_squared(weights, slope, shape):
    """Per sample. Over the whole batch the slope would be larger by the root of 7; over axis 0, another number."""
    penalty = gradient_penalty(linear_critic(*weights), *pairs(*shape), np.random.default_rng(0))
    assert penalty.shape == ()
    assert penalty.item() == pytest.approx((slope - 1) ** 2, abs=1e-9)


def critics():
    generator = np.random.default_rng(4)
    dense = nn.Sequential(nn.Linear(6, 5, rng=generator), nn.Tanh(), nn.Linear(5, 1, rng=generator))
    conv = nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2, padding=1, rng=generator),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(12, 1, rng=generator),
    )
    for model in (dense, conv):
        for p in model.parameters():
            p.data[...] += 0.1 * generator.standard_normal(p.shape)
    return {"dense": (to_float64(dense), (5, 6)), "convolution": (to_float64(conv), (4, 2, 4, 4))}


@pytest.mark.parametrize("kind", ["dense", "convolution"])
def test_penalty_equals_a_loop_over_samples_with_numerical_slopes(kind):
    critic, shape = critics()[kind]
    real, fake = pairs(*shape)
    seen = []

    def watched(x):
        seen.append(x.numpy().copy())
        return critic(x)

    penalty = gradient_penalty(watched, real, fake, np.random.default_rng(1)).item()
    (between,) = seen
    total, places = 0.0, []
    for x, r, f in zip(between, real.numpy(), fake.numpy(), strict=True):
        t = (x - f) / (r - f)  # x = t r + (1 - t) f with one t in [0, 1) for all the numbers of a sample
        np.testing.assert_allclose(t, t.mean(), atol=1e-9)
        places.append(t.mean())
        gradient = numerical_gradient(lambda x=x: critic(Tensor(x[None])).item(), x)
        total += (np.sqrt(np.sum(gradient**2)) - 1) ** 2
    assert penalty == pytest.approx(total / len(between), rel=1e-6)
    assert 0 <= min(places) and max(places) < 1
    assert len(set(np.round(places, 9))) == len(places)  # ... and another t for each sample


@pytest.mark.parametrize("kind", ["dense", "convolution"])
def test_the_gradient_of_the_penalty_reaches_the_weights(kind):
    critic, shape = critics()[kind]
    real, fake = pairs(*shape)

    def penalty():
        return gradient_penalty(critic, real, fake, np.random.default_rng(1))

    for parameter in critic.parameters():
        parameter.data = np.ascontiguousarray(parameter.data)
    assert all(p.grad is None for p in critic.parameters())
    penalty().backward()
    largest = 0.0
    for p in critic.parameters():
        computed = np.zeros(p.shape) if p.grad is None else p.grad.numpy()  # the last bias does not count
        numerical = numerical_gradient(lambda: penalty().item(), p.data)
        np.testing.assert_allclose(computed, numerical, rtol=1e-5, atol=1e-8)
        largest = max(largest, np.abs(computed).max())
    assert largest > 0.01


def test_penalty_leaves_gradients_alone_and_does_not_reach_the_images():
    critic, shape = critics()["dense"]
    real, fake = pairs(*shape)
    real.requires_grad = fake.requires_grad = True
    penalty = gradient_penalty(critic, real, fake, np.random.default_rng(1))
    assert all(p.grad is None for p in critic.parameters())
    penalty.backward()
    assert real.grad is None and fake.grad is None


def test_penalty_of_a_flat_critic_is_1_with_a_finite_gradient():
    critic = nn.Linear(3, 1)
    critic.weight.data[...] = 0
    real, fake = pairs(4, 3, dtype=np.float32)
    penalty = gradient_penalty(critic, real, fake, np.random.default_rng(0))
    assert penalty.dtype == np.float32
    assert penalty.item() == pytest.approx(1, abs=1e-5)
    penalty.backward()
    assert np.isfinite(critic.weight.grad.numpy()).all()


# --- both networks and every loss, end to end ----------------------------------------------------------------------


def players(kind):
    generator = np.random.default_rng(6)
    if kind == "points":
        g, d, shape = mlp_generator(3, (2,), (7,), generator), mlp_discriminator((2,), (6,), generator), (2,)
        g = nn.Sequential(g[0], nn.BatchNorm1d(7), *list(g.children().values())[1:])
    else:
        shape = (1, 16, 16)
        g, d = dcgan_generator(3, shape, 2, generator), dcgan_discriminator(shape, 2, generator)
    for model in (g, d):
        for p in model.parameters():
            p.data *= 10 if kind == "images" and p.ndim > 1 else 1  # N(0, 0.02^2) would make every logit 0
            p.data = np.ascontiguousarray(p.data, np.float64)
        to_float64(model)
    noise, real = generator.standard_normal((5, 3)), generator.uniform(-1, 1, (5, *shape))
    return g, d, Tensor(noise), Tensor(real)


@pytest.mark.parametrize("kind", ["points", "images"])
@pytest.mark.parametrize("name", DISCRIMINATOR)
def test_a_whole_game_has_the_slopes_of_both_networks(name, kind):
    game = GAMES[name]
    g, d, noise, real = players(kind)

    for loss in (lambda: game.discriminator(d(real), d(g(noise))), lambda: game.generator(d(g(noise)))):
        for model in (g, d):
            for p in model.parameters():
                p.grad = None
        loss().backward()
        pick = np.random.default_rng(8)
        for model in (g, d):
            largest = 0.0
            for p in model.parameters():
                entries = [np.unravel_index(i, p.shape) for i in pick.choice(p.size, min(2, p.size), replace=False)]
                numerical = numerical_gradient(lambda loss=loss: loss().item(), p.data, entries)
                for i in entries:
                    np.testing.assert_allclose(p.grad.numpy()[i], numerical[i], rtol=1e-4, atol=2e-8)
                largest = max(largest, np.abs(p.grad.numpy()).max())
            assert largest > 1e-3


def critic_with(norm, rng):
    return Sequential(Linear(2, 3, rng=rng), norm, LeakyReLU(0.2), Linear(3, 1, rng=rng))


@pytest.mark.parametrize(
    "wrap", [lambda D: D, lambda D: lambda x: D(x), lambda D: partial(D.forward), lambda D: lambda x: -2 * D(1 + x)]
)
def test_the_gradient_penalty_refuses_a_critic_that_mixes_samples(wrap):
    """Whatever it is wrapped in. After eval() batch norm mixes nothing, and is right."""
    rng = np.random.default_rng(0)
    x, y = (Tensor(rng.standard_normal((4, 2)).astype(np.float32)) for _ in range(2))
    D = critic_with(BatchNorm1d(3), rng)
    with pytest.raises(ValueError, match="BatchNorm1d mixes the samples"):
        losses.gradient_penalty(wrap(D), x, y, rng)
    losses.gradient_penalty(wrap(D.eval()), x, y, rng).backward()
    D.train()(x)  # elsewhere it may go on mixing
    losses.gradient_penalty(wrap(critic_with(LeakyReLU(0.2), rng)), x, y, rng).backward()


def test_a_step_with_a_penalty_refuses_batch_norm_in_the_critic():
    gan = WGANGP({"samples": (2,)}, np.random.default_rng(0), batch_size=4, critic_steps=1)
    gan.D = critic_with(BatchNorm1d(3), np.random.default_rng(0))
    with pytest.raises(ValueError, match="BatchNorm1d mixes the samples"):
        gan.step(np.random.default_rng(0), np.zeros((4, 2), np.float32))


TARGETS = {
    "a list": [0.9, 0.0, 1.0],
    "an array": np.array([0.9, 0.0, 1.0]),
    "of the logits' shape": np.array([[0.9], [0.0], [1.0]]),
    "a tensor": Tensor([[0.9], [0.0], [1.0]]),
    "whole numbers": np.array([1, 0, 1]),
    "truths": np.array([True, False, True]),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("what", TARGETS)
def test_bce_takes_a_target_for_each_sample(what, dtype):
    """The mean of what each logit gives on its own; and its gradient, at order 2 too."""
    target, logits = TARGETS[what], Tensor(np.array([[0.5], [-100.0], [2.0]]), requires_grad=True, dtype=dtype)
    each = [float(t) for t in np.ravel(target)]
    loss = losses.bce_with_logits(logits, target)
    alone = [losses.bce_with_logits(logits[n], t) for n, t in enumerate(each)]
    assert loss.dtype == dtype and loss.item() == pytest.approx(np.mean([x.item() for x in alone]), rel=1e-6)
    (g,) = grad(loss, logits)
    expected = [(float(logits[n].sigmoid()) - t) / 3 for n, t in enumerate(each)]
    np.testing.assert_allclose(g.numpy().ravel(), expected, rtol=1e-5, atol=1e-7)
    assert gradcheck(lambda x: losses.bce_with_logits(x, target), np.array([[0.5], [-3.0], [2.0]]), order=2).passed


def test_bce_takes_a_target_for_each_of_several_logits():
    x, t = np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([[0.0, 1.0], [0.25, 0.75]])
    whole = losses.bce_with_logits(Tensor(x), t).item()
    assert whole == pytest.approx(np.mean(np.logaddexp(0, x) - t * x))
    per_sample = losses.bce_with_logits(Tensor(x), [0.0, 1.0]).item()  # (N,): one for both logits of a sample
    assert per_sample == pytest.approx(np.mean(np.logaddexp(0, x) - np.array([[0.0], [1.0]]) * x))


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ([2.0, 0.0], "between 0 and 1"),
        ([np.nan, 0.0], "between 0 and 1"),
        (np.array([-0.1, 0.5]), "between 0 and 1"),
        ([1.0, 0.0, 1.0], r"targets \(3,\) must have the logits' shape \(2, 1\)"),
        ([[1.0, 0.0]], r"targets \(1, 2\) must have the logits' shape \(2, 1\)"),
        ("real", "not real numbers"),
        (Parameter(np.ones(2)), r"target.detach\(\)"),
    ],
)
def test_bad_targets_are_refused(target, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        losses.bce_with_logits(Tensor([[1.0], [2.0]]), target)
