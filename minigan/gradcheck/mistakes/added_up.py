"""Gradients that should have been added up: one element of x acts on the result in several ways."""

from itertools import chain

import numpy as np

from minigan.gradcheck.mistakes.evidence import AGREE, Evidence, Mistake, axes_in_words, sets_of_axes


def overwritten(e: Evidence) -> Mistake | None:
    """Only the first or the last of the terms g_j J[j, i] instead of their sum.

    A gradient that comes through several outputs may have been added up along some axes of y and
    overwritten along the others, so all ways to split the axes are tried.
    """
    if e.jacobian is None:
        return None
    terms = (e.g.reshape(-1, 1) * e.jacobian).reshape(*e.y.shape, e.x.size)
    for summed in chain([()], sets_of_axes(e.y.shape)):
        parts = terms.sum(axis=summed).reshape(-1, e.x.size)
        present = np.abs(parts) > 1e-9 * np.max(np.abs(parts), initial=0)
        if len(parts) < 2 or not np.any(present.sum(axis=0) > 1):
            continue
        for ordered, there in ((parts, present), (parts[::-1], present[::-1])):
            one = np.take_along_axis(ordered, there.argmax(axis=0)[None], axis=0).reshape(e.x.shape)
            if e.agrees(one) and not e.agrees(one, e.numeric):
                return Mistake(
                    "overwritten",
                    "gradients that meet in one element overwrite each other instead of adding up",
                    f"{e.name} is used several times: add each share (+=, np.add.at) instead of assigning it",
                )
    return None


def wrong_shape(shape: tuple[int, ...], gradient: np.ndarray, numeric: np.ndarray) -> Mistake:
    """For a gradient of another shape than its argument: was a broadcast not summed, is it transposed?"""
    says = f"the gradient has shape {gradient.shape}, but the argument {shape}"
    new = gradient.ndim - len(shape)
    padded = (1,) * new + shape
    if new >= 0 and all(n in (1, m) for n, m in zip(padded, gradient.shape, strict=True)):
        axes = tuple(i for i, (n, m) in enumerate(zip(padded, gradient.shape, strict=True)) if n != m or i < new)
        total = gradient.sum(axis=axes).reshape(shape)
        if np.allclose(total, numeric, rtol=AGREE, atol=0, equal_nan=True):
            hint = (
                f"broadcasting repeated the argument along {axes_in_words(axes)}: "
                "add the gradients of the copies up there (see unbroadcast)"
            )
            return Mistake("not summed", f"a broadcast was not summed: {says}", hint)
    if gradient.T.shape == shape and np.allclose(gradient.T, numeric, rtol=AGREE, equal_nan=True):
        return Mistake("transposed", f"it is transposed: {says}", "a .T is missing or extra")
    hint = "a gradient always has the shape of what it is the gradient of"
    return Mistake("wrong shape", f"wrong shape: {says}", hint)
