"""What is wrong with a gradient? Each mistake here says what a wrong derivative would have given.

The check has measured what is true: the Jacobian J[j, i] = d y_j / d x_i by finite differences, and with it the
right gradient, numeric_i = sum_j g_j J[j, i], for the upstream gradient g. Most mistakes predict another answer from
the same facts: a flipped sign gives -numeric, a forgotten upstream gradient gives sum_j J[j, i]. If the gradient
under test agrees with a prediction in every element, that is the likely mistake. Others are a pattern: the same number
everywhere, or wrong only at the border. `find_mistake` tries them in order, the narrower ones before those that explain
more; where none fits it says so.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, combinations, permutations, product

import numpy as np

AGREE = 1e-4  # relative: a mistake is no rounding error, and its prediction is right to many more digits
FEW = 3  # below so many elements almost anything agrees with a free factor


@dataclass(frozen=True)
class Mistake:
    """A short name, one sentence that says what is wrong, and a hint where to look."""

    name: str
    sentence: str
    hint: str

    def __str__(self) -> str:
        return f"{self.sentence}.\n   hint: {self.hint}{'' if self.hint.endswith('?') else '.'}"


@dataclass(frozen=True)
class Evidence:
    """What was measured of one argument x of y = f(x, ...). Arrays are float64; NaN means "not known" (a kink)."""

    analytic: np.ndarray  # the gradient under test, in x's shape
    numeric: np.ndarray  # the same by finite differences
    x: np.ndarray
    y: np.ndarray
    g: np.ndarray  # the upstream gradient, in y's shape
    jacobian: np.ndarray | None  # (y.size, x.size); None where it is too large
    name: str
    order: int = 1  # 2 where y is itself a derivative
    others: dict[str, np.ndarray] = field(default_factory=dict)  # the other arguments, by name
    other_gradients: dict[str, np.ndarray] = field(default_factory=dict)  # ... and the numeric gradients of some
    numeric_with: Callable[[str, np.ndarray], np.ndarray] | None = None  # numeric, had another argument other values

    def agrees(self, prediction: np.ndarray, target: np.ndarray | None = None) -> bool:
        """Whether the gradient under test (or `target`) is `prediction` in every element that is known."""
        target = self.analytic if target is None else target
        if target.shape != prediction.shape:
            return False
        known = np.isfinite(prediction) & np.isfinite(self.numeric)
        if not known.any():
            return False
        target, prediction = target[known], prediction[known]
        scale = np.maximum(np.abs(target), np.abs(prediction))
        return bool(np.all(np.abs(target - prediction) <= AGREE * scale + 1e-7 * np.max(scale)))


def find_mistake(evidence: Evidence) -> Mistake:
    """The first mistake that explains every element of the gradient, or an honest "none of these"."""
    for explain in MISTAKES:
        mistake = explain(evidence)
        if mistake is not None:
            return mistake
    return Mistake(
        "none of these",
        "none of the known mistakes explains it",
        f"look at the worst element above, set all numbers but that one to 0, and work out its derivative by hand; "
        f"{_share_wrong(evidence):.0%} of the elements are wrong",
    )


# --- the whole gradient is off in one way --------------------------------------------------------------------


def not_finite(e: Evidence) -> Mistake | None:
    """NaN or infinity where the true gradient is an ordinary number."""
    bad = ~np.isfinite(e.analytic)
    if not bad.any():
        return None
    return Mistake(
        "not finite",
        f"{bad.sum()} of {bad.size} elements are not finite (nan or inf)",
        "look for a division by 0, a log or a square root at 0, or e to a large power in the derivative",
    )


def zero(e: Evidence) -> Mistake | None:
    """No gradient arrives at all."""
    if np.any(e.analytic):
        return None
    if e.order == 2:
        hint = "the derivative was computed on plain arrays; write it in operations, g * y and not g.data * y.data"
    else:
        hint = "was the argument cut off from the graph, with .data, .detach() or no_grad()? Or is a factor always 0?"
    return Mistake("zero", "the gradient is zero everywhere", hint)


def sign_flipped(e: Evidence) -> Mistake | None:
    """-numeric."""
    if not e.agrees(-e.numeric):
        return None
    return Mistake(
        "sign flipped", "the sign is flipped", "a minus was lost or added; look at the order of subtractions"
    )


def upstream_forgotten(e: Evidence) -> Mistake | None:
    """sum_j J[j, i]: as if every g_j were 1."""
    if e.jacobian is None or not e.agrees(e.jacobian.sum(axis=0).reshape(e.x.shape)):
        return None
    return Mistake(
        "upstream forgotten",
        "the upstream gradient g was not used",
        "by the chain rule the gradient is g times the local derivative; a check with g = 1 would not have noticed",
    )


def upstream_twice(e: Evidence) -> Mistake | None:
    """sum_j g_j^2 J[j, i]."""
    if e.jacobian is None or not e.agrees((e.g.reshape(-1) ** 2 @ e.jacobian).reshape(e.x.shape)):
        return None
    return Mistake("upstream twice", "the upstream gradient g was multiplied in twice", "use g once")


def wrong_argument(e: Evidence) -> Mistake | None:
    """The gradient of another argument of the same shape."""
    for other, gradient in e.other_gradients.items():
        if e.agrees(gradient) and not e.agrees(gradient, e.numeric):
            return Mistake(
                "wrong argument",
                f"this is the gradient of {other}, not of {e.name}",
                f"are the derivatives of {e.name} and {other} swapped?",
            )
    return None


def constant_factor(e: Evidence) -> Mistake | None:
    """c numeric, with one c for all elements: 2, 1/2, the size of an axis, or any other number."""
    c = _ratio(e.analytic, e.numeric)
    if c is None or np.isclose(c, 1, rtol=AGREE) or not e.agrees(c * e.numeric):
        return None
    too = "large" if abs(c) > 1 else "small"
    for factor in (2.0, 0.5):
        if np.isclose(c, factor, rtol=AGREE):
            what = "2" if factor == 2 else "1/2"
            return Mistake(
                f"factor {what}",
                f"it is {what} times what it should be",
                "count the terms: was the 2 of a square forgotten, or one path counted twice (or not at all)?",
            )
    for label, size in _sizes(e):
        if np.isclose(c, size, rtol=AGREE) or np.isclose(c, 1 / size, rtol=AGREE):
            return Mistake(
                "times N" if c > 1 else "1/N",
                f"it is {size} times too {too}, and N = {size} is {label}",
                "the derivative of a mean over N numbers has a 1/N that the derivative of a sum has not: "
                + ("is it missing?" if c > 1 else "is it one too many?"),
            )
    if np.isfinite(e.numeric).sum() < FEW:
        return None
    return Mistake("constant factor", f"it is {c:.4g} times what it should be", "a constant factor is wrong")


def transposed(e: Evidence) -> Mistake | None:
    """The right numbers with the axes in another order."""
    for axes in permutations(range(e.x.ndim)):
        moved = np.transpose(e.numeric, axes)
        if list(axes) != sorted(axes) and e.agrees(moved) and not e.agrees(moved, e.numeric):
            return Mistake(
                "transposed", f"it is transposed: its axes come in the order {axes}", "a .T is missing or extra"
            )
    return None


def flipped(e: Evidence) -> Mistake | None:
    """The right numbers, read backwards along some axes."""
    for axes in _subsets(e.x.shape):
        if e.agrees(np.flip(e.numeric, axes)) and not e.agrees(np.flip(e.numeric, axes), e.numeric):
            return Mistake(
                "flipped",
                f"it is read backwards along {_axes(axes)}",
                "is a kernel turned round that should not be (or the other way)?",
            )
    return None


def shifted(e: Evidence) -> Mistake | None:
    """The right numbers, one place too far along one or two axes."""
    for axes in _subsets(e.x.shape):
        if len(axes) > 2 or min(e.x.shape[i] for i in axes) < 3:
            continue
        for steps in product((-1, 1), repeat=len(axes)):
            moved = np.roll(e.numeric, steps, axes)
            for axis, step in zip(axes, steps, strict=True):
                np.moveaxis(moved, axis, 0)[0 if step == 1 else -1] = np.nan  # what came in from outside is not known
            if e.agrees(moved):
                return Mistake(
                    "shifted", f"it is shifted by one along {_axes(axes)}", "an index or the padding is off by one"
                )
    return None


def other_argument_turned(e: Evidence) -> Mistake | None:
    """The gradient that f would have if another argument were transposed or read backwards."""
    for other, z in e.others.items():
        turns = [(f"turned round along {_axes(axes)}", np.flip(z, axes)) for axes in _subsets(z.shape)]
        turns += [("transposed", z.T)] if z.ndim == 2 and z.shape == z.T.shape else []
        for word, turned in turns:
            if not np.array_equal(z, turned) and e.agrees(e.numeric_with(other, turned)):
                return Mistake(
                    f"other argument {word.split()[0]}",
                    f"it is what it would be with {other} {word}",
                    f"compare how {other} is used here and in the forward pass",
                )
    return None


def at_another_place(e: Evidence) -> Mistake | None:
    """The gradient at y or at g instead of at x."""
    for label, place in (("y, the output,", e.y), ("g, the upstream gradient,", e.g)):
        if place.shape == e.x.shape and e.agrees(e.numeric_with(e.name, place)):
            return Mistake(
                "at another place", f"it is the derivative at {label} instead of at {e.name}", "swap the letter"
            )
    return None


def constant(e: Evidence) -> Mistake | None:
    """The same number everywhere."""
    if e.x.size < FEW or np.ptp(e.analytic) > 1e-9 * np.max(np.abs(e.analytic)):
        return None
    return Mistake(
        "constant",
        f"it is the same number everywhere, {e.analytic.flat[0]:.4g}",
        f"it must depend on where in {e.name} one looks; was a sum or mean taken over too much?",
    )


# --- gradients that should have been added up ----------------------------------------------------------------


def overwritten(e: Evidence) -> Mistake | None:
    """Only the first or the last of the terms g_j J[j, i] instead of their sum.

    A gradient that comes through several outputs may have been added up along some axes of y and
    overwritten along the others, so all ways to split the axes are tried.
    """
    if e.jacobian is None:
        return None
    terms = (e.g.reshape(-1, 1) * e.jacobian).reshape(*e.y.shape, e.x.size)
    for summed in chain([()], _subsets(e.y.shape)):
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


def wrong_shape(shape: tuple[int, ...], gradient: np.ndarray, numeric: np.ndarray | None) -> Mistake:
    """For a gradient of another shape than its argument: was a broadcast not summed, is it transposed?"""
    says = f"the gradient has shape {gradient.shape}, but the argument {shape}"
    new = gradient.ndim - len(shape)
    padded = (1,) * new + shape
    if new >= 0 and all(n in (1, m) for n, m in zip(padded, gradient.shape, strict=True)):
        axes = tuple(i for i, (n, m) in enumerate(zip(padded, gradient.shape, strict=True)) if n != m or i < new)
        total = gradient.sum(axis=axes).reshape(shape)
        if numeric is None or np.allclose(total, numeric, rtol=AGREE, atol=0, equal_nan=True):
            return Mistake(
                "not summed",
                f"a broadcast was not summed: {says}",
                f"broadcasting repeated the argument along {_axes(axes)}: add the gradients of the copies up there "
                "(see unbroadcast)",
            )
    if (
        numeric is not None
        and gradient.T.shape == shape
        and np.allclose(gradient.T, numeric, rtol=AGREE, equal_nan=True)
    ):
        return Mistake("transposed", f"it is transposed: {says}", "a .T is missing or extra")
    return Mistake(
        "wrong shape", f"wrong shape: {says}", "a gradient always has the shape of what it is the gradient of"
    )


# --- a factor or a term is missing ----------------------------------------------------------------------------


def factor_missing(e: Evidence) -> Mistake | None:
    """numeric = z analytic (z is missing) or analytic = z numeric (one z too many), for x, y or another argument z."""
    for label, z in _broadcast_to_x(e):
        if e.agrees(e.numeric, e.analytic * z):
            return Mistake("factor missing", f"the factor {label} is missing", f"multiply by {label}")
        if e.agrees(e.numeric * z):
            return Mistake("factor extra", f"there is one factor {label} too many", f"do not multiply by {label} again")
    return None


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


def slopes_swapped(e: Evidence) -> Mistake | None:
    """Element by element, with two slopes, each on the wrong side."""
    if e.x.shape != e.y.shape:
        return None
    known = np.isfinite(e.numeric)
    true, found = (np.round(gradient[known] / e.g[known], 4) for gradient in (e.numeric, e.analytic))
    low, high = true.min(initial=np.inf), true.max(initial=-np.inf)
    if low < high and np.all((true == low) | (true == high)) and np.allclose(found, low + high - true):
        return Mistake(
            "slopes swapped",
            f"the two slopes, {low:.4g} and {high:.4g}, are swapped",
            "the condition that chooses between them points the wrong way",
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
    groups = [axes for axes in _subsets(e.x.shape) if np.prod([e.x.shape[i] for i in axes]) > FEW][::-1]
    for axes in groups:  # the largest first: what is the same along two axes is the same along each
        if e.agrees(_along(rest, np.ones_like(rest), axes), rest):
            sentence = f"a mean or sum is missing or wrong: right minus yours is the same for all along {_axes(axes)}"
            hint = "every element acts through the mean of all too: is a term like mean(g) or sum(g) left out?"
            return Mistake("mean missing", sentence, hint)
    for axes in groups:
        for label, z in [("x_hat", _x_hat(e.x, axes))] + [("y", e.y)] * (e.y.shape == e.x.shape):
            if e.agrees(_along(rest, z, axes), rest):
                sentence = (
                    f"a term {label} mean(g {label}) is missing or wrong: right minus yours is proportional to {label} "
                    f"along {_axes(axes)}"
                )
                hint = "every element acts through the variance or sum of all too: see the derivation of this term"
                return Mistake(f"{label} missing", sentence, hint)
    for axes in groups:
        x_hat = _x_hat(e.x, axes)
        if e.agrees(_along(rest, np.ones_like(rest), axes) + _along(rest, x_hat, axes), rest):
            sentence = f"both a mean and a term in x_hat are missing or wrong, along {_axes(axes)}"
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


# --- only some elements are wrong -----------------------------------------------------------------------------


def only_on_one_side(e: Evidence) -> Mistake | None:
    """Right for positive x and wrong for negative x, or the other way round."""
    wrong, known = _wrong(e), np.isfinite(e.numeric)
    for side, word in ((e.x < 0, "negative"), (e.x > 0, "positive")):
        if np.array_equal(wrong, side & known) and wrong.sum() > 1 and not wrong[known].all():
            return Mistake(
                "one side",
                f"it is wrong only where {e.name} is {word}",
                "look at the case that covers these numbers",
            )
    return None


def only_at_one_end(e: Evidence) -> Mistake | None:
    """Wrong only at the first or the last place along an axis, or only at the border of an image."""
    wrong = _wrong(e)
    for axis, size in enumerate(e.x.shape):
        places = np.unique(np.nonzero(wrong)[axis])
        if size > 2 and len(places) == 1 and places[0] in (0, size - 1):
            end = "first" if places[0] == 0 else "last"
            return Mistake(
                "one end",
                f"it is wrong only at the {end} place along axis {axis}",
                "look at where a loop or slice starts and ends, and at the padding",
            )
    if e.x.ndim == 4 and min(e.x.shape[2:]) > 2 and wrong.any() and not wrong[:, :, 1:-1, 1:-1].any():
        return Mistake("border", "it is wrong only at the border of the image", "look at the padding")
    return None


def nearly_right(e: Evidence) -> Mistake | None:
    """All elements agree to a few digits."""
    known = np.isfinite(e.numeric)
    if not np.allclose(e.analytic[known], e.numeric[known], rtol=1e-2, atol=0):
        return None
    return Mistake(
        "nearly right",
        "it is nearly right, to a few digits",
        "float32 somewhere, an eps that only one of forward and backward has, or M - 1 instead of M",
    )


MISTAKES: tuple[Callable[[Evidence], Mistake | None], ...] = (
    not_finite,
    zero,
    nearly_right,
    sign_flipped,
    upstream_forgotten,
    upstream_twice,
    wrong_argument,
    constant_factor,
    transposed,
    flipped,
    factor_missing,
    slopes_swapped,
    overwritten,
    constant,
    only_at_one_end,
    only_on_one_side,
    factor_along_axis,
    term_missing,
    mean_missing,
    shifted,
    other_argument_turned,
    at_another_place,
)


# --- helpers --------------------------------------------------------------------------------------------------


def _ratio(a: np.ndarray, b: np.ndarray) -> float | None:
    """The c for which c b is nearest to a, over the elements that are known in both."""
    known = np.isfinite(a) & np.isfinite(b)
    norm = float(np.sum(b[known] ** 2))
    return float(np.sum(a[known] * b[known])) / norm if norm > 0 else None


def _wrong(e: Evidence) -> np.ndarray:
    difference = np.abs(np.nan_to_num(e.analytic - e.numeric))
    size = np.nan_to_num(np.maximum(np.abs(e.numeric), np.abs(e.analytic)))
    return difference > AGREE * size + 1e-9 * np.max(size)


def _share_wrong(e: Evidence) -> float:
    return float(_wrong(e).sum() / max(1, np.isfinite(e.numeric).sum()))


def _subsets(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """All sets of axes longer than 1, the smaller sets first."""
    axes = [i for i, size in enumerate(shape) if size > 1]
    return chain.from_iterable(combinations(axes, n) for n in range(1, len(axes) + 1))


def _axes(axes: tuple[int, ...]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"


def _sizes(e: Evidence) -> Iterator[tuple[str, int]]:
    """Everything that a mean may have been taken over, with its size."""
    for label, shape in ((e.name, e.x.shape), ("the output", e.y.shape)):
        for axes in _subsets(shape):
            size = int(np.prod([shape[i] for i in axes]))
            if len(axes) == len(shape) and len(axes) > 1:
                yield f"the number of elements of {label}", size
            else:
                batch = ", the batch" if axes == (0,) else ""
                yield f"the size of {_axes(axes)} of {label}{batch}", size


def _broadcast_to_x(e: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    """The output and the arguments, where they fit x element by element."""
    for label, z in (*e.others.items(), (e.name, e.x), ("y, the output,", e.y)):
        pairs = zip(z.shape[::-1], e.x.shape[::-1], strict=False)
        if z.size > 1 and z.ndim <= e.x.ndim and all(n in (1, m) for n, m in pairs):
            yield label, np.broadcast_to(z, e.x.shape)


def _simple_terms(e: Evidence) -> list[tuple[str, np.ndarray]]:
    """What a forgotten term may hold, with its name."""
    terms = [("", np.ones_like(e.x))]
    for label, z in ((e.name, e.x), ("y", e.y), *e.others.items()):
        if z.shape == e.x.shape:
            terms += [(label, z), (f"{label}^2", z**2)]
    return terms
