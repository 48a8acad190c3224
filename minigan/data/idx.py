"""IDX, the file format of MNIST, and MNIST itself.

An IDX file is a short header and then the raw numbers, all big-endian: two zero bytes, one byte for the type,
one for the number of dimensions, four for each dimension (LeCun, Cortes and Burges, "The MNIST database").
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

# An installed minigan carries datasets/ inside the package; in the repository it lies beside the package.
DATASETS = [folder / "datasets" for folder in Path(__file__).resolve().parents[1:3]]


def read_idx(path: str | Path) -> np.ndarray:
    """Read one IDX file, plain or gzip (told apart by the first bytes, not by the name).

    Returns the array in the shape and type that its header states, e.g. `(60000, 28, 28)` uint8.
    Raises FileNotFoundError for a missing file, ValueError for a damaged one or one that is not IDX.
    """
    with open(path, "rb") as file:
        opener = gzip.open if file.read(2) == b"\x1f\x8b" else open
    try:
        with opener(path, "rb") as stream:
            return _parse(stream, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: the gzip file is damaged or cut short ({error}); copy it again") from None


def _parse(stream: BinaryIO, path: str | Path) -> np.ndarray:
    """Read the header, then as many numbers as it promises: no more, no fewer."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES:
        raise ValueError(f"{path}: not an IDX file (it starts with the bytes '{magic.hex(' ')}')")
    dtype, ndim = np.dtype(TYPES[magic[2]]), magic[3]
    sides = stream.read(4 * ndim)
    shape = tuple(int.from_bytes(sides[i : i + 4], "big") for i in range(0, len(sides), 4))
    if len(sides) < 4 * ndim or not 1 <= ndim <= 64 or 0 in shape:  # 64 is NumPy's limit
        raise ValueError(f"{path}: an empty or damaged IDX file (its header states the shape {shape})")
    promised = math.prod(shape) * dtype.itemsize
    # The header may lie, so memory grows with the bytes that really come and stops just past the promise.
    data = bytearray()
    while len(data) <= promised and (block := stream.read(1 << 20)):
        data += block
    if len(data) != promised:
        found = "more" if len(data) > promised else f"only {len(data)}"
        raise ValueError(f"{path}: its header {shape} promises {promised} bytes, but it holds {found}")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def read_idx_images(path: Path) -> np.ndarray:
    """Read the uint8 images `(N, H, W)` of an IDX file; labels that lie beside it must be equally many."""
    images = read_idx(path)
    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(f"{path}: holds {images.dtype} {images.shape}, not uint8 images (N, H, W)")
    labels = path.with_name(path.name.replace("images-idx3", "labels-idx1"))
    if labels != path and labels.exists() and (count := len(read_idx(labels))) != len(images):
        raise ValueError(f"{path}: holds {len(images)} images, but {labels.name} holds {count} labels")
    return images


def scale_pixels(pixels: np.ndarray) -> np.ndarray:
    """Map 0..255 to float32 in [-1, 1]; one new array (188 MB for MNIST), for the second step is in place."""
    images = np.divide(pixels, 127.5, dtype=np.float32)
    images -= 1
    return images


def load_mnist(split: str = "train", size: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Load MNIST's 60,000 ("train") or 10,000 ("test") handwritten digits; see datasets/README.md.

    size: 28, or for quick experiments 16 or 8: padded to 32x32, then averaged over blocks of 2x2 or 4x4.
    Returns images, float32 `(N, 1, size, size)` from -1 (background) to 1 (ink), and labels, int64 `(N,)`.
    Raises ValueError for another split or size.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', not {split!r}")
    if size not in (28, 16, 8):
        raise ValueError(f"size must be 28, 16 or 8, not {size!r}")
    name = "train" if split == "train" else "t10k"
    folder = DATASETS[0] if DATASETS[0].is_dir() else DATASETS[1]
    pixels = read_idx_images(folder / f"{name}-images-idx3-ubyte.gz")  # (N, 28, 28)
    labels = read_idx(folder / f"{name}-labels-idx1-ubyte.gz")  # (N,)
    if size < 28:
        side, block = int(size), 32 // int(size)
        pixels = np.pad(pixels, ((0, 0), (2, 2), (2, 2))).reshape(-1, side, block, side, block)
        pixels = pixels.mean(axis=(2, 4), dtype=np.float32)
    return scale_pixels(pixels)[:, None], labels.astype(np.int64)
