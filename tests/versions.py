"""Which version of a function a test runs: the plain one, or the fast one with small arrays shared out too."""

from contextlib import ExitStack, contextmanager
from unittest import mock

import minigan
from minigan import table
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
