"""The command line: training and its settings, own data, samples, Ctrl-C and kill -9, and bad input."""

import errno
import gzip
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
from PIL import Image
from solved import solved

from minigan import checkpoint, memory
from minigan.checkpoint import load_checkpoint
from minigan.cli import _with_gan, main
from minigan.exercises.catalogue import find
from minigan.gan import GAN
from minigan.gans import GANS
from minigan.gans.about import about
from minigan.run import Run, default_settings

COMMAND = [sys.executable, "-m", "minigan"]
KILLS = int(os.environ.get("MINIGAN_KILLS", "4"))  # for each GAN; 20 takes some minutes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """120 small images of bright squares, of three classes."""
    images = np.zeros((120, 16, 16), np.uint8)
    for i, image in enumerate(images):
        image[i % 8 : i % 8 + 6, i % 5 : i % 5 + 7] = 255
    path = tmp_path_factory.mktemp("data") / "squares.npz"
    np.savez(path, images=images, labels=np.arange(120) % 3)
    return path


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A small run of the default GAN that nothing interrupted: 2 epochs of 12 steps."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert main(["train", *options(data), "--output", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """A run on points: 1 epoch of 10 steps."""
    folder = tmp_path_factory.mktemp("runs") / "points"
    words = ["--data", "ring", "--epochs", "1", "--batch-size", "5000", "--output", str(folder)]
    assert main(["train", "gan", *words]) == 0
    return folder


def options(data, epochs=2):
    return ["--data", str(data), "--batch-size", "10", "--epochs", str(epochs), "--seed", "3", "--width", "8"]


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def config_of(run):
    return json.loads((run / "config.json").read_text("utf-8"))


def change_config(run, **changes):
    (run / "config.json").write_text(json.dumps(config_of(run) | changes, indent=2) + "\n")


def change_epochs(run, epochs):
    change_config(run, settings=config_of(run)["settings"] | {"epochs": epochs})


# --- training --------------------------------------------------------------------------------------------------


def test_a_run_leaves_all_that_it_promises(finished):
    assert {"samples.png", "losses.png", "training.gif", "metrics.jsonl", "config.json"} < set(contents(finished))
    assert sorted(p.name for p in (finished / "epochs").iterdir()) == ["epoch_001.png", "epoch_002.png"]
    assert Image.open(finished / "training.gif").n_frames == 25  # a picture before training and after each step
    assert Image.open(finished / "samples.png").size == Image.open(finished / "epochs" / "epoch_002.png").size
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 25))
    assert set(lines[0]) == {"step", "d_loss", "g_loss", "d_real", "d_fake"}
    assert 0 < lines[0]["d_real"] < 1
    config = config_of(finished)
    assert config["seed"] == 3 and config["shapes"] == {"images": [1, 16, 16], "labels": [3]}
    typed = {"batch_size": 10, "epochs": 2, "width": 8}
    assert config["gan"] == "conditional" and config["count"] == 120
    assert config["settings"] == default_settings("conditional") | typed | {"betas": [0.5, 0.99]}
    assert not list(finished.rglob("*.part"))


def test_python_m_minigan_shows_tables_and_progress(data, tmp_path):
    out = subprocess.run(
        [*COMMAND, "train", *options(data, 1), "--output", "r"], cwd=tmp_path, capture_output=True, text=True
    )
    assert out.returncode == 0
    assert "done: look at r/samples.png and r/training.gif" in out.stdout
    assert "120 samples, images (1, 16, 16) and labels; the results go to r" in out.stdout
    lines = out.stdout.splitlines()
    assert "G" in lines and "D" in lines and "average" not in lines and "(N, 1, 16, 16)" in out.stdout
    assert "ConvTranspose2d(16, 8, 4, stride=2, padding=1)" in out.stdout
    for word in ("epoch 1/1", "samples/s", "d_loss", "g_loss", "d_real", "d_fake", "00:00"):
        assert word in out.stderr


@pytest.mark.parametrize("name", GANS)
def test_every_paper_trains_from_the_command_line(capsys, data, tmp_path, name):
    """With its own settings as options, whatever they are; what is not typed stays at its default."""
    settings, typed, expected = about(GANS[name]).settings, [], {}
    tiny = {"batch_size": 5, "epochs": 1, "width": 4, "critic_steps": 2}
    for setting, value in settings.items():
        new = tiny.get(setting, value.default)
        new = tuple(part * 0.9 for part in new) if isinstance(new, tuple) else new * 0.5 if type(new) is float else new
        expected[setting] = new
        typed += ["--" + setting.replace("_", "-"), *map(str, new if isinstance(new, tuple) else [new])]
    source = "ring" if "points" in GANS[name].needs() else str(data)
    if source == "ring":
        expected["batch_size"] = typed[typed.index("--batch-size") + 1] = 10_000  # of 50,000 points: 5 steps
        typed = [str(word) for word in typed]
    assert main(["train", name, *typed, "--data", source, "--output", str(tmp_path / "r")]) == 0
    run, out = Run.open(tmp_path / "r"), capsys.readouterr().out
    assert run.config.settings == expected and run.config.gan == name
    assert f"done: look at {tmp_path / 'r' / 'samples.png'}" in out
    for network in set(run.gan.networks()) - {"average"}:
        assert re.search(rf"^{network}\nlayer +output shape +parameters\n", out, re.MULTILINE), (
            "its layers at the start"
        )
    assert (tmp_path / "r" / "samples.png").exists()


@pytest.mark.parametrize("name", GANS)
def test_every_papers_help_shows_its_settings_and_no_others(capsys, name):
    with pytest.raises(SystemExit) as stop:
        main(["train", name, "--help"])
    words = " ".join(capsys.readouterr().out.split())
    paper = about(GANS[name])
    assert stop.value.code == 0 and paper.new in words and paper.paper in words
    for value in paper.settings.values():
        default = " ".join(map(str, value.default)) if isinstance(value.default, tuple) else value.default
        assert f"{value.help}, default: {default}" in words
    shared = {"help", "data", "size", "seed", "device", "output", "with-exercises", "resume"}
    shown = {word.strip("[],()").lstrip("-") for word in words.split() if word.strip("[").startswith("--")}
    assert shown - {""} == shared | {setting.replace("_", "-") for setting in paper.settings}


def test_help_of_train_is_that_of_the_default_and_names_the_others(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0 and "usage: minigan train conditional" in words
    assert f"Other GANs: minigan train NAME, with one of {', '.join(GANS)}" in words


def test_gans_lists_the_papers(capsys):
    assert main(["gans"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) < 80
    for name, gan in GANS.items():
        assert f"{name:<13}{about(gan).paper}; takes " in out
        assert " ".join(about(gan).new.split()) in " ".join(out.split())
    assert "conditional  Mirza and Osindero, 2014; takes images and labels" in out
    assert '?".' not in out and "minigan train NAME --help" in out


@pytest.mark.parametrize(
    ("typed", "name", "rest"),
    [
        ("", "conditional", ""),
        ("--seed 3", "conditional", "--seed 3"),
        ("wgan --seed 3", "wgan", "--seed 3"),
        ("--seed 3 wgan", "wgan", "--seed 3"),
        ("--seed=3 gan --size 8", "gan", "--seed=3 --size 8"),
        ("--data gan", "conditional", "--data gan"),  # a folder of this name
        ("--data gan gan", "gan", "--data gan"),
        ("--betas 0 0.9 wgan_gp", "wgan_gp", "--betas 0 0.9"),
        ("--resume gan", "conditional", "--resume gan"),
        ("nonsense --data gan", "nonsense", "--data gan"),
    ],
)
def test_the_name_of_the_gan_may_be_left_out_or_come_last(typed, name, rest):
    assert _with_gan(["train", *typed.split()]) == ["train", name, *rest.split()]
    assert _with_gan(["sample", *typed.split()]) == ["sample", *typed.split()]


def test_same_seed_same_run(data, finished, tmp_path):
    assert main(["train", "conditional", *options(data), "--output", str(tmp_path / "again")]) == 0
    assert contents(tmp_path / "again") == contents(finished)


def test_the_default_folder_is_never_used_twice(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("squares-gan", "squares-gan-2", "squares-gan-3"):
        words = ["--data", str(data), "--epochs", "1", "--batch-size", "60"]
        assert main(["train", "gan", *words]) == 0
        assert (tmp_path / "runs" / name / "samples.png").exists()


def test_own_images_train_for_enough_steps_and_resume_from_any_folder(tmp_path, monkeypatch):
    np.savez(tmp_path / "few.npz", images=np.zeros((600, 16, 16), np.uint8))
    monkeypatch.chdir(tmp_path)
    words = ["--batch-size", "200", "--width", "4"]
    assert main(["train", "dcgan", "--data", "few.npz", *words, "--epochs", "1", "--output", "a"]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["train", "--resume", str(tmp_path / "a")]) == 0
    created = []
    monkeypatch.setattr(Run, "train", lambda run, *data: created.append(run) or True)
    assert main(["train", "dcgan", "--data", str(tmp_path / "few.npz"), *words]) == 0
    assert created[0].config.settings["epochs"] == 500  # 1500 steps of 3 batches an epoch


# --- one's own data --------------------------------------------------------------------------------------------


def pictures(n, shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def class_folders(folder, colour):
    for name in ("cats", "dogs", "émeus"):
        (folder / name).mkdir(parents=True)
        for number, pixels in enumerate(pictures(4, (12, 12, 3) if colour else (12, 12), seed=len(name))):
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def idx_folder(folder, ending):
    folder.mkdir()
    write_idx(folder / f"train-images-idx3-ubyte{ending}", pictures(12, (12, 12)))
    write_idx(folder / f"train-labels-idx1-ubyte{ending}", np.arange(12) % 3)
    return folder


def npz(path, images, **labels):
    np.savez(path, images=images, **labels)
    return path


LABELLED = {
    "class folders": lambda tmp: class_folders(tmp / "pets", colour=False),
    "class folders in colour": lambda tmp: class_folders(tmp / "pets", colour=True),
    "an IDX folder": lambda tmp: idx_folder(tmp / "idx", ""),
    "an IDX folder, zipped": lambda tmp: idx_folder(tmp / "idx", ".gz"),
    "an IDX file": lambda tmp: idx_folder(tmp / "idx", "") / "train-images-idx3-ubyte",
    "an npz file": lambda tmp: npz(tmp / "x.npz", pictures(12, (12, 12)), labels=np.arange(12) % 3),
    "an npz file in colour": lambda tmp: npz(tmp / "x.npz", pictures(12, (12, 12, 3)), labels=np.arange(12) % 3),
}


@pytest.mark.parametrize("kind", LABELLED)
def test_the_labels_of_ones_own_images(capsys, tmp_path, kind):
    """From the files to samples of one class."""
    path, run = LABELLED[kind](tmp_path), tmp_path / "run"
    words = ["--epochs", "1", "--batch-size", "4", "--width", "4"]
    assert main(["train", "conditional", "--data", str(path), *words, "--output", str(run)]) == 0
    out = capsys.readouterr().out
    assert ("classes: 0 cats, 1 dogs, 2 émeus" in out) == kind.startswith("class folders")
    channels = 3 if "colour" in kind else 1
    assert config_of(run)["shapes"] == {"images": [channels, 12, 12], "labels": [3]}
    assert f"12 samples, images ({channels}, 12, 12) and labels" in out
    assert main(["sample", str(run), "--label", "2", "-n", "5", "-o", str(tmp_path / "two.npz")]) == 0
    assert main(["sample", str(run), "-n", "5", "-o", str(tmp_path / "all.npz")]) == 0
    two, every = np.load(tmp_path / "two.npz"), np.load(tmp_path / "all.npz")
    assert two["labels"].tolist() == [2] * 5 and every["labels"].tolist() == [0, 1, 2, 0, 1]
    assert two["images"].shape == (5, channels, 12, 12)
    np.testing.assert_array_equal(two["noise"], every["noise"])
    np.testing.assert_array_equal(two["images"][2], every["images"][2])
    assert not np.array_equal(two["images"][0], every["images"][0])
    assert main(["train", "--resume", str(run), "--epochs", "2"]) == 0
    capsys.readouterr()
    assert main(["train", "dcgan", "--data", str(path), *words, "--output", str(tmp_path / "dcgan")]) == 0
    assert "classes:" not in capsys.readouterr().out  # it does not hear of them


@pytest.mark.parametrize("shape", [(20, 20), (48, 48), (28, 20), (20, 28, 3), (9, 31)])
def test_images_of_other_sizes(tmp_path, shape):
    path = npz(tmp_path / "x.npz", pictures(8, shape))
    words = ["--epochs", "1", "--batch-size", "4", "--width", "4", "--output", str(tmp_path / "r")]
    assert main(["train", "dcgan", "--data", str(path), *words]) == 0
    assert main(["sample", str(tmp_path / "r"), "-n", "3", "-o", str(tmp_path / "s.npz")]) == 0
    assert np.load(tmp_path / "s.npz")["images"].shape == (3, *((3, 20, 28) if len(shape) == 3 else (1, *shape)))
    assert Image.open(tmp_path / "r" / "samples.png").mode == ("RGB" if len(shape) == 3 else "L")


def test_images_without_labels_name_the_gans_that_take_them(capsys, tmp_path):
    path = npz(tmp_path / "x.npz", pictures(8, (16, 16)))
    sentence = fails(capsys, "train", "--data", path, "--output", tmp_path / "r")
    assert "conditional needs images and labels, and these data have images only" in sentence
    assert re.search(r"another GAN \(gan, dcgan, .*wgan", sentence)
    assert fails(capsys, "train", "conditional", "--data", path, "--output", tmp_path / "r") == sentence
    assert "these data have points only" in fails(capsys, "train", "--data", "ring", "--output", tmp_path / "r")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.arange(8) - 1, "between 0 and 10000"),
        (np.arange(8) * 9999, "between 0 and 10000"),
        (np.arange(7), "each image needs one label"),
        (np.arange(8) / 2, "labels must be integers"),
        (np.arange(8)[:, None], "labels must be integers, one for each image"),
        (np.array(list("abcdefgh")), "labels must be integers"),
    ],
)
def test_labels_that_do_not_fit_the_images(capsys, tmp_path, labels, sentence):
    path = npz(tmp_path / "x.npz", pictures(8, (16, 16)), labels=labels)
    assert sentence in fails(capsys, "train", "--data", path, "--output", tmp_path / "r")
    assert not (tmp_path / "r").exists()


# --- samples ---------------------------------------------------------------------------------------------------


def test_points(points, tmp_path):
    assert main(["sample", str(points), "-n", "7", "-o", str(tmp_path / "p.npz")]) == 0
    with np.load(tmp_path / "p.npz") as saved:
        assert saved["points"].shape == (7, 2) and set(saved.files) == {"points", "noise"}
    assert main(["sample", str(points), "-o", str(tmp_path / "p.png")]) == 0
    assert Image.open(tmp_path / "p.png").size == (500, 500)


def test_sample(finished, tmp_path):
    picture, arrays = tmp_path / "grid.png", tmp_path / "s.npz"
    assert main(["sample", str(finished), "-n", "10", "--seed", "1", "-o", str(picture)]) == 0
    assert main(["sample", str(finished), "-n", "10", "--seed", "1", "-o", str(arrays)]) == 0
    with np.load(arrays) as saved:
        images, noise, labels = saved["images"], saved["noise"], saved["labels"]
    assert images.shape == (10, 1, 16, 16) and images.dtype == np.uint8 and noise.shape == (10, 64)
    again = Run.open(finished).gan.sample(noise, labels)
    np.testing.assert_array_equal(np.round((again + 1) * 127.5).astype(np.uint8), images)
    assert main(["sample", str(finished), "-n", "10", "--seed", "2", "-o", str(arrays)]) == 0
    assert not np.array_equal(np.load(arrays)["images"], images)
    assert Image.open(picture).width > 64


def test_samples_go_to_samples_png_unless_told_otherwise(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = contents(finished)
    assert main(["sample", str(finished), "-n", "2"]) == main(["sample", str(finished), "-n", "2", "--walk"]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["samples.png", "walk.gif"]
    assert contents(finished) == before


def test_a_walk_is_a_closed_way_through_images_of_the_same_class(finished, tmp_path):
    assert main(["sample", str(finished), "--walk", "-n", "4", "--label", "1", "-o", str(tmp_path / "w.gif")]) == 0
    with Image.open(tmp_path / "w.gif") as gif:
        assert gif.n_frames == 48 and gif.info["loop"] == 0
        frames = []
        for number in range(48):
            gif.seek(number)
            frames.append(np.asarray(gif.convert("L")).astype(int))
            assert gif.info["duration"] > 0
    steps = [np.abs(a - b).mean() for a, b in zip(frames, frames[1:] + frames[:1], strict=True)]
    assert all(steps) and max(steps) < 5 * np.median(steps)  # the last frame leads into the first
    assert np.abs(frames[0] - frames[24]).mean() > max(steps)
    assert main(["sample", str(finished), "-n", "4", "--label", "1", "-o", str(tmp_path / "s.png")]) == 0
    still = np.asarray(Image.open(tmp_path / "s.png").convert("L")).astype(int)
    assert still.shape == frames[0].shape


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-n", "0"], "must be 1 or more"),
        (["-n", "-5"], "must be 1 or more"),
        (["-n", "two"], "invalid int value"),
        (["-n", "99999999999999999999"], "must be 1 or more, and 100000 at most"),
        (["--seed", "-1"], "0 or more"),
        (["-o", "x.jpg"], "must end in .png"),
        (["-o", "x"], "must end in .png"),
        (["-o", "no/such/folder/x.png"], "No such file or directory"),
        (["--label", "3"], "has 3 classes: give a --label from 0 to 2"),
        (["--label", "-1"], "has 3 classes: give a --label from 0 to 2"),
        (["--label", "x"], "invalid int value"),
        (["--walk", "-o", "x.png"], "must end in .gif, because a walk is an animation"),
        (["--walk", "-n", "0"], "must be 1 or more"),
    ],
)
def test_bad_sample_options(capsys, finished, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in fails(capsys, "sample", finished, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_points_have_no_labels_and_no_walk(capsys, points, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "was trained without labels, so that none can be chosen" in fails(capsys, "sample", points, "--label", "0")
    assert "a walk shows images, and this GAN makes points" in fails(capsys, "sample", points, "--walk")
    assert list(tmp_path.iterdir()) == []


# --- stopping and going on -------------------------------------------------------------------------------------


def wait_for(path, process=None):
    while not path.exists():
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)


def hears_ctrl_c():
    """Called in a child before it starts: it hears Ctrl-C even where its parent does not, as under nohup."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_saves_and_resume_ends_with_the_same_bytes(data, tmp_path):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert main(["train", *options(data, 20), "--output", str(straight)]) == 0
    process = subprocess.Popen(
        [*COMMAND, "train", *options(data, 20), "--output", str(stopped)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=hears_ctrl_c,
    )
    wait_for(stopped / "epochs" / "epoch_002.png", process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    step = load_checkpoint(stopped / "checkpoint.safetensors")[1]["step"]
    assert f"stopped after step {step}; go on with: minigan train --resume {stopped}" in out.decode()
    assert 24 <= step < 240 and (stopped / "samples.png").exists()
    assert main(["train", "--resume", str(stopped)]) == 0
    assert contents(stopped) == contents(straight)


@pytest.mark.parametrize("at_start", [signal.default_int_handler, signal.SIG_IGN], ids=["heard", "ignored"])
def test_a_second_ctrl_c_says_how_to_go_on_and_leaves_whole_files(capsys, data, tmp_path, monkeypatch, at_start):
    """Also where Ctrl-C is ignored at the start, as in background jobs of a shell."""
    save, presses = Run.save, []

    def press(number):
        presses.append(number)
        signal.raise_signal(signal.SIGINT)

    def save_with_ctrl_c_twice(run):
        if run.gan.steps == 12:
            signal.raise_signal(signal.SIGINT)  # once: it would stop after this step
            monkeypatch.setattr(os, "fsync", press)
        save(run)

    monkeypatch.setattr(Run, "save", save_with_ctrl_c_twice)
    before = signal.signal(signal.SIGINT, at_start)
    try:
        assert main(["train", *options(data), "--output", str(tmp_path / "r")]) == 130
        assert signal.getsignal(signal.SIGINT) == at_start
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(presses) == 1, "the second one must stop it at once"
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"minigan: stopped; go on with: minigan train --resume {tmp_path / 'r'}"
    assert not list(tmp_path.rglob("*.part"))
    monkeypatch.undo()
    assert main(["train", "--resume", str(tmp_path / "r")]) == 0


@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("module", ["threadpoolctl", "matplotlib"])
def test_ctrl_c_while_modules_are_imported(tmp_path, module, times):
    """The first of them by the library itself, before its command line is reached."""
    (tmp_path / f"{module}.py").write_text("import signal\n" + "signal.raise_signal(signal.SIGINT)\n" * times)
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    out = subprocess.run(
        COMMAND, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, preexec_fn=hears_ctrl_c
    )
    assert (out.returncode, out.stderr) == (130, "")


def test_a_program_that_imports_minigan_keeps_its_own_ctrl_c():
    code = "import signal, minigan\nassert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    assert subprocess.run([sys.executable, "-c", code], preexec_fn=hears_ctrl_c).returncode == 0


# Imported by Python before all else: once a function of a module is called, a process presses Ctrl-C, until the end.
STORM = """
import os, signal, sys, time
module, function, pause = os.environ["STORM"].split(":")
command = os.getpid()

def watch(frame, event, argument):
    if event == "call" and frame.f_code.co_name == function and frame.f_globals.get("__name__") == module:
        sys.setprofile(None)
        if os.fork() == 0:
            os.setsid()
            for descriptor in range(3):
                os.close(descriptor)
            while os.getppid() == command:
                os.kill(command, signal.SIGINT)
                time.sleep(float(pause))
            os._exit(0)

sys.setprofile(watch)
"""


@pytest.mark.parametrize(
    ("place", "pause"),
    [
        ("minigan.cli:_parser", "0.003"),
        ("minigan.data.by_name:load", "0.003"),
        ("minigan.run:create", "0.003"),
        ("minigan.run:write_picture", "0.003"),
        ("minigan.run:save", "0.003"),
        ("minigan.run:_write_pictures", "0.001"),
        ("minigan.checkpoint:write_file", "0.001"),
        ("minigan.plots.images:draw", "0.001"),
    ],
)
def test_a_storm_of_ctrl_c(data, tmp_path, place, pause):
    """However many come and whatever they hit: no traceback, one line at most, and the run is whole."""
    (tmp_path / "sitecustomize.py").write_text(STORM)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
        "STORM": f"{place}:{pause}",
    }
    command = [*COMMAND, "train", *options(data, 1), "--output", str(tmp_path / "r")]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, preexec_fn=hears_ctrl_c, timeout=60)
    assert out.returncode == 130, out.stderr
    assert "Traceback" not in out.stderr and "Error" not in out.stderr and "KeyboardInterrupt" not in out.stderr
    assert sum(line.startswith("minigan") for line in out.stderr.splitlines()) <= 1
    if (tmp_path / "r").exists():
        assert main(["train", "--resume", str(tmp_path / "r")]) == 0


def killable(name, data, epochs):
    """The options of a run that takes long enough to be killed in the middle."""
    if name == "conditional":
        return [name, *options(data, epochs)]
    if name == "gan":
        return [name, "--data", str(data), "--batch-size", "10", "--epochs", str(epochs), "--seed", "3"]
    return [name, *("--data", str(data), "--batch-size", "5", "--critic-steps", "3", "--epochs", str(epochs))]


@pytest.mark.parametrize("name", ["gan", "conditional", "wgan_gp"])
def test_kill_9_at_random_instants(data, tmp_path, name):
    """The killed run ends with the bytes of one that was not. Half of the kills hit anything, the start too; the others
    wait until training went on, or a slow machine would never get further.
    """
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    checkpoint, rng = killed / "checkpoint.safetensors", random.Random(name)
    words = killable(name, data, 10 + 6 * KILLS)
    assert main(["train", *words, "--output", str(straight)]) == 0
    command, steps, kills = [*COMMAND, "train", *words, "--output", str(killed)], [], 0
    for number in range(KILLS):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(checkpoint, process)
        first = checkpoint.stat().st_mtime_ns
        while number % 2 and checkpoint.stat().st_mtime_ns == first and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.4 if number % 2 else 1.5))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        steps.append(load_checkpoint(checkpoint)[1]["step"])
        command = [*COMMAND, "train", "--resume", str(killed)]
    print(f"{name} was killed {kills} times, after the steps {steps}")
    assert steps == sorted(steps) and min(kills, len(set(steps))) >= KILLS // 2, "the kills must hit the training"
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert contents(killed) == contents(straight), steps


def test_resume_of_a_finished_run_does_nothing(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    assert main(["train", "--resume", str(tmp_path / "r")]) == 0
    assert contents(tmp_path / "r") == contents(finished)
    assert main(["train", "conditional", "--resume", str(tmp_path / "r")]) == 0


def test_resume_with_more_epochs_trains_longer(capsys, data, finished, tmp_path):
    """Weights and figures are those of a run that had so many from the beginning; its frames are spaced otherwise."""
    run, whole = tmp_path / "r", tmp_path / "whole"
    shutil.copytree(finished, run)
    assert main(["train", *options(data, 4), "--output", str(whole)]) == 0
    assert main(["train", "--epochs", "4", "--resume", str(run)]) == 0
    assert "give a larger number" in fails(capsys, "train", "--resume", run, "--epochs", "4")
    assert config_of(run)["settings"]["epochs"] == 4
    longer, straight = contents(run), contents(whole)
    for name in ("checkpoint.safetensors", "metrics.jsonl", "config.json", "samples.png", "losses.png"):
        assert longer[name] == straight[name], name
    assert {name for name in longer if name.startswith("epochs")} == {f"epochs/epoch_00{k}.png" for k in range(1, 5)}


def test_data_that_have_moved(capsys, data, finished, tmp_path, monkeypatch):
    """The run's data are found at their new place, and the config keeps it."""
    run, new = tmp_path / "r", tmp_path / "new place" / "squares.npz"
    new.parent.mkdir()
    shutil.copytree(finished, run)
    shutil.copy(data, new)
    change_config(run, data=str(tmp_path / "gone.npz"))
    assert "there is no dataset" in fails(capsys, "train", "--resume", run)
    monkeypatch.chdir(new.parent)
    assert main(["train", "--resume", str(run), "--data", "squares.npz"]) == 0
    assert config_of(run)["data"] == str(new.resolve())
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--resume", str(run), "--data", str(new), "--epochs", "3"]) == 0


def test_other_data_than_before_are_refused_and_the_config_stays(capsys, data, finished, points, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    shutil.copytree(points, tmp_path / "points")
    images, labels = np.load(data)["images"], np.load(data)["labels"]
    images[7, 3, 2] ^= 1
    other = npz(tmp_path / "other.npz", images, labels=labels)
    before = contents(tmp_path / "r"), contents(tmp_path / "points")
    for words in (["--data", other], ["--data", other, "--epochs", "9"]):
        assert f"the values of the data {other} have changed" in fails(
            capsys, "train", "--resume", tmp_path / "r", *words
        )
    assert "was trained on" in fails(capsys, "train", "--resume", tmp_path / "r", "--data", "ring")
    for name in ("grid", data):
        sentence = fails(capsys, "train", "--resume", tmp_path / "points", "--data", name)
        assert f"was trained on ring, and {name} are other data: leave --data out" in sentence
    assert main(["train", "--resume", str(tmp_path / "points"), "--data", "ring"]) == 0
    assert (contents(tmp_path / "r"), contents(tmp_path / "points")) == before


# --- bad input: one sentence, exit code 2, nothing lost ------------------------------------------------------


def fails(capsys, *arguments):
    """The sentence that the command ends with."""
    capsys.readouterr()
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:  # argparse
        code = stop.code
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and lines[-1].startswith("minigan")
    assert sum(line.startswith("minigan") for line in lines) == 1 and "Traceback" not in "".join(lines)
    return lines[-1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "mnits"], "there is no dataset 'mnits': give one of mnist, ring"),
        (["--data", "no/such/folder"], "there is no dataset 'no/such/folder'"),
        (["--size", "20"], "20"),
        (["dcgan", "--size", "4"], "size must be 28, 16 or 8, not 4"),
        (["--epochs", "0"], "epochs"),
        (["--epochs", "-3"], "epochs"),
        (["--batch-size", "-1"], "batch_size"),
        (["--batch-size", "1"], "batch norm"),
        (["--batch-size", "70000"], "one step takes 70000 samples, and the data mnist have 60000"),
        (["wgan", "--batch-size", "60", "--critic-steps", "2000"], "one step takes 120000 samples"),
        (["wgan", "--critic-steps", "0"], "critic_steps"),
        (["wgan", "--clip", "0"], "the limit must be above 0"),
        (["wgan_gp", "--penalty", "-1"], "penalty"),
        (["dcgan", "--width", "0"], "width"),
        (["--lr-g", "-1"], "learning rate"),
        (["--lr-d", "nan"], "learning rate"),
        (["--betas", "0.5", "1"], "betas"),
        (["--betas", "0.5"], "expected 2 arguments"),
        (["--seed", "-1"], "seed"),
        (["--loss", "mse"], "there is no loss 'mse': choose one of non_saturating"),
        (["wgan", "--loss", "hinge"], "unrecognized arguments: --loss hinge"),
        (["dcgan", "--data", "ring"], "dcgan needs images, and these data have points only"),
        (["vae"], "invalid choice: 'vae'"),
        (["gan", "--size", "28", "--data", "ring"], "the data ring are points: leave it out"),
        (["--device", "tpu"], "invalid choice"),
        (["--resume", "nowhere"], "nowhere is not a run"),
        (["--resume", "nowhere", "--epochs", "3"], "nowhere is not a run"),
        (["--resume", "nowhere", "--lr-g", "3"], "leave out --lr-g (--epochs and --data may be given)"),
        (["gan", "--resume", "nowhere", "--seed", "1", "--output", "x"], "leave out --seed, --output"),
    ],
)
def test_bad_options(capsys, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in fails(capsys, "train", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_the_environment_names_wrongly(finished, tmp_path):
    """What needs no device still works; all else ends in a sentence."""
    for command, code in ((["gans"], 0), (["info"], 2), (["sample", str(finished)], 2), (["train", "gan"], 2)):
        environment = os.environ | {"MINIGAN_DEVICE": "tpu"}
        out = subprocess.run([*COMMAND, *command], env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert out.returncode == code, command
        assert code == 0 or out.stderr == "minigan: unknown device 'tpu': choose 'cpu' or 'cuda'\n"
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_another_gan_is_not_resumed_as_this_one(capsys, finished, points):
    for run, own, name in ((finished, "conditional", "wgan"), (points, "gan", "conditional"), (points, "gan", "dcgan")):
        before = contents(run)
        sentence = f"is a run of {own}, not of {name}: leave the name out"
        assert sentence in fails(capsys, "train", name, "--resume", run)
        assert sentence in fails(capsys, "train", "--resume", run, name)
        assert contents(run) == before
        for words in (["--resume", run], [own, "--resume", run], [f"--resume={run}"]):
            assert main(["train", *map(str, words)]) == 0


@pytest.mark.parametrize("words", [[], ["--epochs", "3"], ["--data"], ["--data", "--epochs", "4"]])
def test_a_run_looks_through_its_data_once(data, finished, tmp_path, monkeypatch, words):
    looks, look = [], Run.checksum_of
    monkeypatch.setattr(Run, "checksum_of", lambda run, arrays: looks.append(run) or look(run, arrays))
    shutil.copytree(finished, tmp_path / "r")
    shutil.copy(data, tmp_path / "moved.npz")
    typed = [part for word in words for part in ([word, str(tmp_path / "moved.npz")] if word == "--data" else [word])]
    assert main(["train", "--resume", str(tmp_path / "r"), *typed]) == 0
    assert len(looks) == 1
    assert main(["train", *options(data, 1), "--output", str(tmp_path / "new")]) == 0
    assert len(looks) == 2


def test_an_output_folder_that_exists_is_left_alone(capsys, data, finished):
    before = contents(finished)
    assert "exists already" in fails(capsys, "train", *options(data), "--output", finished)
    assert contents(finished) == before


def test_the_command_that_goes_on_can_be_pasted(capsys, data, finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "my run's")
    monkeypatch.chdir(tmp_path)
    sentence = fails(capsys, "train", *options(data), "--output", "my run's")
    assert shlex.split(sentence.partition("go on with ")[2]) == ["--resume", "my run's"]


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
def test_a_run_without_anywhere_to_print_is_the_same(points, tmp_path):
    """As a daemon has it: all three streams are closed, and a file of the run could get the number of one."""
    words = ["train", "gan", "--data", "ring", "--epochs", "1", "--batch-size", "5000", "--output", "r"]
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *COMMAND, *words]
    assert subprocess.run(closed, cwd=tmp_path).returncode == 0
    assert contents(tmp_path / "r") == contents(points)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_an_error_that_cannot_be_printed_still_has_its_exit_code(tmp_path):
    with open("/dev/full", "w") as full:
        assert subprocess.run([*COMMAND, "sample", "nothing"], cwd=tmp_path, stderr=full).returncode == 2


def test_of_two_that_create_the_same_run_one_gets_it_whole(data, tmp_path):
    command = [*COMMAND, "train", *options(data), "--output", "r"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    two = [subprocess.Popen([*command, "--seed", seed], cwd=tmp_path, **pipes) for seed in ("3", "4")]
    errors = [process.communicate(timeout=60)[1] for process in two]
    codes = [process.returncode for process in two]
    assert sorted(codes) == [0, 2], errors
    loser = errors[codes.index(2)].strip().splitlines()
    assert len(loser) == 1 and "r exists already" in loser[0]
    assert Run.open(tmp_path / "r").gan.steps == 24 and [p.name for p in tmp_path.iterdir()] == ["r"]


def test_of_two_that_resume_one_run_one_trains_it(capsys, data, tmp_path):
    """The other ends in a sentence and changes nothing; when the first is killed, the next may go on at once."""
    straight, run = tmp_path / "straight", tmp_path / "r"
    assert main(["train", *options(data, 8), "--output", str(straight)]) == 0
    command = [*COMMAND, "train", *options(data, 8), "--output", str(run)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(run / "epochs" / "epoch_001.png", first)
        first.send_signal(signal.SIGSTOP)
        before = contents(run)
        for words in ([], ["--epochs", "40"], ["--data", str(data), "--epochs", "40"]):
            sentence = fails(capsys, "train", "--resume", run, *words)
            assert f"{run} is being trained by another process (pid {first.pid}): wait, or stop it" in sentence
        assert main(["sample", str(run), "-n", "2", "-o", str(tmp_path / "s.png")]) == 0
        assert contents(run) == before
    finally:
        first.kill()
        first.wait()
    assert main(["train", "--resume", str(run)]) == 0
    assert contents(run) == contents(straight)


def test_the_loser_of_a_race_at_the_last_instant(capsys, data, finished, tmp_path, monkeypatch):
    """The other process takes the folder's name just before ours is complete."""
    save = Run.save

    def slow_save(run):
        save(run)
        shutil.copytree(finished, tmp_path / "r")

    monkeypatch.setattr(Run, "save", slow_save)
    assert "r exists already" in fails(capsys, "train", *options(data), "--output", tmp_path / "r")
    assert contents(tmp_path / "r") == contents(finished) and [p.name for p in tmp_path.iterdir()] == ["r"]


def test_what_a_killed_creation_left_is_not_used(data, finished, tmp_path):
    (tmp_path / "r.part").mkdir()
    (tmp_path / "r.part" / "rubbish").write_text("old")
    assert main(["train", *options(data), "--output", str(tmp_path / "r")]) == 0
    assert contents(tmp_path / "r") == contents(finished)


def test_an_output_that_cannot_be_written(capsys, data, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "exists already" in fails(capsys, "train", *options(data), "--output", tmp_path / "file")
    sentence = fails(capsys, "train", *options(data), "--output", tmp_path / "file" / "run")
    assert f"{tmp_path / 'file' / 'run'}: " in sentence and "directory" in sentence
    assert (tmp_path / "file").read_text() == "mine"


def test_a_damaged_checkpoint(capsys, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    path = tmp_path / "r" / "checkpoint.safetensors"
    whole = path.read_bytes()
    one_number = bytearray(whole)
    one_number[-3] ^= 0x40  # of a weight, which stays finite
    for damaged in (whole[:1000], whole[:-1], b"", b"x" * 500, bytes(one_number)):
        path.write_bytes(damaged)
        assert "is not a whole checkpoint" in fails(capsys, "train", "--resume", tmp_path / "r")
        assert "is not a whole checkpoint" in fails(capsys, "sample", tmp_path / "r", "-o", tmp_path / "s.png")
    path.unlink()
    assert "there is no checkpoint" in fails(capsys, "train", "--resume", tmp_path / "r")


def test_a_damaged_config(capsys, finished, tmp_path):
    """Here by the command; test_run.py tries many more."""
    shutil.copytree(finished, tmp_path / "r")
    good = config_of(finished)
    shapes = [{"images": [1, 17, 17]}, {"images": [1, 16.0, 16]}, {"images": "28"}, {"labels": [0]}, {"labels": 3}]
    wrong = [{"shapes": good["shapes"] | shape} for shape in shapes[1:]]
    wrong += [{"settings": good["settings"] | {"epochs": "many"}}, {"gan": "vae"}, {"data": 5}, {"data": None}]
    wrong += [{"count": "many"}, {"count": None}, {"seed": 1e400}, {"settings": good["settings"] | {"loss": "none"}}]
    for text in ["", "{", "[]", *[json.dumps(good | change) for change in wrong]]:
        (tmp_path / "r" / "config.json").write_text(text)
        for command in (["train", "--resume", tmp_path / "r"], ["sample", tmp_path / "r", "-o", tmp_path / "s.png"]):
            assert "config.json is damaged" in fails(capsys, *command)
    (tmp_path / "r" / "config.json").write_text(json.dumps(good | {"shapes": good["shapes"] | shapes[0]}))
    assert "have changed since this run began" in fails(capsys, "train", "--resume", tmp_path / "r")


def test_a_run_of_an_older_minigan(capsys, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "config.json").write_text('{"model": "dcgan", "data": "mnist", "loss": "hinge", "epochs": 2}')
    for command in (["train", "--resume", tmp_path / "r"], ["sample", tmp_path / "r"]):
        assert "was made by an older minigan, whose runs had another format: train it again" in fails(capsys, *command)


def test_damaged_figures_and_lost_frames(capsys, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    shutil.rmtree(tmp_path / "r" / "frames")
    assert main(["train", "--resume", str(tmp_path / "r")]) == 0
    figures = {"step": 1, "d_loss": 1.0, "g_loss": 1.0, "d_real": 0.5, "d_fake": 0.5}
    wrong = [json.dumps(figures | {"g_loss": value}) for value in ("1", None, [1], 10**400, np.nan)]
    for text in ("{", "[]\n", "5\n", '{"stop": 3}\n', '{"step": 3}\n', *wrong):
        (tmp_path / "r" / "metrics.jsonl").write_text(text)
        assert "metrics.jsonl is damaged" in fails(capsys, "train", "--resume", tmp_path / "r")
    (tmp_path / "r" / "metrics.jsonl").write_text("")
    assert main(["train", "--resume", str(tmp_path / "r")]) == 0


def test_a_damaged_frame_is_found_before_training_goes_on(capsys, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    change_epochs(tmp_path / "r", 3)
    frame = tmp_path / "r" / "frames" / "0000003.png"
    for damaged in (frame.read_bytes()[:500], b"", b"x" * 500):
        frame.write_bytes(damaged)
        message = fails(capsys, "train", "--resume", tmp_path / "r")
        assert f"{frame}: cannot be read" in message and "delete it to go on without it" in message
        assert Run.open(tmp_path / "r").gan.steps == 24
    frame.unlink()
    assert main(["train", "--resume", str(tmp_path / "r")]) == 0


def test_a_checkpoint_of_another_model(capsys, data, finished, tmp_path):
    words = ["--data", str(data), "--batch-size", "10", "--epochs", "1", "--output", str(tmp_path / "dense")]
    assert main(["train", "gan", *words]) == 0
    shutil.copy(finished / "checkpoint.safetensors", tmp_path / "dense")
    assert "of another model" in fails(capsys, "train", "--resume", tmp_path / "dense")


def test_data_that_changed_since(capsys, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    np.savez(tmp_path / "other.npz", images=np.zeros((30, 16, 16), np.uint8), labels=np.arange(30) % 3)
    change_config(tmp_path / "r", data=str(tmp_path / "other.npz"))
    assert "have changed since this run began" in fails(capsys, "train", "--resume", tmp_path / "r")


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_data_of_which_a_single_pixel_or_label_changed_since(capsys, data, tmp_path, kind):
    images, labels = np.load(data)["images"], np.load(data)["labels"]
    images = np.stack([images] * 3, axis=3) if kind == "colour" else images
    path, run = npz(tmp_path / "x.npz", images, labels=labels), tmp_path / "r"
    assert main(["train", *options(path, 1), "--output", str(run)]) == 0
    before = contents(run)
    for array in (images, labels):
        array[7] ^= 1
        npz(path, images, labels=labels)
        assert "have changed since this run began: put the old data back" in fails(capsys, "train", "--resume", run)
        assert contents(run) == before
        array[7] ^= 1
    images[7] ^= 1
    npz(path, images, labels=labels)
    change_config(run, checksum=None)  # such a run goes on without this check
    assert main(["train", "--resume", str(run)]) == 0


def test_a_loss_that_diverges(capsys, data, tmp_path):
    words = [*options(data), "--loss", "least_squares", "--lr-d", "1e30", "--output", tmp_path / "r"]
    message = fails(capsys, "train", *words)
    assert "at step" in message and "lower learning rate" in message
    arrays, _ = load_checkpoint(tmp_path / "r" / "checkpoint.safetensors")
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_a_full_disk(data, tmp_path):
    """A limit on the size of files stands in for a disk that fills up in the middle of a run."""
    resource = pytest.importorskip("resource", reason="Windows sets no limits on a process")
    folder = tmp_path / "r"
    assert main(["train", *options(data, 1), "--output", str(folder)]) == 0
    change_epochs(folder, 3)
    before = (folder / "checkpoint.safetensors").read_bytes()
    limit = len(before) - 1000
    assert limit > max(len(content) for name, content in contents(folder).items() if "checkpoint" not in name)
    out = subprocess.run(
        [*COMMAND, "train", "--resume", str(folder)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert out.returncode == 2 and "Traceback" not in out.stderr
    assert "checkpoint.safetensors" in out.stderr.splitlines()[-1]
    assert (folder / "checkpoint.safetensors").read_bytes() == before
    assert f"go on with: minigan train --resume {folder}" in out.stderr.splitlines()[-1]
    assert not list(folder.glob("*.part"))


def test_a_disk_that_is_full_before_there_is_a_run(capsys, data, tmp_path, monkeypatch):
    def full_disk(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    message = fails(capsys, "train", *options(data), "--output", tmp_path / "r")
    assert f"{tmp_path / 'r'}: No space left on device: free some space" in message and "resume" not in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fails_at", ["mkdtemp", "mkdir", "rename", "open"])
def test_a_folder_that_may_not_be_made(capsys, data, tmp_path, monkeypatch, fails_at):
    """The sentence names the run's own folder, at whatever step, and not one that it would have had on the way."""

    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(arguments[0]))

    folder = tmp_path / "new" / "r" if fails_at == "mkdir" else tmp_path / "r"
    owner = {"mkdtemp": tempfile, "open": checkpoint}.get(fails_at, type(tmp_path))
    monkeypatch.setattr(owner, fails_at, refuse, raising=False)
    last = fails(capsys, "train", *options(data), "--output", folder)
    assert last == f"minigan: {folder}: Permission denied"


def test_a_name_that_is_too_long(capsys, data, tmp_path):
    """The longest that the system takes is not too long: what stands beside it while it is made has a short one."""
    last = fails(capsys, "train", *options(data, 1), "--output", tmp_path / ("r" * 300))
    assert last.startswith(f"minigan: {tmp_path / ('r' * 300)}: ")
    assert list(tmp_path.iterdir()) == []
    assert main(["train", *options(data, 1), "--output", str(tmp_path / ("r" * 255))]) == 0


only_linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems promise no memory that they lack")


@only_linux
@pytest.mark.parametrize("width", [50_000, 10**9, 10**12, 10**30])
def test_networks_larger_than_the_memory(capsys, data, finished, tmp_path, monkeypatch, width):
    """Refused before the memory is used up: Linux would promise it, and end the process in the middle."""
    monkeypatch.setattr(memory, "free", lambda: 2**28)  # 50,000 channels start with 400 MB, and need 40 GB
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    for gan in ("conditional", "dcgan"):
        sentence = fails(capsys, "train", gan, *options(data)[:-2], "--width", width, "--output", tmp_path / "r")
        assert re.search(
            r"not enough memory \(.*\): use a smaller .*--width|width must be 1000000000 at most", sentence
        )
    assert list(tmp_path.iterdir()) == [] and resource.getrlimit(resource.RLIMIT_DATA) == limits
    shutil.copytree(finished, tmp_path / "r")
    change_config(tmp_path / "r", settings=config_of(finished)["settings"] | {"width": width})
    for command in (["train", "--resume", tmp_path / "r"], ["sample", tmp_path / "r", "-o", tmp_path / "s.png"]):
        assert "config.json is damaged (" in fails(capsys, *command)


@only_linux
def test_the_memory_that_there_is():
    resource = pytest.importorskip("resource")
    assert 2**20 < memory.free() < 2**50
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory.limited():
        inside = resource.getrlimit(resource.RLIMIT_DATA)
        np.ones(10**6)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert inside[0] >= memory.free() / 2 and inside[1] == before[1]


def test_too_little_memory(capsys, finished, tmp_path, monkeypatch):
    def too_much(gan, noise, labels):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(GANS["conditional"], "sample", too_much)
    assert "not enough memory (Unable to allocate 9 TiB): use a smaller" in fails(
        capsys, "sample", finished, "-o", tmp_path / "s.png"
    )
    assert issubclass(GANS["conditional"], GAN) and list(tmp_path.iterdir()) == []


def test_training_with_ones_own_code(capsys, data, tmp_path):
    """Two exercises are solved: these run in the library's place, and the run says how often."""
    folder = tmp_path / "exercises"
    assert main(["exercise", "start", str(folder)]) == 0
    for name in ("tanh", "leaky_relu"):
        (folder / find(name).file).write_text(solved(name), "utf-8")
    typed = ["--data", str(data), "--batch-size", "20", "--epochs", "1", "--output", str(tmp_path / "r")]
    assert main(["train", "gan", *typed, "--with-exercises", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "your code is in place: tanh, leaky_relu" in out and "gradients went back through your code" in out
    for name in ("tanh", "leaky_relu"):
        assert re.search(rf"^  {name} +{find(name).file} +\d+ calls +\d+ gradients", out, re.MULTILINE)
    assert main(["train", "gan", *typed[:-1], str(tmp_path / "own")]) == 0
    weights = [load_checkpoint(tmp_path / run / "checkpoint.safetensors")[0] for run in ("r", "own")]
    for name, array in weights[0].items():
        np.testing.assert_allclose(array, weights[1][name], rtol=1e-3, atol=1e-4)
