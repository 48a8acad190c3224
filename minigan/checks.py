"""The check that many rooms share."""

import numpy as np


def check_integer(name: str, value: object, low: int) -> None:
    """Raise a ValueError unless `value` is a whole number of at least `low` (and not a bool)."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise ValueError(f"{name} must be a whole number of at least {low}, not {value!r}")
