"""Pictures from files: the right pixels of every kind, and a folder's other files read or named."""

import os
import struct
import sys
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_data import pixels, save, says, write

from minigan.cli import main
from minigan.data import class_names, from_picture, load, load_images
from minigan.data.files import printable
from minigan.data.pictures import SUFFIXES, open_picture

COLOURS = np.array([[[250, 30, 20], [10, 200, 40]], [[20, 30, 240], [128, 128, 128]]], np.uint8)
SMOOTH = np.add.outer(np.arange(16), np.arange(16))[..., None] * np.array([8, 4, 2])  # survives lossy formats


def png(depth, kind, rows, *chunks):
    """An independent PNG writer: kind 0 grey, 2 colour, 3 palette, 4 grey with alpha, 6 colour with alpha."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    width, head = len(rows[0]) * 8 // (depth * channels), struct.pack
    chunks = [
        (b"IHDR", head(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)),
        *chunks,
        (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))),
        (b"IEND", b""),
    ]
    body = [head(">I", len(content)) + name + content for name, content in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(part + head(">I", zlib.crc32(part[4:])) for part in body)


def levels(path):
    """The picture that load_images gives, as levels from 0 to 255, (H, W) or (H, W, 3)."""
    (image,) = load_images(path)
    return ((image + 1) * 127.5).round(3).transpose(1, 2, 0).squeeze().tolist()


def without_warning(call, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call(*arguments)


def warned(call, *arguments):
    """The one warning of a call, and what the call returns."""
    with pytest.warns(UserWarning) as caught:
        result = call(*arguments)
    (warning,) = caught
    assert warning.filename == __file__, "it points at the line of the user"
    assert "\n" not in str(warning.message)
    return str(warning.message), result


# ---- formats


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".PNG", ".JPG", ".Jpeg", ".WEBP", ".TIF", ".GIF", ".BMP"])
def test_every_format_is_read(tmp_path, suffix):
    lossy = suffix.lower() in (".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif")
    picture = Image.fromarray(SMOOTH.astype(np.uint8))
    if suffix == ".pbm":
        picture = picture.convert("1")
    picture.save(tmp_path / f"a{suffix}", {".jfif": "JPEG", ".jpe": "JPEG"}.get(suffix))
    picture.save(tmp_path / "b.png")
    (image, expected) = without_warning(load_images, tmp_path)
    np.testing.assert_allclose(image, expected, atol=0.25 if lossy else 0)
    points = load(tmp_path / f"a{suffix}", seed=1)  # alone, it is a drawing
    assert points["points"].shape == (50_000, 2)


@pytest.mark.parametrize("content", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_the_bytes_and_not_the_name_tell_the_format(tmp_path, content, suffix):
    Image.fromarray(np.full((4, 4, 3), 200, np.uint8)).save(tmp_path / f"a{suffix}", content)
    np.testing.assert_allclose(load_images(tmp_path), 200 / 127.5 - 1, atol=0.03)


@pytest.mark.parametrize("mode", ["CMYK", "RGBA", "P", "RGB"])
def test_modes_of_colour_become_rgb(tmp_path, mode):
    picture = Image.fromarray(COLOURS)
    picture = picture.quantize(8) if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / "a.tif")
    np.testing.assert_allclose(levels(tmp_path), COLOURS, atol=3)


def test_a_cmyk_jpeg(tmp_path):
    Image.fromarray(np.full((8, 8, 3), [200, 100, 50], np.uint8)).convert("CMYK").save(tmp_path / "a.jpg")
    np.testing.assert_allclose(levels(tmp_path), np.full((8, 8, 3), [200, 100, 50]), atol=6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_pictures_stand_upright(tmp_path, orientation, name):
    """The eight orientations of EXIF, as the standard words them: where the picture's row 0 and column 0 really are."""
    upright = np.zeros((32, 48), np.uint8)
    upright[:16, :16], upright[:16, 32:] = 255, 128  # top left white, top right grey
    turn = [None, lambda a: a, np.fliplr, lambda a: np.rot90(a, 2), np.flipud]
    turn += [np.transpose, lambda a: np.rot90(a, 1), lambda a: np.rot90(a, 2).T, lambda a: np.rot90(a, -1)]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if name == "a.jpg" else {"lossless": True} if name == "a.webp" else {}
    stored = Image.fromarray(np.ascontiguousarray(turn[orientation](upright)))
    stored.save(tmp_path / name, exif=exif, **options)
    image = load_images(tmp_path)[0, 0]
    assert image.shape == (32, 48)
    np.testing.assert_allclose(image, upright / 127.5 - 1, atol=0.1)
    assert load_images(tmp_path, size=8).shape[2:] == (8, 8)


# ---- more than 8 bits


def grey16(*values):
    return [struct.pack(f">{len(values)}H", *values)]


SIXTEEN = {  # the file's bytes -> levels of 0..255; 65535 is 255 * 257
    "grey": (png(16, 0, grey16(0, 128, 129, 32768, 65535)), [0, 0, 1, 128, 255]),
    "grey, a level transparent": (
        png(16, 0, grey16(0, 7000, 7001, 65535), (b"tRNS", struct.pack(">H", 7000))),
        [0, 255, 27, 255],
    ),
    "grey, black transparent": (png(16, 0, grey16(0, 1, 257), (b"tRNS", b"\0\0")), [255, 0, 1]),
    "grey and alpha": (png(16, 4, grey16(0, 0, 7000, 65535, 40000, 65535)), [255, 27, 156]),
    "colour": (png(16, 2, grey16(0, 65535, 32768, 257, 257 * 2, 257 * 3)), [[0, 255, 128], [1, 2, 3]]),
    "colour, one transparent": (
        png(16, 2, grey16(7000, 7000, 7000, 40000, 0, 0), (b"tRNS", struct.pack(">3H", 7000, 7000, 7000))),
        [[255, 255, 255], [156, 0, 0]],
    ),
    "colour and alpha": (png(16, 6, grey16(9, 9, 9, 0, 65535, 0, 0, 65535)), [[255, 255, 255], [255, 0, 0]]),
}


@pytest.mark.parametrize("content, expected", SIXTEEN.values(), ids=SIXTEEN)
def test_sixteen_bits(tmp_path, content, expected):
    write(tmp_path / "a.png", content)
    assert levels(tmp_path) == expected


FEW_BITS = {
    "1 bit": (png(1, 0, [b"\x40"]), [0, 255, 0, 0, 0, 0, 0, 0]),
    "1 bit, black transparent": (png(1, 0, [b"\x40"], (b"tRNS", b"\0\0")), [255] * 8),
    "2 bits": (png(2, 0, [bytes([0b00011011])]), [0, 85, 170, 255]),
    "2 bits, a level transparent": (png(2, 0, [bytes([0b00011011])], (b"tRNS", b"\0\1")), [0, 255, 170, 255]),
    "4 bits, a level transparent": (png(4, 0, [b"\x12"], (b"tRNS", b"\0\1")), [255, 34]),
    "8 bits, a level transparent": (png(8, 0, [b"\x01\x02"], (b"tRNS", b"\0\1")), [255, 2]),
    "8 bits, a colour transparent": (
        png(8, 2, [b"\1\2\3\3\2\1"], (b"tRNS", struct.pack(">3H", 1, 2, 3))),
        [[255, 255, 255], [3, 2, 1]],
    ),
    "palette, the first half transparent": (
        png(8, 3, [b"\0\1"], (b"PLTE", bytes([0, 0, 0, 200, 100, 50])), (b"tRNS", b"\x80")),
        [[127, 127, 127], [200, 100, 50]],
    ),
}


@pytest.mark.parametrize("content, expected", FEW_BITS.values(), ids=FEW_BITS)
def test_few_bits_and_transparency(tmp_path, content, expected):
    write(tmp_path / "a.png", content)
    assert levels(tmp_path) == expected


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_of_other_formats(tmp_path, name):
    values = np.array([[0, 257, 30000, 65535]], np.uint16)
    if name == "a.pgm":
        write(tmp_path / name, b"P5 4 1 65535\n" + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(tmp_path / name)
    assert levels(tmp_path) == [0, 1, 117, 255]


def test_a_pgm_of_another_depth(tmp_path):
    write(tmp_path / "a.pgm", b"P5 3 1 1023\n" + np.array([0, 512, 1023], ">u2").tobytes())
    assert levels(tmp_path) == [0, 128, 255]


UNKNOWN_RANGE = {
    "32 bits": Image.fromarray(np.array([[0, 7]], np.int32)),
    "floats": Image.fromarray(np.array([[0.0, 0.5]], np.float32)),
}


@pytest.mark.parametrize("picture", UNKNOWN_RANGE.values(), ids=UNKNOWN_RANGE)
def test_numbers_whose_black_and_white_are_not_known_are_refused(tmp_path, picture):
    """They would be clipped: all black, or all white."""
    picture.save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=says("a.tif", "not the usual 8 or 16 bits", "save it with those")):
        load_images(tmp_path)


def test_a_sixteen_bit_tiff_in_which_zero_is_white_is_refused(tmp_path):
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(tmp_path / "a.tif", tiffinfo={262: 0})
    with Image.open(tmp_path / "a.tif") as picture:
        assert picture.tag_v2[262] == 0
    with pytest.raises(ValueError, match=says("a.tif", "save it with those")):
        load_images(tmp_path)


# ---- what else lies in a folder


def folder_of(path, *others):
    path.mkdir(parents=True, exist_ok=True)
    save(path / "a.png", pixels(4, 4))
    for name in others:
        write(path / name, b"no picture")
    return path


@pytest.mark.parametrize("read", [load, load_images])
def test_what_is_left_out_is_named_in_one_line(tmp_path, read):
    folder_of(tmp_path, "b.heic", "c.txt", "labels.csv", "README", "d.svg", "e.avif", "f.png.part")
    (tmp_path / "more").mkdir()
    message, result = warned(read, tmp_path)
    assert message == f"{tmp_path}: 8 files left out: README, b.heic, c.txt, d.svg, e.avif and 3 more"
    assert len(result) == 1
    for name in ("README", "c.txt", "d.svg", "e.avif", "f.png.part", "labels.csv"):
        (tmp_path / name).unlink()
    assert warned(read, tmp_path)[0] == f"{tmp_path}: 2 files left out: b.heic, more/"
    (tmp_path / "more").rmdir()
    assert warned(read, tmp_path)[0] == f"{tmp_path}: 1 file left out: b.heic"


def test_what_systems_leave_is_passed_over(tmp_path):
    folder_of(tmp_path, ".DS_Store", "._a.png", "Thumbs.db", "desktop.ini", ".hidden.png")
    for name in ("__MACOSX", ".thumbnails"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "._a.png", b"")
    assert len(without_warning(load_images, tmp_path)) == 1
    (tmp_path / "a.png").unlink()
    folder_of(tmp_path / "cats")
    assert without_warning(load, tmp_path)["labels"].tolist() == [0]


def test_what_class_folders_hold_beside_pictures_is_named(tmp_path):
    folder_of(tmp_path / "cats", "notes.txt")
    folder_of(tmp_path / "dogs")
    folder_of(tmp_path / "dogs" / "puppies")
    write(tmp_path / "labels.csv", b"")
    message, loaded = warned(load, tmp_path)
    names = [Path("cats", "notes.txt"), f"{Path('dogs', 'puppies')}/", "labels.csv"]
    assert message == f"{tmp_path}: 3 files left out: {', '.join(map(str, names))}"
    assert loaded["labels"].tolist() == [0, 1] and without_warning(class_names, tmp_path) == ["cats", "dogs"]


def moving(path, frames=3, **options):
    shades = [Image.new("RGB", (4, 4), (90 * k, 0, 0)) for k in range(frames)]
    shades[0].save(path, save_all=True, append_images=shades[1:], **options)


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.webp", "a.png"])
def test_of_an_animation_the_first_picture_is_taken_and_that_is_said(tmp_path, name):
    moving(tmp_path / name, **({"lossless": True} if name == "a.webp" else {}))
    message, images = warned(load_images, tmp_path)
    assert message == f"{tmp_path}: only the first of several pictures is taken of {name}"
    assert images.shape == (1, 3, 4, 4) and images.max() == -1
    write(tmp_path / "b.txt", b"")
    message, _ = warned(load_images, tmp_path)
    assert message.endswith(f"1 file left out: b.txt; only the first of several pictures is taken of {name}")
    moving(tmp_path / name, frames=1)
    (tmp_path / "b.txt").unlink()
    without_warning(load_images, tmp_path)


def test_the_preview_in_a_photo_is_no_second_picture(tmp_path):
    """Many phones write JPEG files with a preview (MPO): a folder of photos needs no sentence about that."""
    photo, preview = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (8, 8), "red")
    photo.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[preview])
    with Image.open(tmp_path / "a.jpg") as reopened:
        assert reopened.format == "MPO" and reopened.n_frames == 2
    assert without_warning(load_images, tmp_path).shape == (1, 3, 32, 32)


def test_names_of_any_kind_stay_on_one_line(tmp_path):
    folder_of(tmp_path, "two\nlines.txt", "größe.txt")
    message, _ = warned(load_images, tmp_path)
    assert message.endswith("2 files left out: größe.txt, two\\nlines.txt")
    assert printable("a\udcffb\x1b[31m") == "a\\udcffb\\x1b[31m"


def test_arrays_that_are_left_out_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", images=pixels(2, 4, 4), label=np.arange(2), y_test=np.arange(2))
    message, loaded = warned(load, tmp_path / "a.npz")
    assert message.endswith("a.npz: 2 of its arrays left out: label, y_test") and list(loaded) == ["images"]


def test_damaged_exif_is_no_reason_to_complain(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert without_warning(load_images, tmp_path).shape == (1, 1, 4, 4)


def test_a_folder_takes_little_more_than_its_images(tmp_path):
    """Each picture goes to its place at once: beside the float32 array is one picture, not all of them."""
    for number in range(24):
        save(tmp_path / f"{number}.png", pixels(128, 128, 3))
    without_warning(load_images, tmp_path)  # what is loaded once only
    for options in ({}, {"size": 64}):
        tracemalloc.start()
        images = load_images(tmp_path, **options)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < images.nbytes + images.size  # one byte a number; what is promised is two


def test_a_large_drawing_is_drawn_from_blocks_of_pixels(tmp_path):
    drawing = Image.new("L", (5600, 2800), 255)
    drawing.paste(0, (0, 0, 2800, 1400))
    drawing.save(tmp_path / "a.png")
    tracemalloc.start()
    points = from_picture(tmp_path / "a.png", 1000, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6  # a probability for each of its pixels would take 125 MB, and three times that on the way
    np.testing.assert_allclose([points.min(0), points.max(0)], [[-1, 0], [0, 0.5]], atol=0.02)
    assert np.array_equal(np.asarray(open_picture(tmp_path / "a.png")), np.asarray(drawing))


# ---- the command line


def trained(capsys, *arguments):
    """The exit code of `minigan train` with a small GAN, and what it says on stderr but for its progress bar."""
    code = main(["train", *map(str, arguments), "--epochs", "1", "--batch-size", "4"])
    errors = capsys.readouterr().err.replace("\r", "\n").splitlines()
    return code, [line for line in errors if line.strip() and "samples/s" not in line]


def test_the_command_says_what_is_left_out_in_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        save(folder_of(tmp_path / "p", "b.heic", "c.txt", "d.mp4") / f"{number}.png", pixels(8, 8))
    said = f"minigan: {tmp_path / 'p'}: 3 files left out: b.heic, c.txt, d.mp4"
    assert trained(capsys, "gan", "--data", "p", "--size", 8) == (0, [said])
    code = main(["train", "--resume", str(Path("runs", "p-gan")), "--epochs", "2"])
    assert code == 0 and said in capsys.readouterr().err.splitlines()
    for path in (tmp_path / "p").glob("*.[hmt]*"):
        path.unlink()
    assert trained(capsys, "gan", "--data", "p", "--size", 8) == (0, [])


def test_the_command_takes_grey_among_colour(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        save(folder_of(tmp_path / "p") / f"{number}.png", pixels(8, 8, 3))
    assert trained(capsys, "gan", "--data", "p", "--size", 8) == (0, [])
    save(tmp_path / "p" / "large.png", pixels(9, 9))
    code, said = trained(capsys, "gan", "--data", "p")
    assert code == 2 and said[0].endswith("give a size for all, such as --size 64 or size=64")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are always text")
def test_names_of_classes_can_be_printed_whatever_their_bytes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in (b"cats\xff", b"dogs\nand more"):
        folder = Path(os.fsdecode(bytes(tmp_path / "p") + b"/" + name))
        for number in range(4):
            save(folder_of(folder) / f"{number}.png", pixels(8, 8))
    assert main(["train", "--data", "p", "--size", "8", "--epochs", "1", "--batch-size", "4", "--width", "4"]) == 0
    assert "classes: 0 cats\\udcff, 1 dogs\\nand more\n" in capsys.readouterr().out
