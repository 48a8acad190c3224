"""The pictures of the lessons: what must be seen is there, and bad input gets one sentence."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from minigan import Tensor, plots
from minigan.networks import mlp_discriminator, mlp_generator
from minigan.plots.figures import FAKE, REAL
from minigan.plots.gan_view import BELIEF

RNG = np.random.default_rng(0)


def has_colour(picture, colour, least=20):
    """Whether so many pixels have nearly this colour, "#rrggbb"."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return np.sum(np.abs(np.asarray(picture).astype(int) - wanted).max(axis=2) < 12) >= least


def test_lines_have_a_colour_each():
    x = np.arange(1, 9)
    picture = plots.lines({"a": (x, x), "b": (x, x**2)}, "x", "y", "title", log="xy", markers=True, ylim=(0.5, 100))
    assert has_colour(picture, REAL) and has_colour(picture, FAKE)
    assert not has_colour(plots.lines({"a": (x, x)}, "x", "y"), FAKE)


def test_heat_map_goes_from_dark_to_bright():
    dark, bright = (plots.heat_map(np.array(table), "column", "row", numbers=False) for table in ([[0, 1]], [[1, 0]]))
    left = slice(0, dark.width // 3)
    assert np.asarray(dark)[:, left].mean() + 10 < np.asarray(bright)[:, left].mean()
    with_numbers = plots.heat_map(np.array([[0, 1]]), "column", "row")
    assert not np.array_equal(np.asarray(with_numbers), np.asarray(dark))


def test_histograms_and_paths():
    assert has_colour(plots.histograms({"a": RNG.standard_normal(50), "b": [1, 2, 3]}, "value"), REAL)
    path = np.array([[1, 1], [0.5, 0.2], [0, 0]])
    picture = plots.paths(lambda x, y: x**2 + y**2, {"a": path, "b": -path}, (-2, 2), (-2, 2))
    assert has_colour(picture, REAL) and has_colour(picture, FAKE)


def test_beside():
    wide = plots.beside(Image.new("RGB", (30, 10), "red"), Image.new("RGB", (20, 40), "blue"))
    assert wide.size == (50, 40)
    assert wide.getpixel((5, 20)) == (255, 0, 0) and wide.getpixel((45, 0)) == (0, 0, 255)
    with pytest.raises(ValueError, match="no pictures"):
        plots.beside()


def test_gan_view_shows_what_it_is_given():
    real, fake = RNG.standard_normal((60, 2)), Tensor(RNG.standard_normal((60, 2)))
    blue = lambda picture: np.sum(np.asarray(picture).astype(int) @ [-1, 0, 1] > 60)  # pixels
    orange = lambda picture: np.sum(np.asarray(picture).astype(int) @ [1, 0, -1] > 60)
    only_real, only_fake = plots.gan_view(real=real), plots.gan_view(fake=fake)
    assert blue(only_real) > 500 > orange(only_real) and orange(only_fake) > 500 > blue(only_fake)
    generator, discriminator = mlp_generator(3, (2,), (8,), RNG), mlp_discriminator((2,), (8,), RNG)
    with_net = plots.gan_view(generator=generator, limits=(-3, 3))
    dark = lambda picture: np.sum(np.asarray(picture).mean(axis=2) < 200)
    assert dark(with_net) > dark(plots.gan_view(limits=(-3, 3))) + 500
    discriminator.parameters()[-1].data[...] = 50.0  # sure that everything is real
    everything = plots.gan_view(real, fake, discriminator, generator, RNG.standard_normal((60, 2)), "title")
    real_side = "#" + "".join(f"{round(255 * c):02x}" for c in BELIEF(1.0)[:3])
    fake_side = "#" + "".join(f"{round(255 * c):02x}" for c in BELIEF(0.0)[:3])
    pixels = np.asarray(everything)[:, : int(everything.width * 0.75)]  # without the colour bar
    assert has_colour(Image.fromarray(pixels), real_side, 5000)
    assert not has_colour(Image.fromarray(pixels), fake_side, 500)


def test_noise_view():
    noise = RNG.standard_normal((50, 3))
    dots = lambda picture: np.sum(np.asarray(picture).astype(int) @ [-1, 2, -1] > 60)  # green
    assert dots(plots.noise_view(noise)) > 500 > dots(plots.noise_view(noise[:1]))


def test_gan_view_changes_nothing():
    generator, discriminator = mlp_generator(3, (2,), (8,), RNG), mlp_discriminator((2,), (8,), RNG)
    before = [p.numpy().copy() for net in (generator, discriminator) for p in net.parameters()]
    plots.gan_view(discriminator=discriminator, generator=generator, limits=(-1, 1))
    after = [p for net in (generator, discriminator) for p in net.parameters()]
    assert all(p.requires_grad and p.grad is None for p in after)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, after, strict=True))


def test_graph():
    a, b = Tensor(2.0, requires_grad=True), Tensor([1.0, 2.0, 3.0, 4.0, 5.0], requires_grad=True)
    y = (a * b + a).sum()
    assert has_colour(plots.graph(y, {"a": a, "b": b}), FAKE)
    assert a.grad is None
    for _ in range(40):
        y = y + a
    with pytest.raises(ValueError, match="the graph has 45 tensors, and a drawing has room for 40"):
        plots.graph(y)
    with pytest.raises(ValueError, match="single number"):
        plots.graph(a * b)


def test_play_is_a_gif_that_a_page_can_show():
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "green", "blue")]
    page = plots.play(frames, alt="three 'colours'")._repr_html_()
    start = page.index("base64,") + len("base64,")
    gif = Image.open(io.BytesIO(base64.b64decode(page[start : page.index("'", start)])))
    assert gif.n_frames == 3 and "three &#x27;colours&#x27;" in page
    with pytest.raises(ValueError, match="no frames"):
        plots.play([])


def test_what_stands_still_in_an_animation_keeps_its_colour():
    still = RNG.integers(0, 256, (20, 20, 3), dtype=np.uint8)  # more colours than a palette has
    frames = []
    for colour in ("red", "green", "blue"):
        frames.append(Image.new("RGB", (40, 20), colour))
        frames[-1].paste(Image.fromarray(still), (0, 0))
    gif = Image.open(io.BytesIO(plots.animation(frames, colours=16)))
    seen = []
    for number in range(3):
        gif.seek(number)
        seen.append(np.asarray(gif.convert("RGB")))
    assert all(np.array_equal(frame[:, :20], seen[0][:, :20]) for frame in seen)
    assert all(len(np.unique(frame.reshape(-1, 3), axis=0)) <= 16 for frame in seen)


def test_live_is_silent_outside_of_a_notebook(capsys):
    live = plots.Live()
    live.show(Image.new("RGB", (5, 5)))
    assert capsys.readouterr().out == ""


def test_stepper_steps_and_stays_inside():
    pytest.importorskip("ipywidgets")
    pictures = [Image.new("RGB", (5, 5), colour) for colour in ("red", "green")]
    caption, (back, forward, _), image = (lambda box: (box.children[0], box.children[1].children, box.children[2]))(
        plots.stepper(pictures, ["first", "second <2>"])
    )
    seen = [image.value]
    for button, text in (
        (forward, "2 of 2: second &lt;2&gt;"),
        (forward, "2 of 2"),
        (back, "1 of 2"),
        (back, "1 of 2"),
    ):
        button.click()
        assert text in caption.value
        seen.append(image.value)
    assert seen[0] == seen[3] == seen[4] != seen[1] == seen[2]
    with pytest.raises(ValueError, match="2 pictures need as many captions, not 1"):
        plots.stepper(pictures, ["first"])
