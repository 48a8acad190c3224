"""What all GANs share: minimise, noise, labels, averages, the loop, checkpoints, threads. The papers: test_gans.py."""

import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minigan
from minigan import Tensor, losses, nn
from minigan.checkpoint import load_checkpoint, save_checkpoint
from minigan.data import DataLoader
from minigan.errors import DivergedError
from minigan.gan import GAN, belief, computing, draw_noise, minimise, one_hot, train, update_average
from minigan.gans import DCGAN, WGANGP, ConditionalGAN, OriginalGAN
from minigan.nn import Parameter
from minigan.optim import SGD, Adam

SHAPE = (1, 16, 16)


def images(n, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, *SHAPE)).astype(np.float32)


def small_gan(seed=0, **settings):
    return DCGAN({"images": SHAPE}, np.random.default_rng(seed), **{"width": 4, "batch_size": 8} | settings)


def all_bytes(gan):
    return {name: array.tobytes() for name, array in gan.arrays().items()}


# --- minimise ----------------------------------------------------------------------------------------------------


def test_minimise_goes_one_step_down_and_cuts_the_loss_off():
    x, other = Parameter(np.array([3.0, 4.0])), Parameter(np.array([5.0, 6.0]))
    x.grad = Tensor(np.array([100.0, 100.0]))  # of a step before
    loss = minimise((x * x * other).sum(), SGD([x], lr=0.1))
    assert loss.item() == 9 * 5 + 16 * 6 and not loss.requires_grad and loss.parents == ()
    np.testing.assert_allclose(x.grad.numpy(), [30, 48])
    np.testing.assert_allclose(x.numpy(), [0, -0.8])
    assert other.grad is None and other.numpy().tolist() == [5, 6]  # it is not the optimizer's


def test_minimise_leaves_the_other_players_gradients_as_they_are():
    x, other = Parameter(np.ones(2)), Parameter(np.ones(2))
    other.grad = before = Tensor(np.array([7.0, 7.0]))
    minimise((x * other).sum(), SGD([x], lr=0.1))
    assert other.grad is before and before.numpy().tolist() == [7, 7]


def test_minimise_needs_one_number_that_leads_somewhere():
    x = Parameter(np.ones(2))
    with pytest.raises(ValueError, match="starts from a single number"):
        minimise(x * 2, SGD([x], lr=0.1))
    with pytest.raises(ValueError, match="nothing to differentiate"):
        minimise((x * 2).sum().detach(), SGD([x], lr=0.1))


# --- noise, labels, beliefs, averages ------------------------------------------------------------------------


def test_noise_is_standard_normal_and_seeded():
    noise = draw_noise(4000, 5, np.random.default_rng(3)).numpy()
    assert noise.shape == (4000, 5) and noise.dtype == np.float32
    assert abs(noise.mean()) < 0.03 and abs(noise.std() - 1) < 0.03
    np.testing.assert_array_equal(noise, draw_noise(4000, 5, np.random.default_rng(3)).numpy())


def test_one_hot():
    for labels in ([2, 0, 1, 1], np.array([2, 0, 1, 1]), np.array([2, 0, 1, 1], np.uint8)):
        rows = one_hot(labels, 3)
        assert rows.dtype == np.float32 and not rows.requires_grad
        np.testing.assert_array_equal(rows.numpy(), np.eye(3)[[2, 0, 1, 1]])
    assert one_hot(np.zeros(0, int), 3).shape == (0, 3)


@pytest.mark.parametrize(
    "labels",
    [None, [0, 3], np.array([0, 3]), np.array([-1, 0]), [-1], np.array([0.5, 1]), np.array([[0, 1]]), 1, "0", [True]],
)
def test_labels_that_are_none(labels):
    """Anything but one whole number for each sample would give rows without a 1, or broadcast, in silence."""
    with pytest.raises(ValueError, match="this GAN has 3 classes: give labels from 0 to 2"):
        one_hot(labels, 3)


def test_belief_is_the_mean_of_the_sigmoid_and_records_nothing():
    logits = Parameter(np.array([[0.0], [np.log(3.0)]]))
    assert belief(logits).item() == pytest.approx((0.5 + 0.75) / 2)
    assert not belief(logits).requires_grad and belief(logits).shape == ()


def test_update_average():
    average, model = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    model.weight.data[...] = [2, 3, 4]
    model.running_mean.data[...] = [1, 2, 3]
    update_average(average, model, decay=0.9)
    np.testing.assert_allclose(average.weight.numpy(), [1.1, 1.2, 1.3], rtol=1e-6)
    np.testing.assert_allclose(average.running_mean.numpy(), [0.1, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_array_equal(model.weight.numpy(), [2, 3, 4])


# --- the loop ----------------------------------------------------------------------------------------------------


class Recorder(GAN):
    """No network at all: it writes down what its steps are given."""

    def __init__(self, batch_size=4, epochs=2, figure=lambda step: 1.0):
        super().__init__(batch_size, epochs)
        self.seen, self.figure = [], figure

    def step(self, rng, numbers, letters):
        self.seen.append((rng.standard_normal(3).tolist(), numbers.tolist(), letters.tolist()))
        return {"a_loss": Tensor(self.figure(self.steps)), "anything": Tensor([[0.5]])}  # one number, of any shape


def numbered_letters(n=13):
    return {"numbers": np.arange(n), "letters": np.arange(n) + 97}


def test_the_names_of_a_steps_arguments_say_what_it_needs():
    assert Recorder.needs() == ["numbers", "letters"]
    assert OriginalGAN.needs() == ["samples"] and ConditionalGAN.needs() == ["images", "labels"]


def test_the_loop_walks_through_all_epochs_and_yields_plain_numbers():
    gan = Recorder(figure=float)
    figures = list(train(gan, DataLoader(numbered_letters(), batch_size=4, seed=5)))
    assert figures == [{"a_loss": float(k), "anything": 0.5} for k in range(6)]
    assert {type(value) for line in figures for value in line.values()} == {float}
    assert gan.steps == 6 and not list(train(gan, DataLoader(numbered_letters(), batch_size=4, seed=5)))
    for _, numbers, letters in gan.seen:
        assert len(numbers) == 4 and [n + 97 for n in numbers] == letters  # each still has its own
    for epoch in (gan.seen[:3], gan.seen[3:]):
        assert len({n for _, numbers, _ in epoch for n in numbers}) == 12


def test_a_steps_random_numbers_come_from_the_seed_and_the_step_alone():
    """And so do its batches: leave the loop when you like, what comes next is the same."""

    def seen(seed, stops=()):
        gan, loader = Recorder(), DataLoader(numbered_letters(), batch_size=4, seed=seed)
        for stop in [*stops, 99]:
            for _ in train(gan, loader):
                np.random.default_rng().standard_normal(3)
                if gan.steps == stop:
                    break
        return gan.seen

    straight = seen(5)
    assert straight == seen(5, stops=(1, 2, 3, 4, 5)) == seen(5, stops=(4,))
    drawn = {tuple(noise) for noise, _, _ in straight + seen(6)}
    assert len(drawn) == 12  # in each step, and for each seed, others


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_figure_that_is_not_finite_ends_the_loop(wrong):
    gan = Recorder(figure=lambda step: wrong if step == 2 else 1.0)
    with pytest.raises(DivergedError, match=rf"a_loss is {wrong} at step 3: try a lower learning rate"):
        list(train(gan, DataLoader(numbered_letters(), batch_size=4)))


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"epochs": 0}, {"epochs": 1.0}, {"batch_size": True}])
def test_batch_size_and_epochs_are_whole_numbers(wrong):
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))} must be a whole number of at least 1"):
        Recorder(**wrong)


def test_a_gan_without_a_step_says_so():
    class Empty(GAN):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty has no step\(\)"):
        Empty(4, 1).step(np.random.default_rng(0))


# --- checkpoints -------------------------------------------------------------------------------------------------


class TwoNetworks(GAN):
    """One optimizer trains two networks; one of them gets its first gradient later."""

    def __init__(self, rng):
        super().__init__(4, 3)
        self.A, self.B = nn.Linear(1, 2, rng=rng), nn.Linear(1, 2, rng=rng)
        self.both = Adam([*self.A.parameters(), *self.B.parameters()])

    def step(self, rng, x):
        y = self.A(x) + self.B(x) if self.steps >= 2 else self.A(x)
        return {"loss": minimise((y * y).mean(), self.both)}


def test_a_checkpoint_holds_every_network_and_every_optimizer(tmp_path):
    gan = TwoNetworks(np.random.default_rng(0))
    moments = [f"both.{i}.{name}" for i in range(4) for name in ("m", "v")]
    assert list(gan.arrays()) == ["A.weight", "A.bias", "B.weight", "B.bias", *moments, "both.steps"]
    assert gan.arrays()["A.weight"] is gan.A.weight.data  # live, not copies
    assert list(gan.networks()) == ["A", "B"]
    gan.save(tmp_path / "c.safetensors")
    arrays, notes = load_checkpoint(tmp_path / "c.safetensors")
    assert {name: array.tobytes() for name, array in arrays.items()} == all_bytes(gan) and notes == {"step": 0}


def test_each_parameters_own_number_of_steps_is_saved(tmp_path):
    """Adam corrects its moments for their start at zero: a parameter that joined later needs another correction."""
    loader = DataLoader({"x": np.linspace(-1, 1, 8, dtype=np.float32)[:, None]}, batch_size=4)
    straight = TwoNetworks(np.random.default_rng(0))
    figures = list(train(straight, loader))
    assert straight.both.steps.tolist() == [6, 6, 4, 4]
    stopped, resumed = TwoNetworks(np.random.default_rng(0)), TwoNetworks(np.random.default_rng(1))
    for _ in train(stopped, loader):
        if stopped.steps == 4:
            break
    stopped.save(tmp_path / "c.safetensors")
    resumed.load(tmp_path / "c.safetensors")
    assert resumed.steps == 4 and resumed.both.steps.tolist() == [4, 4, 2, 2]
    assert list(train(resumed, loader)) == figures[4:]
    assert all_bytes(resumed) == all_bytes(straight)


def test_a_diverged_loss_names_the_figure_and_the_step_and_keeps_the_last_checkpoint(tmp_path):
    gan = small_gan()
    gan.save(tmp_path / "c.safetensors")
    good = (tmp_path / "c.safetensors").read_bytes()
    gan.D.parameters()[0].data[0] = np.nan
    with pytest.raises(DivergedError, match=r"d_loss is nan at step 1: try a lower learning rate"):
        list(train(gan, DataLoader({"images": images(16)}, batch_size=8)))
    with pytest.raises(DivergedError, match=r"(G|D|average)\.\S+ has numbers that are not finite at step 1"):
        gan.save(tmp_path / "c.safetensors")
    assert (tmp_path / "c.safetensors").read_bytes() == good


def test_a_checkpoint_of_another_model_changes_nothing(tmp_path):
    small_gan().save(tmp_path / "c.safetensors")
    rng, tiny = np.random.default_rng(0), {"batch_size": 8}
    colour, labels = {"images": (3, 16, 16)}, {"images": SHAPE, "labels": (3,)}
    others = [OriginalGAN({"samples": SHAPE}, rng, **tiny), DCGAN(colour, rng, width=4, **tiny), small_gan(width=5)]
    others += [ConditionalGAN(labels, rng, width=4, **tiny), WGANGP({"samples": SHAPE}, rng, **tiny)]
    for other in others:
        before = all_bytes(other)
        with pytest.raises(ValueError, match=r"c\.safetensors does not fit this run \(.*another model"):
            other.load(tmp_path / "c.safetensors")
        assert all_bytes(other) == before and other.steps == 0


@pytest.mark.parametrize("wrong", [{"step": float("inf")}, {"step": -1}, {"step": "3"}, {"step": None}, {}, [], 5])
def test_notes_that_were_changed_by_hand_are_refused(tmp_path, wrong):
    gan, path = small_gan(), tmp_path / "c.safetensors"
    gan.save(path)
    before = all_bytes(gan)
    arrays, _ = load_checkpoint(path)
    save_checkpoint(path, {name: array + 1 for name, array in arrays.items()}, wrong)
    with pytest.raises(ValueError, match=r"c\.safetensors does not fit this run"):
        gan.load(path)
    assert all_bytes(gan) == before and gan.steps == 0


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("G.0.weight", lambda array: array.astype(np.float64), r"G\.0\.weight is of float64, not of float32"),
        ("G.0.weight", lambda array: array > 0, r"G\.0\.weight is of bool, not of float32"),
        ("d_optimizer.steps", lambda array: array.astype(np.int8), "steps is of int8, not of int64"),
        ("average.0.weight", lambda array: array * np.nan, "has numbers that no training leaves there"),
        ("g_optimizer.0.m", lambda array: array + np.inf, "has numbers that no training leaves there"),
        ("d_optimizer.steps", lambda array: array - 5, "has numbers that no training leaves there"),
    ],
)
def test_arrays_that_no_training_leaves_are_refused(tmp_path, name, change, sentence):
    gan, path = small_gan(), tmp_path / "c.safetensors"
    gan.save(path)
    before = all_bytes(gan)
    arrays, notes = load_checkpoint(path)
    save_checkpoint(path, arrays | {name: change(arrays[name])}, notes)
    with pytest.raises(ValueError, match=rf"c\.safetensors does not fit this run \(.*{sentence}"):
        gan.load(path)
    assert all_bytes(gan) == before


def test_going_on_in_plain_mode_needs_nothing_else(tmp_path):
    """A checkpoint knows nothing of how the step was computed."""
    loader = DataLoader({"images": images(16)}, batch_size=8)
    with minigan.plain():
        gan = small_gan(epochs=1)
        list(train(gan, loader))
        gan.save(tmp_path / "c.safetensors")
    other = small_gan(seed=1, epochs=2)
    other.load(tmp_path / "c.safetensors")
    assert all_bytes(other) == all_bytes(gan)
    assert len(list(train(other, loader))) == 2


# --- threads -----------------------------------------------------------------------------------------------------


def test_threads_and_forks_train_as_if_alone():
    """Two models in two threads, and one in a forked process while a thread trains, give the same bytes as alone."""

    def trained(seed):
        gan = DCGAN({"images": (1, 28, 28)}, np.random.default_rng(seed))
        for step in range(2):
            with computing(gan):  # as in the loop: one thread of BLAS, whatever other threads do
                gan.step(np.random.default_rng([seed, 1, step]), np.full((32, 1, 28, 28), 0.5, np.float32))
        return all_bytes(gan)

    alone = [trained(1), trained(2)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(trained, (1, 2))) == alone
        busy = pool.submit(lambda: [trained(2) for _ in range(4)])
        process = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(trained(1) != alone[0]))
        process.start()
        process.join(60)
        assert process.exitcode == 0
        assert busy.result()[-1] == alone[1]


def test_every_game_can_be_named():
    assert all(losses.find_game(name).__name__ == name for name in losses.GAMES)
    with pytest.raises(ValueError, match="there is no loss 'mse': choose one of non_saturating, minimax"):
        losses.find_game("mse")


@pytest.mark.parametrize("figures", [None, {"d_loss": 1.0}, {"d_loss": Tensor(np.zeros((2, 1)))}, [Tensor(0.0)]])
def test_figures_that_are_none_get_a_sentence(figures):
    gan = small_gan()
    gan.step = lambda rng, images: figures
    with pytest.raises(
        ValueError, match="step must return a dict of figures, and each of them must be a tensor of one"
    ):
        next(train(gan, DataLoader({"images": images(8)}, batch_size=8)))
