"""Networks: their shapes, their number of weights, and the DCGAN paper's guidelines."""

import re
from itertools import pairwise

import numpy as np
import pytest

from minigan import Tensor, nn, no_grad
from minigan.networks import dcgan_discriminator, dcgan_generator, mlp_discriminator, mlp_generator
from minigan.networks.dcgan import sizes_of
from minigan.networks.wasserstein import generator_and_critic


def rng(seed=0):
    return np.random.default_rng(seed)


def layers(model):
    return list(model.children().values())


def kinds(model):
    return [type(layer) for layer in layers(model)]


def count(model):
    return sum(p.size for p in model.parameters())


SQUARES = [(n, n) for n in (8, 9, 15, 16, 17, 20, 27, 28, 31, 32, 48, 63, 64, 100, 127, 128)]
SIZES = [*SQUARES, (28, 20), (20, 28), (27, 31), (128, 8), (8, 128), (9, 100), (33, 16)]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", SIZES)
def test_dcgan_shapes(size, channels):
    """Images of any number of channels and any size from 8 to 128, odd ones and oblong ones too."""
    shape, outputs = (channels, *size), 5 - channels
    generator = dcgan_generator(5, shape, 2, rng())
    discriminator = dcgan_discriminator(shape, 2, rng(), outputs)
    with no_grad():
        images = generator(rng(1).standard_normal((2, 5)))
        logits = discriminator(images)
    assert images.shape == (2, *shape) and logits.shape == (2, outputs)
    assert images.dtype == logits.dtype == np.float32


@pytest.mark.parametrize("side", range(8, 129))
def test_the_shorter_side_ends_at_4_to_7_pixels(side):
    """Each map has half the side of the one before, rounded down."""
    sizes = sizes_of((1, side, 128))
    assert sizes[0] == (side, 128) and 4 <= sizes[-1][0] <= 7
    for before, after in pairwise(sizes):
        assert after == (before[0] // 2, before[1] // 2)
    assert sizes_of((1, 128, side)) == [size[::-1] for size in sizes]


def feature_maps(model, x):
    seen = []
    with no_grad():
        for layer in layers(model):
            x = layer(x)
            if isinstance(layer, nn.Reshape | nn.Conv2d | nn.ConvTranspose2d):
                seen.append(x.shape[1:])
    return seen


@pytest.mark.parametrize("size", [(9, 9), (27, 31), (20, 28)])
def test_the_maps_of_odd_sizes_are_the_same_in_both_networks(size):
    image = (2, *size)
    there = feature_maps(dcgan_discriminator(image, 3, rng()), Tensor(np.ones((2, *image)), dtype=np.float32))
    back = feature_maps(dcgan_generator(5, image, 3, rng()), Tensor(np.ones((2, 5)), dtype=np.float32))
    assert back == [*there[::-1], image]
    assert [shape[1:] for shape in there] == sizes_of(image)[1:]


@pytest.mark.parametrize("size", [16, 28, 32, 64])
def test_every_stage_doubles_the_size_and_halves_the_channels(size):
    """As its author draws it: for 28, noise -> 7x7 -> 14x14 -> 28x28, and the other way round."""
    start, width = (7 if size == 28 else 4), 3
    sizes = [start * 2**i for i in range((size // start).bit_length())]
    maps = [(width * 2 ** (len(sizes) - 2 - i), n, n) for i, n in enumerate(sizes[:-1])]  # without the image

    image = (1, size, size)
    generator, discriminator = dcgan_generator(5, image, width, rng()), dcgan_discriminator(image, width, rng())
    assert feature_maps(generator, Tensor(np.ones((2, 5)), dtype=np.float32)) == [*maps, image]
    assert feature_maps(discriminator, Tensor(np.ones((2, *image)), dtype=np.float32)) == maps[::-1]


def test_dcgan_follows_the_papers_guidelines():
    shape = (3, 32, 32)
    generator, discriminator = dcgan_generator(8, shape, 4, rng()), dcgan_discriminator(shape, 4, rng())
    g, d = kinds(generator), kinds(discriminator)
    assert g[:4] == [nn.Linear, nn.Reshape, nn.BatchNorm2d, nn.ReLU]
    assert g[4:-2] == [nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU] * 2
    assert g[-2:] == [nn.ConvTranspose2d, nn.Tanh]  # no batch norm at the image
    assert d[:2] == [nn.Conv2d, nn.LeakyReLU]  # here neither
    assert d[2:-2] == [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU] * 2
    assert d[-2:] == [nn.Flatten, nn.Linear]  # ends in a logit, not in a probability
    assert all(layer.negative_slope == 0.2 for layer in layers(discriminator) if isinstance(layer, nn.LeakyReLU))
    for layer in [*layers(generator), *layers(discriminator)]:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            assert (layer.kernel_size, layer.stride, layer.padding) == (4, 2, 1)


def test_a_layer_under_batch_norm_has_no_bias_and_all_others_have():
    shape = (1, 28, 28)
    for model in (
        dcgan_generator(8, shape, 4, rng()),
        dcgan_discriminator(shape, 4, rng()),
        dcgan_discriminator(shape, 4, rng(), norm=False),
    ):
        chain = [layer for layer in layers(model) if not isinstance(layer, nn.Reshape)]
        for layer, after in zip(chain, [*chain[1:], None], strict=True):
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                assert (layer.bias is None) == isinstance(after, nn.BatchNorm2d), model


def test_norm_false_has_no_batch_norm_anywhere():
    model = dcgan_discriminator((1, 28, 28), 4, rng(), norm=False)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert not any("running" in name for name in model.state())
    with no_grad():  # so that a score does not depend on the others
        images = rng(1).standard_normal((3, 1, 28, 28)).astype(np.float32)
        np.testing.assert_allclose(model(images[:1]).numpy(), model(images).numpy()[:1], rtol=1e-4, atol=1e-6)


def test_dcgan_weights_start_with_standard_deviation_0_02():
    shape = (3, 32, 32)
    for model in (dcgan_generator(50, shape, 16, rng()), dcgan_discriminator(shape, 16, rng())):
        for name, tensor in model.state().items():
            values = tensor.numpy()
            if values.ndim > 1:
                assert abs(values.std() / 0.02 - 1) < 5 / np.sqrt(2 * values.size), name
                assert abs(values.mean()) < 5 * 0.02 / np.sqrt(values.size), name
                assert values.dtype == np.float32
            elif "running_var" in name or (name.endswith("weight")):
                assert (values == 1).all(), name
            else:
                assert (values == 0).all(), name


def test_dcgan_weights_keep_their_memory_order():
    model = dcgan_discriminator((3, 32, 32), 4, rng())
    assert all(p.data.transpose(0, 2, 3, 1).flags.c_contiguous for p in model.parameters() if p.ndim == 4)


def test_images_lie_between_minus_1_and_1_and_fill_the_range():
    generator = dcgan_generator(4, (1, 16, 16), 2, rng())
    for p in generator.parameters():
        p.data *= 50
    with no_grad():
        images = generator(rng(1).standard_normal((8, 4))).numpy()
    assert images.min() >= -1 and images.max() <= 1
    assert images.min() < -0.9 and images.max() > 0.9


def test_parameter_counts_of_a_28_by_28_dcgan_by_hand():
    generator = dcgan_generator(100, (1, 28, 28), 64, rng())
    assert count(generator) == (
        100 * 128 * 7 * 7  # dense, no bias
        + 2 * 128  # batch norm
        + 128 * 64 * 4 * 4  # to 14x14, no bias
        + 2 * 64  # batch norm
        + 64 * 1 * 4 * 4  # to 28x28 ...
        + 1  # ... with a bias
    )
    assert count(generator) == 759_681
    discriminator = dcgan_discriminator((1, 28, 28), 64, rng())
    assert count(discriminator) == (
        1 * 64 * 4 * 4  # to 14x14 ...
        + 64  # ... with a bias
        + 64 * 128 * 4 * 4  # to 7x7, no bias
        + 2 * 128  # batch norm
        + 128 * 7 * 7  # dense ...
        + 1  # ... with a bias
    )
    assert count(discriminator) == 138_689
    without = dcgan_discriminator((1, 28, 28), 64, rng(), norm=False)
    assert count(without) == 138_689 - 2 * 128 + 128  # a bias in the place of batch norm's weight and bias


WRONG = [(1, 7, 7), (1, 7, 28), (1, 28, 7), (3, 129, 129), (1, 129, 8), (1, 8, 129), (1, 0, 0)]


@pytest.mark.parametrize("shape", [*WRONG, (28, 28), (1, 1, 28, 28), (2,)])
def test_what_is_no_image_of_a_size_that_fits_gets_one_sentence(shape):
    sentence = f"a DCGAN makes images (C, H, W) with sides of 8 to 128 pixels, not {shape}: choose another size"
    for make in (lambda: dcgan_generator(8, shape, 4, rng()), lambda: dcgan_discriminator(shape, 4, rng())):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            make()


@pytest.mark.parametrize("shape", [(0, 28, 28), (-1, 28, 28)])
def test_images_without_channels_are_refused(shape):
    for make in (lambda: dcgan_generator(8, shape, 4, rng()), lambda: dcgan_discriminator(shape, 4, rng())):
        with pytest.raises(ValueError, match="channels must be a whole number of at least 1"):
            make()


@pytest.mark.parametrize("shape", [(2,), (3, 17, 20)])
def test_the_critic_of_a_wasserstein_gan_looks_at_each_sample_alone(shape):
    generator, critic = generator_and_critic(shape, 6, rng())
    with no_grad():
        samples = generator(rng(1).standard_normal((3, 6)))
        scores = critic(samples)
        alone = critic(samples.numpy()[:1])
    assert samples.shape == (3, *shape) and scores.shape == (3, 1)
    assert not any(module.mixes_samples for module in critic.modules())
    np.testing.assert_allclose(alone.numpy(), scores.numpy()[:1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(2,), (5,), (1, 4, 4), (3, 8, 6)])
@pytest.mark.parametrize("hidden", [(), (7,), (9, 6)])
def test_mlp_shapes_and_counts(shape, hidden):
    generator, discriminator = mlp_generator(5, shape, hidden, rng()), mlp_discriminator(shape, hidden, rng())
    with no_grad():
        samples = generator(rng(1).standard_normal((4, 5)))
        logits = discriminator(samples)
    assert samples.shape == (4, *shape) and logits.shape == (4, 1)
    for model, widths in ((generator, (5, *hidden, np.prod(shape))), (discriminator, (np.prod(shape), *hidden, 1))):
        assert count(model) == sum((n + 1) * m for n, m in pairwise(widths))


def test_mlp_layers():
    assert kinds(mlp_generator(3, (2,), (4, 4), rng())) == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    assert kinds(mlp_generator(3, (1, 2, 2), (4,), rng())) == [nn.Linear, nn.ReLU, nn.Linear, nn.Tanh, nn.Reshape]
    assert kinds(mlp_discriminator((2,), (4,), rng())) == [nn.Linear, nn.LeakyReLU, nn.Linear]
    images = mlp_discriminator((1, 2, 2), (4,), rng())
    assert kinds(images) == [nn.Flatten, nn.Linear, nn.LeakyReLU, nn.Linear]
    assert images[2].negative_slope == 0.2


def test_points_are_not_bounded_but_images_are():
    noise = 100 * rng(1).standard_normal((20, 3))
    with no_grad():
        assert np.abs(mlp_generator(3, (2,), (8,), rng())(noise).numpy()).max() > 2
        images = mlp_generator(3, (1, 2, 2), (8,), rng())(noise).numpy()
    assert 0.9 < np.abs(images).max() <= 1


@pytest.mark.parametrize(
    "make",
    [
        lambda r: dcgan_generator(4, (1, 16, 16), 2, r),
        lambda r: dcgan_discriminator((1, 16, 16), 2, r),
        lambda r: mlp_generator(4, (2,), (5,), r),
        lambda r: mlp_discriminator((2,), (5,), r),
    ],
)
def test_a_seed_makes_the_same_network(make):
    a, b, c = (make(rng(seed)).state_dict() for seed in (0, 0, 1))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
        assert a[name].ndim == 1 or (a[name] != c[name]).any()
