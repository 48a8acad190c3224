"""Which output acts on which input? The gradient under test connects other ones than the function does."""

from itertools import product

import numpy as np

from minigan.gradcheck.mistakes.evidence import AGREE, FEW, Evidence, Mistake, axes_in_words


def element_by_element(e: Evidence) -> Mistake | None:
    """Only g_i J[i, i]: of softmax or a normalisation, the terms off the diagonal are missing."""
    if e.jacobian is None or e.x.shape != e.y.shape or e.x.size < FEW:
        return None
    own = np.diagonal(e.jacobian)
    if np.allclose(e.jacobian, np.diag(own)) or not e.agrees(e.g * own.reshape(e.x.shape)):
        return None
    return Mistake(
        "element by element",
        f"each output is taken to depend on its own element of {e.name} only, but it depends on others too",
        "in a softmax or a normalisation every output holds a sum or mean over all: add what comes through that, "
        "such as -y sum(g y)",
    )


def order(e: Evidence) -> Mistake | None:
    """The right numbers in another order: a flip, a roll, a sort or a permutation that is not undone, or done twice."""
    if not (_other_order(e.numeric.ravel(), e.analytic.ravel()) or _other_rows(e)):
        return None
    return Mistake(
        "order",
        "it has the right numbers in the wrong order",
        "the derivative must undo what the function does: flip back, roll by -n, or index with the inverse of the "
        "permutation, np.argsort(order)",
    )


def _other_order(right: np.ndarray, found: np.ndarray) -> bool:
    """Whether both hold the same numbers, several of them different."""
    if not np.all(np.isfinite(right)):
        return False
    size, (right, found) = np.max(np.abs(right)), (np.sort(right), np.sort(found))
    several = np.sum(np.diff(right) > 1e-3 * size) >= FEW - 1
    return bool(several and np.allclose(found, right, rtol=AGREE, atol=1e-9 * size))


def _other_rows(e: Evidence) -> bool:
    """Whether each output has the derivatives of another one."""
    if e.jacobian is None or len(e.jacobian) < FEW:
        return False
    right, found = e.jacobian, e.analytic_jacobian()
    if found is None or not _is_linear(e, found):
        return False
    right, found = (np.round(J / np.max(np.abs(right)), 6) + 0.0 for J in (right, found))
    by_rows = [np.lexsort(J.T) for J in (right, found)]
    return bool(np.allclose(right[by_rows[0]], found[by_rows[1]], atol=AGREE) and len(np.unique(right, axis=0)) >= FEW)


def _is_linear(e: Evidence, found: np.ndarray) -> bool:
    """Whether the gradient under test is g times its Jacobian: not if it forgets g, for instance."""
    return np.all(np.isfinite(found)) and e.agrees((e.g.reshape(-1) @ found).reshape(e.x.shape))


def wrong_axis(e: Evidence) -> Mistake | None:
    """Outputs act along one axis of x, and the gradient spreads along another: a sum or mean over the wrong axis."""
    if e.jacobian is None or not e.x.ndim or not e.y.ndim:
        return None
    found = e.analytic_jacobian()
    if found is None or not _is_linear(e, found):
        return None
    lost = _tied(e, e.jacobian) - _tied(e, found)
    if not lost:
        return None
    axes = tuple(sorted({axis for _, axis in lost}))
    return Mistake(
        "wrong axis",
        f"along {axes_in_words(axes)} it mixes elements of {e.name} that do not meet in any output",
        "look at the axis= of each sum and mean in the derivative: is it that of the function, and has it keepdims?",
    )


def _tied(e: Evidence, jacobian: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of an axis of y and an axis of x of the same length: y at place i there needs x at place i only."""
    nonzero = np.abs(jacobian) > 1e-6 * np.max(np.abs(jacobian), initial=0)
    outputs, inputs = np.nonzero(nonzero)
    there, here = np.unravel_index(outputs, e.y.shape), np.unravel_index(inputs, e.x.shape)
    axes = product(range(e.y.ndim), range(e.x.ndim))
    return {(b, a) for b, a in axes if e.y.shape[b] == e.x.shape[a] > 1 and np.array_equal(there[b], here[a])}
