"""Judges of the chain rule: a broadcast undone, products, and a function of one number."""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np

from minigan.exercises.judges.answer import Answer, Guesses, normal
from minigan.tensor import Tensor

RESULTS = [(3, 4), (2, 3, 4), (3,), (), (2, 3, 4, 2), (3, 1), (1, 4), (2, 1, 3), (1, 1, 1, 1)]  # shapes of a broadcast


def unbroadcast(unbroadcast: Answer) -> None:
    """Every broadcast to results of none to four axes, also where the result has axes of size 1 itself."""
    for shape in RESULTS:
        for small in _broadcast_to(shape):
            g, right = normal(*shape), np.zeros(small)
            for index in np.ndindex(shape):  # the definition: each copy gives its gradient to what it is a copy of
                behind = index[len(shape) - len(small) :]
                right[tuple(0 if n == 1 else i for i, n in zip(behind, small, strict=True))] += g[index]
            what = f"unbroadcast of g {shape} to x {small}"
            guesses = [
                ("the sign is flipped", -right),
                ("it is the mean; the gradients of the copies add up", right * right.size / g.size),
            ]
            unbroadcast.value(g, np.zeros(small), right=right, what=what, guesses=guesses)
    for small in ((3, 1), (1, 4), (3, 4), (2, 3, 4), ()):
        what = f"unbroadcast of g (2, 3, 4) to x {small}"
        unbroadcast.gradients(normal(2, 3, 4), settings=(Tensor(np.zeros(small)),), what=what)
    unbroadcast.in_float32(normal(2, 3, 4), settings=(Tensor(np.zeros((3, 1), np.float32)),))


def _broadcast_to(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every shape that broadcasts to `shape`: without some axes in front, and with size 1 instead of any others."""
    for new in range(len(shape) + 1):
        behind = shape[new:]
        axes = [i for i, n in enumerate(behind) if n > 1]
        for count in range(len(axes) + 1):
            for stretched in combinations(axes, count):
                yield tuple(1 if i in stretched else n for i, n in enumerate(behind))


def mul(mul: Answer) -> None:
    """Equal shapes, broadcasts of either side, a square; plain numbers and arrays on either side; numbers of 0."""
    a, b = normal(3, 4), normal(3, 4, seed=1)
    a[0], b[:, 0] = 0.0, 0.0
    pairs = [(a, b), (normal(3, 1), normal(4)), (normal(2, 3, 4), normal(3, 1)), (normal(1, 4), normal(2, 1, 3, 4))]
    for a, b in [*pairs, (normal(), normal(3)), (normal(2, 3), normal(1, 1)), (np.zeros(3), normal(3))]:
        mul.value(a, b, right=a * b)
        guesses = _without_signs(a, b) if a.shape == b.shape else None
        mul.gradients(a, b, order=2 if a.shape == (3, 4) or a.ndim == 1 else 1, guesses=guesses)
    mul.gradients(normal(3), f=lambda x: mul(x, x), what="mul of x and x")
    for number in (2.5, 7, np.float64(0.6)):
        mul.value(a, number, right=a * number)
        mul.value(number, a, right=a * number)
        mul.gradients(normal(4), settings=(number,), what=f"mul by the number {number}", order=1)
        of_number = _on_the_left(mul, number)
        mul.gradients(normal(4), f=of_number, what=f"mul of the number {number}, on the left,", order=1)
        mul.in_float32(normal(4), settings=(number,))
        mul.in_float32(normal(4), f=of_number)
    for array in (normal(3, 1), normal(4, seed=2)):
        mul.gradients(normal(3, 4), settings=(array,), what=f"mul by an array {array.shape}", order=1)
        on_the_left = _on_the_left(mul, array)
        mul.gradients(normal(3, 4), f=on_the_left, what=f"mul of an array {array.shape}, on the left,", order=1)
    mul.in_float32(normal(3, 4), normal(4))


def _without_signs(a: np.ndarray, b: np.ndarray) -> Callable[[Any], dict[int, Guesses]]:
    """The gradients with sizes for factors."""

    def guesses(g: Any) -> dict[int, Guesses]:
        says = "it is wrong where {0} is negative; multiply by {0} as it is, not by its size"
        return {0: [(says.format("b"), g * np.abs(b))], 1: [(says.format("a"), g * np.abs(a))]}

    return guesses


def _on_the_left(mul: Answer, a: Any) -> Callable[[Tensor], Tensor]:
    """The product as a function of its right operand."""
    return lambda b: mul(a, b)


def matmul(matmul: Answer) -> None:
    """Oblong matrices, square ones, in which a wrong transpose has the right shape, rows and columns, a square."""
    shapes = [((3, 4), (4, 5)), ((3, 3), (3, 3)), ((1, 4), (4, 1)), ((3, 1), (1, 2)), ((1, 1), (1, 3))]
    one_column = [((4, 3), (3, 1)), ((3, 3), (3, 1)), ((1, 3), (3, 3))]  # as the last layer of a discriminator has it
    for left, right in shapes + one_column:
        a, b = normal(*left), normal(*right, seed=1)
        matmul.value(a, b, right=a @ b)
        matmul.gradients(a, b, order=2 if left in ((3, 4), (3, 3)) else 1)
    matmul.gradients(np.zeros((2, 3)), np.zeros((3, 2)), what="matmul of zeros", order=1)
    matmul.gradients(normal(3, 3), f=lambda a: matmul(a, a), what="matmul of a and a", order=1)
    matmul.in_float32(normal(3, 4), normal(4, 5))


def tanh(tanh: Answer) -> None:
    """Moderate and very large numbers, none to four axes."""
    x = np.concatenate([normal(20), [0.0, 10.0, -10.0, 50.0, -50.0, 1000.0, -1000.0]]).reshape(-1, 1)
    for array in (x, normal(), normal(3), normal(2, 3, 2), normal(2, 1, 3, 2)):
        tanh.value(array, right=np.tanh(array))
        tanh.gradients(array, order=1 if array.ndim == 3 else 2, guesses=_guesses_of_tanh(np.tanh(array)))
    tanh.in_float32(x)


def _guesses_of_tanh(y: Any) -> Callable[[Any], dict[int, Guesses]]:
    """The gradient with the usual mistakes."""
    return lambda g: {
        0: [
            ("it is 1 - y^2 g; g multiplies the whole slope: g * (1.0 - y * y)", 1 - y**2 * g),
            ("it is g - y^2; g multiplies the whole slope: g * (1.0 - y * y)", g - y**2),
            ("it is the slope of the sigmoid, y (1 - y); that of tanh is 1 - y^2", g * y * (1 - y)),
        ]
    }
