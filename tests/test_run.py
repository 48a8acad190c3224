"""Runs: which data fit, what config.json holds, tables, going on, and damaged files. The command line: test_cli.py."""

import copy
import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_gans import KINDS, TINY, all_bytes, every_case, tiny_data, tiny_settings

from minigan import lock
from minigan.checkpoint import load_checkpoint, save_checkpoint
from minigan.cli import main
from minigan.data import TOYS
from minigan.gan import GAN
from minigan.gans import GANS, find_gan
from minigan.lock import LOCK, locked
from minigan.run import Run, arrays_for, default_settings, shapes_of

DATA = "some/data.npz"  # a path that nobody opens here


def create(folder, name="gan", kind="images 8x8", data=DATA, seed=3, **settings):
    arrays = arrays_for(name, tiny_data(kind))
    return Run.create(folder, name, data, arrays, tiny_settings(name, **settings), None, seed), arrays


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of each GAN that nothing interrupted."""
    runs = {}
    for name in ("gan", "conditional", "wgan_gp"):
        kind = "points" if name == "wgan_gp" else "images 8x8"
        run, arrays = create(tmp_path_factory.mktemp("runs") / name, name, kind)
        assert run.train(arrays)
        runs[name] = run.folder
    return runs


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def config_of(folder):
    return json.loads((folder / "config.json").read_text("utf-8"))


# --- which data fit --------------------------------------------------------------------------------------------


def test_a_gan_gets_the_arrays_that_it_needs():
    images, points = tiny_data("images 8x8"), tiny_data("points")
    assert list(arrays_for("conditional", images)) == ["images", "labels"]
    assert arrays_for("conditional", images)["labels"] is images["labels"]
    assert list(arrays_for("dcgan", images)) == ["images"]
    for name in ("gan", "wgan", "wgan_gp"):  # either kind
        assert arrays_for(name, images) == {"samples": images["images"]}
        assert arrays_for(name, points) == {"samples": points["points"]}
    both = arrays_for("gan", images | points)
    assert both["samples"] is images["images"]


def fit(kind):
    """The GANs that train on data with this one array."""
    return [name for name, gan in GANS.items() if set(gan.needs()) <= {kind, "samples"}]


def test_data_that_do_not_fit_get_a_sentence_with_the_gans_that_fit():
    assert {"gan", "wgan"} <= set(fit("points")) and "dcgan" in fit("images") and "dcgan" not in fit("points")
    with pytest.raises(ValueError) as error:
        arrays_for("dcgan", tiny_data("points"))
    assert str(error.value) == (
        "dcgan needs images, and these data have points only: "
        f"choose other data, or another GAN ({', '.join(fit('points'))})"
    )
    unlabelled = {"images": tiny_data("images 8x8")["images"]}
    with pytest.raises(ValueError, match=r"conditional needs images and labels, and these data have images only") as e:
        arrays_for("conditional", unlabelled)
    assert f"another GAN ({', '.join(fit('images'))})" in str(e.value)
    with pytest.raises(
        ValueError, match=r"gan needs images or points, and these data have text only: choose other data$"
    ):
        arrays_for("gan", {"text": np.zeros(3)})


@pytest.mark.parametrize("name", ["vae", "", "GAN", None, 5, ["gan"]])
def test_a_gan_that_there_is_not(name):
    for look in (find_gan, default_settings, lambda name: arrays_for(name, tiny_data("points"))):
        with pytest.raises(ValueError, match=r"there is no GAN .*: choose one of gan, dcgan, conditional"):
            look(name)


def test_shapes_are_of_one_sample_and_of_labels_the_classes():
    data = {"images": np.zeros((5, 3, 8, 9)), "labels": np.array([0, 3, 1, 1, 0]), "points": np.zeros((5, 2))}
    shapes = shapes_of(data)
    assert shapes == {"images": (3, 8, 9), "labels": (4,), "points": (2,)}
    assert {type(n) for shape in shapes.values() for n in shape} == {int}


# --- config.json -----------------------------------------------------------------------------------------------


@every_case
def test_config_holds_all_that_a_run_needs_to_be_made_again(tmp_path, name, kind):
    run, arrays = create(tmp_path / "r", name, kind, epochs=1)
    opened = Run.open(tmp_path / "r")
    assert opened.config == run.config and dataclasses.asdict(opened.config) == dataclasses.asdict(run.config)
    config = run.config
    assert config.settings == default_settings(name) | tiny_settings(name, epochs=1)
    assert {type(v) for v in config.settings.values()} <= {int, float, str, tuple}
    assert (config.gan, config.data, config.size, config.seed, config.count) == (name, DATA, None, 3, 24)
    assert config.shapes == shapes_of(arrays) and config.checksum == run.checksum_of(arrays)
    assert all_bytes(opened.gan) == all_bytes(run.gan)
    made_again = Run(tmp_path / "elsewhere", copy.deepcopy(config))
    assert all_bytes(made_again.gan) == all_bytes(run.gan)
    json.loads((tmp_path / "r" / "config.json").read_text("utf-8"), parse_constant=pytest.fail)  # real JSON


def test_small_data_of_ones_own_train_for_some_1500_steps(tmp_path):
    arrays = arrays_for("gan", tiny_data("points"))  # 24 samples
    made = lambda data, settings: Run.create(tmp_path / data, "gan", data, arrays, settings, None, 0).gan.epochs
    assert made("own", {"batch_size": 8}) == 500
    assert made("asked", {"batch_size": 8, "epochs": 7}) == 7
    assert made("ring", {"batch_size": 8}) == default_settings("gan")["epochs"]
    assert Run.open(tmp_path / "own").gan.epochs == 500


def test_too_few_data_for_a_step(tmp_path):
    for name, least in (("gan", 25), ("wgan", 5 * 5)):
        settings = {"batch_size": 25} if name == "gan" else {"batch_size": 5, "critic_steps": 5}
        sentence = f"one step takes {least} samples, and the data {DATA} have 24: choose a smaller batch_size"
        with pytest.raises(ValueError, match=sentence):
            create(tmp_path / "r", name, **settings)
    assert list(tmp_path.iterdir()) == []


WRONG = {
    "no table": [5, None, [], "text", [{"gan": "gan"}]],
    "gan": ["vae", "", None, 5, [], {}, "dcgan", "conditional", "wgan", True],
    "data": [None, 5, [], {}, True],
    "size": ["28", 1.5, [], True],
    "seed": [-1, 1.5, None, "3", 1e400, [3], True],
    "count": [0, -1, "many", None, 1.5, [], True, 3],
    "checksum": ["x", 1.5, [], True],
    "shapes": [None, 5, "28", [], {}, {"images": [2]}, {"samples": [2], "labels": [3]}, {"samples": 2}]
    + [{"samples": shape} for shape in ("22", [0], [-2], [2.0], ["2"], [None], [[2]], [True], None, {}, [10**15])],
    "settings": [None, [], "x", {}, 5],
}
WRONG_SETTINGS = {
    "epochs": [0, -1, "many", None, 1.5, [2], True],
    "batch_size": [0, "4", None, 25, 10**30, True, {}],
    "lr_g": [-1, "x", None, [], {}, True, 1e400, float("nan")],
    "lr_d": [-1, "x", None, [1e-3]],
    "betas": [0.5, "ab", None, [], [0.5], [0.5, 1.0], [0.5, 0.9, 0.9], ["a", "b"], [[0.5], 0.9], {}, [None, None]],
    "loss": ["none", "", None, 5, [], {}, ["hinge"]],
    "colour": ["blue"],  # there is no such setting
}


def damaged():
    for key, values in WRONG.items():
        for value in values:
            yield pytest.param(value if key == "no table" else {key: value}, id=f"{key}: {value!r}")
    for key, values in WRONG_SETTINGS.items():
        for value in values:
            yield pytest.param({"settings": {key: value}}, id=f"setting {key}: {value!r}")


def sentence_of(folder):
    with pytest.raises(ValueError) as error:
        Run.open(folder)
    sentence = str(error.value)
    assert "\n" not in sentence and len(sentence) < 400 and "config.json" in sentence, sentence
    for word in ("indices", "unhashable", "iterable", "instances", "argument", "NoneType", "attribute", "unpack"):
        assert word not in sentence, sentence  # Python's words, not ours
    return sentence


@pytest.mark.parametrize("change", list(damaged()))
def test_a_damaged_config_is_named_in_one_sentence(finished, tmp_path, change):
    shutil.copytree(finished["gan"], tmp_path / "r")
    good = config_of(tmp_path / "r")
    if isinstance(change, dict) and isinstance(change.get("settings"), dict) and change["settings"]:
        change = {"settings": good["settings"] | change["settings"]}
    new = good | change if isinstance(change, dict) else change
    (tmp_path / "r" / "config.json").write_text(json.dumps(new))
    before = contents(tmp_path / "r")
    assert "is damaged (" in sentence_of(tmp_path / "r")
    assert contents(tmp_path / "r") == before


def test_what_is_missing_or_too_much_in_a_config_is_named(finished, tmp_path):
    shutil.copytree(finished["gan"], tmp_path / "r")
    path, good = tmp_path / "r" / "config.json", config_of(finished["gan"])
    for key in good:
        path.write_text(json.dumps({k: v for k, v in good.items() if k != key}))
        assert f"{key} is missing" in sentence_of(tmp_path / "r")
    path.write_text(json.dumps(good | {"colour": "blue"}))
    assert "'colour' is none of them" in sentence_of(tmp_path / "r")
    for key in good["settings"]:
        path.write_text(json.dumps(good | {"settings": {k: v for k, v in good["settings"].items() if k != key}}))
        assert f"{key} is missing" in sentence_of(tmp_path / "r")


@pytest.mark.parametrize("text", ["", "{", "}", "null", "nan", '{"gan"', "[" * 100_000, "\0", '{"a": 1}{', "1" * 5000])
def test_a_config_that_is_no_json(finished, tmp_path, text):
    shutil.copytree(finished["gan"], tmp_path / "r")
    (tmp_path / "r" / "config.json").write_text(text)
    assert "is damaged (" in sentence_of(tmp_path / "r")


def test_a_config_in_another_encoding_or_gone(finished, tmp_path):
    shutil.copytree(finished["gan"], tmp_path / "r")
    (tmp_path / "r" / "config.json").write_bytes(b'\xff\xfe{"gan": "gan"}')
    assert "is damaged (" in sentence_of(tmp_path / "r")
    (tmp_path / "r" / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"r is not a run: it has no config\.json"):
        Run.open(tmp_path / "r")


@pytest.mark.parametrize("labels", [[0], [], [2, 2], 3, None, [2.0]])
def test_labels_of_a_damaged_config(finished, tmp_path, labels):
    shutil.copytree(finished["conditional"], tmp_path / "r")
    good = config_of(tmp_path / "r")
    (tmp_path / "r" / "config.json").write_text(json.dumps(good | {"shapes": good["shapes"] | {"labels": labels}}))
    assert "is damaged (" in sentence_of(tmp_path / "r")


def test_another_number_of_classes_does_not_fit_the_checkpoint(finished, tmp_path):
    shutil.copytree(finished["conditional"], tmp_path / "r")
    good = config_of(tmp_path / "r")
    (tmp_path / "r" / "config.json").write_text(json.dumps(good | {"shapes": good["shapes"] | {"labels": [4]}}))
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors does not fit this run"):
        Run.open(tmp_path / "r")


@pytest.mark.parametrize("depth", [200_000, 1_000_000])
@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_deep_brackets_instead_of_a_config(finished, tmp_path, bracket, depth):
    shutil.copytree(finished["gan"], tmp_path / "r")
    (tmp_path / "r" / "config.json").write_text(bracket * depth)
    assert "is damaged (" in sentence_of(tmp_path / "r")


@pytest.mark.parametrize("width", [10**12, 10**30])
def test_a_network_that_fits_into_no_memory(finished, tmp_path, width):
    shutil.copytree(finished["conditional"], tmp_path / "r")
    good = config_of(tmp_path / "r")
    (tmp_path / "r" / "config.json").write_text(json.dumps(good | {"settings": good["settings"] | {"width": width}}))
    assert "is damaged (" in sentence_of(tmp_path / "r")


def test_a_run_of_the_old_format_gets_its_own_sentence(tmp_path):
    (tmp_path / "r").mkdir()
    old = {
        "model": "dcgan",
        "data": "mnist",
        "size": None,
        "loss": "hinge",
        "epochs": 2,
        "seed": 0,
        "shape": [1, 28, 28],
    }
    (tmp_path / "r" / "config.json").write_text(json.dumps(old))
    with pytest.raises(
        ValueError, match=r"r was made by an older minigan, whose runs had another format: train it again"
    ):
        Run.open(tmp_path / "r")


# --- tables ----------------------------------------------------------------------------------------------------


@every_case
def test_the_tables_show_every_network_and_change_nothing(tmp_path, name, kind):
    run, arrays = create(tmp_path / "r", name, kind)
    rng_before, before = np.random.get_state()[1].tobytes(), all_bytes(run.gan)
    modules = [m for network in run.gan.networks().values() for m in network.modules()]
    marks = [dict(vars(m)) for m in modules]
    tables = run.tables(arrays)
    assert all_bytes(run.gan) == before and [dict(vars(m)) for m in modules] == marks and run.gan.steps == 0
    assert np.random.get_state()[1].tobytes() == rng_before and run.tables(arrays) == tables
    for network, value in run.gan.networks().items():
        if network == "average":
            assert "average" not in tables
            continue
        (block,) = [part for part in tables.split("\n\n") if part.startswith(network + "\n")] or [tables]
        total = sum(p.size for p in value.parameters())
        assert f"\n{network}\n" in "\n" + tables and f"{total:,}" in block
    leaves = [m for network, value in run.gan.networks().items() if network != "average" for m in leaves_of(value)]
    assert tables.count("(N, ") >= len(leaves)
    sample = next(iter(arrays.values()))
    assert str(("N", *sample.shape[1:])).replace("'", "") in tables  # what G makes
    trained = [{k: v.item() for k, v in run.gan.step(np.random.default_rng(0), **batch_of(run, arrays)).items()}]
    fresh, _ = create(tmp_path / "f", name, kind)
    assert trained == [
        {k: v.item() for k, v in fresh.gan.step(np.random.default_rng(0), **batch_of(run, arrays)).items()}
    ]


def leaves_of(network):
    return [module for module in network.modules() if not module.children()]


def batch_of(run, arrays):
    return {name: array[: run.gan.samples_per_step] for name, array in arrays.items()}


@pytest.mark.parametrize("batch_size", [1, 2, 24])
@pytest.mark.parametrize("critic_steps", [1, 3, 24])
def test_tables_need_few_samples(tmp_path, batch_size, critic_steps):
    if batch_size * critic_steps > 24:
        return
    run, arrays = create(tmp_path / "r", "wgan", "points", batch_size=batch_size, critic_steps=critic_steps)
    assert "Linear(128, 1)" in run.tables(arrays)


# --- going on --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gan", "conditional", "wgan_gp"])
def test_a_run_that_is_opened_in_the_middle_ends_with_the_same_bytes(finished, tmp_path, monkeypatch, name):
    kind = "points" if name == "wgan_gp" else "images 8x8"
    run, arrays = create(tmp_path / "r", name, kind)
    total = run.gan.epochs * (24 // run.gan.samples_per_step)

    for stop in range(1, total):

        def stop_at(gan, path, stop=stop, save=GAN.save):
            if gan.steps == stop and stop % 2:
                raise StopIteration  # the figures are written, the checkpoint is not
            save(gan, path)
            if gan.steps == stop:
                raise StopIteration

        with monkeypatch.context() as patch:
            patch.setattr(GAN, "save", stop_at)
            with pytest.raises(StopIteration):
                Run.open(tmp_path / "r").train(arrays)
    assert Run.open(tmp_path / "r").train(arrays)
    assert contents(tmp_path / "r") == contents(finished[name])


def test_to_train_longer(finished, tmp_path):
    """Weights and figures are those of a run that had so many epochs from the beginning; it drew other frames."""
    shutil.copytree(finished["gan"], tmp_path / "r")
    straight, arrays = create(tmp_path / "straight", epochs=5)
    straight.train(arrays)
    run = Run.open(tmp_path / "r")
    run.train_longer(5)
    assert Run.open(tmp_path / "r").gan.epochs == 5  # it is written down at once
    run.train(arrays)
    longer, whole = contents(tmp_path / "r"), contents(tmp_path / "straight")
    same = ["checkpoint.safetensors", "config.json", "metrics.jsonl", "losses.png", "samples.png"]
    for name in [*same, *(f"epochs/epoch_00{k}.png" for k in range(1, 6))]:
        assert longer[name] == whole[name], name
    for frame in set(longer) & set(whole):
        assert frame == "training.gif" or longer[frame] == whole[frame]


@pytest.mark.parametrize("epochs", [0, -1, 1, 2])
def test_not_longer(finished, tmp_path, epochs):
    shutil.copytree(finished["gan"], tmp_path / "r")
    before = contents(tmp_path / "r")
    with pytest.raises(ValueError, match=r"give a larger number|epochs must be a whole number of at least 1"):
        Run.open(tmp_path / "r").train_longer(epochs)
    assert contents(tmp_path / "r") == before


def test_other_data_are_refused(finished, tmp_path):
    run, arrays = Run.open(finished["gan"]), arrays_for("gan", tiny_data("images 8x8"))
    run.check_data(arrays)
    changed = arrays["samples"].copy()
    changed[7, 0, 2, 1] = np.nextafter(changed[7, 0, 2, 1], np.float32(9))  # a single bit
    with pytest.raises(ValueError, match=f"the values of the data {DATA} have changed since this run began"):
        run.check_data({"samples": changed})
    for other in (arrays["samples"][:-1], np.zeros((24, 3), np.float32), np.zeros((24, 1, 8, 9), np.float32)):
        with pytest.raises(ValueError, match=f"the data {DATA} have changed since this run began: 24 samples of"):
            run.check_data({"samples": other})
    before = contents(finished["gan"])
    with pytest.raises(ValueError, match="have changed"):
        run.train({"samples": changed})
    assert contents(finished["gan"]) == before


def test_a_label_that_changed_is_noticed(finished):
    run, arrays = Run.open(finished["conditional"]), arrays_for("conditional", tiny_data("images 8x8"))
    labels = arrays["labels"].copy()
    labels[3] = (labels[3] + 1) % 3
    with pytest.raises(ValueError, match=r"the values of the data .* have changed"):
        run.check_data(arrays | {"labels": labels})


def test_toys_are_drawn_anew_and_have_no_checksum(tmp_path):
    run, arrays = create(tmp_path / "r", data=next(iter(TOYS)))
    assert run.config.checksum is None
    run.check_data({"samples": arrays["samples"] + 1e-7})


# --- random numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 2**32 + 1])
def test_no_two_uses_of_the_seed_draw_the_same_numbers(tmp_path, monkeypatch, seed):
    """Over a run of 3 epochs with 4 steps, and a sample of it. NumPy takes [7, 1] and [7, 1, 0] for the same seed."""
    made, make = [], np.random.default_rng

    def noted(key=None):
        made.append((make(key).bytes(16), key))
        return make(key)

    folder, points = tmp_path / "r", tiny_data("points")["points"]
    monkeypatch.setattr(np.random, "default_rng", noted)
    arrays = {"samples": points}
    run = Run.create(folder, "gan", DATA, arrays, {"batch_size": 6, "epochs": 3}, None, seed)
    run.train(arrays)
    assert main(["sample", str(folder), "--seed", str(seed), "-o", str(tmp_path / "s.npz")]) == 0
    keys = {}
    for drawn, key in made:
        keys.setdefault(drawn, set()).add(str(key))
    assert len(keys) == 3 + 12 + 1 + 1 + 1  # orders of epochs, steps, the previews, the first weights, the sample
    assert all(len(same) == 1 for same in keys.values()), keys


# --- who trains it -----------------------------------------------------------------------------------------------


def in_a_thread(work):
    """The result of `work` in a thread that is not the main one, or its error."""
    results = []

    def run():
        try:
            results.append(work())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    return results[0]


def test_training_in_another_thread(finished, tmp_path):
    """Where Python lets no signal handler be set, and Ctrl-C is the main thread's."""
    before = signal.getsignal(signal.SIGINT)
    run, arrays = create(tmp_path / "r")
    assert in_a_thread(lambda: run.train(arrays)) is True
    assert contents(tmp_path / "r") == contents(finished["gan"]) and signal.getsignal(signal.SIGINT) is before
    longer = Run.open(tmp_path / "r")
    longer.train_longer(3)
    assert in_a_thread(lambda: longer.train(arrays)) is True


@pytest.mark.parametrize("usual", [signal.SIG_IGN, signal.SIG_DFL, signal.default_int_handler, lambda *_: None])
def test_after_training_ctrl_c_means_what_it_did_before(tmp_path, usual):
    run, arrays = create(tmp_path / "r")
    before = signal.signal(signal.SIGINT, usual)
    try:
        run.train(arrays)
        assert signal.getsignal(signal.SIGINT) is usual or signal.getsignal(signal.SIGINT) == usual
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_that_another_process_trains_is_left_alone(finished, tmp_path):
    shutil.copytree(finished["gan"], tmp_path / "r")
    run, arrays = Run.open(tmp_path / "r"), arrays_for("gan", tiny_data("images 8x8"))
    sentence = rf"{tmp_path / 'r'} is being trained by another process \(pid {os.getpid()}\): wait, or stop it"
    with locked(tmp_path / "r") as sure:
        assert sure
        before = contents(tmp_path / "r")
        for change in (lambda: run.train(arrays), lambda: run.train_longer(9), run.write_config):
            with pytest.raises(ValueError, match=sentence):
                change()
        assert contents(tmp_path / "r") == before
        assert Run.open(tmp_path / "r").gan.steps == 12  # to look at it is allowed
        create(tmp_path / "another")[0].train(arrays)
    Run.open(tmp_path / "r").train_longer(3)
    assert Run.open(tmp_path / "r").train(arrays)


def test_the_lock_of_a_killed_process_is_gone(finished, tmp_path):
    shutil.copytree(finished["gan"], tmp_path / "r")
    script = (
        "import os, pathlib, sys\nfrom minigan.lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n    print(os.getpid(), flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "r")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert int(holder.stdout.readline()) == holder.pid
        with pytest.raises(ValueError, match=rf"\(pid {holder.pid}\)"), locked(tmp_path / "r"):
            pass
        holder.kill()
        holder.wait()
    assert (tmp_path / "r" / LOCK).read_bytes()  # its number is still there, and nobody's
    assert Run.open(tmp_path / "r").train(arrays_for("gan", tiny_data("images 8x8")))
    assert contents(tmp_path / "r") == contents(finished["gan"])


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), NameError("fcntl")])
def test_where_there_are_no_locks_training_goes_on(finished, tmp_path, monkeypatch, error):
    def refuse(file):
        raise error

    monkeypatch.setattr(lock, "_lock", refuse)
    run, arrays = create(tmp_path / "r")
    (tmp_path / "r" / "samples.png.0123abcd.part").touch()  # perhaps another's, who writes it now
    assert run.train(arrays)
    (tmp_path / "r" / "samples.png.0123abcd.part").unlink()
    assert contents(tmp_path / "r") == contents(finished["gan"])


def killed_in_the_middle(folder, tmp_path, what):
    """Run `what` in a process that dies while it writes its second file."""
    script = (
        "import os, signal, sys\nsys.path.insert(0, sys.argv[1])\n"
        "from test_run import *\nfrom pathlib import Path\n"
        "calls, fsync = [], os.fsync\n"
        "def die(number):\n"
        "    calls.append(fsync(number))\n"
        "    if len(calls) == 2:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        f"os.fsync = die\nfolder = Path(sys.argv[2])\n{what}\n"
    )
    out = subprocess.run([sys.executable, "-c", script, str(Path(__file__).parent), str(folder)], capture_output=True)
    assert out.returncode == -signal.SIGKILL, out.stderr


def test_what_killed_processes_left_is_removed_and_nothing_else(finished, tmp_path):
    folder, arrays = tmp_path / "runs" / "r", arrays_for("gan", tiny_data("images 8x8"))
    folder.parent.mkdir()
    killed_in_the_middle(folder, tmp_path, "create(folder)")
    (left,) = folder.parent.iterdir()
    others = [folder.parent / name for name in ("mine.part", "minigan.0123abcd.part", "minigan.89abcdef.part/run")]
    for other in others:
        other.mkdir(parents=True)
    (others[1] / "my thesis.txt").touch()
    (others[2].parent / LOCK).touch()
    with locked(others[2].parent):  # a living process is making a run there
        create(folder)
    assert not left.exists() and folder.exists() and all(other.exists() for other in others)

    killed_in_the_middle(folder, tmp_path, "Run.open(folder).train(arrays_for('gan', tiny_data('images 8x8')))")
    assert len(list(folder.rglob("*.part"))) == 1
    ours = [folder / name for name in ("checkpoint.safetensors.part", "frames/0000001.png.0123abcd.part")]
    mine = [folder / name for name in ("song.mp3.part", "notes.txt.0123abcd.part", "kept/samples.png.0123abcd.part")]
    (folder / "kept").mkdir()
    for path in (*ours, *mine):
        path.touch()
    assert Run.open(folder).train(arrays)
    assert sorted(folder.rglob("*.part")) == sorted(mine)
    for path in mine:
        path.unlink()
    assert contents(folder) == contents(finished["gan"])
    create(folder.parent / "next")
    assert not others[2].exists()  # nobody holds it any more


# --- what is no file ------------------------------------------------------------------------------------------------


@pytest.fixture
def impatient():
    """An error instead of waiting for ever."""

    def late(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


OTHERS = {
    "a pipe": lambda path: os.mkfifo(path),
    "a device": lambda path: path.symlink_to("/dev/null"),
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such things in folders")
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("config.json", r"is not a run: it has no config\.json"),
        ("checkpoint.safetensors", r"there is no checkpoint .*checkpoint\.safetensors"),
        ("metrics.jsonl", r"metrics\.jsonl is damaged \(it is not a file\)"),
        ("frames/0000003.png", r"0000003\.png is not a file: delete it to go on without it"),
        (LOCK, r"\.lock is no file that minigan made: delete it"),
    ],
)
def test_what_is_no_file_is_refused_and_never_waited_for(finished, tmp_path, impatient, name, sentence, other):
    shutil.copytree(finished["gan"], tmp_path / "r")
    path = tmp_path / "r" / name
    path.unlink()
    OTHERS[other](path)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        Run.open(tmp_path / "r").train(arrays_for("gan", tiny_data("images 8x8")))


# --- figures and frames ----------------------------------------------------------------------------------------


def test_figures_of_any_name(finished, tmp_path, monkeypatch):
    """Some of which are missing in some lines, as where a paper's step has two kinds of steps."""
    step = GANS["gan"].step

    def with_more(gan, rng, samples):
        figures = step(gan, rng, samples)
        if gan.steps % 3 == 0:
            figures |= {"now and then": figures["d_loss"] * 2, "odd_loss": figures["g_loss"]}
        if gan.steps == 5:
            figures = {"alone": figures["d_loss"]}
        return figures

    monkeypatch.setattr(GANS["gan"], "step", with_more)
    monkeypatch.setattr(GANS["gan"], "needs", classmethod(lambda gan: ["samples"]))
    run, arrays = create(tmp_path / "r")
    assert run.train(arrays)
    lines = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert ["now and then" in line for line in lines] == [k % 3 == 0 for k in range(12)]
    assert set(lines[5]) == {"step", "alone"}
    assert Image.open(tmp_path / "r" / "losses.png").size == (800, 600)
    before = contents(tmp_path / "r")
    assert Run.open(tmp_path / "r").train(arrays)
    assert contents(tmp_path / "r") == before


@pytest.mark.parametrize(
    "text",
    ["{", "[]\n", "5\n", '{"stop": 3}\n', '{"step": 3}\n', '{"step": 1.5, "a": 1}\n', '{"step": "1", "a": 1}\n', "{}\n"]
    + [json.dumps({"step": 1, "g_loss": value}) for value in ("1", None, [1], 10**400, np.nan, {})]
    + [json.dumps({"step": 1, name: 1.0}) for name in ("\ud800", "g_loss\0", "a\nb")],  # no font has these
)
def test_damaged_figures(finished, tmp_path, text):
    shutil.copytree(finished["gan"], tmp_path / "r")
    (tmp_path / "r" / "metrics.jsonl").write_text(text)
    with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged \(.*\): empty it to go on without its figures"):
        Run.open(tmp_path / "r").train(arrays_for("gan", tiny_data("images 8x8")))


def test_deep_brackets_are_damaged_figures_and_lost_figures_are_none(finished, tmp_path):
    shutil.copytree(finished["gan"], tmp_path / "r")
    (tmp_path / "r" / "metrics.jsonl").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="is damaged"):
        Run.open(tmp_path / "r").train(arrays_for("gan", tiny_data("images 8x8")))
    (tmp_path / "r" / "metrics.jsonl").unlink()
    run = Run.open(tmp_path / "r")
    run.train_longer(3)
    assert run.train(arrays_for("gan", tiny_data("images 8x8"))) and run.metrics[0]["step"] == 13


def test_epochs_that_are_made_already_are_counted(finished):
    run = Run.open(finished["gan"])
    made = run.config.settings["epochs"]
    assert made > 1
    for epochs in (1, made):
        with pytest.raises(ValueError, match=f"has made {made} epochs already: give a larger number"):
            run.train_longer(epochs)


def test_a_checkpoint_of_a_longer_run(finished, tmp_path):
    shutil.copytree(finished["gan"], tmp_path / "r")
    path = tmp_path / "r" / "checkpoint.safetensors"
    arrays, _ = load_checkpoint(path)
    save_checkpoint(path, arrays, {"step": 13})
    with pytest.raises(
        ValueError, match=r"checkpoint\.safetensors is of step 13, and this run has 12: put back its own"
    ):
        Run.open(tmp_path / "r")


def test_the_tiny_settings_are_settings():
    assert set(TINY) <= {setting for name in GANS for setting in default_settings(name)} and KINDS
