"""Moving pictures in a notebook: animations, a picture that changes during training, and stepping through pictures."""

import base64
import html
import io
from typing import Any

from PIL import Image

from minigan.checks import check_number
from minigan.plots.figures import check_pictures

LONGEST = 655  # seconds that a GIF can show one frame


def animation(frames: list[Image.Image], seconds: float = 8.0, last: float = 2.0, colours: int = 128) -> bytes:
    """The frames one after the other as a GIF file's content; the last one stays for `last` seconds.

    All share one palette, of colours that cover what occurs in any of them: with a palette of its own for each frame,
    what stands still would flicker, and the file would be larger. Smaller frames lie on white. Raises
    ValueError for no frames, for what is no picture, and for times that a GIF cannot tell.
    """
    if not frames:
        raise ValueError("there are no frames to play: an animation needs at least one")
    check_pictures(frames)
    check_number("seconds", seconds, LONGEST * len(frames))
    check_number("last", last, LONGEST)
    buffer = io.BytesIO()
    durations = [round(1000 * seconds / len(frames))] * (len(frames) - 1) + [round(1000 * last)]
    size = tuple(max(sides) for sides in zip(*(frame.size for frame in frames), strict=True))
    if any(frame.mode != "L" or frame.size != size for frame in frames):
        frames = [_on_white(frame, size) for frame in frames]
        palette = _stacked(frames).quantize(colours, Image.Quantize.MAXCOVERAGE)
        frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    options = {"save_all": True, "append_images": frames[1:], "duration": durations, "loop": 0, "optimize": True}
    frames[0].save(buffer, "GIF", **options)
    return buffer.getvalue()


def _on_white(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The frame in colour, in the top left corner of a white sheet of this size."""
    sheet = Image.new("RGB", size, "white")
    sheet.paste(frame.convert("RGB"))
    return sheet


def _stacked(frames: list[Image.Image]) -> Image.Image:
    """The frames, one below the other."""
    sheet = Image.new("RGB", (max(f.width for f in frames), sum(f.height for f in frames)))
    top = 0
    for frame in frames:
        sheet.paste(frame, (0, top))
        top += frame.height
    return sheet


class play:  # noqa: N801
    """An animation that shows itself as the last line of a cell; every browser plays it, and so does a saved page."""

    def __init__(
        self, frames: list[Image.Image], seconds: float = 8.0, alt: str = "an animation", colours: int = 128
    ) -> None:
        self.content, self.alt = animation(frames, seconds, colours=colours), alt

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.content).decode()
        return f"<img src='data:image/gif;base64,{data}' alt='{html.escape(self.alt, quote=True)}'>"


class Live:
    """A picture in a notebook that is replaced as training goes on: `live = Live()`, then `live.show(picture)`.

    Outside of a notebook it shows nothing.
    """

    def __init__(self) -> None:
        self.handle: Any = None

    def show(self, picture: Image.Image) -> None:
        """Put the picture in the place of the last one."""
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            return
        if get_ipython() is None:
            return
        if self.handle is None:
            self.handle = display(picture, display_id=True)
        else:
            self.handle.update(picture)


def stepper(pictures: list[Image.Image], captions: list[str]) -> Any:
    """A widget that steps forwards and backwards through pictures, with a caption above each.

    Raises RuntimeError where ipywidgets is not installed.
    """
    try:
        import ipywidgets
    except ImportError:
        raise RuntimeError(
            "stepping needs ipywidgets, which is not installed: pip install 'minigan[lessons]'"
        ) from None
    if len(pictures) != len(captions) or not pictures:
        raise ValueError(f"{len(pictures)} pictures need as many captions, not {len(captions)}")
    contents = []
    for picture in pictures:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        contents.append(buffer.getvalue())
    caption, image = ipywidgets.HTML(), ipywidgets.Image(format="png")
    back, forward = (ipywidgets.Button(description=text) for text in ("◀ back", "forward ▶"))
    place = ipywidgets.IntSlider(0, 0, len(pictures) - 1, description="stage", readout=False)

    def show(change: Any = None) -> None:
        number = place.value
        caption.value = f"<b>{number + 1} of {len(pictures)}: {html.escape(captions[number])}</b>"
        image.value = contents[number]

    place.observe(show, "value")
    back.on_click(lambda _: setattr(place, "value", max(0, place.value - 1)))
    forward.on_click(lambda _: setattr(place, "value", min(len(pictures) - 1, place.value + 1)))
    show()
    return ipywidgets.VBox([caption, ipywidgets.HBox([back, forward, place]), image])
