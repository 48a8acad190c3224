"""The checks that many rooms share."""

import math

import numpy as np


def check_integer(name: str, value: object, low: int) -> None:
    """Raise a ValueError unless `value` is a whole number of at least `low` (and not a bool)."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise ValueError(f"{name} must be a whole number of at least {low}, not {value!r}")


def check_number(name: str, value: object, below: float = math.inf) -> None:
    """Raise a ValueError unless `value` is a number with 0 <= value < below; nan is not."""
    if not (isinstance(value, int | float | np.number) and 0 <= value < below):
        raise ValueError(f"{name} must be a number in [0, {below}), not {value!r}")
