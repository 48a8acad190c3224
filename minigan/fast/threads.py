"""Threads and blocks: several cores, and work cut into parts that fit a core's cache.

NumPy works on one core, except in matrix products, where its BLAS library starts threads of its own. NumPy and
BLAS both let go of Python's global lock while they compute, so plain Python threads that each take some blocks of
the batch keep all cores busy, with the copies and additions too. While they do, each must call BLAS on a single
thread, or the two kinds of threads would fight for the cores; after the blocks, BLAS's old setting is put back.
Networks without convolutions are little else than matrix products. For those BLAS's own threads are faster: they
wait busily for the next product, where ours have to be woken.

MINIGAN_THREADS, read when minigan is imported, says how many threads to use.
"""

import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from minigan import backend
from minigan.ops.linear import product as plain_product
from minigan.table import fast, is_plain


def _cores() -> int:
    """How many threads to use: MINIGAN_THREADS, or else the cores that the system and a container's limit allow."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()  # "max 100000", or "150000 100000"
        cores = cores if quota == "max" else min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # not Linux, or another kind of container
        pass
    return int(os.environ.get("MINIGAN_THREADS") or cores)  # `start.py` has checked it


BLOCK = 64 * 1024  # numbers in a block: 256 kB in float32, so that a few such arrays stay in a core's own cache
WORTH_IT = 16_000_000  # multiplications in a matrix product: with fewer, calling a thread takes longer than it saves
THREADS = _cores()


def describe() -> list[str]:
    """The BLAS libraries and their threads, and ours."""
    lines = [f"BLAS    {x.internal_api} {x.version}, {x.num_threads} threads" for x in _blas.libraries]
    plain = ", switched off by MINIGAN_PLAIN" if is_plain() else ""
    return [*(lines or ["BLAS    not known: its threads cannot be set"]), f"threads {THREADS} of our own{plain}"]


class _Job:
    """The share of the work that one thread does, and its results or its error."""

    def __init__(self, work: Callable[[Any], Any], share: list[Any]) -> None:
        self.work, self.share, self.results = work, share, []
        self.error: BaseException | None = None
        self.running = threading.Lock()  # held until the job is done: to wait for that is to acquire it
        self.running.acquire()

    def run(self) -> None:
        try:
            self.results = [self.work(block) for block in self.share]
        except BaseException as error:
            self.error = error
        self.running.release()


class _Helpers:
    """Threads that wait for jobs. Calling one takes some 20 microseconds; a ThreadPoolExecutor needs twice as long."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.lock = threading.Lock()
        self.count = 0

    def start(self, job: _Job) -> None:
        """Give the job to a helper; where no thread can be started (as in a browser) it is done here and now."""
        with self.lock:
            if self.count < THREADS - 1:
                try:
                    threading.Thread(target=self.work, name="minigan", daemon=True).start()
                    self.count += 1
                except RuntimeError:
                    pass
        if self.count:
            self.jobs.put(job)
        else:
            job.run()

    def work(self) -> None:
        while True:
            self.jobs.get().run()


_helpers = _Helpers()


def for_each_block(work: Callable[[Any], Any], blocks: Iterable[Any]) -> list[Any]:
    """`[work(block) for block in blocks]`, with the blocks shared out over the cores.

    The calls must not write to the same memory, nor call this function (a helper would wait for jobs that only
    helpers can do). An error in any of them is raised here.
    """
    blocks = list(blocks)
    if THREADS == 1 or len(blocks) <= 1:
        return [work(block) for block in blocks]
    per_thread = -(-len(blocks) // THREADS)  # rounded up
    jobs = [_Job(work, blocks[i : i + per_thread]) for i in range(0, len(blocks), per_thread)]
    with blas_threads(1):
        for job in jobs[1:]:
            _helpers.start(job)
        jobs[0].run()
        for job in jobs[1:]:
            job.running.acquire()  # waits until it is done; even after an error, since it may still be writing
    for job in jobs:
        if job.error is not None:
            raise job.error
    return [result for job in jobs for result in job.results]


@fast(plain_product)
def product(a: Any, b: Any) -> Any:
    """a @ b. A large product of matrices is shared out over our threads, by rows or by columns of the result.

    Inside `blas_threads(n)` with n > 1, that is left to BLAS; and for arrays on a GPU, to CuPy.
    """
    if a.ndim != 2 or b.ndim != 2:
        return a @ b
    if a.shape[1] == 1:
        return a * b  # the same, and several times faster than BLAS, which is made for longer sums
    if backend.on_gpu(a):
        return a @ b
    n, m = a.shape[0], b.shape[1]
    if THREADS == 1 or a.size * m < WORTH_IT:
        with blas_threads(1):  # BLAS's own threads gain little here, and cost much where other programs want the cores
            return a @ b
    if _blas.shares_out():
        return a @ b
    y = np.empty((n, m), np.result_type(a, b))
    step = -(-max(n, m) // THREADS)
    parts = [slice(start, start + step) for start in range(0, max(n, m), step)]
    if n >= m:
        for_each_block(lambda rows: np.matmul(a[rows], b, out=y[rows]), parts)
    else:
        for_each_block(lambda columns: np.matmul(a, b[:, columns], out=y[:, columns]), parts)
    return y


def in_blocks(work: Callable[..., None], *arrays: Any) -> None:
    """`work(*arrays)` for work that goes element by element over arrays of one shape and changes some in place.

    It is done in blocks that stay in the cache, from one operation of `work` to the next: a large array would travel
    from memory and back for each. The parts are one-dimensional, in the order in which the first array lies in memory.
    """
    first = arrays[0]
    if first.size <= BLOCK or backend.on_gpu(first):
        work(*arrays)
        return
    order = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])
    flat = [array.transpose(order).reshape(-1) for array in arrays]
    if not all(np.may_share_memory(part, array) for part, array in zip(flat, arrays, strict=True)):
        work(*arrays)  # some array has gaps or another order, so that flat parts of it would be copies
        return
    blocks = [slice(start, start + BLOCK) for start in range(0, first.size, BLOCK)]
    for_each_block(lambda block: work(*[part[block] for part in flat]), blocks)


@functools.cache
def keep_freed_memory() -> None:
    """Let freed arrays stay with this process, so that the next ones need no new pages from the system.

    The C library's malloc returns a large block at once when it is freed, and asks for it again a moment later:
    thousands of page faults in a training step. After it has freed one block of 31 MB it keeps those up to that size.
    """
    np.empty(31 * 2**20, np.uint8)


class _Blas:
    """The threads of the BLAS libraries in this process.

    Their number is one for the whole process. So where several threads train at once, each with `blas_threads` of its
    own, the smallest number holds, and the last digits of dense networks depend on who else was training.
    """

    def __init__(self) -> None:
        self.libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        self.lock = threading.Lock()
        self.limits: list[int] = []  # one for each `with blas_threads(...)` that is open, in any thread
        self.before: list[int] | None = None  # the libraries' own numbers, while there are limits
        self.own = threading.local()  # .limit: the innermost of this thread

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """Inside the `with`, matrix products run on `count` threads; on fewer while anybody asks for fewer."""
        outer = getattr(self.own, "limit", None)
        if count == outer:  # as it is already
            yield
            return
        try:  # around all of it: Ctrl-C may come at any place
            with self.lock:
                if self.before is None:
                    self.before = [library.num_threads for library in self.libraries]
                self.limits.append(count)
                self._set()
            self.own.limit = count
            yield
        finally:
            self.own.limit = outer
            with self.lock:
                if count in self.limits:  # a fork in between forgets them
                    self.limits.remove(count)
                    self._set()
                if not self.limits:
                    self.before = None

    def _set(self) -> None:
        counts = [min(self.limits)] * len(self.libraries) if self.limits else self.before or []
        for library, count in zip(self.libraries, counts, strict=False):
            # Newer versions of threadpoolctl let only the first thread that asks change OpenBLAS's setting, and
            # ignore all others in silence. Here the last thread to leave puts it back, and our lock keeps order.
            if hasattr(library, "clear_controlling_thread"):
                library.clear_controlling_thread(force=True)
            library.set_num_threads(count)

    def shares_out(self) -> bool:
        """Whether this thread is inside `with blas_threads(n)` with n > 1: then products are left to BLAS."""
        return (getattr(self.own, "limit", None) or 1) > 1

    def after_fork(self) -> None:
        """Put back what the parent had set."""
        self.lock, self.own, self.limits = threading.Lock(), threading.local(), []
        self._set()  # nothing where nothing was set
        self.before = None


_blas = _Blas()
blas_threads = _blas.threads


def _after_fork() -> None:
    """A forked process has none of its parent's threads, and a lock that one of them held would stay locked."""
    global _helpers
    _helpers = _Helpers()
    _blas.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)
