"""Judges of the chain rule: a broadcast undone, products, a function of one number, and the order of the walk back."""

import numpy as np

from minigan.exercises.judges.answer import Answer, kind_of, normal
from minigan.tensor import Tensor


def unbroadcast(unbroadcast: Answer) -> None:
    """A broadcast in front, one inside, both, and none; also where the axis that is in front or inside has size 1."""
    shapes = [((3, 4), (4,)), ((3, 4), (3, 1)), ((2, 3, 4), (3, 1)), ((2, 3), ()), ((3, 4), (3, 4)), ((3, 1), (3, 1))]
    shapes += [((1, 3), (3,)), ((2, 1, 4), (1, 1, 4)), ((2, 3, 4, 5), (3, 1, 5))]
    for shape, small in shapes:
        g, right = normal(*shape), np.zeros(small)
        for index in np.ndindex(shape):  # the definition: each copy gives its gradient to what it is a copy of
            behind = index[len(shape) - len(small) :]
            right[tuple(0 if n == 1 else i for i, n in zip(behind, small, strict=True))] += g[index]
        mean = ("it is the mean; the gradients of the copies add up", right * right.size / g.size)
        unbroadcast.value(
            g, np.zeros(small), right=right, what=f"unbroadcast of g {shape} to x {small}", guesses=[mean]
        )
    x = Tensor(np.zeros((3, 1)))
    unbroadcast.gradients(normal(2, 3, 4), settings=(x,))
    unbroadcast.in_float32(normal(2, 3, 4), settings=(x,))


def mul(mul: Answer) -> None:
    """Equal shapes, broadcasts of either side, plain numbers on either side."""
    for a, b in [
        (normal(3, 4), normal(3, 4, seed=1)),
        (normal(3, 1), normal(4)),
        (normal(2, 3, 4), normal(3, 1)),
        (normal(1, 4), normal(2, 1, 3, 4)),
    ]:
        mul.value(a, b, right=a * b)
        mul.gradients(a, b)
    mul.gradients(normal(3), settings=(3.0,), what="mul by 3.0")
    mul.gradients(normal(3), f=lambda b: mul(3.0, b), what="mul of 3.0")
    mul.in_float32(normal(3, 4), normal(4))


def matmul(matmul: Answer) -> None:
    """Oblong matrices, and square ones, in which a wrong transpose has the right shape."""
    for a, b in [
        (normal(3, 4), normal(4, 5)),
        (normal(3, 3), normal(3, 3, seed=1)),
        (normal(1, 4), normal(4, 1)),
    ]:
        matmul.value(a, b, right=a @ b)
        matmul.gradients(a, b)
    matmul.in_float32(normal(3, 4), normal(4, 5))


def tanh(tanh: Answer) -> None:
    """Moderate and large numbers, one to four axes."""
    x = np.concatenate([normal(20), [0.0, 10.0, -10.0]]).reshape(-1, 1)
    for array in (x, normal(3), normal(2, 1, 3, 2)):
        tanh.value(array, right=np.tanh(array))
        tanh.gradients(array)
    tanh.in_float32(x)


def topological_order(topological_order: Answer) -> None:
    """The diamond, many paths, a deep chain, several outputs."""
    a = Tensor(np.ones(1), requires_grad=True)
    b = a + a
    c = b + b
    _check_order(topological_order, [c], [a, b, c], "a, b = a + a, c = b + b")
    d = Tensor(np.ones(1), requires_grad=True)
    e = a * d
    _check_order(topological_order, [c, e], [a, b, c, d, e], "a, b = a + a, c = b + b, d, e = a * d, outputs c and e")
    chain = [a]
    for _ in range(64):  # 2^64 paths
        chain.append(chain[-1] + chain[-1])
    _check_order(topological_order, chain[-1:], chain, "64 sums y = y + y in a chain")
    for _ in range(5000):
        chain.append(chain[-1] * 1.0)
    try:
        _check_order(topological_order, chain[-1:], chain, "a chain of 5000 operations")
    except RecursionError:
        sentence = "topological_order recurses too deeply for a long graph: keep a stack of your own"
        raise topological_order.wrong(sentence) from None


def _check_order(topological_order: Answer, outputs: list[Tensor], wanted: list[Tensor], case: str) -> None:
    """All of the wanted tensors, each once, parents first."""
    order = topological_order(outputs)
    if not isinstance(order, list) or not all(isinstance(t, Tensor) for t in order):
        raise topological_order.wrong(
            f"topological_order must return a list of Tensors, but it returned {kind_of(order)}"
        )
    if len(set(order)) < len(order):
        raise topological_order.wrong(f"topological_order lists a tensor more than once ({case})")
    if missing := set(wanted) - set(order):
        raise topological_order.wrong(f"topological_order misses {len(missing)} of {len(wanted)} tensors ({case})")
    if len(order) > len(wanted):
        raise topological_order.wrong(f"topological_order lists tensors that are not of this graph ({case})")
    place = {tensor: i for i, tensor in enumerate(order)}
    if any(place[parent] > place[tensor] for tensor in order for parent, _ in tensor.parents):
        raise topological_order.wrong(f"topological_order lists a child before its parent ({case})")
