"""The command line: `minigan train`, `sample`, `exercise`, `lessons`, `bench` and `info`.

Bad input ends with one sentence on what to do, and exit code 2.
"""

import argparse
import errno
import io
import itertools
import platform
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from minigan import backend, lessons, parallel, plots
from minigan.bench import compare
from minigan.checkpoint import write_file
from minigan.data import TOYS
from minigan.exercises import commands, in_place
from minigan.losses import LOSSES
from minigan.run import Run, load_samples
from minigan.train import MODELS, POINTS, Config, DivergedError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 done, 2 bad input or failed, 130 stopped with Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # an overflow ends in DivergedError, which says more
            return options.command(options)
    except KeyboardInterrupt as error:
        print(f"minigan: stopped{_notes(error)}", file=sys.stderr)
        return 130
    except OSError as error:
        reason = error.strerror or str(error)
        full = ": free some space" if error.errno == errno.ENOSPC else ""
        message = (f"{error.filename}: " if error.filename else "") + reason + full + _notes(error)
    except MemoryError as error:
        message = f"not enough memory ({error}): use a smaller --batch-size, --size or -n"
    except (ValueError, RuntimeError) as error:
        message = str(error)
    print(f"minigan: {message}", file=sys.stderr)
    return 2


def _notes(error: BaseException) -> str:
    return "".join(getattr(error, "__notes__", ()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="minigan", description="A from-scratch GAN in NumPy.")
    actions = parser.add_subparsers(required=True, metavar="COMMAND")

    # SUPPRESS: an option that was not typed does not show up at all, so --resume can tell.
    train = actions.add_parser("train", help="train a GAN", argument_default=argparse.SUPPRESS)
    train.set_defaults(command=_train)
    train.add_argument("--data", help="mnist (default), ring, grid, swiss_roll, moons, or the path of your own images")
    train.add_argument("--size", type=int, help="make the images SIZE x SIZE pixels (mnist: 28, 16 or 8)")
    points = {name: f"default: {getattr(Config, name)}, or for points {value}" for name, value in POINTS.items()}
    train.add_argument("--model", choices=MODELS, help=points["model"])
    train.add_argument("--loss", choices=tuple(LOSSES), help=f"default: {Config.loss}")
    train.add_argument("--epochs", type=int, help=f"passes over the data, {points['epochs']} (few images: more)")
    train.add_argument("--batch-size", type=int, help=points["batch_size"])
    train.add_argument("--lr-g", type=float, help=f"learning rate of the generator, {points['lr_g']}")
    train.add_argument("--lr-d", type=float, help=f"learning rate of the discriminator, default: {Config.lr_d}")
    train.add_argument("--seed", type=int, help=f"of all random numbers, default: {Config.seed}")
    train.add_argument("--device", choices=backend.DEVICES, help="default: MINIGAN_DEVICE, or else cpu")
    train.add_argument("--output", type=Path, help="the run's folder, default: runs/DATA-MODEL")
    train.add_argument(
        "--with-exercises",
        type=Path,
        nargs="?",
        const=None,
        metavar="FOLDER",
        help="train with your own code: every exercise that passes takes the library's place",
    )
    train.add_argument("--resume", type=Path, metavar="RUN", help="go on with a stopped run, with its own settings")

    sample = actions.add_parser("sample", help="draw samples from a trained GAN")
    sample.set_defaults(command=_sample)
    sample.add_argument("run", type=Path, help="the run's folder, such as runs/mnist-dcgan")
    sample.add_argument("-n", type=int, default=64, help="how many, default: 64")
    sample.add_argument("--seed", type=int, default=0, help="of the noise, default: 0")
    sample.add_argument("-o", "--output", type=Path, default=Path("samples.png"), help="a .png picture or .npz arrays")
    commands.add_command(actions)

    lesson = actions.add_parser("lessons", help="list the lessons, or open one in JupyterLab")
    lesson.set_defaults(command=_lessons)
    lesson.add_argument("number", type=int, nargs="?", help="of the lesson to open")

    info = actions.add_parser("info", help="show what minigan computes with: NumPy, BLAS, threads, CuPy and GPU")
    info.set_defaults(command=_info)

    bench = actions.add_parser("bench", help="time training steps and operations beside PyTorch's")
    bench.set_defaults(command=_bench)
    bench.add_argument("--device", choices=backend.DEVICES, help="default: MINIGAN_DEVICE, or else cpu")
    bench.add_argument("--json", type=Path, metavar="PATH", help="write the result here too")
    bench.add_argument("--against", type=Path, metavar="PATH", help="compare with an earlier --json result")
    bench.add_argument(
        "--beside", type=Path, metavar="CHECKOUT", help="compare with the minigan in this folder instead"
    )
    return parser


def _train(options: argparse.Namespace) -> int:
    given = {name: value for name, value in vars(options).items() if name != "command"}
    backend.use(given.pop("device", backend.device()))
    if "with_exercises" not in given:
        return _train_run(given)
    folder = commands.folder_of(given.pop("with_exercises"))
    with in_place(commands.passed_functions(folder)) as served:
        print(f"your code is in place: {', '.join(s.name for s in served)}")
        try:
            code = _train_run(given)
        except DivergedError as error:
            raise RuntimeError(f"{error}; or is it your own code, which ran in this training?") from None
    print(commands.summary_of(served))
    return code


def _train_run(given: dict[str, Any]) -> int:
    if "resume" in given:
        run, data = _resumed(given)
    else:
        run, data = _new(given)
    gan = run.gan
    print(f"generator\n{gan.generator.summary((gan.noise_dim + gan.classes,))}")
    print(f"discriminator\n{gan.discriminator.summary(run.shape)}")
    print(f"{run.count:,} samples of shape {run.shape}; the results go to {run.folder}")
    try:
        finished = run.train(*data)
    except (KeyboardInterrupt, OSError) as error:  # a second Ctrl-C, or a full disk: now there is a run to go on with
        error.add_note(f"; go on with: minigan train --resume {run.folder}")
        raise
    if not finished:
        print(f"stopped after step {run.gan.step}; go on with: minigan train --resume {run.folder}")
        return 130
    print(f"done: look at {run.folder / 'samples.png'} and {run.folder / 'training.gif'}")
    return 0


def _resumed(given: dict[str, Any]) -> tuple[Run, tuple[np.ndarray, ...]]:
    folder = given.pop("resume")
    if given:
        typed = ", ".join("--" + name.replace("_", "-") for name in given)
        raise ValueError(f"--resume goes on with the settings of {folder}: leave out {typed}")
    run = Run.open(folder)
    return run, load_samples(run.config)


def _new(given: dict[str, Any]) -> tuple[Run, tuple[np.ndarray, ...]]:
    folder = given.pop("output", None)
    config = Config(**given)
    data = load_samples(config)
    if config.data not in ("mnist", *TOYS):  # a path of the user's own must still hold when resumed from another folder
        given["data"] = str(Path(config.data).resolve())
        steps_per_epoch = max(1, len(data[0]) // config.batch_size)
        config = Config(**{"epochs": max(config.epochs, 1500 // steps_per_epoch)} | given)  # about MNIST's steps
    if data[0].ndim == 2:
        if config.size is not None:
            raise ValueError(f"--size is for images, and the data {config.data} are points: leave it out")
        config = Config(**POINTS | given)
    if folder is None:
        folder = _free_folder(Path("runs") / f"{Path(config.data).stem}-{config.model}")
    return Run.create(folder, config, *data), data


def _free_folder(folder: Path) -> Path:
    """`folder`, or with -2, -3, ... after its name if that exists."""
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([folder], numbered) if not path.exists())


def _lessons(options: argparse.Namespace) -> int:
    if options.number is None:
        print(lessons.list_lessons())
    else:
        lessons.open_lesson(options.number)
    return 0


def _info(options: argparse.Namespace) -> int:
    print(f"minigan {version('minigan')}, Python {platform.python_version()} on {platform.machine()}")
    print(f"NumPy   {np.__version__}")
    backend.check_name(backend.device())
    print(f"device  {backend.device()}")
    for line in parallel.describe():
        print(line)
    for line in backend.describe():
        print(line)
    return 0


def _bench(options: argparse.Namespace) -> int:
    backend.use(options.device or backend.device())
    compare.run(options.json, options.against, backend.device(), options.beside)
    return 0


def _sample(options: argparse.Namespace) -> int:
    if options.n < 1 or options.seed < 0:
        raise ValueError(f"-n {options.n} must be 1 or more, and --seed {options.seed} 0 or more")
    if options.output.suffix not in (".png", ".npz"):
        raise ValueError(f"{options.output} must end in .png (a picture) or .npz (arrays)")
    backend.use(backend.device())  # says now if MINIGAN_DEVICE is wrong
    gan = Run.open(options.run).gan
    noise = np.random.default_rng(options.seed).standard_normal((options.n, gan.noise_dim), dtype=np.float32)
    labels = np.arange(options.n) % max(1, gan.classes)  # the classes take turns
    samples = gan.sample(noise, labels)
    if options.output.suffix == ".png":
        content = plots.to_bytes(plots.image_grid(samples) if samples.ndim == 4 else plots.scatter(samples))
    else:
        arrays = {"images": plots.to_uint8(samples)} if samples.ndim == 4 else {"points": samples}
        if gan.classes:
            arrays["labels"] = labels
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays, noise=noise)
        content = buffer.getvalue()
    write_file(options.output, content)
    print(f"{options.n} samples -> {options.output}")
    return 0
