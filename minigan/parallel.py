"""Work on several cores at once: one small place for it, under the operations.

NumPy works on one core, except in matrix products, where its BLAS library starts threads of its own. NumPy and
BLAS both let go of Python's global lock while they compute, so plain Python threads that each take some blocks of
the batch keep all cores busy, with the copies and additions too. Meanwhile BLAS must stay on one thread per
block, or the two kinds of threads would fight for the cores; its setting is put back afterwards.
"""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from threadpoolctl import ThreadpoolController

THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

_pool = ThreadPoolExecutor(max(1, THREADS - 1), thread_name_prefix="minigan")  # starts threads when first needed


def for_each_block(work: Callable[[Any], Any], blocks: Iterable[Any]) -> list[Any]:
    """`[work(block) for block in blocks]`, with the blocks shared out over the cores.

    The calls must not write to the same memory, nor call this function again. An error in any of them is raised here.
    """
    blocks = list(blocks)
    if THREADS == 1 or len(blocks) <= 1:
        return [work(block) for block in blocks]
    per_thread = -(-len(blocks) // THREADS)  # rounded up
    shares = [blocks[i : i + per_thread] for i in range(0, len(blocks), per_thread)]
    with one_blas_thread:
        futures = [_pool.submit(_run, work, share) for share in shares[1:]]
        results = [_run(work, shares[0])]
        results += [future.result() for future in futures]
    return [result for share in results for result in share]


def _run(work: Callable[[Any], Any], share: list[Any]) -> list[Any]:
    return [work(block) for block in share]


class _OneBlasThread:
    """`with` this, BLAS computes on one thread. It may be entered by several threads at once."""

    def __init__(self) -> None:
        self.libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        self.lock = threading.Lock()
        self.inside = 0

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.before = [library.num_threads for library in self.libraries]
                self._set([1] * len(self.libraries))
            self.inside += 1

    def __exit__(self, *exception: object) -> None:
        with self.lock:
            self.inside = max(0, self.inside - 1)  # it may have been reset by a fork in between
            if self.inside == 0:
                self._set(self.before)

    def _set(self, counts: list[int]) -> None:
        for library, count in zip(self.libraries, counts, strict=True):
            # Newer versions of threadpoolctl let only the first thread that asks change OpenBLAS's setting, and
            # ignore all others in silence. Here the last thread to leave puts it back, and our lock keeps order.
            if hasattr(library, "clear_controlling_thread"):
                library.clear_controlling_thread(force=True)
            library.set_num_threads(count)


one_blas_thread = _OneBlasThread()


def _after_fork() -> None:
    """A forked process has none of its parent's threads, and a lock that one of them held would stay locked."""
    global _pool
    if one_blas_thread.inside:
        one_blas_thread._set(one_blas_thread.before)
    _pool = ThreadPoolExecutor(max(1, THREADS - 1), thread_name_prefix="minigan")
    one_blas_thread.lock, one_blas_thread.inside = threading.Lock(), 0


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)
