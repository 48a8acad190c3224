"""Pictures: the right pixels at the right place."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from minigan import Tensor, gradcheck, ops, plots
from minigan.tensor import record


def test_to_uint8_covers_0_to_255_and_rounds():
    assert plots.to_uint8(np.array([-1.0, 0.0, 1.0])).tolist() == [0, 128, 255]
    levels = np.arange(256)
    for dtype in (np.float32, np.float64):
        for off in (0, 0.4, -0.4):  # the nearest level, from both sides
            images = ((levels + off) / 127.5 - 1).astype(dtype)
            assert plots.to_uint8(images).tolist() == levels.tolist()


def test_to_uint8_clips_and_keeps_shape_and_input():
    images = np.array([[-5.0, -1.01], [1.01, 300.0]])
    before = images.copy()
    result = plots.to_uint8(images)
    assert result.dtype == np.uint8 and result.tolist() == [[0, 0], [255, 255]]
    np.testing.assert_array_equal(images, before)


def test_to_uint8_leaves_uint8_alone():
    images = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(plots.to_uint8(images), np.arange(256))


def cell(picture, n, number):
    """The middle pixel of image `number` of n."""
    columns = int(np.ceil(np.sqrt(n)))
    rows = int(np.ceil(n / columns))
    row, column = divmod(number, columns)
    return picture.getpixel((int((column + 0.5) / columns * picture.width), int((row + 0.5) / rows * picture.height)))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 9, 12, 17])
def test_image_k_of_a_grid_is_at_its_place(n):
    levels = [10 * k for k in range(n)]
    images = np.stack([np.full((1, 9, 9), level / 127.5 - 1, np.float32) for level in levels])
    picture = plots.image_grid(images)
    assert picture.mode == "L"
    assert [cell(picture, n, k) for k in range(n)] == levels
    columns = int(np.ceil(np.sqrt(n)))
    for empty in range(n, columns * int(np.ceil(n / columns))):
        assert cell(picture, n, empty) == 255  # what is left over is white
    assert picture.getpixel((0, 0)) == 255  # as is the border


@pytest.mark.parametrize("n", [1, 3, 6])
def test_image_k_of_a_colour_grid_is_at_its_place(n):
    colours = [(20 * k, 255 - 30 * k, 7 * k) for k in range(n)]
    images = np.stack([np.broadcast_to(np.array(c).reshape(3, 1, 1), (3, 8, 8)) / 127.5 - 1 for c in colours])
    picture = plots.image_grid(images)
    assert picture.mode == "RGB"
    assert [cell(picture, n, k) for k in range(n)] == colours


@pytest.mark.parametrize("channels", [1, 3])
def test_images_stand_upright_whole_and_unsmoothed(channels):
    """An image of random pixels, enlarged by a whole number, is found in its grid pixel by pixel."""
    image = np.random.default_rng(0).integers(0, 255, (channels, 5, 8))
    picture = np.asarray(plots.image_grid(image[None] / 127.5 - 1)).reshape(-1)
    shape = plots.image_grid(image[None] / 127.5 - 1).size
    sheet = picture.reshape(shape[1], shape[0], channels)
    inside = np.argwhere((sheet != 255).all(2))
    (top, left), (bottom, right) = inside.min(0), inside.max(0) + 1
    scale = (bottom - top) // 5
    assert (bottom - top, right - left) == (5 * scale, 8 * scale)
    np.testing.assert_array_equal(sheet[top:bottom:scale, left:right:scale], image.transpose(1, 2, 0))
    np.testing.assert_array_equal(sheet[top + scale - 1 : bottom : scale, left:right:scale], image.transpose(1, 2, 0))


@pytest.mark.parametrize("shape", [(64, 1, 28, 28), (1, 1, 28, 28), (16, 3, 64, 64), (2, 1, 8, 8)])
def test_grids_are_enlarged_to_some_600_pixels(shape):
    assert 400 <= max(plots.image_grid(np.zeros(shape)).size) <= 900


def test_a_grid_of_large_images_is_not_shrunk():
    assert min(plots.image_grid(np.zeros((4, 1, 500, 500))).size) >= 1000


BLUE, ORANGE = (0, 114, 178), (213, 94, 0)


def places(picture, red, green, blue, tolerance=12):
    """The (row, column) of every pixel of this colour."""
    return np.argwhere(np.abs(np.asarray(picture).astype(int) - [red, green, blue]).max(2) <= tolerance)


def greys(picture):
    """The places of grey points; not of axes and letters, which are black with soft edges here and there."""
    pixels = np.asarray(picture).astype(int)
    return np.argwhere((np.ptp(pixels, axis=2) == 0) & (pixels[..., 0] > 140) & (pixels[..., 0] < 190))


def test_scatter_draws_samples_alone_or_over_reals():
    points = np.random.default_rng(0).standard_normal((300, 2))
    alone = plots.scatter(points)
    assert alone.mode == "RGB" and alone.size == (500, 500)
    assert len(places(alone, *BLUE)) > 1000
    both = plots.scatter(points[:150], real=points[150:])
    assert len(places(both, *BLUE)) > 1000 and len(greys(both)) > len(greys(alone)) + 500
    assert len(greys(plots.scatter(points, real=points))) < len(greys(both)) / 2  # the samples lie on top


def test_scatter_names_its_axes(monkeypatch):
    figures = []
    monkeypatch.setattr(plots.images, "to_image", figures.append)
    plots.scatter(np.zeros((3, 2)))
    (axes,) = figures[0].axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x1", "x2")


def test_scatter_has_x_to_the_right_and_y_upward():
    """Samples in the lower left corner, with reals in the other three, lie there in the picture."""
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    spread = 0.05 * np.random.default_rng(0).standard_normal((100, 2))
    picture = plots.scatter(corners[0] + spread, real=np.concatenate([c + spread for c in corners[1:]]))
    row, column = np.median(places(picture, *BLUE), axis=0)
    assert row > 250 and column < 250


def test_scatter_has_one_scale_for_both_axes():
    """A circle is a circle, whatever is beside it."""
    angle = np.linspace(0, 2 * np.pi, 400)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    wide = np.array([[-4.0, 0.0], [4.0, 0.0]])
    for real in (None, wide):
        dots = places(plots.scatter(circle, real=real), *BLUE)
        dots = dots[dots[:, 0] < 450]  # without the legend
        height, width = np.ptp(dots, axis=0)
        assert abs(height - width) <= 4 and height > 50


def test_a_stray_sample_does_not_move_the_real_points():
    """So that the frames of an animation stand still: the reals set the limits of the axes."""
    rng = np.random.default_rng(0)
    real, points = rng.standard_normal((300, 2)), 0.1 * rng.standard_normal((10, 2))
    a, b = plots.scatter(points, real=real), plots.scatter(np.vstack([points, [[100.0, 50.0]]]), real=real)
    assert a.tobytes() == b.tobytes()


def test_loss_curves_draw_both_players():
    metrics = [
        {"step": k, "d_loss": 1.0 + k % 3, "g_loss": 4.0 + k % 5, "d_real": 0.8, "d_fake": 0.2} for k in range(50)
    ]
    picture = plots.loss_curves(metrics)
    assert picture.mode == "RGB" and picture.size == (800, 600)
    for half in (picture.crop((0, 0, 800, 300)), picture.crop((0, 300, 800, 600))):
        assert len(places(half, *BLUE, 60)) > 200 and len(places(half, *ORANGE, 60)) > 200
    # A belief of 0.8 is drawn above one of 0.2, on an axis from 0 to 1.
    rows = [np.median(places(picture.crop((0, 300, 600, 600)), *colour, 60)[:, 0]) for colour in (BLUE, ORANGE)]
    assert rows[1] - rows[0] == pytest.approx(0.6 * 240, rel=0.15)


def test_loss_curves_of_a_single_step():
    assert plots.loss_curves([{"step": 1, "d_loss": 1.0, "g_loss": 1.0, "d_real": 0.5, "d_fake": 0.5}]).size == (
        800,
        600,
    )


def curves(monkeypatch, metrics):
    """The axes of the picture, each as {label of a curve: its (x, y)}: the mean curves, not those behind them."""
    figures = []
    monkeypatch.setattr(plots.images, "to_image", figures.append)
    plots.loss_curves(metrics)
    lines = [[line for line in axes.lines if not line.get_label().startswith("_")] for axes in figures[0].axes]
    return figures[0].axes, [{line.get_label(): line.get_data() for line in panel} for panel in lines]


def test_figures_of_any_name_are_drawn_where_they_belong(monkeypatch):
    """Losses above, all others below; a figure that is missing in some lines is drawn over the steps that have it."""
    metrics = [{"step": k, "g_loss": 1.0 * k, "cycle_loss": 2.0, "distance": 3.0} for k in range(1, 31)]
    metrics[4]["now and then"], metrics[20]["now and then"] = 7.0, 9.0
    del metrics[0]["distance"]
    axes, (above, below) = curves(monkeypatch, metrics)
    assert set(above) == {"generator", "cycle_loss"} and set(below) == {"distance", "now and then"}
    assert below["now and then"][0].tolist() == [5, 21] and below["distance"][0].tolist() == list(range(2, 31))
    np.testing.assert_allclose(below["distance"][1], 3)
    assert axes[0].get_ylabel() == "loss" and axes[1].get_ylabel() == "" and axes[-1].get_xlabel() == "step"


def test_beliefs_have_an_axis_from_0_to_1_and_other_figures_have_not(monkeypatch):
    beliefs = [{"step": k, "d_real": 0.6, "d_fake": 0.4} for k in range(5)]
    (axes,), (curve,) = curves(monkeypatch, beliefs)
    assert axes.get_ylim() == (0, 1) and set(curve) == {"D(real)", "D(fake)"}
    (axes,), _ = curves(monkeypatch, [line | {"distance": 50.0} for line in beliefs])
    assert axes.get_ylim()[1] > 40


@pytest.mark.parametrize(
    "metrics", [[], [{"step": 1}], [{"step": 1, "a_loss": 1.0}], [{"step": 1, "a": 1.0}, {"step": 2}]]
)
def test_loss_curves_of_little(metrics):
    assert plots.loss_curves(metrics).size == (800, 300)


def test_draw_takes_images_and_points_and_nothing_else():
    images, points = np.zeros((4, 3, 8, 8)), np.random.default_rng(0).standard_normal((5, 2))
    assert plots.draw(images).tobytes() == plots.image_grid(images).tobytes()
    assert plots.draw(images, images).tobytes() == plots.image_grid(images).tobytes()
    assert plots.draw(points, points + 1).tobytes() == plots.scatter(points, points + 1).tobytes()
    for wrong in (np.zeros((4, 3)), np.zeros(4), np.zeros((4, 8, 8)), np.zeros((1, 1, 1, 8, 8))):
        with pytest.raises(ValueError, match="there is no picture for samples of shape"):
            plots.draw(wrong)


@pytest.mark.parametrize("channels", [1, 3])
def test_to_bytes_is_a_png_of_the_same_pixels(channels):
    picture = plots.image_grid(np.random.default_rng(0).uniform(-1, 1, (3, channels, 8, 8)))
    content = plots.to_bytes(picture)
    reopened = Image.open(io.BytesIO(content))
    assert reopened.format == "PNG" and reopened.mode == picture.mode
    assert reopened.tobytes() == picture.tobytes()


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_animation_plays_all_its_frames_in_order(n, channels):
    levels = [30 * k for k in range(n)]
    frames = [plots.image_grid(np.full((1, channels, 8, 8), level / 127.5 - 1)) for level in levels]
    before = [frame.mode for frame in frames]
    gif = Image.open(io.BytesIO(plots.animation(frames, seconds=2.8)))
    assert gif.format == "GIF" and gif.n_frames == n and gif.size == frames[0].size
    durations = []
    for k, level in enumerate(levels):
        gif.seek(k)
        durations.append(gif.info.get("duration"))
        middle = gif.convert("RGB").getpixel((gif.width // 2, gif.height // 2))
        assert max(abs(value - level) for value in middle) <= 2
    assert [frame.mode for frame in frames] == before
    if n > 1:
        assert gif.info["loop"] == 0  # again and again
        assert durations == [2800 // n] * (n - 1) + [2000]


def test_the_error_map_shows_where_a_gradient_is_wrong():
    wrong = np.ones((4, 3))
    wrong[1, 2] = 1.5
    x = np.arange(12.0).reshape(4, 3) / 10
    bad = gradcheck(lambda x: record(np.exp(x.data), (x, lambda g, y: g * y * Tensor(wrong))), x)
    picture, right = (np.asarray(plots.error_map(r)).astype(int) for r in (bad, gradcheck(ops.exp, x)))
    assert picture.shape == right.shape == (450, 450, 3)
    yellow = (np.abs(picture - [253, 231, 55]).sum(-1) < 120).mean()  # cividis: the largest errors are yellow
    assert yellow > (np.abs(right - [253, 231, 55]).sum(-1) < 120).mean() + 0.01


def test_the_error_map_of_images_and_of_numbers():
    images = np.random.default_rng(0).standard_normal((2, 3, 4, 4))
    report = gradcheck(lambda x, s: ops.leaky_relu(x) * s, images, 2.0)
    assert plots.error_map(report).size == (900, 450)
    with pytest.raises(ValueError, match="nothing to draw"):
        plots.error_map(gradcheck(lambda x: x.numpy(), 1.0))


# --- what would not be drawn as it was meant ------------------------------------------------------------------------

LEVELS = np.random.default_rng(3).integers(0, 256, (3, 1, 8, 8))
NOT_IMAGES = {
    "int64": (LEVELS, "not int64: if they reach from 0 to 255, convert them with .astype(np.uint8)"),
    "int32": (LEVELS.astype(np.int32), "not int32"),
    "uint16": (LEVELS.astype(np.uint16), "not uint16"),
    "int8": ((LEVELS // 2).astype(np.int8), "not int8"),
    "yes and no": (LEVELS > 100, "not bool"),
    "complex": (LEVELS + 0j, "not complex128"),
    "objects": (LEVELS.astype(object), "not object"),
    "floats of 0..255": (LEVELS.astype(np.float32), "must lie in [-1, 1], and these reach from 0 to 2"),
    "a dark picture of 0..255": (LEVELS % 4 * 1.0, "these reach from 0 to 3"),
    "bright ones, not whole": (LEVELS * 0.3 + 77.7, "if they are meant from 0 to 255"),
    "nan": (np.where(LEVELS == LEVELS[0, 0, 0, 0], np.nan, 0.0), "nan or inf"),
    "inf": (np.where(LEVELS == LEVELS[0, 0, 0, 0], -np.inf, 0.0), "nan or inf"),
}


@pytest.mark.parametrize("images, words", NOT_IMAGES.values(), ids=NOT_IMAGES)
@pytest.mark.parametrize("draw", [plots.image_grid, plots.draw, plots.to_uint8])
def test_images_of_other_numbers_are_refused_and_not_washed_out(draw, images, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        draw(images)
    assert "\n" not in str(caught.value)


def test_what_is_said_to_do_gives_the_right_picture():
    right = np.asarray(plots.image_grid(LEVELS / 127.5 - 1))
    for levels in (LEVELS, LEVELS.astype(float)):
        np.testing.assert_array_equal(np.asarray(plots.image_grid(levels.astype(np.uint8))), right)


def test_what_a_network_without_tanh_makes_is_cut_off():
    """A little, or on both sides, beyond [-1, 1]: that is still an image."""
    assert plots.to_uint8(np.array([0.0, 1.2, 1.9])).tolist() == [128, 255, 255]
    assert plots.to_uint8(np.array([-3.0, 0.0, 5.0])).tolist() == [0, 128, 255]


NOT_SHAPES = {
    (5, 8, 8): "images[:, None]",
    (3, 8, 8): "image[None]",
    (1, 8, 8): "image[None]",
    (8, 8): "image[None, None]",
    (5, 8, 8, 3): "images.transpose(0, 3, 1, 2)",
    (5, 8, 8, 1): "images.transpose(0, 3, 1, 2)",
    (5, 4, 8, 8): "images[:, :3]",
    (5, 2, 8, 8): "C 1 or 3, not (5, 2, 8, 8)",
    (0, 1, 8, 8): "nothing to draw",
    (2, 3, 0, 8): "nothing to draw",
    (2, 0, 8, 8): "nothing to draw",
    (0,): "nothing to draw",
    (): "not ()",
    (1, 1, 1, 8, 8): "not (1, 1, 1, 8, 8)",
}


@pytest.mark.parametrize("shape, words", NOT_SHAPES.items(), ids=map(str, NOT_SHAPES))
def test_images_of_other_shapes_get_a_sentence(shape, words):
    with pytest.raises(ValueError, match=re.escape("images must be (n, C, H, W)") + ".*" + re.escape(words)):
        plots.image_grid(np.zeros(shape))


def test_the_cures_for_shapes_work():
    grey, colour = np.zeros((5, 8, 8)), np.zeros((3, 8, 8))
    for images in (grey[:, None], colour[None], grey[0][None, None], np.zeros((5, 8, 8, 3)).transpose(0, 3, 1, 2)):
        assert plots.image_grid(images).size[0] > 100


def test_one_column_of_pixels_is_drawn_too():
    assert plots.image_grid(np.zeros((1, 1, 1, 1))).size[0] >= 300
    assert plots.image_grid([np.zeros((1, 8, 8))] * 3).mode == "L"  # a list of images is as good as an array


@pytest.mark.parametrize(
    "bad", [np.zeros((3, 3)), np.zeros(3), np.zeros((0, 2)), np.full((3, 2), np.nan), [["a", "b"]]]
)
def test_points_that_are_none_are_refused(bad):
    points = np.random.default_rng(0).standard_normal((5, 2))
    for call in (lambda: plots.scatter(bad), lambda: plots.scatter(points, bad), lambda: plots.draw(points, bad)):
        with pytest.raises(ValueError, match="points must be"):
            call()


def test_a_single_real_point_has_limits(recwarn):
    assert plots.scatter(np.zeros((3, 2)), np.ones((1, 2))).size == (500, 500) and not recwarn.list


@pytest.mark.parametrize("bad", [np.zeros((8, 8)), None, "a.png", Image.new("F", (4, 4)), Image.new("I", (4, 4), 300)])
@pytest.mark.parametrize("call", [plots.to_bytes, lambda bad: plots.animation([Image.new("L", (4, 4)), bad])])
def test_what_is_no_picture_of_8_bits_is_refused(call, bad):
    with pytest.raises(ValueError, match=r"pictures must be PIL images|has other numbers than 0..255: convert it"):
        call(bad)


def test_frames_of_unlike_sizes_lie_on_white():
    small, wide = Image.new("RGB", (10, 10), (255, 0, 0)), Image.new("L", (20, 8), 0)
    for frames in ([small, wide], [wide, small], [wide, small.convert("L")]):
        gif = Image.open(io.BytesIO(plots.animation(frames)))
        assert gif.size == (20, 10) and gif.n_frames == 2
        for k, frame in enumerate(frames):
            gif.seek(k)
            shown = gif.convert("RGB")
            assert shown.getpixel((1, 1)) == frame.convert("RGB").getpixel((1, 1))
            assert shown.getpixel((19, 9)) == (255, 255, 255)


@pytest.mark.parametrize("seconds, last", [(-1, 2), (float("nan"), 2), (8, -1), (8, 1000), (2000, 1), ("8", 1)])
def test_times_that_a_gif_cannot_tell(seconds, last):
    with pytest.raises(ValueError, match=r"seconds|last"):
        plots.animation([Image.new("L", (4, 4))] * 2, seconds, last)


def test_slow_animations():
    gif = Image.open(
        io.BytesIO(plots.animation([Image.new("L", (4, 4), k) for k in (0, 99, 9)], seconds=1500, last=600))
    )
    assert gif.n_frames == 3 and gif.info["duration"] == 500_000


def test_an_animation_of_nothing():
    for call in (plots.animation, plots.play):
        with pytest.raises(ValueError, match="no frames"):
            call([])
