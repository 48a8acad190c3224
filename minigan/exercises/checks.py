"""The check of each exercise: a function that gets the student's functions and raises `Wrong`, or does nothing.

A derivative is checked by `gradcheck`, which names the mistake. What is no derivative is compared with the plain
definition, and with what the usual mistakes would give: those are the guesses, pairs (sentence, what it would give).
Nothing is compared with the library's own functions unless they are used as a tool (`fold`, the steps of training).
"""

import copy
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np

from minigan import losses, ops, train
from minigan.gradcheck import Report, gradcheck
from minigan.models import mlp_discriminator, mlp_generator
from minigan.nn import BatchNorm1d, Linear, Module, Parameter, ReLU, Sequential
from minigan.optim import SGD, Adam
from minigan.tensor import Tensor, grad

Guesses = Iterable[tuple[str, Any]]


class Wrong(Exception):  # noqa: N818
    """What is wrong, in one sentence; where a gradient check found it, with its report."""

    def __init__(self, sentence: str, report: Report | None = None) -> None:
        super().__init__(sentence)
        self.report = report


# --- tools ----------------------------------------------------------------------------------------------------


def _normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def _array(what: str, found: Any, shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """The array in a Tensor that a student's function returned, if it is one of this shape and dtype."""
    if not isinstance(found, Tensor):
        raise Wrong(f"{what} must return a Tensor, but it returned {_kind(found)}")
    if found.shape != shape:
        raise Wrong(f"{what} must have shape {shape}, but it has {found.shape}")
    if found.dtype != dtype:
        raise Wrong(
            f"{what} must be {np.dtype(dtype)}, as what it is computed from, but it is {found.dtype}: make arrays with "
            "the dtype of the input, x.dtype"
        )
    return found.numpy()


def _kind(value: Any) -> str:
    return "nothing (is a `return` missing?)" if value is None else type(value).__name__


def _equal(what: str, found: np.ndarray, right: Any, guesses: Guesses = (), tolerance: float = 1e-9) -> None:
    """Raise Wrong unless `found` is `right`: with the sentence of the guess that it agrees with, or the worst place."""
    right = np.asarray(right)
    if np.allclose(found, right, rtol=tolerance, atol=tolerance):
        return
    for sentence, guess in guesses:
        if np.shape(guess) == found.shape and np.allclose(found, guess, rtol=tolerance, atol=tolerance):
            raise Wrong(f"{what} is wrong: {sentence}")
    distance = np.where(np.isfinite(found), np.abs(found - right), np.inf)
    worst = np.unravel_index(int(np.argmax(distance)), right.shape)
    place = f" at {tuple(int(i) for i in worst)}" if right.ndim else ""
    raise Wrong(f"{what} is wrong{place}: yours is {found[worst]:.6g}, it should be {right[worst]:.6g}")


def _gradients(f: Callable[..., Tensor], *inputs: Any, order: int = 2, name: str = "") -> None:
    """Raise Wrong with gradcheck's report unless every derivative of f is right. `name` is for a lambda."""
    if name:
        f.__name__ = name
    report = gradcheck(f, *inputs, order=order)
    if not report:
        raise Wrong(str(report), report)


def _in_float32(what: str, f: Callable[..., Tensor], *inputs: np.ndarray) -> None:
    """Training computes in float32: the value and all gradients must stay in it."""
    tensors = [Tensor(x.astype(np.float32), requires_grad=True) for x in inputs]
    y = f(*tensors)
    _array(f"{what}, for float32 inputs,", y, y.shape, np.float32)
    try:
        gradients = grad(y, tensors, Tensor(np.ones(y.shape, np.float32)))
    except TypeError as error:
        raise Wrong(f"{what}: its derivative fails for float32 inputs, with which training works: {error}") from None
    for x, gradient in zip(tensors, gradients, strict=True):
        _array(f"the gradient of {what}, for float32 inputs,", gradient, x.shape, np.float32)


# --- the chain rule --------------------------------------------------------------------------------------------


def unbroadcast(student: SimpleNamespace) -> None:
    """A broadcast in front, one inside, both, and none."""
    cases = [((3, 4), (4,)), ((3, 4), (3, 1)), ((2, 3, 4), (3, 1)), ((2, 3), ()), ((3, 4), (3, 4)), ((3, 1), (3, 1))]
    for shape, small in cases:
        g = _normal(*shape)
        what = f"unbroadcast of g {shape} to x {small}"
        found = _array(what, student.unbroadcast(Tensor(g), Tensor(np.zeros(small))), small)
        right = np.zeros(small)
        for index in np.ndindex(shape):  # the definition: each copy gives its gradient to what it is a copy of
            behind = index[len(shape) - len(small) :]
            right[tuple(0 if n == 1 else i for i, n in zip(behind, small, strict=True))] += g[index]
        guess = ("it is the mean; the gradients of the copies add up", right * right.size / g.size)
        _equal(what, found, right, [guess])
    _gradients(lambda g: student.unbroadcast(g, Tensor(np.zeros((3, 1)))), _normal(2, 3, 4), name="unbroadcast")
    _in_float32("unbroadcast", lambda g: student.unbroadcast(g, Tensor(np.zeros((3, 1)))), _normal(2, 3, 4))


def mul(student: SimpleNamespace) -> None:
    """Equal shapes, broadcasts, plain numbers."""
    for a, b in [
        (_normal(3, 4), _normal(3, 4, seed=1)),
        (_normal(3, 1), _normal(4)),
        (_normal(2, 3, 4), _normal(3, 1)),
    ]:
        _equal("the value of mul", _array("mul", student.mul(Tensor(a), Tensor(b)), (a * b).shape), a * b)
        _gradients(student.mul, a, b)
    _gradients(lambda a: student.mul(a, 3.0), _normal(3), name="mul by 3.0")
    _in_float32("mul", student.mul, _normal(3, 4), _normal(4))


def matmul(student: SimpleNamespace) -> None:
    """Oblong matrices, and square ones, in which a wrong transpose has the right shape."""
    for a, b in [
        (_normal(3, 4), _normal(4, 5)),
        (_normal(3, 3), _normal(3, 3, seed=1)),
        (_normal(1, 4), _normal(4, 1)),
    ]:
        _equal("the value of matmul", _array("matmul", student.matmul(Tensor(a), Tensor(b)), (a @ b).shape), a @ b)
        _gradients(student.matmul, a, b)
    _in_float32("matmul", student.matmul, _normal(3, 4), _normal(4, 5))


def tanh(student: SimpleNamespace) -> None:
    """Moderate and large numbers."""
    x = np.concatenate([_normal(20), [0.0, 10.0, -10.0]]).reshape(-1, 1)
    _equal("the value of tanh", _array("tanh", student.tanh(Tensor(x)), x.shape), np.tanh(x))
    _gradients(student.tanh, x)
    _in_float32("tanh", student.tanh, x)


def leaky_relu(student: SimpleNamespace) -> None:
    """Several slopes, and the corner."""
    x = np.concatenate([_normal(20), [0.0]])
    for slope in (0.2, 0.01, 0.0):
        right = np.where(x > 0, x, slope * x)
        _equal("the value of leaky_relu", _array("leaky_relu", student.leaky_relu(Tensor(x), slope), x.shape), right)
        _gradients(lambda x, slope=slope: student.leaky_relu(x, slope), x, name=f"leaky_relu with slope {slope}")
    x = Tensor(np.array([-1.0, 0.0, 2.0]), requires_grad=True)
    (found,) = grad(student.leaky_relu(x, 0.2), x, Tensor(np.ones(3)))
    if found.numpy()[1] != 0.2:
        raise Wrong(f"leaky_relu: at x = 0 take the slope, 0.2, as the text says, but yours is {found.numpy()[1]:g}")
    x = x.numpy()
    _in_float32("leaky_relu", lambda x: student.leaky_relu(x, 0.2), x)


def topological_order(student: SimpleNamespace) -> None:
    """The diamond, many paths, a deep chain, several outputs."""
    a = Tensor(np.ones(1), requires_grad=True)
    b = a + a
    c = b + b
    _is_topological(student, [c], [a, b, c], "a, b = a + a, c = b + b")
    other = a * 2.0
    _is_topological(student, [c, other], [a, b, c, other], "two outputs")
    x = a
    for _ in range(64):  # 2^64 paths
        x = x + x
    _is_topological(student, [x], None, "64 sums y = y + y in a chain", count=65)
    for _ in range(5000):
        x = x * 1.0
    try:
        _is_topological(student, [x], None, "a chain of 5000 operations", count=5065)
    except RecursionError:
        raise Wrong("topological_order recurses too deeply for a long graph: keep a stack of your own") from None


def _is_topological(
    student: SimpleNamespace, outputs: list[Tensor], wanted: list[Tensor] | None, case: str, count: int = 0
) -> None:
    order = student.topological_order(outputs)
    if not isinstance(order, list) or not all(isinstance(t, Tensor) for t in order):
        raise Wrong(f"topological_order must return a list of Tensors, but it returned {_kind(order)}")
    if len(set(order)) < len(order):
        raise Wrong(f"topological_order lists a tensor more than once ({case})")
    count = count if wanted is None else len(wanted)
    if len(order) != count or (wanted is not None and set(order) != set(wanted)):
        raise Wrong(f"topological_order lists {len(order)} of {count} tensors ({case})")
    place = {tensor: i for i, tensor in enumerate(order)}
    if any(place[parent] > place[tensor] for tensor in order for parent, _ in tensor.parents):
        raise Wrong(f"topological_order lists a child before its parent ({case})")


# --- layers, losses, an optimizer ------------------------------------------------------------------------------


def bce_with_logits(student: SimpleNamespace) -> None:
    """Exact at +-100 and finite at +-1000, in value and derivative."""
    x = np.array([[0.0], [1.0], [-2.0], [30.0], [-30.0], [100.0], [-100.0], [1000.0], [-1000.0]])
    right = np.logaddexp(0, x)
    found = _array("softplus", student.softplus(Tensor(x)), x.shape)
    for value, yours, should in zip(x.ravel(), found.ravel(), right.ravel(), strict=True):
        if not np.isclose(yours, should, rtol=1e-9, atol=0):
            nearly = np.isclose(yours, should, rtol=0.1)
            why = ": use np.log1p(z), for 1 + z drops the digits of a small z" if nearly else ""
            raise Wrong(f"softplus({value:g}) must be {should:.6g}, but yours is {yours:.6g}{why}")
    _gradients(student.softplus, _normal(10, 1))
    _gradients(student.softplus, x[:7], order=1)
    _in_float32("softplus", student.softplus, x)
    for logit, dtype in ((1000.0, np.float64), (-1000.0, np.float64), (100.0, np.float32), (-100.0, np.float32)):
        tensor = Tensor(np.array([logit], dtype), requires_grad=True)
        slope = grad(student.softplus(tensor).sum(), tensor)[0].item()
        if not abs(slope - (logit > 0)) < 1e-6:  # also where it is NaN
            raise Wrong(
                f"the derivative of softplus at {logit:g} in {np.dtype(dtype)} must be {logit > 0:d}, but yours is "
                f"{slope:g}: e^x overflows there; minigan.ops.sigmoid is written safely"
            )
    for target in (1.0, 0.0, 0.9):
        for logits in (_normal(6, 1), x[:7]):
            what = f"bce_with_logits with target {target:g}"
            found = _array(what, student.bce_with_logits(Tensor(logits), target), ())
            real, fake = np.logaddexp(0, -logits), np.logaddexp(0, logits)
            right = np.mean(target * real + (1 - target) * fake)
            guesses = [
                ("the targets of real and fake are swapped", np.mean(target * fake + (1 - target) * real)),
                ("it is the sum, not the mean", right * logits.size),
                ("the sign is flipped", -right),
            ]
            _equal(what, found, right, guesses)
        _gradients(lambda logits, t=target: student.bce_with_logits(logits, t), _normal(6, 1), name=what)


def linear(student: SimpleNamespace) -> None:
    """With and without a bias, in float64 and float32."""
    x, weight, bias = _normal(5, 3), _normal(4, 3), _normal(4)
    found = _array("linear", student.linear(Tensor(x), Tensor(weight), Tensor(bias)), (5, 4))
    _equal("the value of linear", found, x @ weight.T + bias, [("the bias is left out", x @ weight.T)])
    found = _array("linear without a bias", student.linear(Tensor(x), Tensor(weight)), (5, 4))
    _equal("the value of linear without a bias", found, x @ weight.T)
    _gradients(student.linear, x, weight, bias)
    _gradients(student.linear, x, weight)
    _in_float32("linear", student.linear, x, weight, bias)


def he_normal(student: SimpleNamespace) -> None:
    """Shape, dtype, mean and spread of many numbers."""
    for fan_in, slope in ((50, 0.0), (200, 0.5)):
        shape = (400, fan_in)
        found = student.he_normal(shape, np.random.default_rng(0), fan_in, slope)
        if not isinstance(found, np.ndarray):
            raise Wrong(f"he_normal must return a NumPy array, but it returned {_kind(found)}")
        if found.shape != shape or found.dtype != np.float32:
            raise Wrong(
                f"he_normal must return float32 of shape {shape}, but it returned {found.dtype} of {found.shape}"
            )
        variance = 2 / ((1 + slope**2) * fan_in)
        guesses = {
            "the variance was used as the standard deviation; take its root": variance,
            "that is Xavier's, 1 / fan_in; a ReLU halves what goes on, which the 2 makes up for": fan_in**-0.5,
            "the slope is left out": (2 / fan_in) ** 0.5,
            "divide by 1 + slope^2, do not multiply by it": (2 * (1 + slope**2) / fan_in) ** 0.5,
            "the slope must count by its square": (2 / ((1 + slope) * fan_in)) ** 0.5,
            "these are standard normal numbers, not scaled yet": 1.0,
        }
        if not np.isclose(found.std(), variance**0.5, rtol=0.02):
            why = [sentence for sentence, guess in guesses.items() if np.isclose(found.std(), guess, rtol=0.02)]
            raise Wrong(
                f"he_normal with fan_in {fan_in} and slope {slope} must have the standard deviation "
                f"{variance**0.5:.4f}, "
                f"but yours is {found.std():.4f}" + (f": {why[0]}" if why else "")
            )
        if abs(found.mean()) > 0.05 * variance**0.5:
            raise Wrong(f"he_normal must have mean 0, but yours is {found.mean():.4f}")
        again, other = (student.he_normal(shape, np.random.default_rng(seed), fan_in, slope) for seed in (0, 1))
        if not np.array_equal(found, again) or np.array_equal(found, other):
            raise Wrong("he_normal must draw its numbers from `rng`, so that one seed always gives the same ones")
        if not (np.abs(found) > 2 * found.std()).mean() > 0.03:
            raise Wrong("he_normal must draw normal numbers: use rng.standard_normal")


def adam_step(student: SimpleNamespace) -> None:
    """Three steps in a row, each against the formulas."""
    optimizer = Adam([Parameter(np.zeros(1))], lr=0.1, betas=(0.9, 0.99), eps=1e-3)
    theta, m, v = _normal(3, 4), np.zeros((3, 4)), np.zeros((3, 4))
    mine = theta.copy(), m.copy(), v.copy()
    for step in (1, 2, 3):
        optimizer.steps = step
        g = _normal(3, 4, seed=step)
        untouched = g.copy()
        before = theta.copy()
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.99**step)
        theta = theta - 0.1 * m_hat / (np.sqrt(v_hat) + 1e-3)
        student.adam_step(optimizer, mine[0], g, mine[1], mine[2])
        if not np.array_equal(g, untouched):
            raise Wrong("adam_step changes g, which it must leave alone: write g * g, not g *= g")
        for name, array, start in (("m", mine[1], step == 1), ("v", mine[2], step == 1), ("theta", mine[0], False)):
            if (start and not array.any()) or (name == "theta" and np.array_equal(array, before)):
                raise Wrong(
                    f"adam_step did not change {name} in place: use {name} *= ..., {name} -= ... or {name}[...] = ..."
                )
        swapped = ("b1 and 1 - b1 are swapped", 0.1 * (m - 0.1 * g) / 0.9 + 0.9 * g)
        corrected = "the corrected mean was written into it; give that a name of its own"
        _equal(f"m after step {step}", mine[1], m, [swapped, (corrected, m_hat)])
        swapped = 0.01 * (v - 0.01 * g**2) / 0.99 + 0.99 * g**2
        no_square = v - 0.01 * g**2 + 0.01 * g
        _equal(
            f"v after step {step}",
            mine[2],
            v,
            [("b2 and 1 - b2 are swapped", swapped), ("g is not squared", no_square), (corrected, v_hat)],
        )
        guesses = [
            ("the bias correction is left out", before - 0.1 * m / (np.sqrt(v) + 1e-3)),
            ("only m is corrected, not v", before - 0.1 * m_hat / (np.sqrt(v) + 1e-3)),
            ("only v is corrected, not m", before - 0.1 * m / (np.sqrt(v_hat) + 1e-3)),
            ("it walks uphill: the sign is flipped", before + 0.1 * m_hat / (np.sqrt(v_hat) + 1e-3)),
            ("the root of v_hat is left out", before - 0.1 * m_hat / (v_hat + 1e-3)),
            ("eps belongs outside of the root", before - 0.1 * m_hat / np.sqrt(v_hat + 1e-3)),
            ("eps is left out", before - 0.1 * m_hat / np.sqrt(v_hat)),
            ("lr is left out", before - m_hat / (np.sqrt(v_hat) + 1e-3)),
            (
                "t is self.steps as it is",
                before - 0.1 * (m / (1 - 0.9 ** (step + 1))) / (np.sqrt(v / (1 - 0.99 ** (step + 1))) + 1e-3),
            ),
        ]
        _equal(f"theta after step {step}", mine[0], theta, guesses)


# --- convolution ----------------------------------------------------------------------------------------------


def _places(h: int, w: int, kernel: int, stride: int, padding: int) -> list[tuple[int, int, int, int]]:
    """(i, j, top, left) for every place of the kernel on the padded image."""
    rows = range(0, h + 2 * padding - kernel + 1, stride)
    columns = range(0, w + 2 * padding - kernel + 1, stride)
    return [(i, j, top, left) for i, top in enumerate(rows) for j, left in enumerate(columns)]


def _padded(x: np.ndarray, padding: int) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def _patches(x: np.ndarray, kernel: int, stride: int, padding: int) -> np.ndarray:
    """(N, C K K, L), one patch after the other, by the definition."""
    images = _padded(x, padding)
    places = _places(x.shape[2], x.shape[3], kernel, stride, padding)
    patches = [images[:, :, top : top + kernel, left : left + kernel].reshape(len(x), -1) for _, _, top, left in places]
    return np.stack(patches, axis=2)


GEOMETRIES = [(2, 1, 0), (3, 2, 1), (4, 2, 1), (3, 3, 0), (1, 1, 0)]  # kernel, stride, padding


def unfold(student: SimpleNamespace) -> None:
    """Several kernels, strides and paddings, on images that are not square."""
    x = _normal(2, 3, 6, 7)
    for kernel, stride, padding in GEOMETRIES:
        right = _patches(x, kernel, stride, padding)
        what = f"unfold with kernel {kernel}, stride {stride}, padding {padding}"
        found = _array(what, student.unfold(Tensor(x), kernel, stride, padding), right.shape)
        n, c = x.shape[:2]
        turned = right.reshape(n, c, kernel, kernel, -1).swapaxes(2, 3).reshape(right.shape)
        pixel_first = right.reshape(n, c, kernel**2, -1).swapaxes(1, 2).reshape(right.shape)
        guesses = [
            ("rows and columns inside a patch are swapped", turned),
            ("a column must hold all pixels of channel 0, then all of channel 1", pixel_first),
        ]
        _equal(what, found, right, guesses)
    _gradients(lambda x: student.unfold(x, 3, 2, 1), _normal(2, 2, 5, 4), name="unfold")
    _in_float32("unfold", lambda x: student.unfold(x, 3, 2, 1), x)


def conv2d(student: SimpleNamespace) -> None:
    """Against sums over patches; the derivatives by finite differences."""
    x = _normal(2, 3, 6, 7)
    for kernel, stride, padding in GEOMETRIES:
        weight, bias = _normal(4, 3, kernel, kernel), _normal(4)
        patches = _patches(x, kernel, stride, padding)
        shape = (2, 4, *((size + 2 * padding - kernel) // stride + 1 for size in (6, 7)))

        def convolve(w: np.ndarray, patches: np.ndarray = patches, shape: tuple[int, ...] = shape) -> np.ndarray:
            return np.einsum("op,npl->nol", w.reshape(4, -1), patches).reshape(shape)

        right = convolve(weight) + bias.reshape(1, -1, 1, 1)
        what = f"conv2d with kernel {kernel}, stride {stride}, padding {padding}"
        found = _array(what, student.conv2d(Tensor(x), Tensor(weight), Tensor(bias), stride, padding), right.shape)
        guesses = [
            ("the bias is left out", convolve(weight)),
            ("the kernels are turned round", convolve(weight[:, :, ::-1, ::-1]) + bias.reshape(1, -1, 1, 1)),
            (
                "rows and columns of the kernels are swapped",
                convolve(weight.swapaxes(2, 3)) + bias.reshape(1, -1, 1, 1),
            ),
        ]
        _equal(what, found, right, guesses)
        found = _array(
            f"{what}, no bias,", student.conv2d(Tensor(x), Tensor(weight), None, stride, padding), right.shape
        )
        _equal(f"{what}, no bias,", found, convolve(weight))
    small = _normal(2, 2, 5, 4), _normal(3, 2, 3, 3), _normal(3)
    _gradients(lambda x, weight, bias: student.conv2d(x, weight, bias, 2, 1), *small, name="conv2d")
    _in_float32("conv2d", lambda x, weight, bias: student.conv2d(x, weight, bias, 2, 1), *small)


def conv_transpose2d(student: SimpleNamespace) -> None:
    """Against stamping the kernels one by one; the derivatives by finite differences."""
    x = _normal(2, 3, 3, 4)
    for (kernel, stride, padding), extra in zip(GEOMETRIES[:4], (0, 1, 0, (2, 0)), strict=True):
        weight, bias = _normal(3, 2, kernel, kernel), _normal(2)
        extras = (extra, extra) if isinstance(extra, int) else extra
        size = tuple((x.shape[2 + i] - 1) * stride - 2 * padding + kernel + extras[i] for i in (0, 1))

        def stamp(
            w: np.ndarray,
            size: tuple[int, ...] = size,
            k: int = kernel,
            s: int = stride,
            p: int = padding,
            add: bool = True,
        ) -> np.ndarray:
            images = np.zeros((2, 2, size[0] + 2 * p, size[1] + 2 * p))
            for i, j in np.ndindex(x.shape[2:]):
                part = images[:, :, i * s : i * s + k, j * s : j * s + k]
                shares = np.einsum("nc,cokl->nokl", x[:, :, i, j], w)
                part[...] = part + shares if add else shares
            return images[:, :, p : p + size[0], p : p + size[1]]

        shift = bias.reshape(1, -1, 1, 1)
        right = stamp(weight) + shift
        what = f"conv_transpose2d with kernel {kernel}, stride {stride}, padding {padding}, output_padding {extra}"
        y = student.conv_transpose2d(Tensor(x), Tensor(weight), Tensor(bias), stride, padding, extra)
        guesses = [
            ("the bias is left out", stamp(weight)),
            ("the kernels are turned round", stamp(weight[:, :, ::-1, ::-1]) + shift),
            ("stamps overwrite each other instead of adding up", stamp(weight, add=False) + shift),
        ]
        _equal(what, _array(what, y, right.shape), right, guesses)
    small = _normal(2, 3, 3, 2), _normal(3, 2, 3, 3), _normal(2)
    name = "conv_transpose2d"
    _gradients(lambda x, weight, bias: student.conv_transpose2d(x, weight, bias, 2, 1), *small, name=name)
    _gradients(lambda x, weight: student.conv_transpose2d(x, weight, None, 2, 1, 1), *small[:2], name=name)
    _in_float32("conv_transpose2d", lambda x, w, b: student.conv_transpose2d(x, w, b, 2, 1), *small)


# --- batch norm -----------------------------------------------------------------------------------------------


def batch_norm(student: SimpleNamespace) -> None:
    """Points and images, the statistics that it returns, and how the running ones follow."""
    _batch_norm_values(student)
    running, batch = Tensor(np.array([0.0, 4.0])), np.array([10.0, 2.0])
    array = running.data
    student.update_running(running, batch, 0.1)
    if np.array_equal(array, [0.0, 4.0]):
        raise Wrong(
            "update_running did not change running.data in place: use running.data *= ... or running.data[...] = ..."
        )
    reversed_ = ("momentum is the wrong way round: the running statistic must keep 1 - momentum of itself", [9.0, 2.2])
    replaced = ("the running statistic was replaced by the batch's; it must move by a part of the way", batch)
    _equal("the running statistic", running.numpy(), [1.0, 3.8], [reversed_, replaced])
    _batch_norm_gradients(student)


def batch_norm_backward(student: SimpleNamespace) -> None:
    """The same as for the forward pass: the derivatives are checked by finite differences."""
    _batch_norm_values(student)
    _batch_norm_gradients(student)


def _batch_norm_values(student: SimpleNamespace) -> None:
    for x in (_normal(6, 3) * 2 + 1, _normal(4, 3, 2, 5) - 3):
        axes = (0, *range(2, x.ndim))
        per_channel = (1, -1, *[1] * (x.ndim - 2))
        weight, bias = np.array([0.5, 2.0, -1.0]), np.array([1.0, 0.0, 3.0])
        w, b = weight.reshape(per_channel), bias.reshape(per_channel)
        result = student.batch_norm(Tensor(x), Tensor(weight), Tensor(bias), 1e-3)
        if not isinstance(result, tuple) or len(result) != 3:
            raise Wrong(f"batch_norm must return y, mu, var, but it returned {_kind(result)}")
        found = _array("batch_norm's y", result[0], x.shape)
        centred = x - x.mean(axes, keepdims=True)
        var = x.var(axes, keepdims=True)
        pixel = x.mean(0, keepdims=True)
        guesses = [
            ("the weight is left out", centred / np.sqrt(var + 1e-3) + b),
            ("the bias is left out", centred / np.sqrt(var + 1e-3) * w),
            ("it divides by the variance; divide by its root", centred / (var + 1e-3) * w + b),
            ("eps belongs under the root, added to the variance", centred / (np.sqrt(var) + 1e-3) * w + b),
            ("eps is left out", centred / np.sqrt(var) * w + b),
            ("the mean is not subtracted", x / np.sqrt(var + 1e-3) * w + b),
            (
                "the variance of a batch divides by M, not M - 1",
                centred / np.sqrt(var * x[:, 0].size / (x[:, 0].size - 1) + 1e-3) * w + b,
            ),
            (
                "every pixel has statistics of its own; take them over the pixels too",
                (x - pixel) / np.sqrt(x.var(0, keepdims=True) + 1e-3) * w + b,
            ),
            (
                "the statistics are those of each sample; take them over the batch",
                (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-3) * w + b,
            ),
        ]
        _equal(f"batch_norm's y for x {x.shape}", found, x_hat_times(centred, var, w) + b, guesses)
        for name, statistic, right in (("mu", result[1], x.mean(axes)), ("var", result[2], x.var(axes))):
            if not isinstance(statistic, np.ndarray) or statistic.shape != (3,):
                raise Wrong(
                    f"batch_norm's {name} must be a NumPy array of shape (3,) here, but it is {_kind(statistic)} of "
                    f"{np.shape(statistic)}"
                )
            _equal(f"batch_norm's {name}", statistic, right)


def x_hat_times(centred: np.ndarray, var: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """weight x_hat, with the eps of the check."""
    return centred / np.sqrt(var + 1e-3) * weight


def _batch_norm_gradients(student: SimpleNamespace) -> None:
    def y(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return student.batch_norm(x, weight, bias)[0]

    weight, bias = np.array([0.5, 2.0, -1.0]), np.array([1.0, 0.0, 3.0])
    for x in (_normal(6, 3), _normal(2, 3, 2, 4)):
        _gradients(y, x, weight, bias, name=f"batch_norm's y for x {x.shape}")
    _in_float32("batch_norm", y, _normal(6, 3), weight, bias)


# --- the game -------------------------------------------------------------------------------------------------


def generator_losses(student: SimpleNamespace) -> None:
    """Values and derivatives, also where the discriminator is certain."""
    for name, right_of in (
        ("minimax_generator", lambda x: -np.mean(np.logaddexp(0, x))),
        ("non_saturating_generator", lambda x: np.mean(np.logaddexp(0, -x))),
    ):
        loss = getattr(student, name)
        for logits in (_normal(7, 1), np.array([[100.0], [-100.0], [0.0]])):
            right = right_of(logits)
            other = {"minimax_generator": np.mean(np.logaddexp(0, -logits))}.get(
                name, -np.mean(np.logaddexp(0, logits))
            )
            guesses = [
                ("the sign is flipped", -right),
                ("it is the sum, not the mean", right * logits.size),
                ("this is the other of the two losses", other),
                ("the logit has the wrong sign", right_of(-logits)),
            ]
            found = _array(name, loss(Tensor(logits)), ())
            _equal(f"the value of {name}", found, right, guesses)
            _gradients(loss, logits, order=2 if len(logits) == 7 else 1)
        _in_float32(name, loss, _normal(7, 1))


def _players() -> tuple[Sequential, Sequential]:
    """A small generator, whose batch norm can give a careless step away, and a discriminator."""
    rng = np.random.default_rng(0)
    generator = Sequential(Linear(3, 8, rng=rng), BatchNorm1d(8), ReLU(), Linear(8, 2, rng=rng))
    discriminator = Sequential(Linear(2, 8, rng=rng), ReLU(), Linear(8, 1, rng=rng))
    return generator, discriminator


def _changed(module: Module, before: dict[str, np.ndarray], words: str) -> str | None:
    """The name of the first tensor of `module` that is not as it was, if its name holds `words`."""
    names = [name for name, array in module.state_dict().items() if not np.array_equal(array, before[name])]
    return next((name for name in names if words in name), None)


class _Game:
    """A game that notes what it was given, and gives the library's loss."""

    def __init__(self) -> None:
        self.given: list[Tensor] = []

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        self.given = [real, fake]
        return losses.non_saturating.discriminator(real, fake)

    def generator(self, fake: Tensor) -> Tensor:
        self.given = [fake]
        return losses.non_saturating.generator(fake)


def discriminator_step(student: SimpleNamespace) -> None:
    """One step beside the library's, from the same start."""
    real = Tensor(_normal(5, 2).astype(np.float32) + 3)
    _same_step(
        student.discriminator_step, train.discriminator_step, real, True, "generator", ("d_loss", "d_real", "d_fake")
    )
    labels = Tensor(np.eye(2, dtype=np.float32)[[0, 1, 1, 0, 1]])
    _with_labels(student.discriminator_step, train.discriminator_step, real, labels)


def generator_step(student: SimpleNamespace) -> None:
    """One step beside the library's, from the same start."""
    _same_step(student.generator_step, train.generator_step, 5, False, "discriminator", ("g_loss",))
    labels = Tensor(np.eye(2, dtype=np.float32)[[0, 1, 1, 0, 1]])
    _with_labels(student.generator_step, train.generator_step, 5, labels)


def _same_step(
    step: Callable[..., Any],
    right_step: Callable[..., Any],
    batch: Any,
    of_discriminator: bool,
    other: str,
    names: tuple[str, ...],
) -> None:
    """Raise Wrong, with what is usually the reason, unless `step` does what the library's step does."""
    start = _players()
    what = step.__name__
    outcomes = []
    for run in (right_step, step):
        generator, discriminator = copy.deepcopy(start)
        trained = discriminator if of_discriminator else generator
        for parameter in trained.parameters():  # what an earlier step may have left behind
            parameter.grad = Tensor(np.ones(parameter.shape, np.float32))
        rng, game = np.random.default_rng(3), _Game()
        figures = run(generator, discriminator, SGD(trained.parameters(), lr=0.1), game, batch, 3, rng)
        outcomes.append((generator, discriminator, game, figures, rng.random()))
    (_, _, right_game, right_figures, right_rng), (generator, discriminator, game, figures, rng) = outcomes
    untouched = generator if other == "generator" else discriminator
    trained = discriminator if of_discriminator else generator
    before = start[0].state_dict() if other == "generator" else start[1].state_dict()
    if not game.given:
        raise Wrong(f"{what} never asked for the loss: call game.{what.removesuffix('_step')}(...)")
    if name := _changed(untouched, before, "running"):
        raise Wrong(
            f"{what} changed the {other}'s running statistics ({name}): call it inside `with {other}.frozen():`"
        )
    if name := _changed(untouched, before, ""):
        raise Wrong(f"{what} changed the {other} ({name}): only the optimizer of the player that is trained may step")
    if any(p.grad is not None for p in untouched.parameters()):
        why = (
            "score fake.detach() instead of fake" if of_discriminator else "score inside `with discriminator.frozen():`"
        )
        raise Wrong(f"{what} sent gradients into the {other}: {why}")
    if not all(p.requires_grad for module in (generator, discriminator) for p in module.parameters()):
        raise Wrong(f"{what} left a player frozen: use `with {other}.frozen():`, which undoes it at its end")
    _check_logits(what, game.given, right_game.given)
    right_trained = outcomes[0][1] if of_discriminator else outcomes[0][0]
    if all(
        np.array_equal(p.numpy(), q.numpy())
        for p, q in zip(trained.parameters(), start[of_discriminator].parameters(), strict=True)
    ):
        raise Wrong(
            f"{what} did not change the {'discriminator' if of_discriminator else 'generator'}: backward, then "
            "optimizer.step()"
        )
    moves = [
        (p.numpy() - s.numpy(), q.numpy() - s.numpy())
        for p, q, s in zip(
            trained.parameters(), right_trained.parameters(), start[of_discriminator].parameters(), strict=True
        )
    ]
    if all(np.allclose(found, right - 0.1, atol=1e-5) for found, right in moves):
        raise Wrong(
            f"{what} added its gradients to those of an earlier step: call optimizer.zero_grad() before backward"
        )
    if all(np.allclose(found, -0.1, atol=1e-5) for found, _ in moves):
        raise Wrong(f"{what} stepped with the gradients of an earlier step: zero_grad, then backward, then step")
    if all(np.allclose(found, -right, atol=1e-5) for found, right in moves):
        raise Wrong(f"{what} walks uphill: the loss has the wrong sign")
    for found, right in moves:
        if not np.allclose(found, right, rtol=1e-3, atol=1e-6):
            raise Wrong(
                f"{what} moved the weights otherwise than the eight steps of the text do; go through them one by one"
            )
    if rng != right_rng:
        raise Wrong(f"{what} drew other random numbers than one call of draw_noise does")
    if not isinstance(figures, dict) or set(figures) != set(names):
        raise Wrong(
            f"{what} must return a dict with {', '.join(names)}, but it returned "
            f"{sorted(figures) if isinstance(figures, dict) else _kind(figures)}"
        )
    for name in names:
        _equal(
            f"{what}'s {name}", _array(name, figures[name], (), np.float32), right_figures[name].numpy(), tolerance=1e-5
        )


def _check_logits(what: str, given: list[Tensor], right: list[Tensor]) -> None:
    """Whether the game was given the logits that it should have been."""
    if len(given) != len(right):
        raise Wrong(f"{what} must ask for its own loss: call game.{what.removesuffix('_step')}(...)")
    if not all(isinstance(logits, Tensor) for logits in given):
        raise Wrong(f"{what} must give the game Tensors of logits")
    arrays, rights = [logits.numpy() for logits in given], [logits.numpy() for logits in right]
    if all(a.shape == b.shape and np.allclose(a, b, atol=1e-6) for a, b in zip(arrays, rights, strict=True)):
        return
    if len(arrays) == 2:
        if np.allclose(arrays[0], rights[1], atol=1e-6) and np.allclose(arrays[1], rights[0], atol=1e-6):
            raise Wrong(f"{what} swaps the labels: game.discriminator(real_logits, fake_logits) takes the reals first")
        if not np.allclose(arrays[0], rights[0], atol=1e-6):
            raise Wrong(f"{what}: the logits of the reals are not score(discriminator, real, labels)")
    shape, right_shape = arrays[-1].shape, rights[-1].shape
    if shape != right_shape:
        raise Wrong(
            f"{what}: the logits of the fakes have shape {shape}, but should have {right_shape}: as many fakes as reals"
        )
    raise Wrong(
        f"{what}: the logits of the fakes are not score(discriminator, fake, labels) of generator(noise), in training "
        "mode"
    )


def _with_labels(step: Callable[..., Any], right_step: Callable[..., Any], batch: Any, labels: Tensor) -> None:
    """The labels must reach the noise and the scores."""
    results = []
    for run in (right_step, step):
        rng = np.random.default_rng(1)
        generator, discriminator = mlp_generator(5, (2,), (4,), rng), mlp_discriminator((2,), (4,), rng, 2)
        trained = discriminator if "discriminator" in right_step.__name__ else generator
        try:
            run(
                generator,
                discriminator,
                SGD(trained.parameters(), lr=1.0),
                losses.non_saturating,
                batch,
                3,
                rng,
                labels,
            )
        except ValueError as error:
            if run is right_step:
                raise
            raise Wrong(
                f"{step.__name__} fails with labels: pass `labels` on to draw_noise and score ({error})"
            ) from None
        results.append([p.numpy() for p in trained.parameters()])
    if not all(np.allclose(a, b, atol=1e-6) for a, b in zip(*results, strict=True)):
        raise Wrong(f"{step.__name__} goes another way with labels: pass `labels` on to draw_noise and to score")


def wasserstein(student: SimpleNamespace) -> None:
    """The loss, the penalty of critics whose slope is known, and its derivative in the critic's weights."""
    real, fake = _normal(4, 1), _normal(4, 1, seed=1)
    found = _array("wasserstein_discriminator", student.wasserstein_discriminator(Tensor(real), Tensor(fake)), ())
    right = fake.mean() - real.mean()
    guesses = [("real and fake are swapped", -right), ("these are sums; take means", fake.sum() - real.sum())]
    _equal("wasserstein_discriminator", found, right, guesses)
    _gradients(student.wasserstein_discriminator, real, fake)

    for size in (1.0, 0.2):  # slopes on both sides of 1
        _check_penalty(student, size * _normal(6, 1))


def _check_penalty(student: SimpleNamespace, weight: np.ndarray) -> None:
    """The penalty of a critic whose slope is known, its derivative in the weight, and a flat critic."""
    reals, fakes = _normal(5, 3, 2), _normal(5, 3, 2, seed=1)

    def critic(x: Tensor, weight: Any) -> Tensor:  # its slope at x_n is 2 (x_n . w) w
        return (ops.reshape(x, (x.shape[0], -1)) @ weight) ** 2

    def penalty(weight: Tensor) -> Tensor:
        rng = np.random.default_rng(2)
        return student.gradient_penalty(lambda x: critic(x, weight), Tensor(reals), Tensor(fakes), rng)

    t = np.random.default_rng(2).random((5, 1, 1))
    between = (t * reals + (1 - t) * fakes).reshape(5, 6)
    slope = 2 * (between @ weight) * weight.T  # (5, 6)
    norm = np.sqrt((slope**2).sum(axis=1))
    batch_norms = np.sqrt((slope**2).sum(axis=0))
    last = np.sqrt((slope.reshape(5, 3, 2) ** 2).sum(axis=-1))
    middle = np.sqrt((slope.reshape(5, 3, 2) ** 2).sum(axis=1))
    guesses = [
        (
            "the norm is taken over the batch; take it for each sample, over all axes but the first",
            np.mean((batch_norms - 1) ** 2),
        ),
        ("the norm is taken over the last axis only; take it over all axes but the first", np.mean((last - 1) ** 2)),
        ("the norm is taken over axis 1 only; take it over all axes but the first", np.mean((middle - 1) ** 2)),
        ("one norm is taken of everything; take one for each sample", (np.sqrt((slope**2).sum()) - 1) ** 2),
        ("a norm below 1 is pulled up to 1 too", np.mean(np.maximum(norm - 1, 0) ** 2)),
        ("the root is left out", np.mean((norm**2 - 1) ** 2)),
        ("the square is left out", np.mean(norm - 1)),
        ("the norm must be pulled to 1, not to 0", np.mean(norm**2)),
        ("it is the sum over the samples, not the mean", np.sum((norm - 1) ** 2)),
        ("the slope is that of the mean score; take the gradient of the sum", np.mean((norm / 5 - 1) ** 2)),
    ]
    found = _array("gradient_penalty", penalty(Tensor(weight)), ())
    _equal("gradient_penalty", found, np.mean((norm - 1) ** 2), guesses, tolerance=1e-6)
    if not penalty(Tensor(weight, requires_grad=True)).requires_grad:
        raise Wrong(
            "gradient_penalty cannot be differentiated in the critic's weights: use grad(..., create_graph=True)"
        )
    _gradients(penalty, weight, order=1)
    zero = Tensor(np.zeros((6, 1)), requires_grad=True)
    if not np.isfinite(grad(penalty(zero), zero)[0].numpy()).all():
        raise Wrong("gradient_penalty's gradient is not finite where the critic is flat: add 1e-12 under the root")
    inputs = Tensor(reals.astype(np.float32)), Tensor(fakes.astype(np.float32)), np.random.default_rng(0)
    value = student.gradient_penalty(lambda x: ops.sum(x * x, axis=(1, 2)), *inputs)
    _array("gradient_penalty, for float32 inputs,", value, (), np.float32)
