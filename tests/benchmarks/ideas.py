"""What each idea that makes minigan fast is worth: `python tests/benchmarks/ideas.py`.

First one convolution, from loops to threads. Then a whole training step of the 28x28 DCGAN (W3 of `minigan bench`)
with one idea at a time switched off. The variants take turns, and the medians of the ratios to the fastest are printed.
"""

import contextlib
import time
from unittest import mock

import numpy as np

import minigan
from minigan import Tensor, ops
from minigan.bench.minigan_side import MiniganSide
from minigan.bench.workloads import WORKLOADS, channels_last
from minigan.fast import conv, threads


def loops(x, weight, stride, padding):
    """The definition, one multiplication at a time."""
    n, c, h, _ = x.shape
    o, _, kernel, _ = weight.shape
    size = (h + 2 * padding - kernel) // stride + 1
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    y = np.zeros((n, o, size, size), np.float32)
    for index in np.ndindex(y.shape):
        image, channel, i, j = index
        total = 0.0
        for place in np.ndindex(c, kernel, kernel):
            k, row, column = place
            total += padded[image, k, stride * i + row, stride * j + column] * weight[channel, k, row, column]
        y[index] = total
    return y


def seconds(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def convolution():
    rng = np.random.default_rng(0)
    x = channels_last(rng.standard_normal((64, 64, 14, 14)).astype(np.float32))
    weight = channels_last(rng.standard_normal((128, 64, 4, 4)).astype(np.float32))
    small = x[:1, :, :4, :4], weight[:4]  # the loops would take minutes: time a small part, and scale up
    scale = (64 * 128 * 49) / (1 * 4 * 4)
    print("conv2d 64 -> 128 of 64 images 14x14")
    print(f"  {'loops in Python (a part, scaled up)':<40} {1e3 * scale * seconds(lambda: loops(*small, 2, 1)):7.0f} ms")
    tensors = Tensor(x), Tensor(weight)

    def fast():
        ops.conv2d(*tensors, None, 2, 1)

    def plain():
        with minigan.plain():
            fast()

    def one_thread():
        with mock.patch.object(threads, "THREADS", 1):
            fast()

    def one_block():
        with mock.patch.object(conv, "BLOCK", 10**9):
            one_thread()

    variants = {
        "plain: a product for each kernel place": plain,
        "unfolding, one product": one_block,
        "... in blocks that stay in the cache": one_thread,
        f"... on {threads.THREADS} threads": fast,
    }
    with threads.blas_threads(1):
        times = {name: [] for name in variants}
        for _ in range(15):
            for name, call in variants.items():
                times[name].append(seconds(call))
    for name, values in times.items():
        print(f"  {name:<40} {1e3 * np.median(values):7.1f} ms")


@contextlib.contextmanager
def pixel_by_pixel():
    """Folding one kernel pixel at a time."""

    def add(images, parts, grid):
        for k, places in grid.places():
            images[:, *places] += parts[:, :, :, *k]

    with mock.patch.object(conv, "add_patches", add):
        yield


def step():
    without = {
        "everything on": contextlib.nullcontext,
        "without threads": lambda: mock.patch.object(threads, "THREADS", 1),
        "without blocks in convolutions": lambda: mock.patch.object(conv, "BLOCK", 10**9),
        "without blocks in Adam": lambda: mock.patch.object(threads, "BLOCK", 10**9),
        "without squares in folding": pixel_by_pixel,
        "plain: all of it off": minigan.plain,
    }
    side = MiniganSide(next(workload for workload in WORKLOADS if workload.name == "W3"))
    side.step()
    times = {name: [] for name in without}
    for _ in range(15):
        for name, context in without.items():
            time.sleep(0.25)  # until BLAS's threads, which wait busily after a plain step, have gone to sleep
            with context():
                side.step()  # the caches are its own again
                times[name].append(seconds(side.step))
    fastest = np.array(times["everything on"])
    print("a whole training step, DCGAN 28x28, batch 64")
    for name, values in times.items():
        print(f"  {name:<40} {1e3 * np.median(values):7.1f} ms   {np.median(np.array(values) / fastest):.2f}")


if __name__ == "__main__":
    convolution()
    step()
