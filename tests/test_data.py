"""The data room: IDX, MNIST, your own images, toys, batches; every bad input gets one sentence."""

import gzip
import hashlib
import io
import itertools
import re
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from minigan import data
from minigan.data import DataLoader, class_names, from_picture, load, load_images, load_mnist, mixture_1d, read_idx

pytestmark = pytest.mark.filterwarnings("ignore:.*left out:UserWarning")  # what is not taken: see test_pictures.py
DATASETS = Path(__file__).resolve().parents[1] / "datasets"
RNG = np.random.default_rng(0)
CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array):
    """An independent IDX writer."""
    code = CODES[f"{array.dtype.kind}{array.dtype.itemsize}"]
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(path, content):
    path.write_bytes(content)
    return path


def pixels(*shape):
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def says(*words):
    """The message is one line and holds all the words, in this order."""
    return r"\A(?!.*\n)" + "".join(f".*{re.escape(word)}" for word in words)


# ---- IDX


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(list(CODES)),
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    packed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_idx_round_trip(tmp_path_factory, dtype, shape, packed, seed):
    size = int(np.prod(shape))
    raw = np.random.default_rng(seed).integers(-128, 128, size).astype(dtype).reshape(shape)
    content = idx_bytes(raw)
    # The name says the opposite of what the file is: only the bytes count.
    path = tmp_path_factory.mktemp("idx") / ("plain" if packed else "packed.gz")
    read = read_idx(write(path, gzip.compress(content) if packed else content))
    assert read.dtype == raw.dtype and read.dtype.isnative
    np.testing.assert_array_equal(read, raw)


def test_idx_larger_than_one_block(tmp_path):
    raw = pixels(3, 1024, 1024)
    np.testing.assert_array_equal(read_idx(str(write(tmp_path / "a", gzip.compress(idx_bytes(raw), 1)))), raw)


GOOD = idx_bytes(pixels(5, 4, 3))
BAD_IDX = {
    "empty": (b"", "not an IDX file"),
    "text": (b"hello, world", "not an IDX file"),
    "first bytes": (b"\0\1" + GOOD[2:], "not an IDX file"),
    "type": (b"\0\0\7" + GOOD[3:], "not an IDX file"),
    "no dimension": (b"\0\0\x08\0", "header"),
    "65 dimensions": (b"\0\0\x08\x41" + b"\0\0\0\1" * 65 + b"x", "header"),
    "header cut": (GOOD[:9], "header"),
    "zero items": (idx_bytes(np.zeros((0, 4, 3), np.uint8)), "empty"),
    "short": (GOOD[:-1], "promises 60 bytes, but it holds only 59"),
    "long": (GOOD + b"x", "promises 60 bytes, but it holds more"),
    "gzip short": (gzip.compress(GOOD[:-1]), "only 59"),
    "gzip long": (gzip.compress(GOOD + b"x"), "more"),
    "gzip truncated": (gzip.compress(GOOD)[:-12], "gzip file is damaged or cut short"),
    "gzip header only": (gzip.compress(GOOD)[:5], "gzip file is damaged or cut short"),
    "gzip checksum": (
        gzip.compress(GOOD)[:-8] + b"\1\2\3\4" + gzip.compress(GOOD)[-4:],
        "gzip file is damaged",
    ),
    "gzip stream": (gzip.compress(GOOD)[:10] + b"\xff" * 30, "gzip file is damaged"),
    "gzip trailing": (gzip.compress(GOOD) + b"junk", "gzip file is damaged"),
}


@pytest.mark.parametrize("content, words", BAD_IDX.values(), ids=BAD_IDX)
@pytest.mark.parametrize("read", [read_idx, load_images, load])
def test_bad_idx_is_one_sentence(tmp_path, content, words, read):
    path = write(tmp_path / "x-images-idx3-ubyte", content)
    with pytest.raises(ValueError, match=says(str(path), words)):
        read(path)


@settings(max_examples=80, deadline=None)
@given(
    content=st.binary(max_size=80),
    prefix=st.sampled_from([b"", GOOD[:4], GOOD[:16], gzip.compress(GOOD)[:30]]),
)
def test_random_bytes_never_escape_as_another_error(tmp_path_factory, content, prefix):
    path = write(tmp_path_factory.mktemp("fuzz") / "a", prefix + content)
    try:
        read_idx(path)
    except ValueError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_absurd_header_is_not_allocated(tmp_path, pack):
    header = struct.pack(">BBBB3I", 0, 0, 0x0E, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1)
    path = write(tmp_path / "a", pack(header + b"tiny"))
    tracemalloc.start()
    with pytest.raises(ValueError, match=says(str(path), "promises", "GB in a file of", "bytes")):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    path = write(tmp_path / "a", gzip.compress(GOOD + bytes(60_000_000), 1))
    tracemalloc.start()
    with pytest.raises(ValueError, match="holds more"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


def test_missing_idx(tmp_path):
    with pytest.raises(FileNotFoundError, match=says("nowhere")):
        read_idx(tmp_path / "nowhere")


# ---- MNIST


@pytest.fixture(scope="module")
def test_split():
    return {size: load_mnist("test", size) for size in (28, 16, 8)}


@pytest.mark.parametrize("size", [28, 16, 8])
def test_mnist_shapes_types_and_ranges(test_split, size):
    images, labels = test_split[size]
    assert images.shape == (10_000, 1, size, size) and images.dtype == np.float32
    assert labels.shape == (10_000,) and labels.dtype == np.int64
    assert images.min() == -1 and images.max() <= 1 and images.max() > 0.9
    np.testing.assert_array_equal(np.bincount(labels), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])


def test_mnist_pixels_are_scaled_exactly(test_split):
    raw = read_idx(DATASETS / "t10k-images-idx3-ubyte.gz")[::7]
    np.testing.assert_allclose(test_split[28][0][::7, 0], raw / np.float64(127.5) - 1, atol=1e-6)
    assert test_split[28][0].max() == 1


@pytest.mark.parametrize("size", [16, 8])
def test_mnist_small_sizes_are_block_means(test_split, size):
    block, image = 32 // size, np.full((32, 32), -1.0)
    for index in (0, 777, 9999):
        image[2:30, 2:30] = test_split[28][0][index, 0]
        for row, column in np.ndindex(size, size):
            mean = image[row * block : (row + 1) * block, column * block : (column + 1) * block].mean()
            assert test_split[size][0][index, 0, row, column] == pytest.approx(mean, abs=1e-6)


def test_mnist_train_counts_and_memory():
    tracemalloc.start()
    images, labels = load_mnist()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert images.shape == (60_000, 1, 28, 28) and images.dtype == np.float32
    np.testing.assert_array_equal(np.bincount(labels), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
    assert peak < 260e6  # 188 MB of float32 and 47 MB of bytes, and no second float copy


@pytest.mark.parametrize("split", ["valid", "", None, 0, "Train"])
def test_mnist_bad_split(split):
    with pytest.raises(ValueError, match=says("split must be 'train' or 'test', not", repr(split))):
        load_mnist(split)


@pytest.mark.parametrize("size", [32, 0, -8, 14, "28", None, 28.5])
def test_mnist_bad_size(size):
    with pytest.raises(ValueError, match=says("size must be 28, 16 or 8, not", repr(size))):
        load_mnist("test", size)


def fake_mnist(folder, images=4, labels=4):
    folder.mkdir()
    write(folder / "t10k-images-idx3-ubyte.gz", gzip.compress(idx_bytes(pixels(images, 28, 28))))
    write(folder / "t10k-labels-idx1-ubyte.gz", gzip.compress(idx_bytes(np.arange(labels, dtype=np.uint8))))


def test_mnist_looks_in_the_package_first(tmp_path, monkeypatch):
    package = Path(data.__file__).parents[1]  # in the repository, or where the package is installed
    assert data.idx.DATASETS == [package / "datasets", package.parent / "datasets"]
    monkeypatch.setattr(data.idx, "DATASETS", [tmp_path / "a", tmp_path / "b"])
    fake_mnist(tmp_path / "b", 5, 5)
    assert len(load_mnist("test")[0]) == 5
    fake_mnist(tmp_path / "a", 4, 4)
    assert len(load_mnist("test")[0]) == 4


def test_mnist_missing_or_mismatched(tmp_path, monkeypatch):
    monkeypatch.setattr(data.idx, "DATASETS", [tmp_path / "a", tmp_path / "b"])
    with pytest.raises(FileNotFoundError, match=says("t10k-images-idx3-ubyte.gz")):
        load_mnist("test")
    fake_mnist(tmp_path / "b", 4, 5)
    with pytest.raises(ValueError, match=says("t10k-labels-idx1-ubyte.gz", "4 images", "5 labels")):
        load_mnist("test")
    (tmp_path / "b" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=says("t10k-labels-idx1-ubyte.gz")):
        load_mnist("test")


def test_datasheet_states_the_checksums():
    text = (DATASETS / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w.-]+)` \| \d+ \| `([0-9a-f]{64})` \|$", text, re.MULTILINE))
    sizes = dict(re.findall(r"^\| `([\w.-]+)` \| (\d+) \|", text, re.MULTILINE))
    files = sorted(DATASETS.glob("*.gz"))
    assert len(files) == 4 and len(rows) == 8
    for path in files:
        for name, content in (
            (path.name, path.read_bytes()),
            (path.stem, gzip.decompress(path.read_bytes())),
        ):
            assert rows[name] == hashlib.sha256(content).hexdigest()
            assert int(sizes[name]) == len(content)


def test_datasheet_states_the_class_counts(test_split):
    text = (DATASETS / "README.md").read_text(encoding="utf-8")
    for name, labels in (("train", load_labels("train")), ("test", test_split[28][1])):
        counts = " | ".join(map(str, [*np.bincount(labels), len(labels)]))
        assert f"| {name} | {counts} |" in text


def load_labels(name):
    return read_idx(DATASETS / f"{name}-labels-idx1-ubyte.gz")


# ---- your own images: a folder


def test_folder_is_sorted_and_ignores_the_rest(tmp_path):
    arrays = pixels(3, 6, 5)
    for name, array in zip(["b.PNG", "c.png", "a.png"], arrays, strict=True):
        save(tmp_path / name, array)
    (tmp_path / "sub.png").mkdir()
    write(tmp_path / "sub.png" / "notes.txt", b"no picture in here")
    (tmp_path / ".thumbnails").mkdir()
    save(tmp_path / ".thumbnails" / "z.png", pixels(9, 9))
    write(tmp_path / "._a.png", b"what a Mac leaves on other disks")
    write(tmp_path / "notes.txt", b"hello")
    images = load_images(str(tmp_path))
    assert images.shape == (3, 1, 6, 5) and images.dtype == np.float32
    np.testing.assert_allclose(images[:, 0], arrays[[2, 0, 1]] / 127.5 - 1, atol=1e-6)
    assert list(load(tmp_path)) == ["images"] and class_names(tmp_path) == []


def test_folder_of_colour_pictures(tmp_path):
    array = pixels(6, 5, 3)
    save(tmp_path / "a.png", array)
    np.testing.assert_allclose(load_images(tmp_path)[0], array.transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)
    grey = load_images(tmp_path, channels=1)
    expected = array @ [0.299, 0.587, 0.114] / 127.5 - 1
    np.testing.assert_allclose(grey[0, 0], expected, atol=0.01)


def test_folder_of_jpegs(tmp_path):
    save(tmp_path / "a.jpg", np.full((8, 8, 3), 200, np.uint8))
    save(tmp_path / "b.jpeg", np.full((8, 8, 3), 0, np.uint8))
    images = load_images(tmp_path)
    assert images.shape == (2, 3, 8, 8)
    np.testing.assert_allclose(images[:, :, 0, 0], [[200 / 127.5 - 1] * 3, [-1] * 3], atol=0.03)


def test_size_crops_the_middle_square(tmp_path):
    wide = np.zeros((12, 36), np.uint8)
    wide[:, 12:24] = 255  # the middle square is white, all around it is black
    save(tmp_path / "a.png", wide)
    save(tmp_path / "b.png", wide.T)
    images = load_images(tmp_path, size=4)
    assert images.shape == (2, 1, 4, 4)
    np.testing.assert_array_equal(images[:, :, 1:3, 1:3], 1)
    assert images.min() > 0.6  # the filter looks a little past the cut; without a cut the edge were black


def test_grey_among_colour_becomes_colour(tmp_path):
    save(tmp_path / "a.png", grey := pixels(4, 4))
    save(tmp_path / "b.png", colour := pixels(4, 4, 3))
    for images in (load_images(tmp_path), load_images(tmp_path, channels=3), load(tmp_path)["images"]):
        assert images.shape == (2, 3, 4, 4)
        np.testing.assert_allclose(images[0], [grey / 127.5 - 1] * 3, atol=1e-6)
        np.testing.assert_allclose(images[1], colour.transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)
    assert load_images(tmp_path, channels=1).shape == (2, 1, 4, 4)
    (tmp_path / "b.png").unlink()
    assert load_images(tmp_path).shape == (1, 1, 4, 4)


def test_mixed_sizes_are_named(tmp_path):
    save(tmp_path / "a.png", pixels(4, 6))
    save(tmp_path / "b.png", pixels(5, 6))
    with pytest.raises(ValueError, match=says(str(tmp_path), "a.png is 6x4", "b.png is 6x5", "size")):
        load_images(tmp_path)
    assert load_images(tmp_path, size=3).shape == (2, 1, 3, 3)


def test_unusual_pictures(tmp_path):
    """Transparency lies on white, 16 bits are scaled and not clipped, a palette is colour, EXIF turns."""
    clear = np.zeros((2, 2, 4), np.uint8)
    clear[0, 0] = [255, 0, 0, 255]
    image = load_one(tmp_path, clear)
    np.testing.assert_allclose(image[:, 0, 0], [1, -1, -1])
    np.testing.assert_allclose(image[:, 1, 1], [1, 1, 1])
    Image.new("LA", (2, 2), (0, 0)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_images(tmp_path), np.ones((1, 1, 2, 2)))
    np.testing.assert_allclose(load_one(tmp_path, np.full((2, 2), 32768, np.uint16)), 0, atol=0.01)
    Image.new("P", (2, 2)).save(tmp_path / "a.png")
    assert load_images(tmp_path).shape == (1, 3, 2, 2)
    Image.new("1", (2, 2), 1).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_images(tmp_path), np.ones((1, 1, 2, 2)))
    turned = Image.fromarray(pixels(4, 6))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_allclose(load_images(tmp_path)[0, 0], np.rot90(pixels(4, 6), -1) / 127.5 - 1, atol=1e-6)


def load_one(folder, array):
    save(folder / "a.png", array)
    return load_images(folder)[0]


def test_empty_folder(tmp_path):
    for name in ("", "sub.d", "sub.d/deeper"):
        (tmp_path / name).mkdir(exist_ok=True)
        with pytest.raises(ValueError, match=says(str(tmp_path), "holds no PNG", "nor in sub-folders")):
            load_images(tmp_path)
    save(tmp_path / "sub.d" / "deeper" / "a.png", pixels(4, 4))  # too deep
    with pytest.raises(ValueError, match=says(str(tmp_path), "holds no PNG", "nor in sub-folders")):
        load(tmp_path)


PNG = io.BytesIO()
Image.fromarray(pixels(64, 64)).save(PNG, "png")
PNG = PNG.getvalue()
BAD_PICTURES = {
    "empty": b"",
    "text": b"not a picture",
    "cut": PNG[: len(PNG) // 2],
    "header only": PNG[:20],
    "flipped": PNG[:60] + b"\0\1\2\3" + PNG[64:],
    "huge": PNG[:16] + struct.pack(">II", 2**31 - 1, 2**31 - 1) + PNG[24:],
}


@pytest.mark.parametrize("content", BAD_PICTURES.values(), ids=BAD_PICTURES)
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_bad_picture_is_one_sentence(tmp_path, content, name):
    path = write(tmp_path / name, content)
    with pytest.raises(ValueError, match=says(str(path), "cannot be read as a picture")):
        load_images(tmp_path)
    with pytest.raises(ValueError, match=says(str(path), "cannot be read as a picture")):
        from_picture(path, 5, RNG)


@pytest.mark.parametrize("size", [0, -1, 2.0, "8", True])
def test_bad_size(tmp_path, size):
    save(tmp_path / "a.png", pixels(4, 4))
    with pytest.raises(ValueError, match=says("size must be a whole number of at least 1, not", repr(size))):
        load_images(tmp_path, size=size)


@pytest.mark.parametrize("channels", [0, 2, 4, "3"])
def test_bad_channels(tmp_path, channels):
    save(tmp_path / "a.png", pixels(4, 4))
    with pytest.raises(ValueError, match=says("channels must be 1 or 3, not", repr(channels))):
        load_images(tmp_path, channels=channels)


def test_missing_path_and_unsupported_kind(tmp_path):
    for name in ("nowhere", "nowhere.npz", "nowhere.png"):
        with pytest.raises(FileNotFoundError, match=says(str(tmp_path / name), "no such file or folder")):
            load_images(tmp_path / name)
    for name in ("a.csv", "a.npy", "a.png"):
        path = write(tmp_path / name, PNG)
        with pytest.raises(ValueError, match=says(str(path), "give a folder of PNG, JPEG")):
            load_images(path)


# ---- your own images: .npz and IDX


def npz(path, *arrays, **named):
    np.savez(path, *arrays, **named)
    return path


@pytest.mark.parametrize("shape", [(4, 6, 5), (4, 1, 6, 5), (4, 3, 6, 5), (4, 6, 5, 1), (4, 6, 5, 3)])
def test_npz_layouts(tmp_path, shape):
    array = pixels(*shape)
    images = load_images(npz(tmp_path / "a.npz", array))
    channels = 3 if 3 in shape[1:] else 1
    assert images.shape == (4, channels, 6, 5) and images.dtype == np.float32
    last = array if len(shape) == 4 and shape[1] != 6 else array.reshape(4, 6, 5, channels).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(images, last.reshape(images.shape) / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8"])
def test_npz_floats_in_both_ranges(tmp_path, dtype):
    unit = np.linspace(0, 1, 12).reshape(1, 3, 4).astype(dtype)
    path = tmp_path / "a.npz"
    images = load_images(npz(path, unit))
    assert images.dtype == np.float32 and images.dtype.isnative
    np.testing.assert_allclose(images[0, 0], 2 * unit[0].astype(float) - 1, atol=1e-3)
    np.testing.assert_allclose(load_images(npz(path, 2 * unit - 1))[0, 0], 2 * unit[0] - 1, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("shape", [(3, 6, 5), (3, 1, 6, 5), (3, 6, 5, 3)])
def test_npz_whose_first_axis_is_the_quickest(tmp_path, dtype, shape):
    array = (pixels(*shape) if dtype is np.uint8 else pixels(*shape) / 255).astype(dtype)
    plain = load_images(npz(tmp_path / "a.npz", array))
    turned = load_images(npz(tmp_path / "b.npz", np.asfortranarray(array)))
    np.testing.assert_array_equal(turned, plain)


def test_npz_named_images_among_several(tmp_path):
    path = npz(tmp_path / "a.npz", images=pixels(2, 4, 4), labels=np.arange(2))
    assert load_images(path).shape == (2, 1, 4, 4)
    assert load_images(npz(path, anything=pixels(3, 4, 4))).shape == (3, 1, 4, 4)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_npz_size_and_channels(tmp_path, dtype):
    array = np.zeros((2, 12, 36, 3), dtype)
    array[:, :, 12:24, 1] = 1 if dtype is np.float64 else 255  # a green middle
    path = npz(tmp_path / "a.npz", array)
    np.testing.assert_allclose(load_images(path, size=4)[:, :, 1, 1], [[-1, 1, -1]] * 2)
    grey = load_images(path, size=4, channels=1)
    assert grey.shape == (2, 1, 4, 4)
    np.testing.assert_allclose(grey[:, :, 1:3, 1:3], 2 * 0.587 - 1, atol=1e-5)
    flat = load_images(npz(path, array[..., 0]), channels=3)
    assert flat.shape == (2, 3, 12, 36)


@settings(max_examples=30, deadline=None)
@given(h=st.integers(1, 9), w=st.integers(1, 9), size=st.integers(1, 12), seed=st.integers(0, 99))
def test_resizing_stays_in_range(tmp_path_factory, h, w, size, seed):
    array = np.random.default_rng(seed).choice([-1.0, 1.0], (2, h, w))
    array[0, 0, 0] = -1
    images = load_images(npz(tmp_path_factory.mktemp("npz") / "a.npz", array), size=size)
    assert images.shape == (2, 1, size, size) and np.abs(images).max() <= 1


def with_value(value):
    array = np.full((2, 4, 4), 0.5)
    array[1, 2, 3] = value
    return array


BAD_ARRAYS = {
    "nan": (with_value(np.nan), "floats must lie in [-1, 1] or [0, 1]"),
    "inf": (with_value(np.inf), "floats must lie in"),
    "-inf": (with_value(-np.inf), "floats must lie in"),
    "0..255 as float": (with_value(255.0), "from 0.5 to 255"),
    "just outside": (with_value(1 + 1e-12), "from 0.5 to 1.000000000001"),
    "int64": (np.zeros((2, 4, 4), np.int64), "uint8 (0..255) or float, not int64"),
    "text": (np.full((2, 4, 4), "a"), "uint8 (0..255) or float, not"),
    "complex": (np.zeros((2, 4, 4), complex), "uint8 (0..255) or float, not complex"),
    "one picture": (pixels(4, 4), "not (4, 4)"),
    "two channels": (pixels(2, 2, 4, 4), "not (2, 2, 4, 4)"),
    "scalar": (np.uint8(3), "not ()"),
    "five axes": (pixels(1, 1, 1, 1, 1), "not (1, 1, 1, 1, 1)"),
    "zero images": (pixels(0, 4, 4), "not (0, 4, 4)"),
    "zero pixels": (pixels(2, 0, 4), "not (2, 0, 4)"),
}


@pytest.mark.parametrize("array, words", BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_bad_npz_array(tmp_path, array, words):
    path = npz(tmp_path / "a.npz", array)
    with pytest.raises(ValueError, match=says(str(path), words)):
        load_images(path)


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return buffer.getvalue()


def npz_bytes(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def huge_npy():
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999999, 28, 28), }"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header) + 1) + header + b"\n"


class Bomb:
    """Unpickled, it would raise SystemExit, which no `except Exception` stops."""

    def __reduce__(self):
        return (exec, ("raise SystemExit",))


BAD_NPZ = {
    "empty": b"",
    "text": b"not a zip file",
    "cut": npz_bytes(images=pixels(9, 9, 9))[:300],
    "tail cut": npz_bytes(images=pixels(9, 9, 9))[:-30],
    "flipped": npz_bytes(images=pixels(9, 9, 9)).replace(pixels(9, 9, 9).tobytes()[:9], b"\0" * 9),
    "no array": npz_bytes(),
    "several without images": npz_bytes(a=pixels(1, 2, 2), b=pixels(1, 2, 2)),
    "pickled": npz_bytes(images=np.array([Bomb()], dtype=object)),
    "no npy": zipped(readme_txt=b"hello"),
    "a lone npy": huge_npy(),
    "absurd header": zipped(images_npy=huge_npy()),
}


@pytest.mark.parametrize("content", BAD_NPZ.values(), ids=BAD_NPZ)
def test_bad_npz_file(tmp_path, content):
    path = write(tmp_path / "a.npz", content)
    with pytest.raises(ValueError, match=says(str(path))):
        load_images(path)


def test_images_from_idx(tmp_path):
    array = pixels(3, 6, 5)
    for content in (idx_bytes(array), gzip.compress(idx_bytes(array))):
        path = write(tmp_path / "my-images-idx3-ubyte", content)
        np.testing.assert_allclose(load_images(path)[:, 0], array / 127.5 - 1, atol=1e-6)
        assert load_images(path, size=4, channels=3).shape == (3, 3, 4, 4)


@pytest.mark.parametrize("array", [pixels(3), pixels(3, 4, 4).astype(np.float32), pixels(1, 2, 3, 4)])
def test_idx_of_something_else(tmp_path, array):
    path = write(tmp_path / "a-idx", idx_bytes(array))
    with pytest.raises(ValueError, match=says(str(path), "not uint8 images")):
        load_images(path)


# ---- labels of your own images


def class_folder(folder, **classes):
    """Pictures `(H, W)` in sub-folders: class_folder(path, cats=[...], dogs=[...])."""
    for name, arrays in classes.items():
        (folder / name).mkdir(parents=True)
        for number, array in enumerate(arrays):
            save(folder / name / f"{number}.png", array)
    return folder


def test_sub_folders_are_classes(tmp_path):
    arrays = pixels(5, 6, 6)
    names = {"größe 2": arrays[4:], "dogs": arrays[2:4], "cats": arrays[:2]}
    path = class_folder(tmp_path / "my pets", **names)
    write(path / "notes.txt", b"other files do not count")
    (path / ".git").mkdir()
    loaded = load(path)
    assert list(loaded) == ["images", "labels"]
    np.testing.assert_allclose(loaded["images"][:, 0], arrays / 127.5 - 1, atol=1e-6)
    assert loaded["labels"].tolist() == [0, 0, 1, 1, 2] and loaded["labels"].dtype == np.int64
    assert class_names(path) == class_names(str(path)) == ["cats", "dogs", "größe 2"]
    np.testing.assert_array_equal(load_images(path), loaded["images"])
    small = load(str(path), size=4)
    assert small["images"].shape == (5, 1, 4, 4) and small["labels"].tolist() == [0, 0, 1, 1, 2]


def test_pictures_of_two_classes_that_differ_are_named(tmp_path):
    class_folder(tmp_path, cats=[pixels(4, 6)], dogs=[pixels(5, 6)])
    words = (str(tmp_path / "cats" / "0.png"), "is 6x4", str(Path("dogs", "0.png")), "is 6x5")
    with pytest.raises(ValueError, match=says(*words)):
        load(tmp_path)


@pytest.mark.parametrize("read", [load, load_images, class_names])
def test_pictures_beside_class_folders(tmp_path, read):
    class_folder(tmp_path, cats=[pixels(4, 4)])
    save(tmp_path / "lost.png", pixels(4, 4))
    with pytest.raises(ValueError, match=says(str(tmp_path), "lost.png", "sub-folder cats", "or none")):
        read(tmp_path)


@pytest.mark.parametrize("read", [load, load_images, class_names])
def test_a_class_without_pictures(tmp_path, read):
    """A class whose pictures cannot be read (.heic) must not vanish in silence."""
    class_folder(tmp_path, cats=[pixels(4, 4)], dogs=[])
    write(tmp_path / "dogs" / "0.heic", b"")
    with pytest.raises(ValueError, match=says(str(tmp_path / "dogs"), "holds no PNG, JPEG", "take it away")):
        read(tmp_path)


def test_a_damaged_picture_in_a_class(tmp_path):
    path = class_folder(tmp_path, cats=[pixels(4, 4)]) / "cats" / "1.png"
    with pytest.raises(ValueError, match=says(str(write(path, b"")), "cannot be read as a picture")):
        load(tmp_path)


def test_only_class_folders_have_class_names(tmp_path, monkeypatch):
    class_folder(tmp_path / "ring", cats=[pixels(4, 4)])
    monkeypatch.chdir(tmp_path)
    assert class_names("ring") == class_names("mnist") == class_names("nowhere") == []
    assert class_names("./ring") == class_names(Path("ring")) == ["cats"]


def labelled_idx(folder, images="train-images-idx3-ubyte", labels="train-labels-idx1-ubyte", values=(2, 0, 7), seed=1):
    """Three images and their labels in IDX files, packed where the name ends in .gz."""
    folder.mkdir(exist_ok=True)
    array = np.random.default_rng(seed).integers(0, 256, (3, 6, 5), dtype=np.uint8)
    for name, content in ((images, array), (labels, np.asarray(values, np.uint8))):
        pack = gzip.compress if name.endswith(".gz") else bytes
        write(folder / name, pack(idx_bytes(content)))
    return array


@pytest.mark.parametrize("images_end", ["", ".gz"])
@pytest.mark.parametrize("labels_end", ["", ".gz"])
@pytest.mark.parametrize("start, dot", [("", "-"), ("emnist-letters-", "-"), ("", ".")])
def test_a_folder_of_idx_files(tmp_path, images_end, labels_end, start, dot):
    names = f"{start}train-images{dot}idx3-ubyte{images_end}", f"{start}train-labels{dot}idx1-ubyte{labels_end}"
    array = labelled_idx(tmp_path, *names)
    assert_the_train_split(tmp_path, array)
    # With the test split beside it, and with what else may lie there, it is the same.
    labelled_idx(tmp_path, *(name.replace("train", "t10k") for name in names), values=[1, 1, 1], seed=2)
    write(tmp_path / f"._{names[0]}", b"what a Mac leaves on other disks")
    write(tmp_path / f"{names[0]}.part", b"a download that was cut short")
    (tmp_path / "other-train-images-idx3-ubyte").mkdir()
    class_folder(tmp_path, examples=[pixels(4, 4)])
    assert_the_train_split(tmp_path, array)


def assert_the_train_split(folder, array):
    loaded = load(folder)
    assert list(loaded) == ["images", "labels"] and class_names(folder) == []
    np.testing.assert_allclose(loaded["images"][:, 0], array / 127.5 - 1, atol=1e-6)
    assert loaded["labels"].tolist() == [2, 0, 7] and loaded["labels"].dtype == np.int64
    assert load(folder, size=4)["images"].shape == (3, 1, 4, 4)
    np.testing.assert_array_equal(load_images(folder), loaded["images"])


def test_a_folder_of_idx_files_without_labels_or_of_the_test_split_only(tmp_path):
    labelled_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert list(load(tmp_path)) == ["images"]
    (tmp_path / "train-images-idx3-ubyte").rename(tmp_path / "t10k-images-idx3-ubyte")
    with pytest.raises(ValueError, match=says(str(tmp_path), "and no train-images-idx3-ubyte")):
        load(tmp_path)


def test_a_packed_and_an_unpacked_copy_are_one_set(tmp_path):
    labelled_idx(tmp_path)
    labelled_idx(tmp_path, "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
    assert load(tmp_path)["labels"].tolist() == [2, 0, 7]


def test_several_sets_in_a_folder(tmp_path):
    """All of EMNIST, as it is unpacked."""
    for name in ("digits", "letters"):
        start = f"emnist-{name}-train"
        labelled_idx(tmp_path, f"{start}-images-idx3-ubyte", f"{start}-labels-idx1-ubyte", values=[len(name)] * 3)
    words = ("several sets", "emnist-digits-train-images-idx3-ubyte, emnist-letters-train-images-idx3-ubyte")
    with pytest.raises(ValueError, match=says(str(tmp_path), *words)):
        load(tmp_path)
    assert load(tmp_path / "emnist-letters-train-images-idx3-ubyte")["labels"].tolist() == [7] * 3


def test_the_official_files_are_mnist():
    mnist, folder = load("mnist"), load(DATASETS)
    assert list(mnist) == list(folder) == ["images", "labels"]
    for name, array in mnist.items():
        assert folder[name].dtype == array.dtype
        np.testing.assert_array_equal(folder[name], array)


def test_labels_beside_an_idx_file(tmp_path):
    array = labelled_idx(tmp_path, "my-images-idx3-ubyte.gz", "my-labels-idx1-ubyte")
    path = tmp_path / "my-images-idx3-ubyte.gz"
    loaded = load(path)
    np.testing.assert_allclose(loaded["images"][:, 0], array / 127.5 - 1, atol=1e-6)
    assert loaded["labels"].tolist() == [2, 0, 7]
    assert load(str(path), size=4)["labels"].tolist() == [2, 0, 7]
    (tmp_path / "my-labels-idx1-ubyte").rename(tmp_path / "your-labels-idx1-ubyte")
    assert list(load(path)) == ["images"]
    path.rename(tmp_path / "digits")
    write(tmp_path / "digits.gz", b"not its labels")
    assert list(load(tmp_path / "digits")) == ["images"]


BAD_LABELS = {
    "too few": (np.arange(2), "each image needs one label, but there are 3 images and 2 labels"),
    "too many": (np.arange(4), "3 images and 4 labels"),
    "negative": (np.array([0, -1, 2]), "labels must lie between 0 and 10000, but reach from -1 to 2"),
    "absurd": (np.array([0, 1, 10_001]), "from 0 to 10001"),
    "float": (np.arange(3.0), "labels must be integers, one for each image, of shape (N,), not float64 (3,)"),
    "nan": (np.full(3, np.nan), "labels must be integers"),
    "one axis more": (np.zeros((3, 1), int), "not int64 (3, 1)"),
    "one-hot": (np.eye(3, dtype=np.uint8), "not uint8 (3, 3)"),
}
BAD_NPZ_LABELS = BAD_LABELS | {
    "huge": (np.array([0, 1, 2**64 - 1], np.uint64), "from 0 to 18446744073709551615"),
    "text": (np.array(["cat", "dog", "cat"]), "labels must be integers"),
    "yes and no": (np.array([True, False, True]), "not bool (3,)"),
    "a single number": (np.array(3), "not int64 ()"),
    "none": (np.zeros(0, int), "3 images and 0 labels"),
    "pickled": (np.array([1, "a", None], dtype=object), "not object (3,): number the classes 0, 1, 2"),
}


@pytest.mark.parametrize("labels, words", BAD_LABELS.values(), ids=BAD_LABELS)
@pytest.mark.parametrize("read", [load, load_images])
def test_bad_labels_in_an_idx_file(tmp_path, labels, words, read):
    labelled_idx(tmp_path)
    kept = labels.astype(np.int32) if labels.dtype == np.int64 else labels  # IDX has no 64-bit integers
    path = write(tmp_path / "train-labels-idx1-ubyte", idx_bytes(kept))
    for data_path in (tmp_path, tmp_path / "train-images-idx3-ubyte"):
        with pytest.raises(ValueError, match=says(str(path), words.replace("int64", "int32"))):
            read(data_path)


@pytest.mark.parametrize("labels, words", BAD_NPZ_LABELS.values(), ids=BAD_NPZ_LABELS)
@pytest.mark.parametrize("read", [load, load_images])
def test_bad_labels_in_an_npz_file(tmp_path, labels, words, read):
    path = npz(tmp_path / "a.npz", images=pixels(3, 4, 4), labels=labels)
    with pytest.raises(ValueError, match=says(str(path), words)):
        read(path)


@pytest.mark.parametrize("labels, words", BAD_NPZ_LABELS.values(), ids=BAD_NPZ_LABELS)
def test_bad_labels_in_a_loader(labels, words):
    """Arrays that a program made: here they are looked at, once, before any training."""
    words = "equally long" if "3 images and" in words else "one axis" if labels.ndim == 0 else words
    with pytest.raises(ValueError, match=says(words)):
        DataLoader({"images": pixels(3, 1, 4, 4), "labels": labels}, batch_size=2)


CURES = {
    "one axis more": (np.array([[2], [0]]), "labels[:, 0]", lambda labels: labels[:, 0]),
    "one-hot": (np.eye(3)[[2, 0]], "labels.argmax(axis=1)", lambda labels: labels.argmax(axis=1)),
    "float": (np.array([2.0, 0.0]), "labels.astype(int)", lambda labels: labels.astype(int)),
    "bool": (np.array([True, False]), "labels.astype(int)", lambda labels: labels.astype(int)),
    "names": (
        np.array(["dog", "cat"]),
        "np.unique(labels, return_inverse=True)[1]",
        lambda labels: np.unique(labels, return_inverse=True)[1],
    ),
    "from -1 on": (np.array([-1, 1]), "number the classes 0, 1, 2, ...", lambda labels: labels + 1),
}


@pytest.mark.parametrize("labels, words, cure", CURES.values(), ids=CURES)
def test_what_is_said_to_do_about_labels_works(tmp_path, labels, words, cure):
    with pytest.raises(ValueError, match=says(words)):
        load(npz(tmp_path / "a.npz", images=pixels(2, 4, 4), labels=labels))
    loaded = load(npz(tmp_path / "a.npz", images=pixels(2, 4, 4), labels=cure(labels)))
    assert loaded["labels"].dtype == np.int64 and loaded["labels"].min() >= 0
    DataLoader(loaded, batch_size=2)


def test_other_arrays_of_a_loader_may_hold_anything():
    """Only what is called `labels` is classes; a regression's targets are not."""
    loader = DataLoader({"images": pixels(3, 1, 4, 4), "angles": np.array([0.5, -1.0, np.nan])}, batch_size=3)
    assert len(list(loader)) == 1


@pytest.mark.parametrize("content, words", BAD_IDX.values(), ids=BAD_IDX)
def test_a_damaged_file_of_labels(tmp_path, content, words):
    labelled_idx(tmp_path)
    path = write(tmp_path / "train-labels-idx1-ubyte", content)
    with pytest.raises(ValueError, match=says(str(path), words)):
        load(tmp_path)


@pytest.mark.parametrize("dtype", ["u1", "i8", ">i4", "u8"])
def test_npz_with_labels(tmp_path, dtype):
    labels = np.array([26, 1, 3], dtype)  # like EMNIST's letters
    path = npz(tmp_path / "a.npz", labels=labels, noise=np.zeros(7), images=pixels(3, 6, 4))
    for size, shape in ((None, (3, 1, 6, 4)), (5, (3, 1, 5, 5))):
        loaded = load(path, size)
        assert list(loaded) == ["images", "labels"] and loaded["images"].shape == shape
        assert loaded["labels"].tolist() == [26, 1, 3] and loaded["labels"].dtype == np.int64


def test_npz_without_labels(tmp_path):
    for names in (["images"], ["anything"], ["labels"], ["images", "noise"]):
        path = npz(tmp_path / "a.npz", **{name: pixels(2, 4, 4) for name in names})
        assert list(load(path)) == ["images"]
    path = npz(tmp_path / "a.npz", x=pixels(2, 4, 4), labels=np.arange(2))
    with pytest.raises(ValueError, match=says(str(path), "one array, or `images` and perhaps `labels`")):
        load(path)


def test_an_npz_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(13, "Permission denied", str(path))

    path = npz(tmp_path / "a.npz", pixels(2, 4, 4))
    monkeypatch.setattr(data.npz, "open", refuse, raising=False)
    with pytest.raises(PermissionError):  # and not "cannot be read as an .npz file"
        load(path)


def test_the_largest_label(tmp_path):
    path = npz(tmp_path / "a.npz", images=pixels(2, 4, 4), labels=np.array([0, 10_000]))
    assert load(path)["labels"].tolist() == [0, 10_000]


# ---- any data by name


@pytest.mark.parametrize("size", [28, 16, 8])
def test_load_mnist_by_name(monkeypatch, test_split, size):
    asked = []
    monkeypatch.setattr(data.by_name, "load_mnist", lambda split, size: asked.append((split, size)) or test_split[size])
    loaded = load("mnist", size)
    assert list(loaded) == ["images", "labels"] and loaded["images"] is test_split[size][0]
    load("mnist")
    assert asked == [("train", size), ("train", 28)]


@pytest.mark.parametrize("size", [0, 14, "28"])
def test_load_mnist_of_a_bad_size(size):
    with pytest.raises(ValueError, match=says("size must be 28, 16 or 8, not", repr(size))):
        load("mnist", size)


@pytest.mark.parametrize("name", data.TOYS)
def test_load_a_toy(name):
    loaded = load(name, seed=3)
    assert list(loaded) == ["points"]
    np.testing.assert_array_equal(loaded["points"], data.TOYS[name](50_000, np.random.default_rng(3)))
    np.testing.assert_array_equal(load(name)["points"], load(name, seed=0)["points"])


@pytest.mark.parametrize("name", ["a.png", "b.JPG", "my drawing ö.jpeg"])
def test_load_a_drawn_shape(tmp_path, name):
    drawing = np.full((4, 6), 255, np.uint8)
    drawing[1:3, 2] = 0
    path = save(tmp_path / name, drawing)
    for loaded in (load(path, seed=5), load(str(path), seed=5)):
        assert list(loaded) == ["points"] and loaded["points"].dtype == np.float32
        expected = from_picture(path, 50_000, np.random.default_rng(5))
        np.testing.assert_array_equal(loaded["points"], expected)


def test_points_have_no_size(tmp_path):
    path = save(tmp_path / "a.png", pixels(4, 4))
    for points in ("ring", path, str(path)):
        words = f"--size is for images, and the data {points} are points: leave it out"
        with pytest.raises(ValueError, match=says(words)):
            load(points, size=28)


@pytest.mark.parametrize("name", ["mnits", "Ring", "no/such/folder", "nowhere.npz", "nowhere.png", Path("ring")])
def test_unknown_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    words = (f"no dataset {str(name)!r}: give one of mnist, ring, grid, swiss_roll, moons, or the path of your own",)
    with pytest.raises(ValueError, match=says(*words)):
        load(name)


def test_a_name_comes_before_a_path(tmp_path, monkeypatch):
    for name in ("ring", "mnist", "a.png"):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "0.png", pixels(4, 4))
    monkeypatch.chdir(tmp_path)
    assert list(load("ring")) == ["points"]
    for path in ("./ring", Path("ring"), Path("mnist"), "a.png"):  # the last is a folder, not a picture
        assert load(path)["images"].shape == (1, 1, 4, 4)


def test_load_says_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match=says("give a folder of PNG, JPEG")):
        load(write(tmp_path / "a.csv", b""))
    with pytest.raises(ValueError, match=says("size must be a whole number of at least 1, not 0")):
        load(npz(tmp_path / "a.npz", pixels(2, 4, 4)), size=0)
    for seed in (-1, 1.5, None):
        with pytest.raises(ValueError, match=says("seed must be a whole number of at least 0, not", repr(seed))):
            load("ring", seed=seed)


def test_each_file_is_read_once(tmp_path, monkeypatch):
    opened, plain_read = [], data.idx.read_idx
    monkeypatch.setattr(data.idx, "read_idx", lambda path: opened.append(path.name) or plain_read(path))
    labelled_idx(tmp_path)
    load(tmp_path)
    load_mnist("test")
    assert opened == [
        *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        *("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
    ]


# ---- toys


@pytest.mark.parametrize("name", data.TOYS)
def test_toys(name):
    draw = data.TOYS[name]
    points = draw(2000, np.random.default_rng(3))
    assert points.shape == (2000, 2) and points.dtype == np.float32
    np.testing.assert_array_equal(points, draw(2000, np.random.default_rng(3)))
    assert not np.array_equal(points, draw(2000, np.random.default_rng(4)))
    assert draw(1, RNG).shape == (1, 2)


@pytest.mark.parametrize("name, modes", [("ring", 8), ("grid", 25)])
def test_every_mode_is_drawn_equally_often(name, modes):
    centres, std = data.MODES[name]
    assert centres.shape == (modes, 2)
    points = data.TOYS[name](20_000, np.random.default_rng(0))
    offset = points[:, None] - centres  # (n, modes, 2)
    nearest = np.square(offset).sum(-1).argmin(1)
    counts = np.bincount(nearest, minlength=modes)
    np.testing.assert_allclose(counts, 20_000 / modes, rtol=0.15)
    noise = offset[np.arange(20_000), nearest]
    np.testing.assert_allclose(noise.std(axis=0), std, rtol=0.03)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.03 * std)


def test_modes_follow_pacgan():
    ring, grid = data.MODES["ring"][0], data.MODES["grid"][0]
    np.testing.assert_allclose(np.hypot(*ring.T), 1)
    np.testing.assert_allclose(ring[:3], [[1, 0], [0.5**0.5, 0.5**0.5], [0, 1]], atol=1e-12)
    assert {tuple(c) for c in grid} == {(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)}
    assert (data.MODES["ring"][1], data.MODES["grid"][1]) == (0.01, 0.05)


def test_swiss_roll_lies_on_the_spiral():
    points = data.swiss_roll(5000, np.random.default_rng(0)).astype(float) * 7.5
    radius, angle = np.hypot(*points.T), np.arctan2(points[:, 1], points[:, 0])
    turns = (radius - angle) / (2 * np.pi)  # a whole number on the spiral radius = angle
    assert np.abs(turns - turns.round()).max() < 0.25
    assert 0.4 < radius.min() / (1.5 * np.pi) < 1.1 and 0.9 < radius.max() / (4.5 * np.pi) < 1.1


def test_moons_are_two_half_circles():
    points = data.moons(5000, np.random.default_rng(0)).astype(float)
    upper = np.hypot(points[:, 0] + 0.5, points[:, 1] + 0.25)
    lower = np.hypot(points[:, 0] - 0.5, points[:, 1] - 0.25)
    on_upper, on_lower = np.abs(upper - 1) < 0.25, np.abs(lower - 1) < 0.25
    assert (on_upper | on_lower).all()
    assert (points[on_upper & ~on_lower, 1] > -0.5).all() and (points[on_lower & ~on_upper, 1] < 0.5).all()
    assert 0.3 < (on_upper & ~on_lower).mean() < 0.6 and 0.3 < (on_lower & ~on_upper).mean() < 0.6


def test_mixture_1d():
    points = mixture_1d(40_000, np.random.default_rng(0), means=[-5, 5], stds=[0.1, 1], weights=[3, 1])
    assert points.shape == (40_000, 1) and points.dtype == np.float32
    left, right = points[points < 0], points[points > 0]
    assert len(left) / 40_000 == pytest.approx(0.75, abs=0.01)
    assert (left.mean(), right.mean()) == pytest.approx((-5, 5), abs=0.05)
    assert (left.std(), right.std()) == pytest.approx((0.1, 1), rel=0.05)


@pytest.mark.parametrize(
    "bad",
    [
        {"means": [0]},
        {"stds": 1.0},
        {"means": [], "stds": [], "weights": []},
        {"means": [0, np.nan]},
        {"stds": [1, np.inf]},
        {"stds": [1, -1]},
        {"weights": [2, -1]},
        {"weights": [0, 0]},
        {"weights": [np.nan, 1]},
    ],
)
def test_mixture_1d_bad_parameters(bad):
    with pytest.raises(ValueError, match=says("means")):
        mixture_1d(5, RNG, **bad)


@pytest.mark.parametrize("n", [0, -1, 2.5, "3", None, True])
def test_bad_number_of_points(n):
    square = np.zeros((2, 2), np.uint8)
    for draw in [*data.TOYS.values(), mixture_1d, lambda n, rng: from_picture(square, n, rng)]:
        with pytest.raises(ValueError, match=says("n must be a whole number of at least 1, not", repr(n))):
            draw(n, RNG)


@settings(max_examples=60, deadline=None)
@given(
    h=st.integers(1, 12),
    w=st.integers(1, 12),
    seed=st.integers(0, 999),
    kind=st.sampled_from(["u1", "f4", "f8"]),
)
def test_points_stay_inside_inked_pixels(h, w, seed, kind):
    rng = np.random.default_rng(seed)
    picture = rng.choice([0, 255], (h, w), p=[0.3, 0.7])
    picture[rng.integers(h), rng.integers(w)] = 0
    picture = picture.astype("u1") if kind == "u1" else (picture / 255).astype(kind)
    points = from_picture(picture, 200, rng)
    assert points.shape == (200, 2) and points.dtype == np.float32
    side = max(h, w)
    assert (np.abs(points) <= [w / side, h / side]).all()
    column = np.clip((points[:, 0].astype(float) * side + w) / 2, 0, w - 1e-3)
    row = np.clip((h - points[:, 1].astype(float) * side) / 2, 0, h - 1e-3)
    near = [
        picture[int(max(r - e, 0)), int(max(c - f, 0))] == 0
        for r, c in zip(row, column, strict=True)
        for e in (0,)
        for f in (0,)
        if 1e-4 < r % 1 < 1 - 1e-4 and 1e-4 < c % 1 < 1 - 1e-4
    ]
    assert all(near)


def test_darkness_is_probability_and_y_points_up():
    picture = np.array([[0, 255, 255, 255], [255, 255, 255, 128]], np.uint8)  # black top left, grey bottom right
    points = from_picture(picture, 30_000, np.random.default_rng(0))
    left = points[points[:, 0] < 0]
    assert len(left) / 30_000 == pytest.approx(255 / (255 + 127), abs=0.01)
    # The picture spans [-1, 1] x [-0.5, 0.5]; a pixel is 0.5 wide and the jitter fills it.
    np.testing.assert_allclose(left.min(axis=0), [-1, 0], atol=0.001)
    np.testing.assert_allclose(left.max(axis=0), [-0.5, 0.5], atol=0.001)
    np.testing.assert_allclose(left.mean(axis=0), [-0.75, 0.25], atol=0.005)


def test_float16_does_not_overflow():
    assert np.isfinite(from_picture(np.zeros((300, 300), np.float16), 5, RNG)).all()


def test_from_picture_file(tmp_path):
    drawing = np.full((4, 4, 4), 0, np.uint8)  # transparent black is paper
    drawing[3, 0] = [0, 0, 0, 255]  # ink bottom left
    points = from_picture(str(save(tmp_path / "a.png", drawing)), 500, RNG)
    assert (points >= -1).all() and (points <= -0.5).all()


BAD_DRAWINGS = {
    "blank": (np.full((3, 3), 255, np.uint8), "blank"),
    "blank float": (np.ones((3, 3)), "blank"),
    "nan": (np.array([[0, np.nan]]), "between 0 (ink) and 1 (paper)"),
    "inf": (np.array([[0, np.inf]]), "between 0 (ink) and 1 (paper)"),
    "negative": (np.array([[0, -0.5]]), "between 0 (ink) and 1 (paper)"),
    "0..255 as float": (np.array([[0, 255.0]]), "between 0 (ink) and 1 (paper)"),
    "int64": (np.array([[0, 1]]), "uint8 or float, not int64"),
    "colour": (pixels(3, 3, 3), "(H, W) uint8 or float, not uint8 (3, 3, 3)"),
    "no pixels": (pixels(0, 3), "blank"),
}


@pytest.mark.parametrize("picture, words", BAD_DRAWINGS.values(), ids=BAD_DRAWINGS)
def test_bad_drawing(picture, words):
    with pytest.raises(ValueError, match=says(words)):
        from_picture(picture, 5, RNG)


def test_missing_or_blank_drawing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=says("nowhere.png")):
        from_picture(tmp_path / "nowhere.png", 5, RNG)
    with pytest.raises(ValueError, match=says("blank")):
        from_picture(save(tmp_path / "a.png", np.full((3, 3), 255, np.uint8)), 5, RNG)


# ---- batches


@settings(max_examples=80, deadline=None)
@given(n=st.integers(1, 60), data_=st.data(), seed=st.integers(0, 2**40), epoch=st.integers(0, 2**40))
def test_loader_covers_each_index_at_most_once(n, data_, seed, epoch):
    batch_size = data_.draw(st.integers(1, n))
    loader = DataLoader(np.arange(n), batch_size=batch_size, seed=seed)
    batches = list(loader.batches(epoch))
    assert len(batches) == len(loader) == n // batch_size
    assert all(batch.shape == (batch_size,) for batch in batches)
    order = np.concatenate(batches)
    assert len(set(order.tolist())) == len(order) and set(order.tolist()) <= set(range(n))
    np.testing.assert_array_equal(order, np.random.default_rng([seed, epoch]).permutation(n)[: len(order)])
    start = data_.draw(st.integers(0, len(batches) + 2))
    resumed = list(DataLoader(np.arange(n), batch_size=batch_size, seed=seed).batches(epoch, start))
    assert [b.tolist() for b in resumed] == [b.tolist() for b in batches[start:]]


def orders(seed, epochs=3, **options):
    loader = DataLoader(np.arange(50), batch_size=5, seed=seed, **options)
    return [np.concatenate(list(loader)).tolist() for _ in range(epochs)]


def test_same_seed_same_order_other_epochs_differ():
    assert orders(7) == orders(7)
    assert orders(7) != orders(8)
    first, second, third = orders(7)
    assert first != second and second != third and first != third
    assert orders(7, shuffle=False) == [list(range(50))] * 3


def test_each_walk_begins_the_next_epoch():
    loader = DataLoader(np.arange(10), batch_size=3, seed=1)
    assert loader.epoch == 0
    first = [batch.tolist() for batch in loader]
    assert loader.epoch == 1 and first == [b.tolist() for b in loader.batches(0)]
    for _ in loader:
        break
    assert loader.epoch == 2  # broken off
    loader.epoch = 5
    assert [b.tolist() for b in loader] == [b.tolist() for b in loader.batches(5)]
    assert loader.epoch == 6


# How people take a few batches from a loader.
WALKS = {
    "next": lambda loader: [next(iter(loader))],
    "next, thrice": lambda loader: list(map(next, [iter(loader)] * 3)),
    "break": lambda loader: [batch for batch, _ in zip(loader, range(3), strict=False)],
    "islice": lambda loader: list(itertools.islice(loader, 3)),
    "enumerate": lambda loader: next([batch] for i, batch in enumerate(loader) if i == 2),
    "all": list,
}


@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS)
def test_each_walk_has_a_new_order(walk):
    """As in PyTorch: whoever takes the first batches again and again sees all samples in the end."""
    loader = DataLoader(np.arange(1000), batch_size=10)
    taken = [np.concatenate(walk(loader)) for _ in range(100)]
    assert len(np.unique(np.concatenate(taken))) > 500
    assert len({tuple(samples) for samples in taken}) == 100
    plain = DataLoader(np.arange(1000), batch_size=10, shuffle=False)
    assert [np.concatenate(walk(plain)).tolist() for _ in range(3)] == 3 * [np.concatenate(walk(plain)).tolist()]


def test_two_walks_at_once_do_not_disturb_each_other():
    loader = DataLoader(np.arange(60), batch_size=10, seed=3)
    pairs = [(a.tolist(), b.tolist()) for a, b in zip(loader, loader, strict=True)]
    expected = zip(loader.batches(0), loader.batches(1), strict=True)
    assert pairs == [(a.tolist(), b.tolist()) for a, b in expected] and loader.epoch == 2


def test_named_arrays_stay_aligned():
    images, labels = np.arange(20.0).reshape(20, 1), np.arange(20)
    loader = DataLoader({"images": images, "labels": labels}, batch_size=6, seed=4)
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    for batch in batches:
        assert list(batch) == ["images", "labels"] and isinstance(batch["labels"], np.ndarray)
        np.testing.assert_array_equal(batch["images"][:, 0], batch["labels"])
    resumed = list(loader.batches(0, start=1))
    assert [b["labels"].tolist() for b in resumed] == [b["labels"].tolist() for b in batches[1:]]
    plain = DataLoader(images, batch_size=6, seed=4).batches(0)  # names change nothing about the order
    for batch, array in zip(batches, plain, strict=True):
        assert isinstance(array, np.ndarray) and array.shape == (6, 1)
        np.testing.assert_array_equal(batch["images"], array)
    alone = next(iter(DataLoader({"points": images}, batch_size=2)))
    assert list(alone) == ["points"] and alone["points"].shape == (2, 1)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "4", None, True])
def test_bad_batch_size(batch_size):
    words = ("batch_size must be a whole number of at least 1, not", repr(batch_size))
    with pytest.raises(ValueError, match=says(*words)):
        DataLoader(np.arange(10), batch_size=batch_size)


def test_bad_loader_arguments():
    with pytest.raises(ValueError, match=says("batch_size 11 is larger than the data (10 items)")):
        DataLoader(np.arange(10), batch_size=11)
    with pytest.raises(ValueError, match=says("batch_size 11 is larger than the data (10 items)")):
        DataLoader({"a": np.arange(10), "b": np.arange(10)}, batch_size=11)
    with pytest.raises(ValueError, match=says("equally long, not images 10 and labels 9")):
        DataLoader({"images": np.arange(10), "labels": np.arange(9)}, batch_size=2)
    for bad in ({}, np.float32(3), {"a": np.arange(3), "b": np.float32(3)}, [1, 2], {"a": [1, 2]}, None):
        with pytest.raises(ValueError, match=says("an array, or a dict of named arrays", "at least one axis")):
            DataLoader(bad, batch_size=1)
    with pytest.raises(ValueError, match=says("seed must be")):
        DataLoader(np.arange(10), batch_size=2, seed=-1)
    with pytest.raises(ValueError, match=says("start must be")):
        list(DataLoader(np.arange(10), batch_size=2).batches(0, start=-1))
    for bad in (-1, 1.5, None, [3]):  # and a np.matrix would crash Python, in NumPy's generator
        with pytest.raises(ValueError, match=says("epoch must be")):
            list(DataLoader(np.arange(10), batch_size=2).batches(bad))


def test_public_names():
    assert all(hasattr(data, name) for name in data.__all__)
    assert set(data.TOYS) == {"ring", "grid", "swiss_roll", "moons"}
