"""Pictures of a training run: samples, losses, and how samples change. Each function returns a PIL image."""

import io

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from PIL import Image

from minigan.gradcheck import Report
from minigan.plots.figures import COLOURS, REAL, as_array, check_pictures, to_image


def draw(samples: np.ndarray, real: np.ndarray | None = None) -> Image.Image:
    """Samples of any kind that a GAN makes: images (n, C, H, W) as a grid, points (n, 2) over the real ones (m, 2).

    Raises ValueError for arrays of another kind.
    """
    samples = as_array(samples)
    if samples.ndim == 4:
        return image_grid(samples)
    if samples.ndim == 2 and samples.shape[1] == 2:
        return scatter(samples, real)
    raise ValueError(
        f"there is no picture for samples of shape {samples.shape}: draw images (n, C, H, W) or points (n, 2)"
    )


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] -> uint8 in 0..255, of the same shape; uint8 is returned as it is.

    A little beyond [-1, 1], as networks without tanh reach, is cut off. Raises ValueError for what would not be drawn
    as it was meant: other types than floats and uint8, numbers that are not finite, and floats of 0..255.
    """
    images = as_array(images)
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise ValueError(
            f"images must be floats in [-1, 1] or uint8 in 0..255, not {images.dtype}: if they reach from 0 to 255, "
            "convert them with .astype(np.uint8)"
        )
    if not np.isfinite(images).all():
        raise ValueError(
            "images with nan or inf in them cannot be drawn: if a GAN made them, try a lower learning rate"
        )
    if images.size and images.min() >= 0 and images.max() > 2:
        raise ValueError(
            f"images must lie in [-1, 1], and these reach from {images.min():g} to {images.max():g}: if they are meant "
            "from 0 to 255, convert them with .astype(np.uint8)"
        )
    return np.clip(np.round((images + 1) * 127.5), 0, 255).astype(np.uint8)


def image_grid(images: np.ndarray) -> Image.Image:
    """Images (n, C, H, W) in [-1, 1] side by side, in as near a square as n allows, enlarged to some 600 pixels.

    C is 1 (grey) or 3 (colour). Raises ValueError for other shapes, and for values that to_uint8 refuses.
    """
    images = to_uint8(images)
    _check_shape(images.shape)
    n, channels, height, width = images.shape
    columns = int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)  # rounded up
    gap = 2
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
    for number, image in enumerate(images.transpose(0, 2, 3, 1)):  # (H, W, C)
        top, left = (
            gap + position * (size + gap)
            for position, size in zip(divmod(number, columns), (height, width), strict=True)
        )
        sheet[top : top + height, left : left + width] = image
    picture = Image.fromarray(sheet.squeeze(2) if channels == 1 else sheet)
    scale = max(1, round(600 / max(picture.size)))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def _check_shape(shape: tuple[int, ...]) -> None:
    """Raise ValueError, with what to do, unless a grid can be drawn of images of this shape."""
    if len(shape) == 4 and shape[1] in (1, 3) and 0 not in shape:
        return
    if 0 in shape:
        cure = "there is nothing to draw"
    elif len(shape) == 4 and shape[3] in (1, 3):
        cure = "bring the channels forward with images.transpose(0, 3, 1, 2)"
    elif len(shape) == 3:
        cure = "add the axis that is missing, with images[:, None] for grey images and image[None] for a single one"
    elif len(shape) == 2:
        cure = "a single grey image is image[None, None]"
    else:
        cure = "leave out what is more, such as transparency: images[:, :3]"
    raise ValueError(f"images must be (n, C, H, W) with C 1 or 3, not {shape}: {cure}")


def scatter(points: np.ndarray, real: np.ndarray | None = None) -> Image.Image:
    """Points (n, 2), drawn over real ones (m, 2) where given, which then also set the limits of the axes.

    Raises ValueError for other shapes, for no real points, and for points that are not finite.
    """
    points = _finite_points(points)
    figure = Figure(figsize=(5, 5), dpi=100, layout="constrained")
    axes = figure.subplots()
    if real is not None:
        real = _finite_points(real)
        axes.scatter(*real.T, s=6, color="0.6", label="real")
        middle, radius = (real.max(0) + real.min(0)) / 2, 0.65 * np.ptp(real, axis=0).max() or 1.0
        axes.set(xlim=(middle[0] - radius, middle[0] + radius), ylim=(middle[1] - radius, middle[1] + radius))
    axes.scatter(*points.T, s=6, color=REAL, label="generated")
    axes.set(aspect="equal", xlabel="x1", ylabel="x2")
    figure.legend(loc="outside lower center", ncols=2)
    return to_image(figure)


def _finite_points(points: np.ndarray) -> np.ndarray:
    points = as_array(points)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"points must be (n, 2), with n at least 1, not {points.shape}")
    if points.dtype.kind not in "fiu" or not np.isfinite(points).all():
        raise ValueError("points must be finite numbers to be drawn: if a GAN made these, try a lower learning rate")
    return points


NAMES = {"d_loss": "discriminator", "g_loss": "generator", "d_real": "D(real)", "d_fake": "D(fake)"}  # in the legends


def loss_curves(metrics: list[dict[str, float]]) -> Image.Image:
    """The figures of a training over its steps: losses (whatever ends in _loss) above, all others below them.

    `metrics` has a dict for each step: "step", and figures of any names.
    """
    names = [name for name in dict.fromkeys(key for line in metrics for key in line) if name != "step"]
    panels = [[n for n in names if n.endswith("_loss")], [n for n in names if not n.endswith("_loss")]]
    panels = [panel for panel in panels if panel]
    figure = Figure(figsize=(8, 3 * max(1, len(panels))), dpi=100, layout="constrained")
    for axes, panel in zip(
        figure.subplots(max(1, len(panels)), sharex=True, squeeze=False)[:, 0], panels, strict=False
    ):
        for number, name in enumerate(panel):
            steps, values = np.array([(line["step"], line[name]) for line in metrics if name in line], float).T
            window = np.ones(min(len(values), 25))  # the mean over some 25 steps, and each step faintly behind it
            smooth = np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")
            colour = COLOURS[number % len(COLOURS)]
            axes.plot(steps, smooth, color=colour, label=NAMES.get(name, name))
            axes.plot(steps, values, color=colour, lw=0.5, alpha=0.3)
        beliefs = set(panel) <= {"d_real", "d_fake"}
        axes.set_ylabel("loss" if panel[0].endswith("_loss") else "mean belief that it is real" if beliefs else "")
        if beliefs:
            axes.set_ylim(0, 1)
        axes.grid(alpha=0.3)
        axes.legend(loc="best")
    figure.axes[-1].set_xlabel("step")
    return to_image(figure)


def error_map(report: Report) -> Image.Image:
    """Where the errors of a gradient check are: a map of relative errors for each argument, grey where none is known.

    Arguments with 4 axes are drawn as a table of images: axis 0 down, axis 1 across, and one image in each place.
    """
    if not report.lines:
        raise ValueError(f"there is nothing to draw: {report.problem.sentence if report.problem else 'no arguments'}")
    figure = Figure(figsize=(4.5 * len(report.lines), 4.5), dpi=100, layout="constrained")
    for axes, line in zip(figure.subplots(1, len(report.lines), squeeze=False)[0], report.lines, strict=True):
        errors = line.errors
        if errors.ndim == 4:  # (A, B, H, W) -> (A H, B W)
            a, b, h, w = errors.shape
            table = errors.transpose(0, 2, 1, 3).reshape(a * h, b * w)
            axes.set_xticks(np.arange(b) * w - 0.5, [f"{i}" for i in range(b)])
            axes.set_yticks(np.arange(a) * h - 0.5, [f"{i}" for i in range(a)])
            axes.grid(color="white", lw=2)
            axes.set(xlabel="axis 1 (in it, axis 3)", ylabel="axis 0 (in it, axis 2)")
        else:
            table = errors.reshape(-1, errors.shape[-1] if errors.ndim else 1)
            axes.locator_params(integer=True)
            axes.set(xlabel="last axis", ylabel="axis 0" if errors.ndim == 2 else "")
        axes.set_facecolor("0.6")
        axes.set_title(f"{line.name}: {'WRONG' if line.mistake else 'right' if line.measured else 'not measured'}")
        colours = LogNorm(1e-12, 1)
        picture = axes.imshow(np.maximum(table, 1e-12), norm=colours, cmap="cividis", interpolation="nearest")
    figure.colorbar(picture, label="relative error", ax=figure.axes)
    return to_image(figure)


def to_bytes(image: Image.Image) -> bytes:
    """The image as a PNG file's content. Raises ValueError for what is no picture; see check_pictures."""
    check_pictures([image])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
