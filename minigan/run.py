"""A run folder: what `minigan train` leaves on disk, and how a stopped run goes on.

config.json  the settings      checkpoint.safetensors  all that training changes     metrics.jsonl  a line per step
samples.png  losses.png  training.gif      epochs/  samples after each epoch        frames/  the GIF's pictures

Every file is written whole or not at all, the checkpoint last. So a run that was killed at any instant goes on
from its checkpoint and ends with the same bytes as one that was not. .lock lets one process at a time train it.

No two uses of the seed draw the same random numbers, since the last number says what for: an epoch's order is of
[seed, epoch], a step of [seed, step, 1], previews are of [seed, 0, 2], the first weights of [seed, 0, 3], what `minigan
sample` draws is of [seed, 0, 4]. (NumPy takes [seed, 1] and [seed, 1, 0] for the same: hence the step comes first.)
"""

import copy
import json
import math
import re
import shlex
import shutil
import signal
import threading
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from minigan import backend, plots
from minigan.checkpoint import write_file
from minigan.checks import check_integer
from minigan.data import NAMES, TOYS, DataLoader
from minigan.data.images import open_picture
from minigan.errors import DivergedError
from minigan.gan import GAN, train
from minigan.gans import GANS, find_gan
from minigan.gans.about import about
from minigan.lock import LOCK, locked
from minigan.nn.summary import table, watched

FRAMES = 40  # pictures in training.gif, and checkpoints in a run, besides those at the ends of epochs
UNFINISHED = r"(config\.json|checkpoint\.safetensors|metrics\.jsonl|[a-z0-9_]+\.(png|gif))(\.[0-9a-f]{8})?\.part"
LARGEST = 10**9  # of a setting that is a whole number: no GAN of that many channels or epochs fits into any machine
KINDS = ("images", "points", "labels", "samples")  # what a step's arguments can be called
Arrays = dict[str, np.ndarray]


@dataclass
class Config:
    """What config.json holds: all that a run needs to be made again, but for the data themselves."""

    gan: str  # its name in GANS
    data: str  # a name or a path
    size: int | None  # of the images, where it was asked for
    seed: int
    settings: dict[str, Any]  # all keyword-only arguments of the GAN's __init__
    shapes: dict[str, tuple[int, ...]]  # of one sample of each array; of labels, (K,) for K classes
    count: int  # of samples
    checksum: int | None  # of the data; None for toys: drawn anew, they may round otherwise elsewhere


def arrays_for(name: str, data: Arrays) -> Arrays:
    """Of a data set's arrays, those that a step of this GAN takes. `samples` are images or points, whichever there are.

    Raises ValueError, in one sentence, where some are missing.
    """
    needs = find_gan(name).needs()
    samples = data.get("images", data.get("points"))
    data = data if samples is None else data | {"samples": samples}
    unknown = [need for need in needs if need not in (*data, *KINDS)]
    if unknown:
        raise ValueError(f"the step of {name} takes {unknown[0]}, but data are called {', '.join(KINDS)}: rename it")
    if any(need not in data for need in needs):
        there = [name for name in data if name != "samples"]
        fitting = [other for other in GANS if all(n in data for n in GANS[other].needs())]
        raise ValueError(
            f"{name} needs {about(find_gan(name)).takes}, and these data have {' and '.join(there)} only: "
            "choose other data" + (f", or another GAN ({', '.join(fitting)})" if fitting else "")
        )
    return {need: data[need] for need in needs}


def shapes_of(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    """The shape of one sample of each array; of labels, (K,) for the classes 0 to K - 1."""
    return {name: (int(a.max()) + 1,) if name == "labels" else a.shape[1:] for name, a in arrays.items()}


def default_settings(name: str) -> dict[str, Any]:
    """The settings of a GAN as its file has them."""
    return {setting: value.default for setting, value in about(find_gan(name)).settings.items()}


class Run:
    """A folder and the training that it records."""

    def __init__(self, folder: Path, config: Config) -> None:
        check_integer("seed", config.seed, 0)
        for name, value in config.settings.items():
            if isinstance(value, int) and value > LARGEST:
                raise ValueError(f"{name} must be {LARGEST} at most, not {value}")
        self.folder, self.config = folder, config
        rng = np.random.default_rng([config.seed, 0, 3])
        self.gan: GAN = find_gan(config.gan)(config.shapes, rng, **config.settings)
        self.metrics: list[dict[str, float]] = []
        self.checked: Arrays | None = None  # data that were found to be those that the run began with
        _steps_per_epoch(self.gan, config)

    @property
    def checkpoint(self) -> Path:
        """The file of all that training changes."""
        return self.folder / "checkpoint.safetensors"

    @classmethod
    def create(
        cls, folder: Path, gan: str, data: str, arrays: Arrays, settings: dict[str, Any], size: int | None, seed: int
    ) -> "Run":
        """A new run in a folder that must be new or empty. `settings` are those that differ from the GAN's defaults.

        Small data get more epochs, unless they are among the settings: about 1500 steps in all.
        """
        _check_free(folder)
        count = len(next(iter(arrays.values())))
        config = Config(gan, data, size, seed, default_settings(gan) | settings, shapes_of(arrays), count, None)
        run = cls(folder, config)
        steps = _steps_per_epoch(run.gan, config)
        if data not in NAMES and "epochs" not in settings:
            run.gan.epochs = config.settings["epochs"] = max(run.gan.epochs, 1500 // steps)
        config.checksum = run.checksum_of(arrays)
        try:
            if not folder.parent.exists():  # a file in its place gets a better sentence below
                folder.parent.mkdir(parents=True, exist_ok=True)
            run._begin(arrays)
        except OSError as error:
            error.filename = str(folder)  # and not that of a folder that is gone
            raise
        run = cls.open(folder)
        run.checked = arrays
        return run

    def _begin(self, arrays: Arrays) -> None:
        """Write the run before its first step.

        Made in a folder that no other process knows, it takes its name when complete, even if we are killed.
        """
        folder = self.folder
        _remove_unfinished_runs(folder.parent)
        with TemporaryDirectory(".part", "minigan.", folder.parent) as private, locked(Path(private)):
            self.folder = unfinished = Path(private) / "run"
            unfinished.mkdir()
            self.write_config()
            self.write_picture("frames/0000000.png", arrays)
            self.save()
            try:
                if folder.exists():
                    folder.rmdir()  # it is empty
                unfinished.rename(folder)
            except OSError:
                _check_free(folder)  # another process was faster
                raise

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """The run in `folder`, as its checkpoint left it."""
        path = folder / "config.json"
        if not path.is_file():
            raise FileNotFoundError(f"{folder} is not a run: it has no config.json")
        try:
            values = json.loads(path.read_text("utf-8"))
            old = isinstance(values, dict) and "model" in values and "gan" not in values
            run = None if old else cls(folder, _config_of(values))
        except (ValueError, TypeError, OverflowError, MemoryError, RecursionError) as error:
            raise ValueError(f"{path} is damaged ({error}): it must be as `minigan train` wrote it") from None
        if run is None:
            raise ValueError(f"{folder} was made by an older minigan, whose runs had another format: train it again")
        run.gan.load(run.checkpoint)
        total = run.gan.epochs * _steps_per_epoch(run.gan, run.config)
        if run.gan.steps > total:
            raise ValueError(f"{run.checkpoint} is of step {run.gan.steps}, and this run has {total}: put back its own")
        return run

    def tables(self, arrays: Arrays) -> str:
        """The layers of each network, with the shapes that go through them in one step of a copy of the GAN."""
        gan = copy.deepcopy(self.gan)
        n = 2 * gan.samples_per_step // gan.batch_size  # two for each part of a step, since batch norm needs two
        with ExitStack() as stack:
            networks = {name: network for name, network in gan.networks().items() if name != "average"}
            rows = {name: stack.enter_context(watched(network)) for name, network in networks.items()}
            gan.step(np.random.default_rng(0), **{name: array[:n] for name, array in arrays.items()})
        return "\n".join(f"{name}\n{table(found, networks[name])}" for name, found in rows.items())

    def write_config(self) -> None:
        """Write config.json. Raises ValueError while another process trains this run."""
        with locked(self.folder):
            write_file(self.folder / "config.json", json.dumps(asdict(self.config), indent=2) + "\n")

    def train_longer(self, epochs: int) -> None:
        """Raise the number of epochs; raises ValueError where so many are made already."""
        check_integer("epochs", epochs, 1)
        made = self.gan.steps // _steps_per_epoch(self.gan, self.config)
        if made >= epochs:
            raise ValueError(f"{self.folder} has made {made} epochs already: give a larger number to train it longer")
        self.gan.epochs = self.config.settings["epochs"] = epochs
        self.write_config()

    def checksum_of(self, arrays: Arrays) -> int | None:
        """A number that changes with the data."""
        if self.config.data in TOYS:
            return None
        checksum = 0
        for array in arrays.values():
            checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
        return checksum

    def check_data(self, arrays: Arrays) -> None:
        """Raise ValueError unless these are the data that the run began with."""
        if arrays is self.checked:
            return
        config, count = self.config, len(next(iter(arrays.values())))
        if (shapes_of(arrays), count) != (config.shapes, config.count):
            raise ValueError(
                f"the data {config.data} have changed since this run began: {config.count} samples of {config.shapes} "
                f"then, {count} of {shapes_of(arrays)} now"
            )
        if config.checksum not in (None, self.checksum_of(arrays)):
            raise ValueError(
                f"the values of the data {config.data} have changed since this run began: put the old data back, "
                "or begin a new run"
            )
        self.checked = arrays

    def train(self, arrays: Arrays) -> bool:
        """Train to the end, with a progress bar; returns whether it got there, or was stopped with Ctrl-C.

        Raises ValueError where the data are not the run's own, and while another process trains it.
        """
        self.check_data(arrays)
        with locked(self.folder) as alone:
            if alone:
                self._remove_unfinished_files()
            return self._train(arrays)

    def _remove_unfinished_files(self) -> None:
        """Remove what a process that was killed while it wrote a file has left."""
        for folder in (self.folder, self.folder / "epochs", self.folder / "frames"):
            for path in folder.glob("*.part"):
                if re.fullmatch(UNFINISHED, path.name) and path.is_file():
                    path.unlink(missing_ok=True)

    def _train(self, arrays: Arrays) -> bool:
        gan, batch = self.gan, self.gan.samples_per_step
        on_device = {name: backend.asarray(array) for name, array in arrays.items()}
        loader = DataLoader(on_device, batch_size=batch, seed=self.config.seed)
        total = gan.epochs * len(loader)
        self.metrics = self._read_metrics()
        self._read_frames()  # says now if one is damaged, not at the end
        bar = tqdm(total=total * batch, initial=gan.steps * batch, unit=" samples", dynamic_ncols=True)
        with bar, _ctrl_c_pressed() as pressed:
            for figures in train(gan, loader):
                self.metrics.append({"step": gan.steps} | {name: round(x, 6) for name, x in figures.items()})
                bar.set_description(f"epoch {(gan.steps - 1) // len(loader) + 1}/{gan.epochs}", refresh=False)
                bar.set_postfix_str(", ".join(f"{name} {x:.2f}" for name, x in figures.items()), refresh=False)
                bar.update(batch)
                epoch_ends, frame_due = gan.steps % len(loader) == 0, gan.steps % max(1, total // FRAMES) == 0
                if epoch_ends:
                    self.write_picture(f"epochs/epoch_{gan.steps // len(loader):03d}.png", arrays)
                if frame_due:
                    self.write_picture(f"frames/{gan.steps:07d}.png", arrays)
                if epoch_ends or frame_due or pressed:
                    self.save()
                if pressed:
                    break
        self._write_pictures(arrays)
        return gan.steps >= total

    def save(self) -> None:
        """Write the checkpoint, and before it the figures up to it."""
        write_file(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in self.metrics))
        self.gan.save(self.checkpoint)

    def _read_metrics(self) -> list[dict[str, float]]:
        """The lines up to the checkpoint: a killed run may have written some more."""
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return []
        try:
            if not path.is_file():  # such as a pipe, which would be waited for
                raise ValueError("it is not a file")
            metrics = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            for line in metrics:
                check_integer("step", line["step"], 1)
                if len(line) == 1 or not all(math.isfinite(value) for value in line.values()):
                    raise ValueError(f"a line must have figures that are finite: {line}")
                if not all(name.isprintable() for name in line):
                    raise ValueError(f"a figure's name must have letters that can be drawn: {line}")
            return [line for line in metrics if line["step"] <= self.gan.steps]
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, MemoryError) as error:
            raise ValueError(f"{path} is damaged ({error}): empty it to go on without its figures") from None

    def _read_frames(self) -> list[Image.Image]:
        paths = sorted((self.folder / "frames").glob("*.png"))
        try:
            if others := [path for path in paths if not path.is_file()]:
                raise ValueError(f"{others[0]} is not a file")
            return [open_picture(path) for path in paths]
        except ValueError as error:
            raise ValueError(f"{error}: delete it to go on without it") from None

    def write_picture(self, name: str, arrays: Arrays) -> None:
        """Draw the GAN's preview: for every picture of the run, of the same random numbers."""
        fakes = self.gan.preview(np.random.default_rng([self.config.seed, 0, 2]))
        if not np.isfinite(fakes).all():
            raise DivergedError("the samples have numbers that are not finite", self.gan.steps)
        picture = plots.draw(fakes, next(iter(arrays.values()))[: len(fakes)])
        (self.folder / name).parent.mkdir(exist_ok=True)
        write_file(self.folder / name, plots.to_bytes(picture))

    def _write_pictures(self, arrays: Arrays) -> None:
        self.write_picture("samples.png", arrays)
        if self.metrics:
            write_file(self.folder / "losses.png", plots.to_bytes(plots.loss_curves(self.metrics)))
        if frames := self._read_frames():
            write_file(self.folder / "training.gif", plots.animation(frames))


def _config_of(values: Any) -> Config:
    """The content of config.json. Raises ValueError for what `minigan train` did not write."""
    if not isinstance(values, dict):
        raise ValueError("it is not a table of names and values")
    _check_names("its entries", values, [field.name for field in fields(Config)])
    config = Config(**values)
    gan = find_gan(config.gan)
    for name, kind in (("data", str), ("size", int | None), ("checksum", int | None), ("settings", dict)):
        if not isinstance(getattr(config, name), kind) or isinstance(getattr(config, name), bool):
            raise ValueError(f"{name} cannot be {getattr(config, name)!r}")
    config.shapes = _shapes_of_config(config.shapes, gan.needs())
    check_integer("count", config.count, low=1)
    defaults = default_settings(config.gan)
    _check_names("its settings", config.settings, list(defaults))
    for name, default in defaults.items():
        config.settings[name] = _as_default(name, config.settings[name], default)
    return config


def _check_names(what: str, values: dict[str, Any], names: list[str]) -> None:
    missing, extra = [n for n in names if n not in values], [n for n in values if n not in names]
    if missing or extra:
        wrong = f"{missing[0]} is missing" if missing else f"{extra[0]!r} is none of them"
        raise ValueError(f"{what} must be {', '.join(names)}, but {wrong}")


def _shapes_of_config(shapes: Any, needs: list[str]) -> dict[str, tuple[int, ...]]:
    if not isinstance(shapes, dict) or list(shapes) != needs:
        raise ValueError(f"shapes must have entries for {' and '.join(needs)}, and no others")
    for name, shape in shapes.items():
        if not isinstance(shape, list) or (name == "labels" and len(shape) != 1):
            raise ValueError(f"shapes cannot hold {shape!r} for {name}")
        for side in shape:
            check_integer("each number in shapes", side, low=1)
    return {name: tuple(shape) for name, shape in shapes.items()}


def _as_default(name: str, value: Any, default: Any) -> Any:
    """A setting as it came from JSON, which has no tuples; raises ValueError unless it is of its default's kind."""
    kinds = {tuple: list, float: int | float}
    if isinstance(value, bool) != isinstance(default, bool) or not isinstance(
        value, kinds.get(type(default), type(default))
    ):
        raise ValueError(f"the setting {name} must be of the kind of its default, {default!r}, not {value!r}")
    return tuple(value) if isinstance(default, tuple) else value


def _steps_per_epoch(gan: GAN, config: Config) -> int:
    """How many steps go through all data once. Raises ValueError where there are too few samples for one step."""
    if gan.samples_per_step > config.count:
        raise ValueError(
            f"one step takes {gan.samples_per_step} samples, and the data {config.data} have {config.count}: "
            "choose a smaller batch_size"
        )
    return config.count // gan.samples_per_step


def _check_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        resume = shlex.join(["--resume", str(folder)])
        raise ValueError(f"{folder} exists already: choose another --output, or go on with {resume}")


def _remove_unfinished_runs(parent: Path) -> None:
    """Remove what processes that were killed in `Run._begin` have left, but not what living ones are making."""
    for private in parent.glob("minigan.????????.part"):
        with suppress(ValueError, OSError):  # somebody else's, or locked
            names = {path.name for path in private.iterdir()}
            if not names or names - {"run", LOCK}:
                continue  # just begun, or not ours
            with locked(private) as alone:
                if alone:
                    shutil.rmtree(private / "run", ignore_errors=True)
            if alone:
                shutil.rmtree(private)


@contextmanager
def _ctrl_c_pressed() -> Iterator[list[bool]]:
    """A list that is empty until Ctrl-C is pressed; a second Ctrl-C stops at once, as usual.

    Only the main thread hears Ctrl-C; in others, the list stays empty.
    """
    pressed: list[bool] = []
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    usual = signal.getsignal(signal.SIGINT)

    def note(signum: int, frame: FrameType | None) -> None:
        pressed.append(True)  # where Ctrl-C was ignored, as in a shell's background jobs, the second one still stops
        signal.signal(signal.SIGINT, usual if callable(usual) else signal.default_int_handler)

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, usual)
