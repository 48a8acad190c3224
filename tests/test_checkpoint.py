"""Checkpoints: what goes in comes out, and a damaged file or a full disk does no harm."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from minigan import checkpoint, nn
from minigan.checkpoint import load_checkpoint, save_checkpoint, write_file

PACKAGE = Path(checkpoint.__file__).resolve().parents[1]


def arrays():
    rng = np.random.default_rng(0)
    return {
        "float32": rng.standard_normal((3, 4)).astype(np.float32),
        "float64": rng.standard_normal(5),
        "integers": np.arange(-3, 3),
        "bytes": np.arange(256, dtype=np.uint8),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 3), np.float32),
        "one number": np.array(1.5),
        "transposed": rng.standard_normal((2, 3, 4)).transpose(2, 0, 1),
        "every other": np.arange(10.0)[::2],
        "not finite": np.array([np.nan, np.inf, -np.inf, -0.0]),
    }


def test_a_checkpoint_gives_back_every_bit(tmp_path):
    path = tmp_path / "a.safetensors"
    notes = {"step": "12", "random_state": '{"a": "\\"é\\n"}', "": ""}
    save_checkpoint(path, arrays(), notes)
    back, back_notes = load_checkpoint(path)
    assert back_notes == notes
    assert back.keys() == arrays().keys()
    for name, array in arrays().items():
        assert back[name].shape == array.shape, name
        assert back[name].dtype == array.dtype, name
        assert back[name].tobytes() == array.tobytes(), name


def test_what_is_loaded_does_not_depend_on_the_file_any_more(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, arrays(), {})
    back, notes = load_checkpoint(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    np.testing.assert_array_equal(back["float64"], arrays()["float64"])
    back["float64"] += 1  # and may be written to
    assert notes == {}


def test_the_weights_of_a_network_survive(tmp_path):
    def make(seed):
        return nn.Sequential(nn.Conv2d(1, 2, 3, rng=np.random.default_rng(seed)), nn.BatchNorm2d(2))

    a, b = make(0), make(1)
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, {name: tensor.numpy() for name, tensor in a.state().items()}, {})
    b.load_state_dict(load_checkpoint(path)[0])
    for name, array in a.state_dict().items():
        np.testing.assert_array_equal(b.state_dict()[name], array)


def test_a_new_checkpoint_replaces_the_old_one(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {"a": np.zeros(100)}, {"step": "1"})
    save_checkpoint(path, {"b": np.ones(2)}, {"step": "2"})
    back, notes = load_checkpoint(path)
    assert list(back) == ["b"] and notes == {"step": "2"}
    assert os.listdir(tmp_path) == [path.name]


def test_a_checkpoint_that_was_cut_short_is_named(tmp_path):
    path = tmp_path / "whole.safetensors"
    save_checkpoint(path, {"a": np.arange(50.0), "b": np.ones((3, 3), np.float32)}, {"step": "3"})
    content = path.read_bytes()
    cut = tmp_path / "cut.safetensors"
    for length in (*range(0, len(content), 10), len(content) - 1):
        cut.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"cut\.safetensors"):
            load_checkpoint(cut)


@pytest.mark.parametrize("seed", range(5))
def test_a_file_of_something_else_is_named(tmp_path, seed):
    path = tmp_path / "noise.safetensors"
    path.write_bytes(np.random.default_rng(seed).bytes(1000))
    with pytest.raises(ValueError, match=r"noise\.safetensors"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"hello", b"\x93NUMPY", b"PK\x03\x04" * 50, b"\x08" + b"\0" * 7 + b"{}      more"])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.safetensors"):
        load_checkpoint(path)


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F8_E8M0", "odd"])
def test_a_file_with_types_that_numpy_lacks_is_named(tmp_path, dtype):
    path = tmp_path / "odd.safetensors"
    size = 2 if dtype == "BF16" else 1
    tensor = {"dtype": dtype, "shape": [4], "data_offsets": [0, 4 * size]}
    header = json.dumps({"__metadata__": {"minigan": "{}"}, "a": tensor}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4 * size))
    with pytest.raises(ValueError, match=r"odd\.safetensors"):
        load_checkpoint(path)


def test_any_byte_that_changed_is_found(tmp_path):
    """In the numbers, where most stay finite, and in the header with names, types and notes."""
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {"a": np.arange(10.0), "b": np.ones((3, 3), np.float32), "c": np.arange(4)}, {"step": 12})
    whole = path.read_bytes()
    for place in range(len(whole)):
        for change in (1, 16, 255):
            damaged = bytearray(whole)
            damaged[place] ^= change
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"a\.safetensors is not a whole checkpoint \(.*\): put back a whole"):
                load_checkpoint(path)
    path.write_bytes(whole)
    assert load_checkpoint(path)[1] == {"step": 12}


def test_arrays_that_changed_places_are_found(tmp_path):
    path, one, other = tmp_path / "a.safetensors", np.zeros(3), np.ones(3)
    save_checkpoint(path, {"one": one, "other": other}, {})
    swapped = path.read_bytes().replace(b'"one"', b'"x"').replace(b'"other"', b'"one"').replace(b'"x"', b'"other"')
    path.write_bytes(swapped)
    with pytest.raises(ValueError, match="its checksum is wrong"):
        load_checkpoint(path)


@pytest.mark.parametrize("notes", ["{}", '{"step": 3}', "5", "[]", "null", '"checksum"', "[" * 200_000, "{", "NaN"])
@pytest.mark.parametrize("key", ["minigan", "notes"])  # the second is of an older minigan
def test_notes_that_are_none_or_have_no_checksum(tmp_path, key, notes):
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors.numpy.save({"a": np.zeros(3)}, {key: notes}))
    with pytest.raises(ValueError, match=r"a\.safetensors is not a whole checkpoint"):
        load_checkpoint(path)


def test_two_that_write_one_file_at_the_same_time(tmp_path, monkeypatch):
    """Each writes to a file of its own, and whoever is last wins. Here one comes while the other waits for its disk."""
    path, fsync, beside = tmp_path / "file", os.fsync, []

    def other_comes(number):
        monkeypatch.setattr(os, "fsync", fsync)
        fsync(number)
        write_file(path, b"the other's")
        beside.append(path.read_bytes())

    monkeypatch.setattr(os, "fsync", other_comes)
    write_file(path, b"ours")
    assert beside == [b"the other's"] and path.read_bytes() == b"ours" and os.listdir(tmp_path) == ["file"]
    names = set()
    monkeypatch.setattr(os, "replace", lambda source, target: names.add(Path(source).name))
    for _ in range(20):
        write_file(path, b"")
    assert len(names) == 20 and all(name.startswith("file.") and name.endswith(".part") for name in names)


def test_files_may_be_read_by_others_as_the_system_is_set(tmp_path):
    """A private name must not make a private file: `umask` decides."""
    (tmp_path / "usual").touch()
    write_file(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_nothing_and_a_folder_are_no_checkpoints(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        load_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match="folder"):
        (tmp_path / "folder").mkdir()
        load_checkpoint(tmp_path / "folder")


def test_write_file_takes_bytes_and_text(tmp_path):
    write_file(tmp_path / "a", b"\0\xff\r\n")
    assert (tmp_path / "a").read_bytes() == b"\0\xff\r\n"
    write_file(tmp_path / "b", "é\n")
    assert (tmp_path / "b").read_bytes() == b"\xc3\xa9\n"
    write_file(tmp_path / "b", "")
    assert (tmp_path / "b").read_bytes() == b""
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    """At the moment of the swap the new content is on the disk, under another name, and the old one untouched."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    events, replace, fsync = [], os.replace, os.fsync

    def watched_fsync(number):
        events.append("fsync")
        fsync(number)

    def watched_replace(source, target):
        events.append("replace")
        assert Path(target) == path and path.read_bytes() == b"old"
        assert Path(source).parent == tmp_path and Path(source).read_bytes() == b"new"
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_file(path, b"new")
    assert events[:2] == ["fsync", "replace"]
    assert path.read_bytes() == b"new"


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


class FullFile:
    """A file that writes half of what it is given."""

    def __init__(self, *args):
        self.file = open(*args)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        full_disk()


@pytest.mark.parametrize("fails", ["write", "fsync", "replace"])
@pytest.mark.parametrize("old", [b"old", None])
def test_on_a_full_disk_the_old_file_stays_and_nothing_else_is_left(tmp_path, monkeypatch, fails, old):
    path = tmp_path / "file"
    if old:
        path.write_bytes(old)
    if fails == "write":
        monkeypatch.setattr(checkpoint, "open", FullFile, raising=False)
    else:
        monkeypatch.setattr(os, fails, full_disk)
    with pytest.raises(OSError) as error:
        write_file(path, b"new content")
    assert error.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert os.listdir(tmp_path) == (["file"] if old else [])
    assert not old or path.read_bytes() == old


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_on_ctrl_c_the_old_file_stays_and_nothing_else_is_left(tmp_path, monkeypatch, where):
    def ctrl_c(*_):
        raise KeyboardInterrupt

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, where, ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "file", b"new content")
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_bytes() == b"old"


def test_a_real_limit_on_the_size_of_files(tmp_path):
    """The same with an operating system that refuses to write on."""
    pytest.importorskip("resource")
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {"a": np.zeros(10)}, {"step": "1"})
    before = path.read_bytes()
    script = (
        "import resource, signal, sys, pathlib, numpy\n"
        "from minigan.checkpoint import save_checkpoint\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    save_checkpoint(pathlib.Path(sys.argv[1]), {'a': numpy.ones(10_000)}, {'step': '2'})\n"
        "except OSError as error:\n"
        "    print('refused', error.errno)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["refused", str(errno.EFBIG)], done.stderr
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_file(tmp_path / "nowhere" / "file", b"content")


def test_an_error_names_the_file_itself_and_not_the_unfinished_one(tmp_path):
    (tmp_path / "a file").touch()
    for path in (tmp_path / "a file" / "x", tmp_path / "nowhere" / "x", tmp_path / ("x" * 300)):
        with pytest.raises(OSError) as error:
            write_file(path, b"content")
        assert error.value.filename == str(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_a_file_never_takes_the_place_of_a_device(tmp_path):
    """`-o /dev/null`, typed by root, would leave a machine without it."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match="is a pipe or a device: give the name of a file"):
            write_file(tmp_path / name, b"new")
    assert (tmp_path / "pipe").is_fifo() and len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_checkpoint_that_must_not_be_read_is_not_called_missing(tmp_path):
    save_checkpoint(tmp_path / "a", arrays(), {})
    (tmp_path / "a").chmod(0)
    with pytest.raises(PermissionError):
        load_checkpoint(tmp_path / "a")
