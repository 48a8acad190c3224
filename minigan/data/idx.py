"""IDX, the file format of MNIST, and MNIST itself.

An IDX file is a short header and then the raw numbers, all big-endian: two zero bytes, one byte for the type,
one for the number of dimensions, four for each dimension (LeCun, Cortes and Burges, "The MNIST database").
"""

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from minigan.data.files import check_file, check_memory, check_promise
from minigan.data.labels import check_labels

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

# An installed minigan carries datasets/ inside the package; in the repository it lies beside the package.
DATASETS = [folder / "datasets" for folder in Path(__file__).resolve().parents[1:3]]


def read_idx(path: str | Path) -> np.ndarray:
    """Read one IDX file, plain or gzip (told apart by the first bytes, not by the name).

    Returns the array in the shape and type that its header states, e.g. `(60000, 28, 28)` uint8.
    Raises FileNotFoundError for a missing file, ValueError for a damaged one, one that is not IDX, and one that
    promises more than memory holds.
    """
    size = check_file(path)
    with open(path, "rb") as file:
        opener = gzip.open if file.read(2) == b"\x1f\x8b" else open
    try:
        with opener(path, "rb") as stream:
            dtype, shape = _read_header(stream, path)
            promised = math.prod(shape) * dtype.itemsize
            check_promise(path, promised, size)
            check_memory(path, promised, f"its numbers {shape}")
            data = _read_numbers(stream, promised, f"{path}: its header {shape}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: the gzip file is damaged or cut short ({error}); copy it again") from None
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read_header(stream: BinaryIO, path: str | Path) -> tuple[np.dtype, tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES:
        raise ValueError(f"{path}: not an IDX file (it starts with the bytes '{magic.hex(' ')}')")
    ndim = magic[3]
    sides = stream.read(4 * ndim)
    shape = tuple(int.from_bytes(sides[i : i + 4], "big") for i in range(0, len(sides), 4))
    if len(sides) < 4 * ndim or not 1 <= ndim <= 64 or 0 in shape:  # 64 is NumPy's limit
        raise ValueError(f"{path}: an empty or damaged IDX file (its header states the shape {shape})")
    return np.dtype(TYPES[magic[2]]), shape


def _read_numbers(stream: BinaryIO, promised: int, header: str) -> bytearray:
    """Read as many bytes as the header promises: no more, no fewer."""
    # The header may lie, so memory grows with the bytes that really come and stops just past the promise.
    data = bytearray()
    while len(data) <= promised and (block := stream.read(1 << 20)):
        data += block
    if len(data) != promised:
        found = "more" if len(data) > promised else f"only {len(data)}"
        raise ValueError(f"{header} promises {promised} bytes, but it holds {found}")
    return data


def read_idx_images(path: Path) -> np.ndarray:
    """Read the images of an IDX file, uint8 `(N, H, W)`. Raises ValueError where it holds anything else."""
    images = read_idx(path)
    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(f"{path}: holds {images.dtype} {images.shape}, not uint8 images (N, H, W)")
    return images


def read_idx_labels(path: Path, count: int) -> np.ndarray:
    """Read the labels of `count` images, int64 `(count,)`. Raises ValueError where they are none; see check_labels."""
    labels = read_idx(path)
    check_labels(labels, count, path)
    return labels.astype(np.int64)


def labels_beside(images: Path) -> Path | None:
    """The file of labels beside an IDX file of images: `labels-idx1` where that has `images-idx3`, plain or .gz."""
    name = re.sub(r"images([-.])idx3", r"labels\1idx1", images.name)
    if name == images.name:
        return None
    plain = name.removesuffix(".gz")
    paths = (images.with_name(candidate) for candidate in (name, plain, plain + ".gz"))
    return next((path for path in paths if path.exists() or path.is_symlink()), None)


def train_images(folder: Path) -> Path | None:
    """The images that MNIST and its relatives call `train-images-idx3-ubyte`, plain or .gz; None where they are not.

    EMNIST puts the name of a set before it, and ships several sets. Raises ValueError where a folder holds several.
    """
    official = re.compile(r"(?!\.).*train-images[-.]idx3-ubyte(\.gz)?")
    found = sorted(path for path in folder.iterdir() if official.fullmatch(path.name) and not path.is_dir())
    sets = {path.name.removesuffix(".gz"): path for path in found}
    if len(sets) > 1:
        names = ", ".join(path.name for path in sets.values())
        raise ValueError(f"{folder}: holds several sets, so give the path of one of these: {names}")
    return next(iter(sets.values()), None)


def scale_pixels(pixels: np.ndarray) -> np.ndarray:
    """Map 0..255 to float32 in [-1, 1]; the second step is in place, so there is one new array (188 MB for MNIST)."""
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
    labels = read_idx_labels(folder / f"{name}-labels-idx1-ubyte.gz", len(pixels))  # (N,)
    if size < 28:
        side, block = int(size), 32 // int(size)
        pixels = np.pad(pixels, ((0, 0), (2, 2), (2, 2))).reshape(-1, side, block, side, block)
        pixels = pixels.mean(axis=(2, 4), dtype=np.float32)
    return scale_pixels(pixels)[:, None], labels
