"""Any data set by its name or its path, as a dict of named arrays: what `minigan train --data` takes."""

import os
from functools import partial
from pathlib import Path

import numpy as np

from minigan.checks import check_integer
from minigan.data.idx import load_mnist
from minigan.data.images import class_folders, load_with_labels
from minigan.data.pictures import SUFFIXES
from minigan.data.toy import TOYS, from_picture

NAMES = ("mnist", *TOYS)


def load(name_or_path: str | Path, size: int | None = None, seed: int = 0) -> dict[str, np.ndarray]:
    """Load a data set as named arrays, all of the same length.

    name_or_path: one of
      - "mnist": `images` float32 `(60000, 1, 28, 28)` in [-1, 1], and `labels` int64 `(60000,)`;
      - a toy, "ring", "grid", "swiss_roll" or "moons": `points` float32 `(50000, 2)`, drawn with `seed`;
      - the path of one picture, such as a PNG file, a drawn shape: `points` too, from its dark pixels;
      - any other path: `images` float32 `(N, C, H, W)` and, where there are any, `labels` int64 `(N,)`; see
        load_images. A string that is a name is never a path: a folder called ring is "./ring".
    size: make the images size x size pixels ("mnist": 28, 16 or 8); points have none.
    Raises ValueError for an unknown name, for a size where the data are points, and for data that are damaged or
    do not fit together; OSError where the system does not let a file be read.
    """
    check_integer("seed", seed, low=0)
    if name_or_path == "mnist":
        images, labels = load_mnist("train", 28 if size is None else size)
        return {"images": images, "labels": labels}
    path = Path(name_or_path)
    if name_or_path in TOYS:
        draw = TOYS[name_or_path]
    elif not os.path.lexists(path):  # a link that leads nowhere gets another sentence later
        names = ", ".join(NAMES)
        raise ValueError(f"there is no dataset {str(path)!r}: give one of {names}, or the path of your own images")
    elif path.suffix.lower() in SUFFIXES and not path.is_dir():
        draw = partial(from_picture, path)
    else:
        return load_with_labels(path, size)
    if size is not None:
        raise ValueError(f"--size is for images, and the data {name_or_path} are points: leave it out")
    return {"points": draw(50_000, np.random.default_rng(seed))}


def class_names(name_or_path: str | Path) -> list[str]:
    """The names behind the labels 0, 1, ...: those of a folder's sub-folders of pictures. All other data have none.

    Raises ValueError for a folder whose sub-folders `load` would not take for classes.
    """
    return [] if name_or_path in NAMES else [folder.name for folder in class_folders(Path(name_or_path))]
