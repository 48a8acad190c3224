"""A run folder: what `minigan train` leaves on disk, and how a stopped run goes on.

config.json  the settings      checkpoint.safetensors  all that training changes     metrics.jsonl  a line per step
samples.png  losses.png  training.gif      epochs/  samples after each epoch        frames/  the GIF's pictures

Every file is written whole or not at all, the checkpoint last. So a run that was killed at any instant goes on
from its checkpoint and ends with the same bytes as one that was not.
"""

import json
import math
import signal
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import numpy as np
from PIL import Image
from tqdm import tqdm

from minigan import backend, plots
from minigan.checkpoint import write_file
from minigan.checks import check_integer
from minigan.data import TOYS, DataLoader, from_picture, load_images, load_mnist
from minigan.data.images import open_picture
from minigan.train import GAN, Config, train

FRAMES = 40  # pictures in training.gif, and checkpoints in a run, besides those at the ends of epochs
FIGURES = ("d_loss", "g_loss", "d_real", "d_fake")  # in each line of metrics.jsonl, and the step


def load_samples(config: Config) -> tuple[np.ndarray, ...]:
    """The real samples that `config` names: images (N, C, H, W) in [-1, 1], or points (N, 2); and MNIST's labels (N,).

    A name is "mnist" or a toy distribution. A path is a folder of pictures, an .npz or an IDX file; a single
    picture is a drawn shape, from whose dark pixels points are taken.
    """
    rng = np.random.default_rng(config.seed)
    if config.data == "mnist":
        return load_mnist("train", config.size or 28)
    if config.data in TOYS:
        return (TOYS[config.data](50_000, rng),)
    path = Path(config.data)
    if not path.exists():
        names = ", ".join(["mnist", *TOYS])
        raise ValueError(f"there is no dataset {config.data!r}: give one of {names}, or the path of your own images")
    if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        return (from_picture(path, 50_000, rng),)
    return (load_images(path, config.size),)


class Run:
    """A folder and the training that it records."""

    def __init__(self, folder: Path, config: Config, shape: tuple[int, ...], count: int, classes: int) -> None:
        self.folder, self.config, self.shape, self.count = folder, config, shape, count
        self.gan = GAN(config, shape, classes)
        self.metrics: list[dict[str, float]] = []
        self.checksum: int | None = None  # of the samples that the run began with, where it is known
        n = 64 if len(shape) == 3 else 1000  # images, or points
        rng = np.random.default_rng([config.seed, n])
        self.fixed_noise = rng.standard_normal((n, self.gan.noise_dim), dtype=np.float32)  # for every picture the same

    @property
    def checkpoint(self) -> Path:
        """The file of all that training changes."""
        return self.folder / "checkpoint.safetensors"

    @classmethod
    def create(cls, folder: Path, config: Config, samples: np.ndarray, labels: np.ndarray | None = None) -> "Run":
        """A new run in a folder that must be new or empty."""
        _check_free(folder)
        DataLoader(samples, batch_size=config.batch_size)  # says now, before there is a folder, if that is too large
        classes = 0 if labels is None else int(labels.max()) + 1
        run = cls(folder, config, samples.shape[1:], len(samples), classes)
        if not folder.parent.exists():  # a file in its place gets a better sentence below
            folder.parent.mkdir(parents=True, exist_ok=True)
        # Made in a folder that no other process knows, the run takes its name when complete, even if we are killed.
        with TemporaryDirectory(".part", folder.name + ".", folder.parent) as private:
            run.folder = unfinished = Path(private) / "run"
            unfinished.mkdir()
            settings = asdict(config) | {"shape": run.shape, "count": run.count, "classes": classes}
            settings["checksum"] = run.checksum_of(samples)
            write_file(unfinished / "config.json", json.dumps(settings, indent=2) + "\n")
            run.write_picture("frames/0000000.png", samples)
            run.save()
            try:
                if folder.exists():
                    folder.rmdir()  # it is empty
                unfinished.rename(folder)
            except OSError:
                _check_free(folder)  # another process was faster
                raise
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """The run in `folder`, as its checkpoint left it."""
        path = folder / "config.json"
        if not path.is_file():
            raise FileNotFoundError(f"{folder} is not a run: it has no config.json")
        try:
            settings = json.loads(path.read_text())
            config = Config(**{field.name: settings[field.name] for field in fields(Config)})
            shape, count, classes = tuple(settings["shape"]), settings["count"], settings["classes"]
            for number in (*shape, count):
                check_integer("each number in shape and count", number, low=1)
            check_integer("classes", classes, low=0)
            run = cls(folder, config, shape, count, classes)
            run.checksum = settings.get("checksum")
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"{path} is damaged ({error}): it must be as `minigan train` wrote it") from None
        run.gan.load(run.checkpoint)
        return run

    def checksum_of(self, samples: np.ndarray) -> int | None:
        """A number that changes with the samples; None for toys: drawn anew, they may round otherwise elsewhere."""
        return None if self.config.data in TOYS else zlib.crc32(np.ascontiguousarray(samples))

    def train(self, samples: np.ndarray, labels: np.ndarray | None = None) -> bool:
        """Train to the end, with a progress bar; returns whether it got there, or was stopped with Ctrl-C."""
        if (samples.shape[1:], len(samples)) != (self.shape, self.count):
            raise ValueError(
                f"the data {self.config.data} have changed since this run began: {self.count} samples of shape "
                f"{self.shape} then, {len(samples)} of {samples.shape[1:]} now"
            )
        if self.checksum not in (None, self.checksum_of(samples)):
            raise ValueError(
                f"the values of the data {self.config.data} have changed since this run began: put the old data back, "
                "or begin a new run"
            )
        gan, epochs = self.gan, self.config.epochs
        arrays = (samples,) if labels is None else (samples, labels)
        arrays = tuple(backend.asarray(array) for array in arrays)
        loader = DataLoader(*arrays, batch_size=self.config.batch_size, seed=self.config.seed)
        total = epochs * len(loader)
        self.metrics = self._read_metrics()
        self._read_frames()  # says now if one is damaged, not at the end
        bar = tqdm(
            total=total * loader.batch_size, initial=gan.step * loader.batch_size, unit=" images", dynamic_ncols=True
        )
        with bar, _ctrl_c_pressed() as pressed:
            for figures in train(gan, loader, epochs):
                self.metrics.append({"step": gan.step} | {name: round(x, 6) for name, x in figures.items()})
                bar.set_description(f"epoch {(gan.step - 1) // len(loader) + 1}/{epochs}", refresh=False)
                bar.set_postfix_str(_in_words(figures), refresh=False)
                bar.update(loader.batch_size)
                epoch_ends, frame_due = gan.step % len(loader) == 0, gan.step % max(1, total // FRAMES) == 0
                if epoch_ends:
                    self.write_picture(f"epochs/epoch_{gan.step // len(loader):03d}.png", samples)
                if frame_due:
                    self.write_picture(f"frames/{gan.step:07d}.png", samples)
                if epoch_ends or frame_due or pressed:
                    self.save()
                if pressed:
                    break
        self._write_pictures(samples)
        return gan.step >= total

    def save(self) -> None:
        """Write the checkpoint, and before it the figures up to it."""
        write_file(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in self.metrics))
        self.gan.save(self.checkpoint)

    def _read_metrics(self) -> list[dict[str, float]]:
        """The lines up to the checkpoint: a killed run may have written some more."""
        path = self.folder / "metrics.jsonl"
        try:
            metrics = [json.loads(line) for line in path.read_text().splitlines()]
            for line in metrics:
                if not all(math.isfinite(line[name]) for name in ("step", *FIGURES)):
                    raise ValueError(f"not all are finite: {line}")
            return [line for line in metrics if line["step"] <= self.gan.step]
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"{path} is damaged ({error}): empty it to go on without its figures") from None

    def _read_frames(self) -> list[Image.Image]:
        try:
            return [open_picture(path) for path in sorted((self.folder / "frames").glob("*.png"))]
        except ValueError as error:
            raise ValueError(f"{error}: delete it to go on without it") from None

    def write_picture(self, name: str, samples: np.ndarray) -> None:
        """Draw what the generator makes of the fixed noise; points, over some real ones from `samples`."""
        fakes = self.gan.sample(self.fixed_noise)
        picture = plots.image_grid(fakes) if fakes.ndim == 4 else plots.scatter(fakes, samples[: len(fakes)])
        (self.folder / name).parent.mkdir(exist_ok=True)
        write_file(self.folder / name, plots.to_bytes(picture))

    def _write_pictures(self, samples: np.ndarray) -> None:
        self.write_picture("samples.png", samples)
        if self.metrics:
            write_file(self.folder / "losses.png", plots.to_bytes(plots.loss_curves(self.metrics)))
        if frames := self._read_frames():
            write_file(self.folder / "training.gif", plots.animation(frames))


def _check_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists already: choose another --output, or go on with --resume {folder}")


def _in_words(figures: dict[str, float]) -> str:
    return (
        f"D loss {figures['d_loss']:.2f}, G loss {figures['g_loss']:.2f}, "
        f"D(real) {figures['d_real']:.2f}, D(fake) {figures['d_fake']:.2f}"
    )


@contextmanager
def _ctrl_c_pressed() -> Iterator[list[bool]]:
    """A list that is empty until Ctrl-C is pressed; a second Ctrl-C stops at once, as usual."""
    pressed: list[bool] = []
    usual = signal.getsignal(signal.SIGINT)

    def note(signum: int, frame: FrameType | None) -> None:
        pressed.append(True)
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, usual)
