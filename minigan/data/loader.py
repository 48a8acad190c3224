"""Batches: an epoch is one walk through the data, in an order that nothing but (seed, epoch) decides."""

from collections.abc import Iterator

import numpy as np

from minigan.checks import check_integer


class DataLoader:
    """Cut arrays into batches of `batch_size` along their first axis.

    `DataLoader(images, batch_size=64)` yields `images[index]`; several arrays of equal length yield tuples.
    `for batch in loader` walks through epoch `loader.epoch` and at the end adds one to it.
    An incomplete last batch is dropped: batch norm's statistics are noisy in a small batch and useless in a
    batch of one, and equal batches keep the speed steady. Each epoch is shuffled anew and drops other items.
    Raises ValueError for arrays of different lengths and for a batch size outside 1..n.
    """

    def __init__(self, *arrays: np.ndarray, batch_size: int, shuffle: bool = True, seed: int = 0) -> None:
        if not arrays or not all(getattr(array, "shape", ()) for array in arrays):
            raise ValueError("DataLoader needs one or more arrays, each with at least one axis")
        lengths = [len(array) for array in arrays]
        if len(set(lengths)) > 1:
            raise ValueError(f"the arrays must be equally long, not {' and '.join(map(str, lengths))}")
        check_integer("batch_size", batch_size, low=1)
        check_integer("seed", seed, low=0)
        if batch_size > lengths[0]:
            raise ValueError(f"batch_size {batch_size} is larger than the data ({lengths[0]} items)")
        self.arrays, self.batch_size, self.shuffle, self.seed = arrays, batch_size, shuffle, seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.arrays[0]) // self.batch_size

    def __iter__(self) -> Iterator:
        yield from self.batches(self.epoch)
        self.epoch += 1

    def batches(self, epoch: int, start: int = 0) -> Iterator:
        """Iterate over one epoch from batch number `start` on, as a resumed run does."""
        check_integer("start", start, low=0)
        n = len(self.arrays[0])
        # A fresh generator per epoch leaves no state to save: after a restart, epoch 7 has the same order.
        order = np.random.default_rng([self.seed, epoch]).permutation(n) if self.shuffle else np.arange(n)
        if hasattr(self.arrays[0], "__array_function__"):
            order = np.asarray(order, like=self.arrays[0])  # where the arrays are: on a GPU, in one copy
        for i in range(start, len(self)):
            index = order[i * self.batch_size : (i + 1) * self.batch_size]
            batch = tuple(array[index] for array in self.arrays)
            yield batch if len(batch) > 1 else batch[0]
