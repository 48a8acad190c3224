"""Images and labels from an .npz file: a zip archive of arrays, each a short header and then the raw numbers.

NumPy's own loader makes the whole array before anyone can look at it. Here the header is judged first, and the numbers
come block by block into an array of the type that is kept.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zipfile import ZipFile

import numpy as np

from minigan.data.files import check_file, check_memory, check_promise, some_of
from minigan.data.labels import check_kind, check_labels

BLOCK = 1 << 20  # bytes


class Header(NamedTuple):
    """What an array promises to be."""

    shape: tuple[int, ...]
    is_fortran: bool  # its first axis is the quickest one
    dtype: np.dtype


def read_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read images `(N, C, H, W)`, uint8 or float32 in [-1, 1], and labels `(N,)` if there are any; see load_images.

    Pickled objects are refused, since unpickling can run any code. Raises ValueError for whatever is wrong.
    """
    size, labels = check_file(path), None
    with open(path, "rb") as file:
        with _one_sentence(path):
            archive = ZipFile(file)
            files = {name.removesuffix(".npy"): name for name in archive.namelist()}
            images = next(iter(files)) if len(files) == 1 else "images"
            if images not in files:
                raise ValueError(f"it holds {some_of(list(files)) or 'none'}")
            with archive.open(files[images]) as stream:
                header = _read_header(stream)
        layout = _check_images(header, size, path)
        with _one_sentence(path), archive.open(files[images]) as stream:
            pixels, low, high = _read_pixels(stream)
        if pixels.dtype != np.uint8:
            _to_both_signs(pixels, low, high, path)
        if images == "images" and "labels" in files:
            labels = _read_labels(archive, files["labels"], len(pixels), path)
    if others := sorted(files.keys() - {images, "labels"}):
        # The level is the line that called load or load_images.
        warnings.warn(f"{path}: {len(others)} of its arrays left out: {some_of(others)}", stacklevel=5)
    return pixels[:, None] if layout == "NHW" else pixels.transpose([layout.index(axis) for axis in "NCHW"]), labels


def _check_images(header: Header, size: int, path: Path) -> str:
    """The order of the axes. Raises ValueError for images that load_images does not take, or that are too large."""
    shape, dtype = header.shape, header.dtype
    layouts = [name for name in ("NHW", "NCHW", "NHWC") if len(name) == len(shape)]
    layouts = [name for name in layouts if "C" not in name or shape[name.index("C")] in (1, 3)]
    if not layouts or min(shape) < 1:
        raise ValueError(f"{path}: need (N, H, W), (N, C, H, W) or (N, H, W, C), C 1 or 3, not {shape}")
    if dtype != np.uint8 and dtype.kind != "f":
        raise ValueError(f"{path}: the images must be uint8 (0..255) or float, not {dtype}")
    check_promise(path, math.prod(shape) * dtype.itemsize, size)
    check_memory(path, math.prod(shape) * min(dtype.itemsize, 4), f"its array {shape}")
    return layouts[0]


def _read_header(stream: BinaryIO) -> Header:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return Header(*np.lib.format.read_array_header_1_0(stream))
    return Header(*np.lib.format.read_array_header_2_0(stream))


def _read_pixels(stream: BinaryIO) -> tuple[np.ndarray, float, float]:
    """An array of uint8 or float32, and the least and the largest number as they were before they became float32."""
    shape, is_fortran, dtype = _read_header(stream)
    pixels = np.empty(math.prod(shape), np.uint8 if dtype == np.uint8 else np.float32)
    done, low, high = 0, math.inf, -math.inf
    with np.errstate(over="ignore"):  # what is too large for float32 is too large for an image, too
        while done <= len(pixels) and (block := stream.read(BLOCK)):
            numbers = np.frombuffer(block, dtype)
            low, high = np.minimum(low, numbers.min()), np.maximum(high, numbers.max())
            place = pixels[done : done + len(numbers)]
            place[:] = numbers[: len(place)]
            done += len(numbers)
    if done != len(pixels):
        found = "more" if done > len(pixels) else f"only {done}"
        raise ValueError(f"its header promises {len(pixels)} numbers, but it holds {found}")
    return (pixels.reshape(shape[::-1]).T if is_fortran else pixels.reshape(shape)), low, high


def _to_both_signs(images: np.ndarray, low: float, high: float, path: Path) -> None:
    """Bring floats of either range, [0, 1] or [-1, 1], to [-1, 1], in place. Raises ValueError for other ranges."""
    if not (-1 <= low and high <= 1):  # a NaN fails this too
        raise ValueError(f"{path}: floats must lie in [-1, 1] or [0, 1], but reach from {low} to {high}")
    if low >= 0:
        images *= 2
        images -= 1


def _read_labels(archive: ZipFile, name: str, count: int, path: Path) -> np.ndarray:
    with _one_sentence(path), archive.open(name) as stream:
        header = _read_header(stream)
    check_kind(header.dtype, header.shape, count, path)
    with _one_sentence(path), archive.open(name) as stream:
        labels = np.lib.format.read_array(stream, allow_pickle=False)
    check_labels(labels, count, path)
    return labels.astype(np.int64)


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # zip, zlib and NumPy raise their own kinds
        what = "one array, or `images` and perhaps `labels`"
        raise ValueError(f"{path}: cannot be read as an .npz file with {what} ({error})") from None
