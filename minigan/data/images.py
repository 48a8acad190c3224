"""Your own images and their labels, from a folder of pictures, an .npz file or an IDX file."""

import math
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from minigan.checks import check_integer
from minigan.data.files import check_memory, some_of
from minigan.data.idx import labels_beside, read_idx_images, read_idx_labels, scale_pixels, train_images
from minigan.data.npz import read_npz
from minigan.data.pictures import READABLE, contents, open_picture, read_header

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # the brightness of red, green and blue (ITU-R BT.601)
BLOCK = 1 << 20  # numbers that are converted at once


def load_images(path: str | Path, size: int | None = None, channels: int | None = None) -> np.ndarray:
    """Load images as float32 `(N, C, H, W)` in [-1, 1].

    path: one of
      - a folder of PNG, JPEG, WebP, BMP, TIFF, GIF or PNM files, sorted by name. One that is damaged is refused. A
        warning names the files and folders that are left out, since their names end otherwise, and the animations,
        of which the first picture is taken; hidden files, Thumbs.db, desktop.ini and __MACOSX are passed over;
      - a folder of such folders, one for each class;
      - a folder with the IDX files of MNIST or a relative of it, whose images are `train-images-idx3-ubyte` alone;
      - an .npz file with one array, or one called `images`, of shape (N, H, W), (N, C, H, W) or (N, H, W, C),
        tried in this order, C 1 or 3. uint8 is 0..255; floats are [-1, 1] if any is negative, else [0, 1];
      - an IDX file of uint8 images, plain or gzip. (EMNIST's images come with rows and columns exchanged.)
    size: cut the middle square out and resize it to size x size; without it all pictures must have one size.
    channels: 1 or 3 converts to grey or colour; without it, a folder that has any colour picture is all colour.
    Raises FileNotFoundError for a missing path, ValueError for anything else that is wrong: also for images that
    would not fit into memory, and for files that could be waited for without end or promise absurd sizes.
    """
    return load_with_labels(path, size, channels)["images"]


def load_with_labels(path: str | Path, size: int | None = None, channels: int | None = None) -> dict[str, np.ndarray]:
    """Load `{"images": (N, C, H, W)}` as load_images does and, where `path` has labels, `"labels"`, int64 `(N,)`.

    Labels are: the sub-folder's number, in the order of their names; the array `labels` of an .npz file; an IDX
    file's `labels-idx1` beside its `images-idx3`. Raises ValueError where they do not fit; see check_labels.
    """
    path = Path(path)
    if size is not None:
        check_integer("size", size, low=1)
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1 or 3, not {channels!r}")
    images, labels = _read(path, size, channels)
    return {"images": images} if labels is None else {"images": images, "labels": labels}


def class_folders(path: Path) -> list[Path]:
    """The sub-folders whose pictures are a class each, sorted by name; none where `path` has no classes of this kind.

    Raises ValueError where pictures lie beside the sub-folders too, or where only some of these hold any.
    """
    if not path.is_dir() or train_images(path):
        return []
    found = contents(path)
    classes = [folder for folder in found.folders if contents(folder).pictures]
    if classes and found.pictures:
        raise ValueError(
            f"{path}: pictures lie both in it ({found.pictures[0].name}) and in its sub-folder {classes[0].name}: "
            "put all of them into sub-folders, one for each class, or none"
        )
    if classes and len(classes) < len(found.folders):
        empty = next(folder for folder in found.folders if folder not in classes)
        raise ValueError(
            f"{empty}: each sub-folder is a class, but this one holds no {READABLE} files: fill it or take it away"
        )
    return classes


def _read(path: Path, size: int | None, channels: int | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Images, float32 `(N, C, H, W)`, of the size and channels that are asked for, and labels `(N,)` or None."""
    if path.is_dir():
        images = train_images(path)
        if images is None:
            return _read_folder(path, size, channels)
        path = images
    if not os.path.lexists(path):  # a link that leads nowhere gets another sentence below
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    if path.suffix.lower() == ".npz":
        pixels, labels = read_npz(path)
    elif path.suffix.lower() in ("", ".gz") or "idx" in path.name:
        pixels, beside = read_idx_images(path)[:, None], labels_beside(path)
        labels = None if beside is None else read_idx_labels(beside, len(pixels))
    else:
        raise ValueError(f"{path}: give a folder of {READABLE} files, an .npz file or an IDX file")
    return _convert(pixels, size, channels, path), labels


def _read_folder(folder: Path, size: int | None, channels: int | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the pictures of a folder, float32 `(N, C, H, W)`, and their labels `(N,)`: None without class folders."""
    classes = class_folders(folder)
    groups = [contents(each) for each in classes or [folder]]
    paths = [path for group in groups for path in group.pictures]
    if not paths:
        raise ValueError(
            f"{folder}: holds no {READABLE} files, neither itself nor in sub-folders (one for each class), "
            "and no train-images-idx3-ubyte: give another folder"
        )
    headers = [read_header(path) for path in paths]
    channels = channels or (1 if all(header.is_grey for header in headers) else 3)
    pixels = len(paths) * (size * size if size else headers[0].pixels)
    check_memory(folder, 4 * channels * pixels, f"its {len(paths):,} pictures")
    left_out = [path for group in groups for path in group.others + group.folders]
    left_out += contents(folder).others if classes else []
    cut = [path for path, header in zip(paths, headers, strict=True) if header.is_first_of_several]
    if left_out or cut:
        warnings.warn(_not_taken(folder, left_out, cut), stacklevel=5)  # the line that called load

    labels = np.repeat(np.arange(len(groups), dtype=np.int64), [len(group.pictures) for group in groups])
    return _read_pictures(paths, folder, size, channels), labels if classes else None


def _read_pictures(paths: list[Path], folder: Path, size: int | None, channels: int) -> np.ndarray:
    """Read pictures one by one into their places, float32 `(N, C, H, W)`, so that memory holds nothing else."""
    for number, path in enumerate(paths):
        picture = open_picture(path).convert("L" if channels == 1 else "RGB")
        if size:
            picture = ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR)
        pixels = np.atleast_3d(picture).transpose(2, 0, 1)  # (C, H, W)
        if number == 0:
            images = np.empty((len(paths), *pixels.shape), np.float32)
        if pixels.shape != images.shape[1:]:
            first, other = (f"{shape[-1]}x{shape[-2]}" for shape in (images.shape, pixels.shape))
            name = path.relative_to(folder)
            raise ValueError(
                f"{paths[0]} is {first}, {name} is {other}: give a size for all, such as --size 64 or size=64"
            )
        images[number] = scale_pixels(pixels)
    return images


def _not_taken(folder: Path, left_out: list[Path], cut: list[Path]) -> str:
    """One sentence on what a folder holds and images do not: files that were left out, pictures after the first."""
    names, several = (
        [f"{path.relative_to(folder)}{'/' * path.is_dir()}" for path in paths] for paths in (left_out, cut)
    )
    parts = []
    if names:
        parts.append(f"{len(names)} file{'s' * (len(names) > 1)} left out: {some_of(names)}")
    if several:
        parts.append(f"only the first of several pictures is taken of {some_of(several)}")
    return f"{folder}: {'; '.join(parts)}"


def _convert(pixels: np.ndarray, size: int | None, channels: int | None, path: Path) -> np.ndarray:
    """Images `(N, C, H, W)`, uint8 or float32 in [-1, 1], as float32 of the size and channels that are asked for.

    Some are converted at a time, so that beside the result memory holds the given pixels and little else.
    """
    n, had, height, width = pixels.shape
    resized = size is not None and (height, width) != (size, size)
    if pixels.dtype == np.float32 and not resized and channels in (None, had):
        return pixels
    shape = (n, channels or had, size or height, size or width)
    check_memory(path, 4 * math.prod(shape), f"its {n:,} images")
    images, step = np.empty(shape, np.float32), max(1, BLOCK // (had * height * width))
    for start in range(0, n, step):
        block = pixels[start : start + step]
        block = scale_pixels(block) if block.dtype == np.uint8 else block
        block = _resize(block, size) if resized else block
        if channels == 1 and had == 3:
            block = np.einsum("nchw,c->nhw", block, LUMA)[:, None]
        images[start : start + step] = block  # a grey one three times, where it is to be colour
    return images


def _resize(images: np.ndarray, size: int) -> np.ndarray:
    """Resize each plane of `(N, C, H, W)`; bilinear weights are positive, so no value leaves [-1, 1]."""
    resized = np.empty((*images.shape[:2], size, size), np.float32)
    for i, c in np.ndindex(images.shape[:2]):
        resized[i, c] = ImageOps.fit(Image.fromarray(images[i, c]), (size, size), Image.Resampling.BILINEAR)
    return resized
