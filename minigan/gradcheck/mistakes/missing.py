"""A factor or a term is missing, or one too many."""

from collections.abc import Iterable, Iterator
from itertools import chain, combinations

import numpy as np

from minigan.gradcheck.mistakes.evidence import FEW, Evidence, Mistake, axes_in_words, sets_of_axes


def factor_missing(e: Evidence) -> Mistake | None:
    """numeric = z analytic (z is missing) or analytic = z numeric (one z too many), for x, y or another argument z."""
    for label, z in _broadcast_to_x(e):
        if e.agrees(e.numeric, e.analytic * z):
            return Mistake("factor missing", f"the factor {label} is missing", f"multiply by {label}")
        if e.agrees(e.numeric * z):
            return Mistake("factor extra", f"there is one factor {label} too many", f"do not multiply by {label} again")
    return None


def _broadcast_to_x(e: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    """The output and the arguments, where they fit x element by element."""
    for label, z in (*e.others.items(), (e.name, e.x), ("y, the output,", e.y)):
        pairs = zip(z.shape[::-1], e.x.shape[::-1], strict=False)
        if z.size > 1 and z.ndim <= e.x.ndim and all(n in (1, m) for n, m in pairs):
            yield label, np.broadcast_to(z, e.x.shape)


def factor_along_axis(e: Evidence) -> Mistake | None:
    """One wrong factor for each place along one axis, such as one per channel."""
    for axis, size in enumerate(e.x.shape):
        rest = tuple(i for i in range(e.x.ndim) if i != axis)
        if size < 2 or e.x.size // size < FEW:
            continue
        numeric = np.nan_to_num(e.numeric)
        norm = (numeric**2).sum(axis=rest, keepdims=True)
        factors = (e.analytic * numeric).sum(axis=rest, keepdims=True) / np.where(norm == 0, 1, norm)
        if e.agrees(factors * e.numeric):
            return Mistake(
                "factor along an axis",
                f"it is off by a factor that depends only on the place along axis {axis}",
                "is something missing that has one number per channel, such as a weight or 1/sigma?",
            )
    return None


def term_missing(e: Evidence) -> Mistake | None:
    """What is left over, numeric - analytic, is g times one or two simple terms, such as y^2 or x - y."""
    if e.x.shape != e.y.shape or e.x.size < 2 * FEW:
        return None
    rest = e.numeric - e.analytic
    known = np.isfinite(rest)
    for terms in chain(combinations(_simple_terms(e), 1), combinations(_simple_terms(e), 2)):
        columns = [e.g * z for _, z in terms]
        matrix = np.stack([column[known] for column in columns], axis=1)
        factors = np.linalg.lstsq(matrix, rest[known], rcond=None)[0]
        if e.agrees(sum(c * column for c, column in zip(factors, columns, strict=True)), rest):
            formula = _formula(factors, [label for label, _ in terms])
            return Mistake(
                "term missing",
                f"a term is missing or wrong: right minus yours is g ({formula})",
                "differentiate every term of the formula, one at a time",
            )
    return None


def _simple_terms(e: Evidence) -> list[tuple[str, np.ndarray]]:
    """What a forgotten term may hold, with its name."""
    terms = [("", np.ones_like(e.x))]
    for label, z in ((e.name, e.x), ("y", e.y), *e.others.items()):
        if z.shape == e.x.shape:
            terms += [(label, z), (f"{label}^2", z**2)]
    return terms


def _formula(factors: Iterable[float], labels: Iterable[str]) -> str:
    """Such as "x^2 - 0.5 y"."""
    text = ""
    for c, label in zip(factors, labels, strict=True):
        size = "" if label and np.isclose(abs(c), 1) else f"{abs(c):.4g} "
        text += f" {'-' if c < 0 else '+'} {size}{label}".rstrip()
    return text.removeprefix(" + ").strip()


def mean_missing(e: Evidence) -> Mistake | None:
    """What is left over is one number for each group of elements, or x_hat or y times such a number.

    Batch norm's derivative (h - mean h - x_hat mean(h x_hat)) / sigma and softmax's, y (g - sum(g y)), have such terms:
    an element acts through the mean, the variance or the sum of its whole group as well.
    """
    rest = e.numeric - e.analytic
    if not np.all(np.isfinite(rest)):
        return None
    groups = [axes for axes in sets_of_axes(e.x.shape) if np.prod([e.x.shape[i] for i in axes]) > FEW][::-1]
    for axes in groups:  # the largest first: what is the same along two axes is the same along each
        if e.agrees(_along(rest, np.ones_like(rest), axes), rest):
            sentence = (
                f"a mean or sum is missing or wrong: right minus yours is the same for all along {axes_in_words(axes)}"
            )
            hint = "every element acts through the mean of all too: is a term like mean(g) or sum(g) left out?"
            return Mistake("mean missing", sentence, hint)
    for axes in groups:
        for label, z in [("x_hat", _x_hat(e.x, axes))] + [("y", e.y)] * (e.y.shape == e.x.shape):
            if e.agrees(_along(rest, z, axes), rest):
                sentence = (
                    f"a term {label} mean(g {label}) is missing or wrong: right minus yours is proportional to {label} "
                    f"along {axes_in_words(axes)}"
                )
                hint = "every element acts through the variance or sum of all too: see the derivation of this term"
                return Mistake(f"{label} missing", sentence, hint)
    for axes in groups:
        x_hat = _x_hat(e.x, axes)
        if e.agrees(_along(rest, np.ones_like(rest), axes) + _along(rest, x_hat, axes), rest):
            sentence = f"both a mean and a term in x_hat are missing or wrong, along {axes_in_words(axes)}"
            hint = (
                "every element acts through the mean and through the variance too; or were these cut off, as by x.data?"
            )
            return Mistake("mean and x_hat missing", sentence, hint)
    return None


def _x_hat(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """x brought to mean 0 and variance 1 over `axes`."""
    deviation = x.std(axis=axes, keepdims=True)
    return (x - x.mean(axis=axes, keepdims=True)) / np.where(deviation == 0, 1, deviation)


def _along(rest: np.ndarray, z: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The part of `rest` that is z times one number for each group over `axes` (its projection on z)."""
    norm = (z * z).sum(axis=axes, keepdims=True)
    return z * ((rest * z).sum(axis=axes, keepdims=True) / np.where(norm == 0, 1, norm))
