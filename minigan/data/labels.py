"""Labels: what counts as one, wherever labels come from."""

from pathlib import Path

import numpy as np

LARGEST_LABEL = 10_000  # a larger number is hardly a class; a GAN that is told the class has an input for each


def check_kind(dtype: np.dtype, shape: tuple[int, ...], count: int, where: str | Path) -> None:
    """Raise ValueError, with what to do, unless labels of this type and shape can be one integer for each image.

    It needs no values, so that a file's header can be judged before its numbers are read.
    """
    if dtype.kind in "iu" and len(shape) == 1:
        if shape[0] != count:
            raise ValueError(f"{where}: each image needs one label, but there are {count} images and {shape[0]} labels")
        return
    if len(shape) == 2 and shape[1] == 1:
        cure = "take the axis away with labels[:, 0]"
    elif len(shape) == 2:
        cure = "of one-hot rows, labels.argmax(axis=1) makes such numbers"
    elif dtype.kind in "fb":
        cure = "if they are the classes' numbers, convert them with labels.astype(int)"
    elif dtype.kind in "US":
        cure = "of names, np.unique(labels, return_inverse=True)[1] makes such numbers"
    else:
        cure = "number the classes 0, 1, 2, ..."
    raise ValueError(
        f"{where}: labels must be integers, one for each image, of shape (N,), not {dtype} {shape}: {cure}"
    )


def check_labels(labels: np.ndarray, count: int, where: str | Path) -> None:
    """Raise ValueError unless `labels` are whole numbers from 0 to LARGEST_LABEL, one for each of `count` images."""
    check_kind(labels.dtype, labels.shape, count, where)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > LARGEST_LABEL:
        raise ValueError(
            f"{where}: labels must lie between 0 and {LARGEST_LABEL}, but reach from {low} to {high}: "
            "number the classes 0, 1, 2, ..."
        )
