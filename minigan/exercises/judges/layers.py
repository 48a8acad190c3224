"""Judges of what a dense network is made of: its layers and their first weights."""

import numpy as np

from minigan.exercises.judges.answer import Answer, kind_of, normal
from minigan.tensor import Tensor, grad


def leaky_relu(leaky_relu: Answer) -> None:
    """Several slopes, one to four axes, large numbers, and the corner."""
    x = normal(20)
    for slope in (0.2, 0.01, 0.0, 0.5, 1.0):
        for array in (np.append(x, 0.0), normal(3, 1), normal(2, 3, 4), normal(2, 1, 3, 2), 1000 * normal(4)):
            right = np.where(array > 0, array, slope * array)
            leaky_relu.value(array, slope, right=right, guesses=_guesses_of_value(array, slope))
        leaky_relu.gradients(x, settings=(slope,), what=f"leaky_relu with slope {slope}", order=1)
        _check_corner(leaky_relu, slope)
    for array in (-x, normal(3, 1), normal(2, 1, 3, 2)):  # -x, so that a mask that was kept from x shows
        leaky_relu.gradients(array, settings=(0.2,), what=f"leaky_relu with slope 0.2 of x {array.shape}")
    for size in (1e-3, 1e-9):  # small numbers are on one side of the corner too
        _check_small(leaky_relu, size * x)
    leaky_relu.in_float32(x, settings=(0.2,))
    leaky_relu.in_float32(normal(2, 1, 3, 2), settings=(0.01,))


def _guesses_of_value(x: np.ndarray, slope: float) -> list[tuple[str, np.ndarray]]:
    """What the value would be with the usual mistakes."""
    return [
        ("where x < 0 it must be slope x, not 0", np.maximum(x, 0)),
        ("where x < 0 it must be slope x, not slope", np.where(x > 0, x, slope)),
        ("slope belongs to x < 0, not to x > 0", np.where(x > 0, slope * x, x)),
    ]


def _check_small(leaky_relu: Answer, x: np.ndarray) -> None:
    """Near the corner, where finite differences reach over it."""
    tensor = Tensor(x, requires_grad=True, dtype=np.float64)
    (found,) = grad(leaky_relu(tensor, 0.2), tensor, Tensor(np.ones(x.shape)))
    what = f"the gradient of leaky_relu with slope 0.2 of numbers below {np.max(np.abs(x)):.0e}"
    leaky_relu.compare(found.numpy(), np.where(x > 0, 1.0, 0.2), what)


def _check_corner(leaky_relu: Answer, slope: float) -> None:
    """At x = 0, the second of the two slopes."""
    corner = Tensor(np.array([-1.0, 0.0, 2.0]), requires_grad=True)
    (found,) = grad(leaky_relu(corner, slope), corner, Tensor(np.ones(3)))
    if found.numpy()[1] != slope:
        sentence = f"at x = 0 take the slope, {slope}, as the text says, but yours is {found.numpy()[1]:g}"
        raise leaky_relu.wrong(f"leaky_relu: {sentence}")


def linear(linear: Answer) -> None:
    """With and without a bias; a batch and a single sample, one output and several, one input, as many of all."""
    for n, inputs, outputs in ((5, 3, 4), (1, 3, 4), (4, 3, 1), (3, 1, 2), (3, 3, 3)):
        x, weight, bias = normal(n, inputs), normal(outputs, inputs), normal(outputs)
        shapes = f"of x {x.shape} and weight {weight.shape}"
        right = x @ weight.T
        twice = ("the bias is added twice", right + 2 * bias)
        guesses = [("the bias is left out", right), twice, ("there must be no activation", np.maximum(right + bias, 0))]
        linear.value(x, weight, bias, right=right + bias, what=f"linear {shapes}", guesses=guesses)
        linear.value(x, weight, right=right, what=f"linear {shapes} without a bias")
        linear.gradients(x, weight, bias, what=f"linear {shapes}", order=2 if n == 5 else 1)
    linear.gradients(normal(5, 3), normal(4, 3), what="linear without a bias")
    _check_small_and_large(linear)
    linear.in_float32(normal(5, 3), normal(4, 3), normal(4))


def _check_small_and_large(linear: Answer) -> None:
    """Biases begin at 0, and so may weights; and a batch may be large."""
    x, weight, bias = normal(5, 3), normal(4, 3), 1e-5 * normal(4)
    left_out = [("the bias is left out: a small one counts too", x @ weight.T)]
    linear.value(x, weight, bias, right=x @ weight.T + bias, what="linear with a small bias", guesses=left_out)
    linear.gradients(x, weight, np.zeros(4), what="linear with a bias of zeros", order=1)
    linear.gradients(np.zeros((2, 3)), np.zeros((4, 3)), np.zeros(4), what="linear of zeros", order=1)
    many = Tensor(normal(130, 2))
    linear.gradients(normal(2, 2), normal(2), f=lambda w, b: linear(many, w, b), what="linear of 130 samples", order=1)


# --- first weights ---------------------------------------------------------------------------------------------

# A dense layer, a convolution, a transposed one (whose fan_in is none of its sizes), and numbers in a row.
WEIGHTS = [((400, 50), 50, 0.0), ((200, 25, 4, 2), 200, 0.5), ((64, 24, 4, 4), 256, 0.2), ((20_000,), 7, 0.0)]


def he_normal(he_normal: Answer) -> None:
    """Shape, dtype, mean and spread of many numbers, which come from `rng`, and are new at every call."""
    for shape, fan_in, slope in WEIGHTS:
        rng = np.random.default_rng(0)
        found, next_one = he_normal(shape, rng, fan_in, slope), he_normal(shape, rng, fan_in, slope)
        if not isinstance(found, np.ndarray):
            raise he_normal.wrong(f"he_normal must return a NumPy array, but it returned {kind_of(found)}")
        if found.shape != shape or found.dtype != np.float32:
            sentence = f"he_normal must return float32 of shape {shape}, but it returned {found.dtype} of {found.shape}"
            raise he_normal.wrong(sentence)
        again, other = (he_normal(shape, np.random.default_rng(seed), fan_in, slope) for seed in (0, 1))
        if not np.array_equal(found, again) or np.array_equal(found, other):
            raise he_normal.wrong(
                "he_normal must draw its numbers from `rng`, so that one seed always gives the same ones"
            )
        if np.array_equal(found, next_one):
            raise he_normal.wrong(
                "he_normal gives the same numbers when it is called again with the same `rng`, so that all layers "
                "would begin alike: draw from `rng` itself, not from a copy of it"
            )
        _check_numbers(he_normal, found)
        _check_spread(he_normal, found, fan_in, slope)
    _check_few(he_normal)


def _check_numbers(he_normal: Answer, found: np.ndarray) -> None:
    """Normal numbers with mean 0, each drawn for itself."""
    if len(np.unique(found)) < 0.9 * found.size:
        raise he_normal.wrong(
            f"he_normal repeats its numbers: of the {found.size} for shape {found.shape} only {len(np.unique(found))} "
            "differ, and neurons that begin alike stay alike; draw as many as the shape has"
        )
    if abs(found.mean()) > 0.05 * found.std():
        raise he_normal.wrong(f"he_normal must have mean 0, but yours is {found.mean():.4f}")
    if not (np.abs(found) > 2 * found.std()).mean() > 0.03:
        raise he_normal.wrong("he_normal must draw normal numbers: use rng.standard_normal")
    if np.abs(found).max() < 3 * found.std():
        raise he_normal.wrong("he_normal must draw normal numbers, and none of yours is far out: do not cut them off")
    if found.shape == WEIGHTS[0][0]:  # of independent numbers, the smallest singular value is half of the largest
        sizes = np.linalg.svd(found, compute_uv=False)
        if sizes[-1] < 0.3 * sizes[0]:
            raise he_normal.wrong(f"the numbers of he_normal for shape {found.shape} {NOT_APART}")


NOT_APART = "depend on each other: draw each for itself, and do not sort, centre or mirror them"


def _check_few(he_normal: Answer) -> None:
    """One number, and four, from many generators: each place has the right spread, and none knows of another."""
    for shape in ((1, 1), (2, 2)):
        found = np.stack([he_normal(shape, np.random.default_rng(seed), 2).ravel() for seed in range(400)])
        if not np.isfinite(found).all():
            raise he_normal.wrong(
                f"he_normal of shape {shape} is not finite: it divides by 0 where there is one number"
            )
        if np.abs(found.mean(axis=0)).max() > 0.25 or not np.allclose(found.std(axis=0), 1, atol=0.25):
            raise he_normal.wrong(
                f"he_normal of shape {shape} with fan_in 2 must have mean 0 and deviation 1 in each place, over "
                f"400 generators, but yours has {_rounded(found.mean(axis=0))} and {_rounded(found.std(axis=0))}"
            )
        if np.abs(np.corrcoef(found.T) - np.eye(found.shape[1])).max() > 0.25:
            raise he_normal.wrong(f"the numbers of he_normal for shape {shape} {NOT_APART}")


def _rounded(numbers: np.ndarray) -> str:
    return ", ".join(f"{number:.2f}" for number in numbers)


def _check_spread(he_normal: Answer, found: np.ndarray, fan_in: int, slope: float) -> None:
    """The standard deviation of what was drawn."""
    variance, sizes = 2 / ((1 + slope**2) * fan_in), found.shape

    def of(size: float) -> float:
        return float((2 / ((1 + slope**2) * size)) ** 0.5)

    not_the_shape = "take the argument fan_in; the shape does not show it"
    guesses = [
        ("the variance was used as the standard deviation; take its root", variance),
        ("that is Xavier's, 1 / fan_in; a ReLU halves what goes on, which the 2 makes up for", fan_in**-0.5),
        ("the slope is left out", (2 / fan_in) ** 0.5),
        ("divide by 1 + slope^2, do not multiply by it", (2 * (1 + slope**2) / fan_in) ** 0.5),
        ("the slope must count by its square", (2 / ((1 + slope) * fan_in)) ** 0.5),
        ("it is 1 + slope^2, not (1 + slope)^2", (2 / ((1 + slope) ** 2 * fan_in)) ** 0.5),
        ("it is 1 + slope^2, not 1 - slope^2", (2 / ((1 - slope**2 or 1) * fan_in)) ** 0.5),
        ("fan_in belongs under the root", of(fan_in**2)),
        *[(not_the_shape, of(size)) for size in (*sizes, np.prod(sizes[1:]), np.prod(sizes[2:]), np.prod(sizes))],
        ("these are standard normal numbers, not scaled yet", 1.0),
    ]
    std = variance**0.5
    if not np.isclose(found.std(), std, rtol=0.03):
        why = [sentence for sentence, guess in guesses if np.isclose(found.std(), guess, rtol=0.03)]
        raise he_normal.wrong(
            f"he_normal of shape {sizes} with fan_in {fan_in} and slope {slope} must have the standard deviation "
            f"{std:.4f}, but yours is {found.std():.4f}" + (f": {why[0]}" if why else "")
        )
