"""Exercise topological_order (scaffold, lesson tensors_and_the_chain_rule): in which order does backprop walk?

What      List every tensor that `outputs` were computed from, outputs included: each once, parents before
          children.
Start     In `b = a + a; c = b + b` the tensor b is reached on two paths. Walking every path would carry its
          gradient on twice, and for 16 sums in a chain 2^16 times. Instead, b must wait until all of its
          children have given their share. In the right order, read backwards, they have: a, b, c.
Shapes    outputs: a list of Tensors.  `tensor.parents` is a tuple of pairs (parent, derivative).  Returns a
          list.
Example   For a, b, c above, [c] gives [a, b, c].
Use       A depth-first search: a tensor may go into the list once all its parents are in it. Written with
          recursion it is four lines, but a graph of 10,000 operations is deeper than Python can recurse. So
          keep a stack of your own, and put on it pairs (tensor, parents_are_done). `tensor in seen` looks for
          this very tensor in a set; in a list, it would compare numbers.

Check it with `minigan exercise check topological_order`; stuck? `minigan exercise hint topological_order`.
"""

from collections.abc import Iterable

from minigan import Tensor


def topological_order(outputs: Iterable[Tensor]) -> list[Tensor]:
    """Every tensor that `outputs` were computed from, parents before children, each once."""
    order: list[Tensor] = []
    seen: set[Tensor] = set()
    stack = [(tensor, False) for tensor in outputs]
    while stack:
        tensor, parents_are_done = stack.pop()
        # Three cases: its parents are done; it is new (it must come back after its parents); it was seen before.
        raise NotImplementedError("not written yet")
    return order
