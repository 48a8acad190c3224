"""The judge of topological_order: is every tensor listed once, and after its parents?"""

import numpy as np

from minigan.exercises.judges.answer import Answer, kind_of
from minigan.tensor import Tensor

DEEP = 30_000  # operations in a row
ONE = np.ones(1)
GRAD = object()  # what stands in for a gradient from before


class Watched(Tensor):
    """A tensor that counts how often it is asked for its parents."""

    asked = 0
    _parents = ()

    @property
    def parents(self) -> tuple:
        """Those of the graph."""
        self.asked += 1
        if self.asked > 1000:
            raise EveryPath
        return self._parents

    @parents.setter
    def parents(self, parents: tuple) -> None:
        self._parents = parents


class EveryPath(Exception):  # noqa: N818
    """A walk that comes by the same tensor again and again."""


def node(*parents: Tensor, kind: type[Tensor] = Tensor) -> Tensor:
    """A tensor of one number with these parents. All have the same number: only what they are tells them apart."""
    tensor = kind.__new__(kind)  # as `record` makes one: much faster than a call, for a long chain
    tensor.data, tensor.grad, tensor.requires_grad = ONE, None, True
    tensor.parents = tuple([(parent, no_derivative) for parent in parents])
    return tensor


def no_derivative(g: Tensor, y: Tensor) -> Tensor:
    """Of a graph that only its order is asked of."""
    return g


def topological_order(topological_order: Answer) -> None:
    """Diamonds, paths of different lengths, repeated outputs, three parents, many paths, a long chain."""
    a = node()
    b = node(a, a)
    c = node(b, b)
    _check(topological_order, [c], [a, b, c], "a, b = a + a, c = b + b")
    d = node()
    e = node(a, d)
    _check(topological_order, [c, e], [a, b, c, d, e], "a, b = a + a, c = b + b, d, e = a * d, outputs c and e")
    for first in (True, False):
        end = node(a, c) if first else node(c, a)
        graph = f"a, b = a + a, c = b + b, d = {'a + c' if first else 'c + a'}"
        _check(topological_order, [end], [a, b, c, end], f"{graph}, a short and a long path to a")
        _check(topological_order, [c, end], [a, b, c, end], f"{graph}, outputs c and d")
        _check(topological_order, [end, c, end], [a, b, c, end], f"{graph}, outputs d, c and d again")
    _check(topological_order, [a], [a], "a alone")
    x, weight, bias = node(), node(), node()
    y = node(x, weight, bias)
    _check(topological_order, [y], [x, weight, bias, y], "a, b, c, and d of all three, as linear(x, weight, bias)")
    _check_many_paths(topological_order)
    _check_chain(topological_order)


def _check_many_paths(topological_order: Answer) -> None:
    """As many paths as atoms in a drop of water, but 65 tensors."""
    chain = [node(kind=Watched)]
    for _ in range(64):
        chain.append(node(chain[-1], chain[-1], kind=Watched))
    case = "64 sums y = y + y in a chain"
    try:
        _check(topological_order, chain[-1:], chain, case)
    except EveryPath:
        raise topological_order.wrong(
            f"topological_order walks every path, of which there are 2^64 here ({case}): go on from a tensor only when "
            "it is met for the first time"
        ) from None


def _check_chain(topological_order: Answer) -> None:
    """Deeper than Python can recurse."""
    chain = [node()]
    for _ in range(DEEP):
        chain.append(node(chain[-1]))
    try:
        _check(topological_order, chain[-1:], chain, f"a chain of {DEEP:,} operations")
    except RecursionError:
        sentence = "topological_order recurses too deeply for a long graph: keep a stack of your own"
        raise topological_order.wrong(sentence) from None
    finally:
        while chain:  # from its end: what holds a long chain is freed one by one
            chain.pop()


def _check(topological_order: Answer, outputs: list[Tensor], wanted: list[Tensor], case: str) -> None:
    """All of the wanted tensors, each once, parents first; and the list that was given is as before."""
    given, few = list(outputs), len(wanted) <= 100
    for tensor in wanted if few else ():
        tensor.grad = GRAD
    order = topological_order(given)

    def wrong(says: str) -> Exception:
        shown = f"; yours is {_in_letters(order, wanted)}" if len(wanted) <= 5 else ""
        return topological_order.wrong(f"topological_order {says} ({case}{shown})")

    if not isinstance(order, list) or not all(isinstance(t, Tensor) for t in order):
        found = "a list of other things" if isinstance(order, list) else kind_of(order)
        raise topological_order.wrong(f"topological_order must return a list of Tensors, but it returned {found}")
    if [id(t) for t in given] != [id(t) for t in outputs]:
        raise wrong("changes the list of outputs that it is given: copy it first")
    if len(set(order)) < len(order):
        raise wrong("lists a tensor more than once")
    if missing := set(wanted) - set(order):
        why = _why_missing(topological_order, outputs, wanted) if few else ""
        raise wrong(f"misses {len(missing)} of {len(wanted)} tensors{why}")
    if len(order) > len(wanted):
        raise wrong("lists tensors that are not of this graph")
    place = {tensor: i for i, tensor in enumerate(order)}
    if any(place[parent] > place[tensor] for tensor in order for parent, _ in tensor.parents):
        raise wrong("lists a child before its parent")
    if few and any(tensor.grad is not GRAD for tensor in wanted):
        raise wrong("changes the grad of tensors, which backward() adds to: keep marks in a set of your own")


def _why_missing(topological_order: Answer, outputs: list[Tensor], wanted: list[Tensor]) -> str:
    """The likely reason: what becomes of the same graph of new tensors, and of tensors that differ in their numbers?"""
    reasons = {
        False: "; does it remember an earlier call? Make what it remembers anew in every call",
        True: "; does it look for tensors in a list? There, `in` compares their numbers: use a set",
    }
    for numbered, reason in reasons.items():
        new = {}
        for i, tensor in enumerate(wanted):
            new[tensor] = node(*[new[parent] for parent, _ in tensor.parents])
            if numbered:
                new[tensor].data = np.array([float(i)])
        if set(topological_order([new[tensor] for tensor in outputs])) == set(new.values()):
            return reason
    return ""


def _in_letters(order: list[Tensor], wanted: list[Tensor]) -> str:
    """An order of the tensors a, b, c and so on, which were made in this order."""
    letters = {id(tensor): letter for tensor, letter in zip(wanted, "abcde", strict=False)}
    return ", ".join(letters.get(id(tensor), "another") for tensor in order) or "empty"
