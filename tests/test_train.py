"""The training steps, the loop, and going on from a checkpoint."""

import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minigan
from minigan import losses, nn
from minigan.checkpoint import load_checkpoint, save_checkpoint
from minigan.data import DataLoader
from minigan.models import dcgan_discriminator, dcgan_generator
from minigan.optim import Adam
from minigan.train import (
    GAN,
    Config,
    DivergedError,
    discriminator_step,
    draw_noise,
    generator_step,
    score,
    train,
    update_average,
)

SHAPE = (1, 16, 16)


def small_gan(loss="non_saturating", seed=0):
    """Two DCGAN networks with few channels, their optimizers and a random number generator."""
    rng = np.random.default_rng(seed)
    generator = dcgan_generator(8, SHAPE, width=4, rng=rng)
    discriminator = dcgan_discriminator(SHAPE, width=4, rng=rng, norm=loss != "wasserstein")
    return generator, discriminator, Adam(generator.parameters()), Adam(discriminator.parameters()), rng


def images(n, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, *SHAPE)).astype(np.float32)


def changed(before, model):
    return {name for name, array in model.state_dict().items() if array.tobytes() != before[name].tobytes()}


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_discriminator_step_changes_all_of_the_discriminator_and_not_a_bit_of_the_generator(loss):
    generator, discriminator, _, optimizer, rng = small_gan(loss)
    g_before, d_before = generator.state_dict(), discriminator.state_dict()
    real = minigan.Tensor(images(6))
    penalty = 10.0 if loss == "wasserstein" else 0.0
    discriminator_step(generator, discriminator, optimizer, losses.LOSSES[loss], real, 8, rng, None, penalty)
    assert changed(g_before, generator) == set()
    expected, moved = set(d_before), changed(d_before, discriminator)
    if loss in ("hinge", "wasserstein"):  # while all logits are inside the margins, adding a constant to all of them
        last_bias = list(d_before)[-1]  # changes neither loss: the last bias has the gradient 0, or what rounding
        expected.discard(last_bias)  # leaves of it, of which Adam makes a step
        moved.discard(last_bias)
    assert moved == expected
    assert all(p.grad is None for p in generator.parameters())


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_generator_step_changes_all_of_the_generator_and_not_a_bit_of_the_discriminator(loss):
    generator, discriminator, optimizer, _, rng = small_gan(loss)
    g_before, d_before = generator.state_dict(), discriminator.state_dict()
    generator_step(generator, discriminator, optimizer, losses.LOSSES[loss], 6, 8, rng)
    assert changed(g_before, generator) == set(g_before)
    assert changed(d_before, discriminator) == set()
    assert all(p.grad is None and p.requires_grad for p in discriminator.parameters())


def test_each_step_lowers_its_own_loss():
    generator, discriminator, g_optimizer, d_optimizer, rng = small_gan()
    real, game = minigan.Tensor(images(32)), losses.non_saturating
    first = discriminator_step(generator, discriminator, d_optimizer, game, real, 8, rng)
    for _ in range(30):
        last = discriminator_step(generator, discriminator, d_optimizer, game, real, 8, rng)
    assert last["d_loss"].item() < first["d_loss"].item() / 2
    assert last["d_real"].item() > 0.8 and last["d_fake"].item() < 0.5
    first = generator_step(generator, discriminator, g_optimizer, game, 32, 8, rng)
    for _ in range(30):
        last = generator_step(generator, discriminator, g_optimizer, game, 32, 8, rng)
    assert last["g_loss"].item() < first["g_loss"].item() / 2


def test_float32_stays_float32_through_a_whole_step():
    gan = GAN(Config(), (1, 28, 28))
    gan.train_step(np.zeros((4, 1, 28, 28), np.float32) + 0.5)
    arrays = gan.arrays() | {f"grad {i}": p.grad.data for i, p in enumerate(gan.generator.parameters())}
    arrays |= {f"grad {i} of D": p.grad.data for i, p in enumerate(gan.discriminator.parameters())}
    assert {array.dtype for array in arrays.values()} == {np.dtype("float32")}


def test_the_generators_step_draws_fresh_noise():
    """Noise of the discriminator's step must not be used again: both steps draw from the same generator."""
    generator, discriminator, g_optimizer, d_optimizer, _ = small_gan()
    seen = []

    class Spy:
        def __init__(self, model):
            self.model = model

        def __call__(self, z):
            seen.append(z.numpy().copy())
            return self.model(z)

        def frozen(self):
            return self.model.frozen()

    rng = np.random.default_rng(0)
    discriminator_step(Spy(generator), discriminator, d_optimizer, losses.hinge, minigan.Tensor(images(4)), 8, rng)
    generator_step(Spy(generator), discriminator, g_optimizer, losses.hinge, 4, 8, rng)
    assert seen[0].shape == seen[1].shape == (4, 8) and not np.array_equal(seen[0], seen[1])


def test_update_average():
    average, model = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    model.weight.data[...] = [2, 3, 4]
    model.running_mean.data[...] = [1, 2, 3]
    update_average(average, model, decay=0.9)
    np.testing.assert_allclose(average.weight.numpy(), [1.1, 1.2, 1.3], rtol=1e-6)
    np.testing.assert_allclose(average.running_mean.numpy(), [0.1, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_array_equal(model.weight.numpy(), [2, 3, 4])


def test_noise_is_standard_normal_and_seeded():
    noise = draw_noise(4000, 5, np.random.default_rng(3)).numpy()
    assert noise.shape == (4000, 5) and noise.dtype == np.float32
    assert abs(noise.mean()) < 0.03 and abs(noise.std() - 1) < 0.03
    np.testing.assert_array_equal(noise, draw_noise(4000, 5, np.random.default_rng(3)).numpy())


@pytest.mark.parametrize("loss", ["non_saturating", "wasserstein"])
def test_the_numbers_of_a_step(loss):
    """D's noise, then the places of the penalty, then G's noise; in each step others, and after a restart the same."""
    gan = GAN(Config(loss=loss), SHAPE)
    n, z = 200, 200 * gan.noise_dim
    first, second = gan.draw(0, n), gan.draw(1, n)
    assert len(first) == 2 * z + n * (loss == "wasserstein") and first.dtype == np.float32
    np.testing.assert_array_equal(first, gan.draw(0, n))
    for part in (slice(0, z), slice(-z, None)):
        assert abs(first[part].mean()) < 0.05 and abs(first[part].std() - 1) < 0.05
        assert not np.array_equal(first[part], second[part])
    assert not np.array_equal(first[:z], first[-z:])
    places = first[z:-z]
    assert len(places) == 0 or (places.min() >= 0 and places.max() < 1 and abs(places.mean() - 0.5) < 0.1)
    other = GAN(Config(loss=loss, seed=1), SHAPE).draw(0, n)
    assert not np.array_equal(first[:z], other[:z])


def all_bytes(gan):
    return {name: array.tobytes() for name, array in gan.arrays().items()}


@pytest.mark.parametrize("loss", ["non_saturating", "wasserstein"])
def test_going_on_from_a_checkpoint_gives_the_same_bytes(tmp_path, loss):
    config = Config(loss=loss, epochs=2, batch_size=8)
    loader = DataLoader(images(40), batch_size=8, seed=config.seed)
    straight = GAN(config, SHAPE)
    figures = list(train(straight, loader, config.epochs))
    assert straight.step == len(figures) == 10

    stopped = GAN(config, SHAPE)
    for _ in train(stopped, loader, config.epochs):
        if stopped.step == 7:  # in the middle of the second epoch
            stopped.save(tmp_path / "c.safetensors")
            break
    resumed = GAN(Config(loss=loss, epochs=2, batch_size=8, seed=0), SHAPE)
    resumed.load(tmp_path / "c.safetensors")
    assert list(train(resumed, loader, config.epochs)) == figures[7:]
    assert all_bytes(resumed) == all_bytes(straight)


def test_seeds():
    def weights(seed):
        config = Config(epochs=1, batch_size=8, seed=seed)
        gan = GAN(config, SHAPE)
        list(train(gan, DataLoader(images(16), batch_size=8, seed=seed), 1))
        return all_bytes(gan)

    assert weights(1) == weights(1) != weights(2)


def test_every_array_is_in_the_checkpoint():
    """All that a step changes must be saved, or a resumed run would differ."""
    gan = GAN(Config(), SHAPE)
    before = all_bytes(gan)
    gan.train_step(images(8))
    after = all_bytes(gan)
    same = {name for name in before if before[name] == after[name]}
    assert same == set()


def test_a_diverged_loss_names_the_network_and_the_step_and_keeps_the_last_checkpoint(tmp_path):
    config = Config(epochs=1, batch_size=8)
    gan = GAN(config, SHAPE)
    gan.save(tmp_path / "c.safetensors")
    good = (tmp_path / "c.safetensors").read_bytes()
    gan.discriminator.parameters()[0].data[0] = np.nan
    with pytest.raises(DivergedError, match=r"the discriminator's loss is nan at step 1: try a lower learning rate"):
        list(train(gan, DataLoader(images(16), batch_size=8), 1))
    with pytest.raises(DivergedError, match="not finite"):
        gan.save(tmp_path / "c.safetensors")
    assert (tmp_path / "c.safetensors").read_bytes() == good


def test_a_checkpoint_of_another_model_changes_nothing(tmp_path):
    GAN(Config(), SHAPE).save(tmp_path / "c.safetensors")
    for other in (GAN(Config(model="mlp"), SHAPE), GAN(Config(), (3, 16, 16)), GAN(Config(loss="wasserstein"), SHAPE)):
        before = all_bytes(other)
        with pytest.raises(ValueError, match="another model"):
            other.load(tmp_path / "c.safetensors")
        assert all_bytes(other) == before and other.step == 0


@pytest.mark.parametrize("wrong", [{"step": float("inf")}, {"step": -1}, {"step": "3"}])
def test_notes_that_were_changed_by_hand_are_refused(tmp_path, wrong):
    gan, path = GAN(Config(), SHAPE), tmp_path / "c.safetensors"
    gan.save(path)
    arrays, notes = load_checkpoint(path)
    save_checkpoint(path, arrays, notes | wrong)
    with pytest.raises(ValueError, match=r"c\.safetensors does not fit this run"):
        gan.load(path)


def test_batch_norm_needs_two():
    with pytest.raises(ValueError, match="batch_size must be at least 2, for batch norm"):
        Config(batch_size=1)
    Config(batch_size=1, model="mlp")


def test_samples_come_from_the_average_with_running_statistics():
    gan = GAN(Config(), SHAPE)
    noise = draw_noise(130, gan.noise_dim, np.random.default_rng(0)).numpy()
    samples = gan.sample(noise)
    assert samples.shape == (130, *SHAPE) and samples.dtype == np.float32
    np.testing.assert_allclose(samples[100:101], gan.sample(noise[100:101]), atol=1e-6)  # no batch statistics
    gan.train_step(images(8))
    assert not np.array_equal(samples, gan.sample(noise))


def test_threads_and_forks_train_as_if_alone():
    """Two models in two threads, and one in a forked process while a thread trains, give the same bytes as alone."""

    def trained(seed):
        gan = GAN(Config(seed=seed), (1, 28, 28))
        for _ in range(2):
            gan.train_step(np.full((32, 1, 28, 28), 0.5, np.float32))
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


def test_labels_must_fit():
    """One-hot labels of D's shape; anything else would broadcast in silence."""
    logits = lambda images: minigan.Tensor(np.arange(12.0).reshape(4, 3))
    one_hot = minigan.Tensor(np.eye(3)[[0, 2, 1, 1]])
    one_hot, images_ = minigan.Tensor(one_hot, dtype="float64"), None
    np.testing.assert_array_equal(score(logits, images_, one_hot).numpy(), [[0], [5], [7], [10]])
    for wrong in (minigan.Tensor(np.ones(3)), minigan.Tensor(np.ones((4, 1)))):
        with pytest.raises(ValueError, match="must be one-hot, of the shape of D's output"):
            score(logits, images_, wrong)
    gan = GAN(Config(), SHAPE, classes=3)
    for labels in (None, np.full(8, 3), np.full(8, -1)):
        with pytest.raises(ValueError, match="this GAN has 3 classes: give labels from 0 to 2"):
            gan.train_step(images(8), labels)


def test_labels_tell_both_players_the_class():
    """The generator's images and the discriminator's logits depend on the labels."""
    gan = GAN(Config(), SHAPE, classes=3)
    gan.train_step(images(8), np.arange(8) % 3)
    noise = np.zeros((3, gan.noise_dim), np.float32)
    a, b, c = gan.sample(noise)
    assert not np.array_equal(a, b) and not np.array_equal(b, c)
    x = minigan.Tensor(images(3))
    of_class = [score(gan.discriminator, x, gan.one_hot(np.full(3, k))).numpy() for k in range(3)]
    with gan.discriminator.frozen():
        all_logits = gan.discriminator(x).numpy()
    np.testing.assert_allclose(np.hstack(of_class), all_logits, atol=1e-5)
