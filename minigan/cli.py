"""The command line: `minigan train`, `gans`, `sample`, `exercise`, `lessons`, `bench` and `info`.

Bad input ends with one sentence on what to do, and exit code 2.
"""

import argparse
import errno
import io
import itertools
import os
import platform
import shlex
import sys
import textwrap
import warnings
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from minigan import backend, lessons, memory, plots
from minigan.bench import compare
from minigan.checkpoint import write_file
from minigan.data import NAMES, TOYS, class_names, load
from minigan.data.files import printable
from minigan.errors import DivergedError
from minigan.exercises import commands, in_place
from minigan.fast import threads
from minigan.gan import GAN
from minigan.gans import GANS
from minigan.gans.about import Setting, about
from minigan.run import Arrays, Run, arrays_for

DEFAULT = "conditional"  # the GAN that `minigan train` trains where none is named
# Of `minigan train`; all others but --resume are GANs' settings.
RUN_OPTIONS = ("gan", "data", "size", "seed", "output")
MOST = 100_000  # samples at once
WALK = 48  # pictures in the GIF of a walk


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 done, 2 bad input or failed, 130 stopped with Ctrl-C."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by `>&-`; the first file that is opened would take its number
            setattr(sys, name, open(os.devnull, "w"))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's has no encoding that could lack a check mark
            stream.reconfigure(errors="replace")
    try:
        typed = sys.argv[1:] if arguments is None else arguments
        completed = _with_gan(typed)
        options = _parser().parse_args(completed)
        if hasattr(options, "resume") and len(completed) > len(typed):
            del options.gan  # it was not typed: the run's own
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # an overflow ends in DivergedError, which says more
            return options.command(options)
    except KeyboardInterrupt as error:
        _say(f"stopped{_notes(error)}")
        return 130
    except OSError as error:
        reason = error.strerror or str(error)
        full = ": free some space" if error.errno == errno.ENOSPC else ""
        message = (f"{error.filename}: " if error.filename else "") + reason + full + _notes(error)
    except MemoryError as error:
        message = f"not enough memory ({error}): use a smaller --batch-size, --width, --size or -n"
    except (ValueError, RuntimeError) as error:
        message = str(error)
    _say(message)
    return 2


def _say(message: str) -> None:
    with suppress(OSError):  # where a full disk or a closed pipe takes no sentence, the exit code still tells
        print(f"minigan: {message}", file=sys.stderr, flush=True)


def _with_gan(arguments: list[str]) -> list[str]:
    """`train --data x` is `train conditional --data x`, and `train --data x gan` is `train gan --data x`."""
    if arguments[:1] != ["train"] or not all(word.startswith("-") for word in arguments[1:2]):
        return arguments
    for place, (before, word) in enumerate(itertools.pairwise(arguments)):
        if word in GANS and (not before.startswith("-") or "=" in before):  # not an option's value
            return ["train", word, *arguments[1 : place + 1], *arguments[place + 2 :]]
    return ["train", DEFAULT, *arguments[1:]]


def _notes(error: BaseException) -> str:
    return "".join(getattr(error, "__notes__", ()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="minigan", description="A from-scratch GAN library in NumPy.")
    actions = parser.add_subparsers(required=True, metavar="COMMAND")
    train = actions.add_parser("train", help="train a GAN")
    papers = train.add_subparsers(dest="gan", required=True, metavar="GAN")
    for name, gan in GANS.items():
        _add_paper(papers, name, gan)

    gans = actions.add_parser("gans", help="list the GANs: their papers, their data, what is new in each")
    gans.set_defaults(command=_gans)

    sample = actions.add_parser("sample", help="draw samples from a trained GAN")
    sample.set_defaults(command=_sample)
    sample.add_argument("run", type=Path, help="the run's folder, such as runs/mnist-conditional")
    sample.add_argument("-n", type=int, default=64, help="how many, default: 64")
    sample.add_argument("--seed", type=int, default=0, help="of the noise, default: 0")
    sample.add_argument("--label", type=int, help="of the class to draw; otherwise the classes take turns")
    sample.add_argument("--walk", action="store_true", help="walk through latent space: a GIF in which samples change")
    sample.add_argument(
        "-o", "--output", type=Path, help="a .png picture or .npz arrays, default: samples.png or walk.gif"
    )
    commands.add_command(actions)

    lesson = actions.add_parser("lessons", help="list the lessons, or open one in JupyterLab")
    lesson.set_defaults(command=_lessons)
    lesson.add_argument("lesson", nargs="?", help="the one to open, such as saturation")

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


def _add_paper(papers: Any, name: str, gan: type[GAN]) -> None:
    """`minigan train NAME`: the settings of this paper, as its file has them, and what all runs share."""
    paper = about(gan)
    # SUPPRESS: an option that was not typed does not show up at all, so --resume can tell.
    parser = papers.add_parser(
        name,
        help=f"{paper.new} ({paper.paper})",
        description=f"{paper.new} ({paper.paper}). It trains on {paper.takes}.",
        epilog=f"Other GANs: minigan train NAME, with one of {', '.join(GANS)}; `minigan gans` tells what they are.",
        argument_default=argparse.SUPPRESS,
    )
    parser.set_defaults(command=_train)
    settings = parser.add_argument_group("settings of this GAN")
    for setting, value in paper.settings.items():
        _add_setting(settings, setting, value)
    run = parser.add_argument_group("the run")
    run.add_argument("--data", help=f"mnist (default), {', '.join(TOYS)}, or the path of your own images")
    run.add_argument("--size", type=int, help="make the images SIZE x SIZE pixels (mnist: 28, 16 or 8)")
    run.add_argument("--seed", type=int, help="of all random numbers, default: 0")
    run.add_argument("--device", choices=backend.DEVICES, help="default: MINIGAN_DEVICE, or else cpu")
    run.add_argument("--output", type=Path, help="the run's folder, default: runs/DATA-GAN")
    run.add_argument(
        "--with-exercises",
        type=Path,
        nargs="?",
        const=None,
        metavar="FOLDER",
        help="train with your own code: every exercise that passes takes the library's place",
    )
    run.add_argument(
        "--resume",
        type=Path,
        metavar="RUN",
        help="go on with a stopped run, with its own settings; with --epochs, train it longer; with --data, after its "
        "data have moved",
    )


def _add_setting(group: Any, name: str, setting: Setting) -> None:
    default, option = setting.default, "--" + name.replace("_", "-")
    if isinstance(default, tuple):
        shown = " ".join(str(part) for part in default)
        group.add_argument(option, type=type(default[0]), nargs=len(default), help=f"{setting.help}, default: {shown}")
    else:
        group.add_argument(option, type=type(default), help=f"{setting.help}, default: {default}")


def _gans(options: argparse.Namespace) -> int:
    for name, gan in GANS.items():
        paper = about(gan)
        print(f"{name:<13}{paper.paper}; takes {paper.takes}")
        stop = "" if paper.new.endswith('"') else "."
        print(textwrap.indent(textwrap.fill(paper.new + stop, 79 - 13), " " * 13))
    print("\nSettings of one: minigan train NAME --help")
    return 0


def _train(options: argparse.Namespace) -> int:
    given = {name: value for name, value in vars(options).items() if name != "command"}
    backend.use(given.pop("device", backend.device()))
    with _memory_limited():
        return _train_with_exercises(given) if "with_exercises" in given else _train_run(given)


def _memory_limited() -> AbstractContextManager[None]:
    """So that asking for too much gets a sentence. A GPU's driver reserves more than it uses, so there is none then."""
    return memory.limited() if backend.device() == "cpu" else nullcontext()


def _train_with_exercises(given: dict[str, Any]) -> int:
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
    run, arrays = _resumed(given) if "resume" in given else _new(given)
    print(run.tables(arrays))
    if names := class_names(run.config.data) if "labels" in arrays else []:
        print("classes: " + ", ".join(f"{number} {printable(name)}" for number, name in enumerate(names)))
    shapes = " and ".join(f"{name} {array.shape[1:] or ''}".strip() for name, array in arrays.items())
    print(f"{run.config.count:,} samples, {shapes}; the results go to {run.folder}")
    try:
        finished = run.train(arrays)
    except (KeyboardInterrupt, OSError) as error:  # a second Ctrl-C, or a full disk: now there is a run to go on with
        error.add_note(f"; go on with: {_resume_command(run)}")
        raise
    if not finished:
        print(f"stopped after step {run.gan.steps}; go on with: {_resume_command(run)}")
        return 130
    print(f"done: look at {run.folder / 'samples.png'} and {run.folder / 'training.gif'}")
    return 0


def _resume_command(run: Run) -> str:
    """The command that goes on with a run, as a shell takes it: the folder's name may have spaces."""
    return shlex.join(["minigan", "train", "--resume", str(run.folder)])


def _resumed(given: dict[str, Any]) -> tuple[Run, Arrays]:
    folder, gan = given.pop("resume"), given.pop("gan", None)
    epochs, data = given.pop("epochs", None), given.pop("data", None)
    if given:
        typed = ", ".join("--" + name.replace("_", "-") for name in given)
        raise ValueError(
            f"--resume goes on with the settings of {folder}: leave out {typed} (--epochs and --data may be given)"
        )
    run = Run.open(folder)
    if gan not in (None, run.config.gan):
        raise ValueError(f"{folder} is a run of {run.config.gan}, not of {gan}: leave the name out")
    moved = data is not None and _as_kept(data) != run.config.data
    if moved and (run.config.data in TOYS or data in TOYS):
        raise ValueError(f"{folder} was trained on {run.config.data}, and {data} are other data: leave --data out")
    if moved:
        run.config.data = _as_kept(data)
    arrays = arrays_for(run.config.gan, _load(run.config.data, run.config.size, run.config.seed))
    run.check_data(arrays)
    if moved:
        run.write_config()
    if epochs is not None:
        run.train_longer(epochs)
    return run, arrays


def _new(given: dict[str, Any]) -> tuple[Run, Arrays]:
    gan, data = given["gan"], _as_kept(given.get("data", "mnist"))
    size, seed = given.get("size"), given.get("seed", 0)
    arrays = arrays_for(gan, _load(data, size, seed))
    folder = given.get("output") or _free_folder(Path("runs") / f"{Path(data).stem}-{gan}")
    settings = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items() if name not in RUN_OPTIONS}
    return Run.create(folder, gan, data, arrays, settings, size, seed), arrays


def _load(data: str, size: int | None, seed: int) -> Arrays:
    """The data; what of them is left out is said in a sentence, without the line of source of Python's warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        arrays = load(data, size, seed)
    for warning in caught:
        print(f"minigan: {warning.message}", file=sys.stderr)
    return arrays


def _as_kept(data: str) -> str:
    """The name or path of data as a run keeps it: a path must still hold when it is resumed from another folder."""
    return data if data in NAMES or not Path(data).exists() else str(Path(data).resolve())


def _free_folder(folder: Path) -> Path:
    """`folder`, or with -2, -3, ... after its name if that exists."""
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([folder], numbered) if not path.exists())


def _lessons(options: argparse.Namespace) -> int:
    if options.lesson is None:
        print(lessons.list_lessons())
    else:
        lessons.open_lesson(options.lesson)
    return 0


def _info(options: argparse.Namespace) -> int:
    print(f"minigan {version('minigan')}, Python {platform.python_version()} on {platform.machine()}")
    print(f"NumPy   {np.__version__}")
    backend.check_name(backend.device())
    print(f"device  {backend.device()}")
    for line in [*threads.describe(), *backend.describe()]:
        print(line)
    return 0


def _bench(options: argparse.Namespace) -> int:
    backend.use(options.device or backend.device())
    compare.run(options.json, options.against, backend.device(), options.beside)
    return 0


def _sample(options: argparse.Namespace) -> int:
    if not 1 <= options.n <= MOST:
        raise ValueError(f"-n {options.n} must be 1 or more, and {MOST} at most")
    if options.seed < 0:
        raise ValueError(f"--seed {options.seed} must be 0 or more")
    output, endings = options.output or Path("walk.gif" if options.walk else "samples.png"), (".png", ".npz")
    if options.walk and output.suffix != ".gif":
        raise ValueError(f"{output} must end in .gif, because a walk is an animation")
    if not options.walk and output.suffix not in endings:
        raise ValueError(f"{output} must end in .png (a picture) or .npz (arrays)")
    backend.use(backend.device())  # says now if MINIGAN_DEVICE is wrong
    with _memory_limited():
        run = Run.open(options.run)
        labels = _labels(run, options.n, options.label)
        write_file(output, (_walk if options.walk else _drawn)(run.gan, options, labels, output))
    print(f"{options.n} samples -> {output}")
    return 0


def _labels(run: Run, n: int, label: int | None) -> dict[str, np.ndarray]:
    """What `sample` takes beside the noise: labels (n,), all alike or the classes in turn, if the GAN has any."""
    if "labels" not in run.config.shapes:
        if label is not None:
            raise ValueError(f"{run.folder} was trained without labels, so that none can be chosen: leave out --label")
        return {}
    (classes,) = run.config.shapes["labels"]
    if label is not None and not 0 <= label < classes:
        raise ValueError(f"{run.folder} has {classes} classes: give a --label from 0 to {classes - 1}")
    return {"labels": np.arange(n) % classes if label is None else np.full(n, label)}


def _drawn(gan: GAN, options: argparse.Namespace, labels: dict[str, np.ndarray], output: Path) -> bytes:
    """Samples as the content of a .png or .npz file."""
    rng = np.random.default_rng([options.seed, 0, 4])
    noise = rng.standard_normal((options.n, gan.noise_dim), dtype=np.float32)
    samples = gan.sample(noise, **labels)
    if output.suffix == ".png":
        return plots.to_bytes(plots.draw(samples))
    arrays = {"images": plots.to_uint8(samples)} if samples.ndim == 4 else {"points": samples}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays, **labels, noise=noise)
    return buffer.getvalue()


def _walk(gan: GAN, options: argparse.Namespace, labels: dict[str, np.ndarray], output: Path) -> bytes:
    """A GIF of images whose noise goes round a circle, cos(t) a + sin(t) b: for every t, that is N(0, 1) too."""
    rng = np.random.default_rng([options.seed, 0, 4])
    a, b = rng.standard_normal((2, options.n, gan.noise_dim), dtype=np.float32)
    frames = []
    for t in np.linspace(0, 2 * np.pi, WALK, endpoint=False):
        samples = gan.sample((np.cos(t) * a + np.sin(t) * b).astype(np.float32), **labels)
        if samples.ndim != 4:
            raise ValueError("a walk shows images, and this GAN makes points: leave out --walk")
        frames.append(plots.draw(samples))
    return plots.animation(frames, last=8.0 / WALK)
