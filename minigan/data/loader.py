"""Batches: an epoch is one walk through the data, in an order that nothing but (seed, epoch) decides."""

from collections.abc import Iterator

import numpy as np

from minigan.checks import check_integer
from minigan.data.labels import check_labels


class DataLoader:
    """Cut data into batches of `batch_size` along the first axis.

    data: one array, `(n, ...)`, or a dict of equally long ones. `DataLoader(points, batch_size=64)` yields arrays
    `(64, ...)`; `DataLoader({"images": images, "labels": labels}, batch_size=64)` yields dicts of such arrays, in
    which each image still has its label.
    Each `for batch in loader`, and each `iter(loader)`, begins the next epoch, `loader.epoch`: even where the last
    one was left with `break`, the order is a new one.
    An incomplete last batch is dropped: batch norm's statistics are noisy in a small batch and useless in a
    batch of one, and equal batches keep the speed steady. Each epoch is shuffled anew and drops other items.
    Raises ValueError for arrays of different lengths, for a batch size outside 1..n, and for `labels` that are
    not whole numbers `(n,)` from 0 on.
    """

    def __init__(
        self, data: np.ndarray | dict[str, np.ndarray], *, batch_size: int, shuffle: bool = True, seed: int = 0
    ) -> None:
        arrays = list(data.values()) if isinstance(data, dict) else [data]
        if not arrays or not all(getattr(array, "shape", ()) for array in arrays):
            raise ValueError("DataLoader needs an array, or a dict of named arrays, each with at least one axis")
        if len({len(array) for array in arrays}) > 1:
            lengths = " and ".join(f"{name} {len(array)}" for name, array in data.items())
            raise ValueError(f"the arrays must be equally long, not {lengths}")
        check_integer("batch_size", batch_size, low=1)
        check_integer("seed", seed, low=0)
        self.n = len(arrays[0])
        if batch_size > self.n:
            raise ValueError(f"batch_size {batch_size} is larger than the data ({self.n} items)")
        if isinstance(data, dict) and "labels" in data:
            check_labels(data["labels"], self.n, "DataLoader")
        self.data, self.batch_size, self.shuffle, self.seed = data, batch_size, shuffle, seed
        self.epoch = 0  # the one that begins next

    def __len__(self) -> int:
        return self.n // self.batch_size

    def __iter__(self) -> Iterator[np.ndarray | dict[str, np.ndarray]]:
        self.epoch += 1  # at once, and not at the epoch's end, which a loop with `break` never reaches
        return self.batches(self.epoch - 1)

    def batches(self, epoch: int, start: int = 0) -> Iterator[np.ndarray | dict[str, np.ndarray]]:
        """Iterate over one epoch from batch number `start` on, as a resumed run does."""
        check_integer("epoch", epoch, low=0)
        check_integer("start", start, low=0)
        # A fresh generator per epoch leaves no state to save: after a restart, epoch 7 has the same order.
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(self.n) if self.shuffle else np.arange(self.n)
        is_dict = isinstance(self.data, dict)
        first = next(iter(self.data.values())) if is_dict else self.data
        if hasattr(first, "__array_function__"):
            order = np.asarray(order, like=first)  # where the arrays are: on a GPU, in one copy
        for i in range(start, len(self)):
            index = order[i * self.batch_size : (i + 1) * self.batch_size]
            yield {name: array[index] for name, array in self.data.items()} if is_dict else self.data[index]
