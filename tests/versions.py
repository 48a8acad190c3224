"""Which version of a function a test runs, and on which device.

Plain, or fast with small arrays shared out too; on the CPU, or on the stand-in for CuPy.
"""

from contextlib import ExitStack, contextmanager
from unittest import mock

import fake_cupy

import minigan
from minigan import backend, table
from minigan.fast import conv, steps, threads

plain = minigan.plain


@contextmanager
def fast(count=2, block=500):
    """The fast versions, in plain mode too, on `count` threads.

    A block of convolution takes `block` numbers, and the other limits are low too, so that small arrays are cut into
    parts and shared out as large ones are.
    """
    with ExitStack() as stack:
        for owner, name, value in (
            (table.mode, "table", table.FASTEST),
            (threads, "THREADS", count),
            (steps, "THREADS", count),
            (threads, "BLOCK", 50),
            (threads, "WORTH_IT", 100),
            (conv, "BLOCK", block),
        ):
            stack.enter_context(mock.patch.object(owner, name, value))
        yield


@contextmanager
def stand_in():
    """The stand-in as CuPy, and "cuda" as the device."""
    caches = (backend._check, backend.elementwise_kernel, backend.sum_kernel)
    with mock.patch.object(backend, "_cupy", lambda: fake_cupy):
        for cache in caches:
            cache.cache_clear()
        minigan.use("cuda")
        fake_cupy.reset()
        try:
            yield fake_cupy
        finally:
            minigan.use("cpu")
            for cache in caches:
                cache.cache_clear()
