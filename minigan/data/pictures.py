"""One picture from its file, whatever its format; and what a folder holds beside pictures."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from minigan.data.files import check_file, check_memory, check_promise

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif")
SUFFIXES += (".pbm", ".pgm", ".ppm", ".pnm")
READABLE = "PNG, JPEG, WebP, BMP, TIFF, GIF or PNM"
LARGE = 2**24  # pixels; smaller pictures are read whatever they are: at worst, they take half a gigabyte for a moment
logging.getLogger("PIL").addHandler(logging.NullHandler())  # or it would print a line beside our sentence
SYSTEM_FILES = ("thumbs.db", "desktop.ini", "__macosx")  # what Windows and macOS leave, beside hidden files


class Header(NamedTuple):
    """What is known of a picture before its pixels are read."""

    pixels: int
    is_grey: bool
    is_first_of_several: bool  # an animation, or pages


def read_header(path: Path) -> Header:
    """Read how large a picture is and of what kind. Raises ValueError where the file is no such picture."""
    with _opened(path) as image:
        several = image.format != "MPO" and getattr(image, "is_animated", False)  # MPO: a photo and its preview
        return Header(image.width * image.height, _is_grey(image), several)


def open_picture(path: str | Path) -> Image.Image:
    """Open a picture as 8-bit grey ("L") or colour ("RGB"), turned upright, on white if transparent.

    Of several pictures in a file it is the first. The file's bytes say what its format is, and not its name. Raises
    ValueError for a file that is no ordinary one, or is damaged, or promises an absurd size.
    """
    with _opened(path) as image:
        mode, raw, key = "L" if _is_grey(image) else "RGB", _raw_mode(image), image.info.get("transparency")
        ImageOps.exif_transpose(image, in_place=True)  # reads the pixels, too
        if image.mode[0] in "IF":  # more than 8 bits, for which Pillow would clip to 255
            image = _from_16_bits(image, raw, key)
        elif key is not None and raw in ("L;2", "L;4"):
            image.info["transparency"] = key * {"L;2": 85, "L;4": 17}[raw]  # Pillow scaled the pixels so
        elif key is not None and raw == "RGB;16B":
            image.info["transparency"] = tuple(value >> 8 for value in key)
        if image.has_transparency_data:
            image = image if image.mode == "RGBA" else image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert(mode)


def _from_16_bits(image: Image.Image, raw: str, key: int | None) -> Image.Image:
    """16-bit grey as 8-bit grey, white where it has the transparent level `key`."""
    known = raw in ("I;16", "I;16B") or image.format == "PPM"  # whose reader brings all kinds to 0..65535
    if not known or getattr(image, "tag_v2", {}).get(262) == 0:  # a TIFF in which 0 is white
        raise ValueError("its numbers are not the usual 8 or 16 bits from black to white: save it with those")
    levels = np.asarray(image).astype(np.uint32)
    grey = ((levels + 128) // 257).astype(np.uint8)  # rounded; 65535 is 255 * 257
    if key is not None:
        grey[levels == key] = 255
    return Image.fromarray(grey)


def _raw_mode(image: Image.Image) -> str:
    """What the numbers in the file are, such as "L;2", where Pillow knows more than its own modes; read no pixels."""
    arguments = image.tile[0][3] if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La", "F") or image.mode[0] == "I" or _raw_mode(image).startswith("LA")


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """The picture in a file, of which only the header has been read; whatever fails becomes one sentence."""
    size = check_file(path)
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged EXIF data and the like: Pillow reads the picture all the same
        with _one_sentence(path):
            image = Image.open(file, formats=FORMATS)
        if (pixels := image.width * image.height) > LARGE:
            bits = 1 if image.mode == "1" else 8 * len(image.getbands())
            check_promise(path, pixels * bits // 8, size, harmless=0)
            check_memory(path, 12 * pixels, "this picture")  # three copies of it, when it is laid on white
        with _one_sentence(path):
            yield image


@contextmanager
def _one_sentence(path: str | Path) -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError:
        raise ValueError(f"{path}: cannot be read as a picture: it is none, or is not {READABLE}") from None
    except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
        raise ValueError(f"{path}: cannot be read as a picture ({error})") from None


class Contents(NamedTuple):
    """What lies in a folder, each kind sorted by name."""

    pictures: list[Path]  # by their suffix
    folders: list[Path]
    others: list[Path]


def contents(folder: Path) -> Contents:
    """What lies in a folder, without hidden files and what operating systems leave there."""
    found = Contents([], [], [])
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.lower() in SYSTEM_FILES:
            continue
        kind = found.folders if path.is_dir() else found.pictures if path.suffix.lower() in SUFFIXES else found.others
        kind.append(path)
    return found
