"""The command line: runs, their folders, going on after Ctrl-C and kill -9, and bad input."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from minigan.checkpoint import load_checkpoint
from minigan.cli import main
from minigan.run import Run

COMMAND = [sys.executable, "-m", "minigan"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """120 small images of bright squares."""
    images = np.zeros((120, 16, 16), np.uint8)
    for i, image in enumerate(images):
        image[i % 8 : i % 8 + 6, i % 5 : i % 5 + 7] = 255
    path = tmp_path_factory.mktemp("data") / "squares.npz"
    np.savez(path, images=images)
    return path


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A small run that nothing interrupted: 2 epochs of 12 steps."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert main(["train", *options(data), "--output", str(folder)]) == 0
    return folder


def options(data, epochs=2):
    return ["--data", str(data), "--batch-size", "10", "--epochs", str(epochs), "--seed", "3"]


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_run_leaves_all_that_it_promises(finished):
    assert {"samples.png", "losses.png", "training.gif", "metrics.jsonl", "config.json"} < set(contents(finished))
    assert sorted(p.name for p in (finished / "epochs").iterdir()) == ["epoch_001.png", "epoch_002.png"]
    assert Image.open(finished / "training.gif").n_frames == 25  # a picture before training and after each step
    assert Image.open(finished / "samples.png").size == Image.open(finished / "epochs" / "epoch_002.png").size
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 25))
    assert set(lines[0]) == {"step", "d_loss", "g_loss", "d_real", "d_fake"}
    assert 0 < lines[0]["d_real"] < 1
    config = json.loads((finished / "config.json").read_text())
    assert config["seed"] == 3 and config["batch_size"] == 10 and config["shape"] == [1, 16, 16]
    assert not list(finished.rglob("*.part"))


def test_python_m_minigan_shows_progress(data, tmp_path):
    out = subprocess.run(
        [*COMMAND, "train", *options(data, 1), "--output", "r"], cwd=tmp_path, capture_output=True, text=True
    )
    assert out.returncode == 0
    assert "done: look at r/samples.png and r/training.gif" in out.stdout and "ConvTranspose2d" in out.stdout
    for word in ("epoch 1/1", "images/s", "D loss", "G loss", "D(real)", "D(fake)", "00:00"):
        assert word in out.stderr


def test_same_seed_same_run(data, finished, tmp_path):
    assert main(["train", *options(data), "--output", str(tmp_path / "again")]) == 0
    assert contents(tmp_path / "again") == contents(finished)


def test_the_default_folder_is_never_used_twice(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("squares-mlp", "squares-mlp-2", "squares-mlp-3"):
        assert main(["train", *options(data, 1), "--model", "mlp"]) == 0
        assert (tmp_path / "runs" / name / "samples.png").exists()


def test_own_images_train_for_enough_steps_and_resume_from_any_folder(tmp_path, monkeypatch):
    np.savez(tmp_path / "few.npz", images=np.zeros((600, 16, 16), np.uint8))
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--data", "few.npz", "--batch-size", "200", "--epochs", "1", "--output", "a"]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["train", "--resume", str(tmp_path / "a")]) == 0
    created = []
    monkeypatch.setattr(Run, "train", lambda run, *data: created.append(run) or True)
    assert main(["train", "--data", str(tmp_path / "few.npz"), "--batch-size", "200"]) == 0
    assert created[0].config.epochs == 500  # 1500 steps of 3 batches an epoch


def test_points(tmp_path):
    options = ["--data", "ring", "--epochs", "1", "--batch-size", "5000", "--output", str(tmp_path / "ring")]
    assert main(["train", *options]) == 0
    assert main(["sample", str(tmp_path / "ring"), "-n", "7", "-o", str(tmp_path / "p.npz")]) == 0
    assert np.load(tmp_path / "p.npz")["points"].shape == (7, 2)


def test_sample(finished, tmp_path):
    picture, arrays = tmp_path / "grid.png", tmp_path / "s.npz"
    assert main(["sample", str(finished), "-n", "10", "--seed", "1", "-o", str(picture)]) == 0
    assert main(["sample", str(finished), "-n", "10", "--seed", "1", "-o", str(arrays)]) == 0
    with np.load(arrays) as saved:
        images, noise = saved["images"], saved["noise"]
    assert images.shape == (10, 1, 16, 16) and images.dtype == np.uint8 and noise.shape == (10, 64)
    again = Run.open(finished).gan.sample(noise)
    np.testing.assert_array_equal(np.round((again + 1) * 127.5).astype(np.uint8), images)
    assert main(["sample", str(finished), "-n", "10", "--seed", "2", "-o", str(arrays)]) == 0
    assert not np.array_equal(np.load(arrays)["images"], images)
    assert Image.open(picture).width > 64


# --- stopping and going on -------------------------------------------------------------------------------------


def wait_for(path, process=None):
    while not path.exists():
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_ctrl_c_saves_and_resume_ends_with_the_same_bytes(data, tmp_path):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert main(["train", *options(data, 20), "--output", str(straight)]) == 0
    process = subprocess.Popen(
        [*COMMAND, "train", *options(data, 20), "--output", str(stopped)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
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


def test_a_second_ctrl_c_says_how_to_go_on_and_leaves_whole_files(capsys, data, tmp_path, monkeypatch):
    save = Run.save

    def save_with_ctrl_c_twice(run):
        if run.gan.step == 12:
            signal.raise_signal(signal.SIGINT)  # once: it would stop after this step
            monkeypatch.setattr(os, "fsync", lambda number: signal.raise_signal(signal.SIGINT))
        save(run)

    monkeypatch.setattr(Run, "save", save_with_ctrl_c_twice)
    assert main(["train", *options(data), "--output", str(tmp_path / "r")]) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"minigan: stopped; go on with: minigan train --resume {tmp_path / 'r'}"
    assert not list(tmp_path.rglob("*.part"))
    monkeypatch.undo()
    assert main(["train", "--resume", str(tmp_path / "r")]) == 0


def test_ctrl_c_while_modules_are_imported(tmp_path):
    (tmp_path / "matplotlib.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    out = subprocess.run(COMMAND, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert (out.returncode, out.stderr) == (130, "")


def test_kill_9_at_20_random_instants(data, tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert main(["train", *options(data, 120), "--output", str(straight)]) == 0
    random.seed(0)
    command = [*COMMAND, "train", *options(data, 120), "--output", str(killed)]
    steps = []
    for _ in range(20):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(killed / "checkpoint.safetensors", process)
        time.sleep(random.uniform(0.5, 2.0))  # some kills hit the start, most hit training
        process.kill()
        process.wait()
        steps.append(load_checkpoint(killed / "checkpoint.safetensors")[1]["step"])
        command = [*COMMAND, "train", "--resume", str(killed)]
    assert steps == sorted(steps) and len(set(steps)) > 3, "the kills must hit the run while it trains"
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert contents(killed) == contents(straight), steps


def test_resume_of_a_finished_run_does_nothing(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    assert main(["train", "--resume", str(tmp_path / "r")]) == 0
    assert contents(tmp_path / "r") == contents(finished)


# --- bad input: one sentence, exit code 2, nothing lost ------------------------------------------------------


def fails(capsys, *arguments):
    """The sentence that the command ends with."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:  # argparse
        code = stop.code
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2 and message.startswith("minigan")
    return message


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "mnits"], "there is no dataset 'mnits': give one of mnist, ring"),
        (["--data", "no/such/folder"], "there is no dataset 'no/such/folder'"),
        (["--size", "20"], "20"),
        (["--size", "8"], "a DCGAN makes images"),
        (["--epochs", "0"], "epochs"),
        (["--epochs", "-3"], "epochs"),
        (["--batch-size", "-1"], "batch_size"),
        (["--batch-size", "1"], "batch norm"),
        (["--batch-size", "70000"], "batch_size 70000 is larger than the data"),
        (["--lr-g", "-1"], "learning rate"),
        (["--lr-d", "nan"], "learning rate"),
        (["--seed", "-1"], "seed"),
        (["--loss", "mse"], "invalid choice: 'mse'"),
        (["--model", "dcgan", "--data", "ring"], "points"),
        (["--size", "28", "--data", "ring"], "the data ring are points: leave it out"),
        (["--device", "tpu"], "invalid choice"),
        (["--resume", "nowhere"], "nowhere is not a run"),
        (["--resume", "nowhere", "--epochs", "3"], "leave out --epochs"),
    ],
)
def test_bad_options(capsys, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in fails(capsys, "train", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_exists_is_left_alone(capsys, data, finished):
    before = contents(finished)
    assert "exists already" in fails(capsys, "train", *options(data), "--output", finished)
    assert contents(finished) == before


def test_of_two_that_create_the_same_run_one_gets_it_whole(data, tmp_path):
    command = [*COMMAND, "train", *options(data), "--output", "r"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    two = [subprocess.Popen([*command, "--seed", seed], cwd=tmp_path, **pipes) for seed in ("3", "4")]
    errors = [process.communicate(timeout=60)[1] for process in two]
    codes = [process.returncode for process in two]
    assert sorted(codes) == [0, 2], errors
    loser = errors[codes.index(2)].strip().splitlines()
    assert len(loser) == 1 and "r exists already" in loser[0]
    assert Run.open(tmp_path / "r").gan.step == 24 and [p.name for p in tmp_path.iterdir()] == ["r"]


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
    assert "directory" in fails(capsys, "train", *options(data), "--output", tmp_path / "file" / "run")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_damaged_checkpoint(capsys, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    path = tmp_path / "r" / "checkpoint.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[:1000], whole[:-1], b"", b"x" * 500):
        path.write_bytes(damaged)
        assert "is not a whole checkpoint" in fails(capsys, "train", "--resume", tmp_path / "r")
        assert "is not a whole checkpoint" in fails(capsys, "sample", tmp_path / "r", "-o", tmp_path / "s.png")
    path.unlink()
    assert "there is no checkpoint" in fails(capsys, "train", "--resume", tmp_path / "r")


def test_a_damaged_config(capsys, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    good = json.loads((finished / "config.json").read_text())
    wrong = [{"epochs": "many"}, {"shape": [1, 17, 17]}, {"shape": 5}, {"model": "vae"}, {"loss": "none"}]
    wrong += [{"data": 5}, {"data": None}, {"shape": [1, 16.0, 16]}, {"shape": [1, -16, -16]}, {"shape": "28"}]
    wrong += [{"count": "many"}, {"count": None}, {"classes": -1}, {"classes": [2]}, {"seed": 1e400}]
    for text in ["", "{", "[]", *[json.dumps(good | change) for change in wrong]]:
        (tmp_path / "r" / "config.json").write_text(text)
        assert "config.json" in fails(capsys, "train", "--resume", tmp_path / "r")


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
    config = json.loads((finished / "config.json").read_text())
    (tmp_path / "r" / "config.json").write_text(json.dumps(config | {"epochs": 3}))
    frame = tmp_path / "r" / "frames" / "0000003.png"
    for damaged in (frame.read_bytes()[:500], b"", b"x" * 500):
        frame.write_bytes(damaged)
        message = fails(capsys, "train", "--resume", tmp_path / "r")
        assert f"{frame}: cannot be read" in message and "delete it to go on without it" in message
        assert Run.open(tmp_path / "r").gan.step == 24
    frame.unlink()
    assert main(["train", "--resume", str(tmp_path / "r")]) == 0


def test_a_checkpoint_of_another_model(capsys, data, finished, tmp_path):
    assert main(["train", *options(data, 1), "--model", "mlp", "--output", str(tmp_path / "mlp")]) == 0
    shutil.copy(finished / "checkpoint.safetensors", tmp_path / "mlp")
    assert "of another model" in fails(capsys, "train", "--resume", tmp_path / "mlp")


def test_data_that_changed_since(capsys, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    np.savez(tmp_path / "other.npz", images=np.zeros((30, 16, 16), np.uint8))
    config["data"] = str(tmp_path / "other.npz")
    (tmp_path / "r" / "config.json").write_text(json.dumps(config))
    assert "have changed since this run began" in fails(capsys, "train", "--resume", tmp_path / "r")


def test_data_of_which_a_single_pixel_changed_since(capsys, data, tmp_path):
    images = np.load(data)["images"]
    for name, channels in (("grey", images), ("colour", np.stack([images] * 3, axis=3))):
        path, run = tmp_path / f"{name}.npz", tmp_path / name
        np.savez(path, images=channels)
        assert main(["train", *options(path, 1), "--output", str(run)]) == 0
        before = contents(run)
        channels[7, 3, 2] += 1
        np.savez(path, images=channels)
        assert "have changed since this run began: put the old data back" in fails(capsys, "train", "--resume", run)
        assert contents(run) == before
        settings = json.loads((run / "config.json").read_text())
        del settings["checksum"]  # as older runs are: they go on without this check
        (run / "config.json").write_text(json.dumps(settings))
        assert main(["train", "--resume", str(run)]) == 0


def test_a_loss_that_diverges(capsys, data, tmp_path):
    message = fails(
        capsys, "train", *options(data), "--loss", "least_squares", "--lr-d", "1e30", "--output", tmp_path / "r"
    )
    assert "at step" in message and "lower learning rate" in message
    arrays, _ = load_checkpoint(tmp_path / "r" / "checkpoint.safetensors")
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_a_full_disk(data, tmp_path):
    """A limit on the size of files stands in for a disk that fills up in the middle of a run."""
    resource = pytest.importorskip("resource", reason="Windows sets no limits on a process")
    folder = tmp_path / "r"
    assert main(["train", *options(data, 1), "--output", str(folder)]) == 0
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"epochs": 3}))
    before = (folder / "checkpoint.safetensors").read_bytes()
    out = subprocess.run(
        [*COMMAND, "train", "--resume", str(folder)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000)),
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
    assert "No space left on device: free some space" in message and "resume" not in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-n", "0"], "must be 1 or more"),
        (["-n", "-5"], "must be 1 or more"),
        (["--seed", "-1"], "0 or more"),
        (["-o", "x.jpg"], "must end in .png"),
        (["-o", "no/such/folder/x.png"], "No such file or directory"),
    ],
)
def test_bad_sample_options(capsys, finished, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in fails(capsys, "sample", finished, *arguments)


def test_help_says_the_defaults_for_points():
    out = subprocess.run([*COMMAND, "train", "--help"], capture_output=True, text=True).stdout
    words = " ".join(out.split())
    for default in ("mlp", 30, 256, 0.001):
        assert f"or for points {default}" in words


def test_help_names_every_option():
    out = subprocess.run([*COMMAND, "train", "--help"], capture_output=True, text=True).stdout
    for option in (
        "data",
        "model",
        "loss",
        "epochs",
        "batch-size",
        "lr-g",
        "lr-d",
        "seed",
        "device",
        "output",
        "resume",
    ):
        assert f"--{option}" in out
