"""Where arrays live and compute: NumPy on the CPU, or CuPy on a GPU.

The rest of the source reads as plain NumPy. NumPy's functions hand the work to whatever library made the
array that they are given (NEP 13 and NEP 18), so the arrays decide where it runs, and this is the only file
that knows that CuPy exists.
"""

import functools
import os
from typing import Any

import numpy as np

DEVICES = ("cpu", "cuda")

_device = os.environ.get("MINIGAN_DEVICE") or "cpu"  # checked at the first tensor, where an error can be shown


def use(device: str) -> None:
    """Make new tensors live on `device`: "cpu" or "cuda". Call it before a model is built.

    The environment variable MINIGAN_DEVICE sets what a program starts with.
    Raises ValueError for another name and RuntimeError where CuPy or a GPU is missing.
    """
    global _device
    _check(device)
    _device = device


def device() -> str:
    """Where new tensors live: "cpu" or "cuda"."""
    return _device


def asarray(data: Any, dtype: Any = None, copy: bool = False) -> Any:
    """`data` as an array on the current device; where it is one already, it is only copied if `copy` says so."""
    if _device == "cpu":
        if hasattr(data, "__cuda_array_interface__"):  # made before a change of the device
            raise TypeError('the array is on the GPU, but the device is "cpu": choose one before a model is built')
        return np.array(data, dtype) if copy else np.asarray(data, dtype)
    _check(_device)
    return _cupy().array(data, dtype) if copy else _cupy().asarray(data, dtype)


def to_numpy(array: Any) -> np.ndarray:
    """`array` as a NumPy array in main memory."""
    return array if isinstance(array, np.ndarray) else array.get()


def add_at(array: Any, index: Any, values: Any) -> None:
    """`np.add.at`: array[index] += values, where an element that is named twice gets both values."""
    (_cupy() if on_gpu(array) else np).add.at(array, index, values)


def on_gpu(array: Any) -> bool:
    """Whether `array` is one of CuPy's."""
    return not isinstance(array, np.ndarray) and hasattr(array, "__cuda_array_interface__")


def describe() -> list[str]:
    """What CuPy, its driver and the GPU are; or one line that says what is missing and what to do."""
    try:
        _check("cuda")
    except RuntimeError as error:
        return [f"GPU     none: {error}"]
    runtime = _cupy().cuda.runtime
    properties = runtime.getDeviceProperties(0)
    version = ".".join(str(part) for part in divmod(runtime.driverGetVersion() // 10, 100))
    return [
        f"CuPy    {_cupy().__version__}, with a driver for CUDA {version}",
        f"GPU     {properties['name'].decode()}, {properties['totalGlobalMem'] / 2**30:.0f} GiB of memory",
    ]


def check_name(name: str) -> None:
    """Raise ValueError unless there is such a device at all."""
    if name not in DEVICES:
        raise ValueError(f"unknown device {name!r}: choose 'cpu' or 'cuda'")


@functools.cache
def _check(name: str) -> None:
    """Raise an error that says what to do, unless the device is there."""
    check_name(name)
    if name == "cpu":
        return
    try:
        _cupy().cuda.runtime.getDeviceCount()
        a = _cupy().asarray(np.ones((2, 2), np.float32))
        (a @ a + a).get()  # needs the compiler and cuBLAS too
    except ModuleNotFoundError:
        raise RuntimeError(
            "device 'cuda' needs CuPy, which is not installed: run `pip install 'minigan[cuda12]'` "
            "(or 'minigan[cuda13]', for newer drivers), or use device 'cpu'"
        ) from None
    except Exception as error:  # CuPy is there, but no driver, no GPU or not all of CUDA
        raise RuntimeError(
            f"device 'cuda' finds no usable GPU ({error}): install its driver and `pip install 'minigan[cuda12]'`, "
            "or use device 'cpu'"
        ) from None


@functools.cache
def _cupy() -> Any:
    import cupy

    return cupy


@functools.cache
def elementwise_kernel(inputs: str, outputs: str, operation: str, name: str) -> Any:
    """CuPy's ElementwiseKernel: a line of C for one element, which runs on the GPU in one launch."""
    return _cupy().ElementwiseKernel(inputs, outputs, operation, name)


@functools.cache
def sum_kernel(inputs: str, term: str, name: str) -> Any:
    """CuPy's ReductionKernel that adds up a term, a line of C, over all elements or along an axis, in one launch."""
    return _cupy().ReductionKernel(inputs, "T y", term, "a + b", "y = a", "0", name)
