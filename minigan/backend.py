"""Where arrays live and compute: NumPy on the CPU, or CuPy on a GPU.

The rest of the source reads as plain NumPy. NumPy's functions hand the work to whatever library made the
array that they are given (NEP 13 and NEP 18), so the arrays decide where it runs, and this is the only file
that knows that CuPy exists.
"""

from typing import Any

import numpy as np

_device = "cpu"


def use(device: str) -> None:
    """Make new tensors live on `device`: "cpu" or "cuda". Call it before a model is built.

    Raises ValueError for another name and RuntimeError where CuPy or a GPU is missing.
    """
    global _device
    if device not in ("cpu", "cuda"):
        raise ValueError(f"unknown device {device!r}: choose 'cpu' or 'cuda'")
    if device == "cuda":
        _import_cupy()
    _device = device


def asarray(data: Any, dtype: Any = None) -> Any:
    """`data` as an array on the current device (no copy where it is one already)."""
    return np.asarray(data, dtype) if _device == "cpu" else _import_cupy().asarray(data, dtype)


def to_numpy(array: Any) -> np.ndarray:
    """`array` as a NumPy array in main memory."""
    return array if isinstance(array, np.ndarray) else array.get()


def _import_cupy() -> Any:
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except ImportError:
        raise RuntimeError(
            "device 'cuda' needs CuPy, which is not installed: run `pip install cupy-cuda12x` "
            "(or cupy-cuda13x), or use device 'cpu'"
        ) from None
    except Exception as error:  # CuPy is there, but no driver or no GPU
        raise RuntimeError(f"device 'cuda' finds no usable GPU ({error}): use device 'cpu'") from None
    return cupy
