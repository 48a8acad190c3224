"""Files that are not what they seem: pipes, devices, broken links, absurd promises, more than memory holds, damage."""

import gzip
import io
import os
import socket
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_data import class_folder, idx_bytes, labelled_idx, npz_bytes, pixels, save, says, write
from test_pictures import png

from minigan import memory
from minigan.data import files, from_picture, load, load_images, read_idx
from minigan.data.pictures import open_picture

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of what is left out: see test_pictures.py
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither pipes nor devices among its files")


# ---- no ordinary files


def pipe(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/zero")


def listening(path):
    """A socket in the file system; its address must be short, so it is made elsewhere."""
    with socket.socket(socket.AF_UNIX) as opened, tempfile.TemporaryDirectory() as short:
        opened.bind(f"{short}/s")
        os.rename(f"{short}/s", path)


def to_nowhere(path):
    path.symlink_to("nowhere at all")


def to_itself(path):
    path.symlink_to(path.name)


STRANGE = {
    "pipe": (pipe, "is a pipe, not a file"),
    "device": (device, "is a device, not a file"),
    "socket": (listening, "is a socket, not a file"),
    "broken link": (to_nowhere, "is a link that leads to no file"),
    "link to itself": (to_itself, "is a link that leads to no file"),
}
strange = pytest.mark.parametrize("make, words", STRANGE.values(), ids=STRANGE)


@posix
@strange
@pytest.mark.parametrize("name", ["x.png", "x.npz", "x-images-idx3-ubyte", "x.gz", "x"])
def test_a_strange_file_is_refused_and_not_waited_for(tmp_path, make, words, name):
    path = tmp_path / name
    make(path)
    with pytest.raises(ValueError, match=says(str(path), words)):
        load(path)


@posix
@strange
def test_every_reader_of_files_refuses_it(tmp_path, make, words):
    path = tmp_path / "x"
    make(path)
    for read in (
        open_picture,
        read_idx,
        files.check_file,
        lambda path: from_picture(path, 5, np.random.default_rng(0)),
    ):
        with pytest.raises(ValueError, match=says(str(path), words)):
            read(path)


@posix
@strange
def test_a_strange_file_among_pictures_is_refused_and_among_others_named(tmp_path, make, words):
    save(tmp_path / "a.png", pixels(4, 4))
    make(tmp_path / "notes")
    with pytest.warns(UserWarning, match="1 file left out: notes"):
        assert load_images(tmp_path).shape == (1, 1, 4, 4)
    make(tmp_path / "b.png")
    with pytest.raises(ValueError, match=says(str(tmp_path / "b.png"), words)):
        load_images(tmp_path)
    class_folder(tmp_path / "classes", cats=[pixels(4, 4)])
    make(tmp_path / "classes" / "cats" / "b.png")
    with pytest.raises(ValueError, match=says(str(tmp_path / "classes" / "cats" / "b.png"), words)):
        load(tmp_path / "classes")


@posix
@strange
@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte", "train-images-idx3-ubyte"])
def test_strange_files_of_an_idx_set(tmp_path, make, words, name):
    """Labels of this kind were passed over, and the images taken for unlabelled ones."""
    labelled_idx(tmp_path)
    (tmp_path / name).unlink()
    make(tmp_path / name)
    with pytest.raises((ValueError, FileNotFoundError), match=says(str(tmp_path / name))):
        load(tmp_path)


def test_a_folder_in_the_place_of_a_file(tmp_path):
    for name in ("x.npz", "x.png", "x-idx"):
        (tmp_path / name).mkdir()
        with pytest.raises(ValueError, match=says(str(tmp_path / name), "holds no PNG")):
            load(tmp_path / name)
    with pytest.raises(ValueError, match=says("x.png", "is a folder, not a file")):
        open_picture(tmp_path / "x.png")
    save(tmp_path / "a.png", pixels(4, 4))
    assert load_images(tmp_path).shape == (1, 1, 4, 4)  # the folder x.png is left out


@posix
def test_links_to_ordinary_files_and_folders_are_followed(tmp_path):
    class_folder(tmp_path / "real", cats=[pixels(4, 4)])
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "cats").symlink_to(tmp_path / "real" / "cats")
    assert load(tmp_path / "linked")["labels"].tolist() == [0]
    (tmp_path / "real" / "cats" / "more.png").symlink_to("0.png")
    assert load(tmp_path / "linked")["labels"].tolist() == [0, 0]


@posix
def test_a_folder_that_links_to_itself(tmp_path):
    save(tmp_path / "a.png", pixels(4, 4))
    (tmp_path / "again").symlink_to(tmp_path)
    with pytest.raises(ValueError, match=says(str(tmp_path), "pictures lie both in it (a.png) and in its sub-folder")):
        load(tmp_path)


@posix
def test_the_command_line_does_not_wait_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "x.npz")
    command = [sys.executable, "-m", "minigan", "train", "--data", str(tmp_path / "x.npz")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "x.npz: is a pipe" in done.stderr


# ---- absurd promises


def zeros_in_zip(shape, written, descr="|u1"):
    """An .npz file whose one array promises `shape`, and the zip archive around it `written` zero bytes."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head = b"\x93NUMPY\1\0" + struct.pack("<H", len(header) + 1) + header + b"\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as member:
        member.write(head)
        for _ in range(written // 2**20):
            member.write(bytes(2**20))
    return buffer.getvalue()


def zeros_in_gzip(shape, written):
    buffer = io.BytesIO()
    with gzip.open(buffer, "wb", 9) as stream:
        stream.write(struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape))
        for _ in range(written // 2**20):
            stream.write(bytes(2**20))
    return buffer.getvalue()


SIDE = 12_000  # a picture of 144 million pixels, all alike
BOMBS = {
    "npz": ("x.npz", lambda: zeros_in_zip((320, 1024, 1024), 320 * 2**20)),
    "npz that ends early": ("x.npz", lambda: zeros_in_zip((6000, 1024, 1024), 2**20)),
    "npz of floats": ("x.npz", lambda: zeros_in_zip((80, 1024, 1024), 320 * 2**20, "<f4")),
    "npz of colour": ("x.npz", lambda: zeros_in_zip((100, 1024, 1024, 3), 2**20)),
    "gzip": ("x-images-idx3-ubyte.gz", lambda: zeros_in_gzip((320, 1024, 1024), 320 * 2**20)),
    "gzip that ends early": ("x-images-idx3-ubyte.gz", lambda: zeros_in_gzip((6000, 1024, 1024), 2**20)),
    "plain idx that ends early": (
        "x-images-idx3-ubyte",
        lambda: struct.pack(">BBBB3I", 0, 0, 8, 3, 6000, 1024, 1024) + bytes(2**20),
    ),
    "grey png": ("x.png", lambda: png(8, 0, [bytes(SIDE)] * SIDE)),
    "png of one bit": ("x.png", lambda: png(1, 0, [bytes(SIDE // 8)] * SIDE)),
    "png of a palette": ("x.png", lambda: png(1, 3, [bytes(SIDE // 8)] * SIDE, (b"PLTE", bytes(6)))),
    "gif": ("x.gif", lambda: b"GIF89a" + struct.pack("<HH", SIDE, SIDE) + b"\x80\0\0" + bytes(6) + b"," + bytes(4)
            + struct.pack("<HH", SIDE, SIDE) + b"\0\2\1\x44\0;"),
    "bmp": ("x.bmp", lambda: b"BM" + struct.pack("<3I", 54, 0, 54)
            + struct.pack("<IiiHH6I", 40, SIDE, SIDE, 1, 24, 0, 0, 1, 1, 0, 0)),
}  # fmt: skip


@pytest.mark.parametrize("name, content", BOMBS.values(), ids=BOMBS)
def test_absurd_promises_are_refused_before_anything_is_unpacked(tmp_path, name, content):
    path = write(tmp_path / name, content())
    assert path.stat().st_size < 2_000_000
    reads = (
        [load] if path.suffix in (".npz", ".gz", "") else [load, lambda path: load_images(path.parent), open_picture]
    )
    for read in reads:
        tracemalloc.start()
        with pytest.raises(ValueError, match=says(str(path), "promises", "B in a file of", "no real data")):
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8e6


def test_an_absurd_picture_takes_no_memory(tmp_path):
    """Of the whole process, as the system counts it: Pillow's own memory is not Python's."""
    resource = pytest.importorskip("resource")
    write(tmp_path / "x.png", png(8, 0, [bytes(SIDE)] * SIDE))
    code = """if True:
        import resource, sys
        from minigan.data import load
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            load(sys.argv[1])
        except ValueError:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    command = [sys.executable, "-c", code, str(tmp_path / "x.png")]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    unit = 1024 if sys.platform == "linux" else 1
    assert resource and grown * unit < 60e6


def test_blank_data_of_a_sensible_size_are_no_bomb(tmp_path):
    """They are packed a thousand times tighter, too, and it does no harm."""
    np.savez_compressed(tmp_path / "x.npz", np.zeros((2000, 28, 28), np.uint8))
    assert load_images(tmp_path / "x.npz").shape == (2000, 1, 28, 28)
    write(tmp_path / "x.gz", gzip.compress(idx_bytes(np.zeros((2000, 28, 28), np.uint8))))
    assert load_images(tmp_path / "x.gz").shape == (2000, 1, 28, 28)
    Image.new("1", (4000, 4000)).save(tmp_path / "x.png")  # a blank page
    assert open_picture(tmp_path / "x.png").size == (4000, 4000)


def test_a_large_page_with_something_on_it_is_no_bomb(tmp_path):
    """A scan of one bit a pixel: Pillow takes 8 for each, which must not count against it."""
    page = np.random.default_rng(0).random((90, 125)) < 0.1
    save(tmp_path / "x.png", np.kron(~page, np.ones((56, 56), bool)))
    assert (tmp_path / "x.png").stat().st_size * 200 < 5040 * 7000
    assert open_picture(tmp_path / "x.png").size == (7000, 5040)


def test_a_promise_that_no_float_can_hold_is_still_one_sentence(tmp_path):
    path = write(tmp_path / "x", struct.pack(">BBBB", 0, 0, 8, 64) + b"\xff" * 256)
    with pytest.raises(ValueError, match=says(str(path), "promises 1,000,000,000.0 GB in a file of 260 bytes")):
        load(path)


def test_an_array_that_holds_more_or_less_than_its_header_promises(tmp_path):
    for shape, words in (((3, 1024, 1024), "only 2097152"), ((1, 1024, 1024), "more")):
        path = write(tmp_path / "x.npz", zeros_in_zip(shape, 2 * 2**20))
        with pytest.raises(ValueError, match=says(str(path), "promises", "numbers, but it holds", words)):
            load(path)


# ---- more than memory holds


def gigabytes_free(monkeypatch, free):
    monkeypatch.setattr(memory, "free", lambda: int(free * 1e9))


NEEDS = {  # 4 bytes for each number
    "folder": (lambda path: class_folder(path, a=[pixels(50, 50, 3)] * 2, b=[pixels(50, 50, 3)]), 4 * 3 * 7500),
    "npz": (lambda path: write(path.with_suffix(".npz"), npz_bytes(images=pixels(9, 50, 50))), 4 * 9 * 2500),
    "npz of floats": (
        lambda path: write(path.with_name("floats.npz"), npz_bytes(images=pixels(9, 50, 50) / np.float32(255))),
        4 * 9 * 2500,
    ),
    "idx": (lambda path: write(path, idx_bytes(pixels(9, 50, 50))), 4 * 9 * 2500),
    "gzip": (lambda path: write(path, gzip.compress(idx_bytes(pixels(9, 50, 50)))), 4 * 9 * 2500),
}


@pytest.mark.parametrize("make, needed", NEEDS.values(), ids=NEEDS)
def test_what_does_not_fit_into_memory_is_refused_in_a_sentence(tmp_path, monkeypatch, make, needed):
    path = make(tmp_path / "x")
    gigabytes_free(monkeypatch, (needed + 20_000) / 1e9)
    whole = load(path)["images"]
    gigabytes_free(monkeypatch, (needed - 1) / 1e9)
    with pytest.raises(
        ValueError, match=says(str(path), "would take", "kB of memory, and", "kB are free: give a smaller --size")
    ):
        load(path)
    if "floats" in str(path):  # which are made smaller only once all of them are there
        gigabytes_free(monkeypatch, (needed + 20_000) / 1e9)
    assert load(path, size=20)["images"].shape == (*whole.shape[:2], 20, 20)
    with pytest.raises(ValueError, match=says(str(path), "would take", "GB of memory")):
        load(path, size=100_000)


def test_nothing_is_decoded_of_a_folder_that_does_not_fit(tmp_path, monkeypatch):
    class_folder(tmp_path / "x", a=[pixels(50, 50)] * 9)
    monkeypatch.setattr("minigan.data.images.open_picture", lambda path: pytest.fail("decoded"))
    gigabytes_free(monkeypatch, 60e-6)
    with pytest.raises(ValueError, match=says("its 9 pictures would take 90.0 kB of memory, and 60.0 kB are free")):
        load(tmp_path / "x")


def test_where_the_system_does_not_tell_everything_is_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: None)
    save(tmp_path / "a.png", pixels(4, 4))
    assert load_images(tmp_path).shape == (1, 1, 4, 4)


def system(root, available, groups="", **numbers):
    """A root folder with what Linux tells about memory; `numbers` are of files in /sys/fs/cgroup."""
    told = {"proc/meminfo": f"MemTotal: 9999999 kB\nMemAvailable: {available} kB\n", "proc/self/cgroup": groups}
    for name, text in (told | {f"sys/fs/cgroup/{name}": text for name, text in numbers.items()}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def group(folder, limit, used, stat="anon 5\n"):
    return {f"{folder}memory.max": limit, f"{folder}memory.current": used, f"{folder}memory.stat": stat}


def test_free_memory_is_the_least_of_the_machine_and_its_groups(tmp_path):
    free, root = memory.free, iter(tmp_path / str(number) for number in range(9))
    assert free(system(next(root), 7000)) == 7000 * 1024
    assert free(system(next(root), 7000, "0::/\n", **group("", "max", "5"))) == 7000 * 1024
    assert free(system(next(root), 7000, "0::/\n", **group("", "5000", "1000"))) == 4000
    caches = "anon 7\ninactive_file 300\nactive_file 20\n"
    assert free(system(next(root), 7000, "0::/a/b\n", **group("a/b/", "5000", "1000", caches))) == 4320
    both = group("a/b/", "9000", "1000") | group("a/", "3000", "1000")
    assert free(system(next(root), 7000, "0::/a/b\n", **both)) == 2000
    first = {
        "memory/job/memory.limit_in_bytes": "6000",
        "memory/job/memory.usage_in_bytes": "5000",
        "memory/job/memory.stat": "inactive_file 1\ntotal_inactive_file 500\ntotal_active_file 0\n",
    }
    assert free(system(next(root), 7000, "4:cpu,memory:/job\n3:cpu:/job\n", **first)) == 1500


def test_free_memory_of_this_machine(tmp_path):
    free = memory.free()
    assert free is None or 10e6 < free < 1e15
    nothing_told = memory.free(tmp_path)
    assert nothing_told is None or nothing_told > 10e6


def peak_of(call, *arguments, **options):
    """What a call returns, and how many bytes it held at the most."""
    tracemalloc.start()
    result = call(*arguments, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, peak


@pytest.mark.parametrize("dtype", ["u1", "f2", "f4", "f8"])
@pytest.mark.parametrize("size", [None, 64])
def test_loading_takes_at_most_two_bytes_a_number_beside_the_images(tmp_path, dtype, size):
    array = pixels(640, 3, 96, 96)
    array = array if dtype == "u1" else (array / np.float32(255)).astype(dtype)
    path = write(tmp_path / "x.npz", npz_bytes(images=array))
    images, peak = peak_of(load_images, path, size=size)
    beside = 2 * images.size if size is None else 5 * array.size  # to make it smaller, the larger one must be there
    assert peak < images.nbytes + beside + 8e6
    if dtype == "u1":
        images, peak = peak_of(load_images, write(tmp_path / "x", idx_bytes(array[:, 0])), size=size)
        assert peak < images.nbytes + 2 * array[:, 0].size + 8e6


# ---- damage


def mutations(content, rng, count):
    """The bytes with one to twenty of them changed, cut out, doubled, or cut off at the end."""
    for _ in range(count):
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 20)):
            place, kind = int(rng.integers(max(1, len(damaged)))), rng.integers(5)
            if kind == 0:
                del damaged[place : place + int(rng.integers(1, 9))]
            elif kind == 1:
                damaged[place:place] = damaged[place : place + 8]
            elif kind == 2 and rng.random() < 0.2:
                del damaged[place:]
            else:
                damaged[place : place + 1] = bytes([rng.integers(256)])
        yield bytes(damaged)


def encoded(picture, form, **options):
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


COLOURED = Image.fromarray(pixels(9, 8, 3))
FUZZED = {
    "x.npz": npz_bytes(images=pixels(4, 8, 8), labels=np.arange(4)),
    "floats.npz": npz_bytes(images=pixels(4, 8, 8) / 255.0),
    "x-images-idx3-ubyte": idx_bytes(pixels(4, 8, 8)),
    "x.gz": gzip.compress(idx_bytes(pixels(4, 8, 8))),
    "x.png": encoded(COLOURED, "PNG"),
    "grey.png": png(16, 0, [bytes(range(16))] * 8, (b"tRNS", b"\0\1")),
    "x.jpg": encoded(COLOURED, "JPEG"),
    "x.gif": encoded(COLOURED, "GIF", save_all=True, append_images=[COLOURED.rotate(180)]),
    "x.tif": encoded(COLOURED, "TIFF"),
    "x.webp": encoded(COLOURED, "WEBP", lossless=True),
    "x.bmp": encoded(COLOURED, "BMP"),
    "x.ppm": encoded(COLOURED, "PPM"),
}


@pytest.mark.parametrize("name", FUZZED)
def test_damaged_files_are_read_or_refused_in_one_sentence(tmp_path, name):
    rng, path = np.random.default_rng(len(name)), tmp_path / name
    for content in mutations(FUZZED[name], rng, 40):
        write(path, content)
        for read in (load, lambda path: load_images(path.parent)):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    warnings.simplefilter("ignore", UserWarning)
                    loaded = read(path)
            except (ValueError, OSError) as error:
                assert "\n" not in str(error)
            else:
                values = loaded if isinstance(loaded, np.ndarray) else next(iter(loaded.values()))
                assert values.dtype == np.float32 and np.isfinite(values).all()
    assert Path(path).exists()
