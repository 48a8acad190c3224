"""Wrong derivatives on purpose: each is a mistake that people make, and the sentence that the checker owes them.

BUGS lists (name, function, inputs, name of the mistake, words of the sentence). Most functions are an op with one
derivative spoiled; the value is always right, so that only the gradient can give it away.
"""

import numpy as np

from minigan import Tensor, ops
from minigan.ops.shape import unbroadcast
from minigan.tensor import record


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def spoiled(value, *derivatives):
    """An op of the arrays `value(*arrays)`, with derivatives (g, y, *operands) -> Tensor."""

    def op(*operands):
        def derivative_of(derivative):
            return lambda g, y: derivative(g, y, *operands)

        parents = [(x, derivative_of(d)) for x, d in zip(operands, derivatives, strict=True)]
        return record(np.asarray(value(*[x.data for x in operands])), *parents)

    return op


def like(op, to_x):
    """A library op of one operand with the derivative `to_x(g, y, x)` instead of its own."""
    return spoiled(lambda x: op(Tensor(x)).numpy(), to_x)


def plain(array, like_this):
    return Tensor(np.asarray(array), dtype=like_this.dtype)


# --- batch norm with parts of its derivative left out or changed ---------------------------------------------------


def batch_norm_with(to_x=None, to_weight=None, to_bias=None, eps=1e-5):
    """Batch norm; each derivative gets (h, x_hat, sigma, axes, g), arrays with a channel axis 1."""

    def op(x, weight, bias):
        axes = (0, *range(2, x.ndim))
        per_channel = (1, -1, *[1] * (x.ndim - 2))
        mu = x.data.mean(axes, keepdims=True)
        sigma = np.sqrt(x.data.var(axes, keepdims=True) + eps)
        x_hat = (x.data - mu) / sigma
        w, b = weight.data.reshape(per_channel), bias.data.reshape(per_channel)

        def right_x(h, x_hat, sigma, axes, g):
            return (h - h.mean(axes, keepdims=True) - x_hat * (h * x_hat).mean(axes, keepdims=True)) / sigma

        def right_weight(h, x_hat, sigma, axes, g):
            return (g * x_hat).sum(axes)

        def right_bias(h, x_hat, sigma, axes, g):
            return g.sum(axes)

        def call(derivative, right):
            chosen = derivative or right
            return lambda g, y: Tensor(chosen(g.data * w, x_hat, sigma, axes, g.data))

        return record(
            x_hat * w + b,
            (x, call(to_x, right_x)),
            (weight, call(to_weight, right_weight)),
            (bias, call(to_bias, right_bias)),
        )

    return op


def _mean(array, axes):
    return array.mean(axes, keepdims=True)


# --- a slow convolution whose derivatives can be spoiled one at a time ----------------------------------------------


def places(x, kernel, stride, padding):
    """(i, j, rows, columns): each place of the kernel, and the slices of the padded image under it."""
    h, w = x.shape[2] + 2 * padding, x.shape[3] + 2 * padding
    for i, top in enumerate(range(0, h - kernel + 1, stride)):
        for j, left in enumerate(range(0, w - kernel + 1, stride)):
            yield i, j, slice(top, top + kernel), slice(left, left + kernel)


def conv_with(to_x=None, to_weight=None, stride=2, padding=1):
    """conv2d with derivatives `to_x(g, x, w, places)` and `to_weight(...)` on arrays; None means the right one."""

    def pad(x):
        return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))

    def crop(x):
        return x[:, :, padding : x.shape[2] - padding, padding : x.shape[3] - padding]

    def right_x(g, x, w, spots):
        images = pad(np.zeros_like(x))
        for i, j, rows, columns in spots:
            images[:, :, rows, columns] += np.einsum("no,ockl->nckl", g[:, :, i, j], w)
        return crop(images)

    def right_weight(g, x, w, spots):
        images = pad(x)
        return sum(np.einsum("no,nckl->ockl", g[:, :, i, j], images[:, :, r, c]) for i, j, r, c in spots)

    def op(x, weight):
        spots = list(places(x, weight.shape[2], stride, padding))
        y = ops.conv2d(Tensor(x.data), Tensor(weight.data), None, stride, padding).numpy()

        def call(derivative, right):
            chosen = derivative or right
            return lambda g, y: Tensor(np.ascontiguousarray(chosen(g.data, x.data, weight.data, spots)))

        return record(y, (x, call(to_x, right_x)), (weight, call(to_weight, right_weight)))

    op.right_x, op.right_weight, op.pad, op.crop = right_x, right_weight, pad, crop
    return op


conv = conv_with()


def overwritten_patches(g, x, w, spots):
    images = conv.pad(np.zeros_like(x))
    for i, j, rows, columns in spots:
        images[:, :, rows, columns] = np.einsum("no,ockl->nckl", g[:, :, i, j], w)
    return conv.crop(images)


def cropped_too_early(g, x, w, spots):
    images = conv.pad(np.zeros_like(x))
    for i, j, rows, columns in spots:
        images[:, :, rows, columns] += np.einsum("no,ockl->nckl", g[:, :, i, j], w)
    return images[:, :, : x.shape[2], : x.shape[3]]


def stride_forgotten(g, x, w, spots):
    kernel = w.shape[2]
    images = conv.pad(np.zeros_like(x))
    for i, j, _, _ in spots:
        images[:, :, i : i + kernel, j : j + kernel] += np.einsum("no,ockl->nckl", g[:, :, i, j], w)
    return conv.crop(images)


# --- state that outlives a call ------------------------------------------------------------------------------------


class Cached:
    """A layer that keeps its input on self, as many tutorials do: the next call overwrites it."""

    def __call__(self, x):
        self.x = x
        return record(x.data**2, (x, lambda g, y: g * self.x * 2))


class MaskKept:
    """A leaky ReLU whose mask all calls share: it shows only where the next call has other signs."""

    def __call__(self, x):
        self.mask = Tensor(np.where(x.data > 0, 1.0, 0.2))
        return record(x.data * self.mask.data, (x, lambda g, y: g * self.mask))


class Counting:
    """Gives another value at each call."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return x * float(self.calls)


def in_place(x):
    x.data *= 2
    return x * 1.0


def picked_twice(x):
    """x[[0, 1, 1]] whose derivative assigns instead of adding."""
    index = np.array([0, 1, 1, 3])

    def to_x(g, y):
        gradient = np.zeros_like(x.data)
        gradient[index] = g.data
        return Tensor(gradient)

    return record(x.data[index], (x, to_x))


def float64_to_float32(g, y, x):
    return Tensor((g.data * np.cos(x.data)).astype(np.float32).astype(np.float64))


def softmax_without_sum(g, y, x):
    return g * y


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def along(axis):
    """Softmax, its logarithm, layer norm and x / |x| along one axis, and |x| itself, as arrays."""

    def total(a, over=axis):
        return a.sum(axis=over, keepdims=True)

    def norm(x):
        return np.sqrt(total(x * x))

    def sigma(x):
        return np.sqrt(x.var(axis=axis, keepdims=True) + 1e-5)

    def softmax(x):
        return np.exp(x) / total(np.exp(x))

    functions = {
        "softmax": softmax,
        "log softmax": lambda x: np.log(softmax(x)),
        "layer norm": lambda x: (x - x.mean(axis=axis, keepdims=True)) / sigma(x),
        "x / |x|": lambda x: x / norm(x),
        "|x|": lambda x: norm(x).squeeze(axis),
        "centred": lambda x: x - x.mean(axis=axis, keepdims=True),
    }
    return functions, total, norm, sigma


ROWS, _sum, _norm, _sigma = along(1)
IMAGE_ROWS = along((2, 3))


def on_arrays(value, to_x):
    """An op of one array whose derivative (g, y, x) is computed on arrays as well."""
    return spoiled(value, lambda g, y, x: Tensor(np.ascontiguousarray(to_x(g.data, y.data, x.data))))


def writes_into(what):
    """x^2 with the right gradient, which overwrites an array on its way."""

    def op(x):
        def to_x(g, y):
            gradient = g.data * x.data * 2
            {"g": g, "x": x, "y": y}[what].data[...] = 0
            return Tensor(gradient)

        return record(x.data**2, (x, to_x))

    return op


def product_with_a_shared_buffer(a, b):
    """The derivative of b uses what that of a has left."""
    left = []

    def to_a(g, y):
        left.append(1.0)
        return g * b

    def to_b(g, y):
        return g * a * (2.0 if left else 1.0)

    return record(a.data * b.data, (a, to_a), (b, to_b))


A, B = normal(3, 4), normal(3, 4, seed=1)
X = normal(5, 4)
IMAGES, KERNELS = normal(2, 3, 6, 6), normal(4, 3, 3, 3)
NORM = [normal(6, 3), np.abs(normal(3)) + 0.5, normal(3, seed=2)]
NORM4 = [normal(4, 3, 2, 5), np.abs(normal(3)) + 0.5, normal(3, seed=2)]
ROW = normal(4)
ORDER = np.array([2, 0, 3, 4, 1])

BUGS = [
    # signs and factors
    (
        "sub: the second sign",
        spoiled(np.subtract, lambda g, y, a, b: g, lambda g, y, a, b: g),
        [A, B],
        "sign flipped",
        "b",
    ),
    (
        "div: the sign of the divisor",
        spoiled(np.divide, lambda g, y, a, b: g / b, lambda g, y, a, b: g * y / b),
        [A, B + 5],
        "sign flipped",
        "b",
    ),
    ("neg: not negated", like(ops.neg, lambda g, y, x: g * 1.0), [A], "sign flipped", "flipped"),
    ("square: the 2 forgotten", spoiled(np.square, lambda g, y, x: g * x), [A], "factor 1/2", "1/2"),
    ("sqrt: the 1/2 forgotten", like(ops.sqrt, lambda g, y, x: g / y), [np.abs(A) + 1], "factor 2", "2 times"),
    ("mean: 1/N forgotten", like(ops.mean, lambda g, y, x: ops.broadcast_to(g, x.shape)), [A], "times N", "12"),
    (
        "mean: 1/N of the batch forgotten",
        like(lambda x: ops.mean(x, 0), lambda g, y, x: ops.broadcast_to(g, x.shape)),
        [X],
        "times N",
        "5",
    ),
    (
        "mean over axis 1: divided by all",
        like(lambda x: ops.mean(x, 1), lambda g, y, x: ops.broadcast_to(ops.reshape(g, (-1, 1)), x.shape) / x.size),
        [X],
        "1/N",
        "5",
    ),
    ("sum: divided by N", like(ops.sum, lambda g, y, x: ops.broadcast_to(g, x.shape) / x.size), [A], "1/N", "12"),
    ("exp: an odd factor", like(ops.exp, lambda g, y, x: g * y * 1.7), [A], "constant factor", "1.7"),
    # the upstream gradient
    ("exp: g forgotten", like(ops.exp, lambda g, y, x: y * 1.0), [A], "upstream forgotten", "g"),
    (
        "matmul: g forgotten",
        spoiled(np.matmul, lambda g, y, a, b: plain(np.ones(g.shape), g) @ b.T, lambda g, y, a, b: a.T @ g),
        [X, normal(4, 3)],
        "upstream forgotten",
        "g",
    ),
    ("tanh: g twice", like(ops.tanh, lambda g, y, x: g * g * (1 - y * y)), [A], "upstream twice", "g"),
    # zeros, constants, infinities
    ("sigmoid: detached", lambda x: ops.sigmoid(x.detach()), [A], "zero", "cut off"),
    ("relu of the gradient's shape only", like(ops.exp, lambda g, y, x: g * 0.0), [A], "zero", "zero"),
    (
        "max: everything gets the mean",
        like(lambda x: ops.max(x), lambda g, y, x: ops.broadcast_to(g / x.size, x.shape)),
        [A],
        "constant",
        "same number",
    ),
    (
        "log: of zero in the derivative",
        like(ops.exp, lambda g, y, x: g * y + ops.log(x * 0.0)),
        [A],
        "not finite",
        "12 of 12",
    ),
    # shapes
    ("transpose: not undone", like(ops.transpose, lambda g, y, x: g * 1.0), [normal(4, 4)], "transposed", "transposed"),
    (
        "matmul: transposed, square",
        spoiled(np.matmul, lambda g, y, a, b: g @ b.T, lambda g, y, a, b: (a.T @ g).T),
        [normal(4, 4), normal(4, 4, seed=1)],
        "transposed",
        "axes",
    ),
    (
        "matmul: b.T forgotten, square",
        spoiled(np.matmul, lambda g, y, a, b: g @ b, lambda g, y, a, b: a.T @ g),
        [normal(4, 4), normal(4, 4, seed=1)],
        "other argument transposed",
        "argument 1 transposed",
    ),
    (
        "matmul: the gradient left transposed",
        spoiled(np.matmul, lambda g, y, a, b: b @ g.T, lambda g, y, a, b: a.T @ g),
        [X, normal(4, 3)],
        "transposed",
        "(4, 5)",
    ),
    (
        "add: the broadcast of a row not summed",
        spoiled(np.add, lambda g, y, a, b: g, lambda g, y, a, b: g),
        [X, ROW],
        "not summed",
        "(5, 4)",
    ),
    (
        "mul: the broadcast of a column not summed",
        spoiled(np.multiply, lambda g, y, a, b: g * b, lambda g, y, a, b: g * a),
        [X, normal(5, 1)],
        "not summed",
        "(5, 1)",
    ),
    (
        "reshape: a wrong shape",
        like(lambda x: ops.reshape(x, (2, 6)), lambda g, y, x: ops.reshape(g, (4, 3))),
        [A],
        "wrong shape",
        "(4, 3)",
    ),
    (
        "broadcast: the mean of the copies",
        like(lambda x: ops.broadcast_to(x, (5, 4)), lambda g, y, x: ops.mean(g, 0)),
        [ROW],
        "1/N",
        "5",
    ),
    # the wrong argument, overwriting
    (
        "mul: derivatives swapped",
        spoiled(np.multiply, lambda g, y, a, b: g * a, lambda g, y, a, b: g * b),
        [A, B],
        "wrong argument",
        "argument 1",
    ),
    ("getitem: assigned, not added", picked_twice, [ROW], "overwritten", "adding up"),
    (
        "broadcast: only the last copy",
        like(lambda x: ops.broadcast_to(x, (5, 4)), lambda g, y, x: g[-1]),
        [ROW],
        "overwritten",
        "adding up",
    ),
    (
        "conv: patches overwrite each other",
        conv_with(to_x=overwritten_patches),
        [IMAGES, KERNELS],
        "overwritten",
        "adding up",
    ),
    # convolution
    (
        "conv: a flipped kernel in the input gradient",
        conv_with(to_x=lambda g, x, w, s: conv.right_x(g, x, w[:, :, ::-1, ::-1], s)),
        [IMAGES, KERNELS],
        "other argument turned",
        "weight turned round along axes (2, 3)",
    ),
    (
        "conv: the weight gradient flipped",
        conv_with(to_weight=lambda g, x, w, s: conv.right_weight(g, x, w, s)[:, :, ::-1, ::-1]),
        [IMAGES, KERNELS],
        "flipped",
        "axes (2, 3)",
    ),
    ("conv: padding off by one", conv_with(to_x=cropped_too_early), [IMAGES, KERNELS], "shifted", "axes (2, 3)"),
    (
        "conv: padding off by one along the width",
        conv_with(to_x=lambda g, x, w, s: np.roll(conv.right_x(g, x, w, s), 1, 3)),
        [IMAGES, KERNELS],
        "shifted",
        "axis 3",
    ),
    (
        "conv: the stride forgotten in the input gradient",
        conv_with(to_x=stride_forgotten),
        [IMAGES, KERNELS],
        "none of these",
        "none",
    ),
    (
        "conv: the last row forgotten",
        conv_with(to_x=lambda g, x, w, s: conv.right_x(g, x, w, s) * (np.arange(6) < 5)[:, None]),
        [IMAGES, KERNELS],
        "one end",
        "axis 2",
    ),
    (
        "conv: the weight gradient divided by the batch",
        conv_with(to_weight=lambda g, x, w, s: conv.right_weight(g, x, w, s) / 2),
        [IMAGES, KERNELS],
        "factor 1/2",
        "1/2",
    ),
    (
        "conv: the channels swapped",
        conv_with(to_x=lambda g, x, w, s: conv.right_x(g, x, w, s)[:, ::-1]),
        [IMAGES, KERNELS],
        "flipped",
        "axis 1",
    ),
    # element-wise formulas
    ("tanh: the square dropped", like(ops.tanh, lambda g, y, x: g * (1 - y)), [A], "term missing", "y^2"),
    ("tanh: only g", like(ops.tanh, lambda g, y, x: g * 1.0), [A], "term missing", "y^2"),
    ("tanh: of x", like(ops.tanh, lambda g, y, x: g * (1 - x * x)), [A], "term missing", "argument 0^2"),
    ("sigmoid: (1 - y) dropped", like(ops.sigmoid, lambda g, y, x: g * y), [A], "term missing", "y^2"),
    ("sigmoid: y dropped", like(ops.sigmoid, lambda g, y, x: g * (1 - y)), [A], "factor missing", "y"),
    (
        "mul: the other factor forgotten",
        spoiled(np.multiply, lambda g, y, a, b: g * b, lambda g, y, a, b: g * 1.0),
        [A, B],
        "factor missing",
        "argument 0",
    ),
    (
        "leaky_relu: slopes swapped",
        like(lambda x: ops.leaky_relu(x, 0.2), lambda g, y, x: g * Tensor(np.where(x.data > 0, 0.2, 1.0))),
        [A],
        "slopes swapped",
        "0.2 and 1",
    ),
    (
        "leaky_relu: gradient 1.2 at zero",
        like(lambda x: ops.leaky_relu(x, 0.2), lambda g, y, x: g * Tensor((x.data >= 0) + 0.2 * (x.data <= 0))),
        [[0.0, 1.0, -1.0]],
        "outside the kink",
        "(0,)",
    ),
    (
        "leaky_relu: the slope forgotten",
        like(lambda x: ops.leaky_relu(x, 0.2), lambda g, y, x: g * Tensor((x.data > 0) * 1.0)),
        [A],
        "one side",
        "negative",
    ),
    ("relu: the mask forgotten", like(ops.relu, lambda g, y, x: g * 1.0), [A], "one side", "negative"),
    ("softmax: only the diagonal", spoiled(softmax, softmax_without_sum), [X], "y missing", "axis 1"),
    # each output taken to depend on its own element only
    *[
        (
            f"{name}: only the diagonal of the Jacobian",
            on_arrays(value, to_x),
            [x],
            "element by element",
            "on others too",
        )
        for name, value, x, to_x in [
            ("softmax", ROWS["softmax"], normal(5, 4), lambda g, y, x: g * y * (1 - y)),
            ("softmax of a vector", along(0)[0]["softmax"], normal(7), lambda g, y, x: g * y * (1 - y)),
            ("softmax of channels", ROWS["softmax"], normal(2, 3, 4, 4), lambda g, y, x: g * y * (1 - y)),
            ("log softmax", ROWS["log softmax"], normal(5, 4), lambda g, y, x: g * (1 - np.exp(y))),
            ("x / |x|", ROWS["x / |x|"], normal(5, 4), lambda g, y, x: g * (1 - y * y) / _norm(x)),
            ("layer norm", ROWS["layer norm"], normal(5, 4), lambda g, y, x: g * (3 - y * y) / 4 / _sigma(x)),
            ("centred", ROWS["centred"], normal(5, 4), lambda g, y, x: g * 3 / 4),
        ]
    ],
    # sums and means along the wrong axis
    *[
        (f"{name} {x.shape}: along the wrong axis", on_arrays(value, to_x), [x], "wrong axis", words)
        for name, value, x, words, to_x in [
            ("softmax", ROWS["softmax"], normal(5, 4), "axis 0", lambda g, y, x: y * (g - _sum(g * y, 0))),
            ("softmax", ROWS["softmax"], normal(5, 5), "axis 0", lambda g, y, x: y * (g - _sum(g * y, 0))),
            ("softmax, all", ROWS["softmax"], normal(5, 4), "axis 0", lambda g, y, x: y * (g - np.sum(g * y))),
            ("log softmax", ROWS["log softmax"], normal(5, 4), "axis 0", lambda g, y, x: g - np.exp(y) * _sum(g, 0)),
            ("x / |x|", ROWS["x / |x|"], normal(5, 4), "axis 0", lambda g, y, x: (g - y * _sum(g * y, 0)) / _norm(x)),
            ("|x|", ROWS["|x|"], normal(5, 5), "axis 0", lambda g, y, x: g * x / y),
            ("centred", ROWS["centred"], normal(5, 4), "axis 0", lambda g, y, x: g - _mean(g, 0)),
            (
                "layer norm over the batch",
                ROWS["layer norm"],
                normal(5, 4),
                "axis 0",
                lambda g, y, x: (g - _mean(g, 0) - y * _mean(g * y, 0)) / _sigma(x),
            ),
            (
                "instance norm over the batch",
                IMAGE_ROWS[0]["layer norm"],
                normal(3, 2, 2, 3),
                "axis 0",
                lambda g, y, x: (g - _mean(g, (0, 2, 3)) - y * _mean(g * y, (0, 2, 3))) / IMAGE_ROWS[3](x),
            ),
        ]
    ],
    # an order that is not undone
    *[
        (f"{name}: not undone", on_arrays(value, to_x), [x], "order", "np.argsort")
        for name, value, x, to_x in [
            ("rolled by 2", lambda x: np.roll(x, 2, 1), normal(5, 5), lambda g, y, x: g),
            ("rolled, and again", lambda x: np.roll(x, 1, 0), normal(5, 4), lambda g, y, x: np.roll(g, 1, 0)),
            ("permuted, and again", lambda x: x[ORDER], normal(5, 4), lambda g, y, x: g[ORDER]),
            ("columns permuted, and again", lambda x: x[:, ORDER], normal(4, 5), lambda g, y, x: g[:, ORDER]),
            ("sorted", np.sort, normal(6), lambda g, y, x: g),
            ("exp, then permuted", lambda x: np.exp(x)[ORDER], normal(5, 4), lambda g, y, x: g * np.exp(x)),
            ("exp, then flipped", lambda x: np.exp(x)[::-1], normal(5), lambda g, y, x: g * np.exp(x)),
            ("reshaped in columns", lambda x: x.ravel("F"), normal(5, 4), lambda g, y, x: g.reshape(x.shape)),
        ]
    ],
    ("flip: not undone", on_arrays(lambda x: x[:, ::-1], lambda g, y, x: g), [X], "flipped", "a flip not undone"),
    (
        "roll: not undone",
        on_arrays(lambda x: np.roll(x, 1, 1), lambda g, y, x: g),
        [X],
        "shifted",
        "a roll is not undone",
    ),
    (
        "softplus: at y",
        like(ops.softplus, lambda g, y, x: g * ops.sigmoid(y)),
        [A],
        "at another place",
        "y, the output",
    ),
    # batch norm
    (
        "batch norm: mean g dropped",
        batch_norm_with(lambda h, x_hat, s, ax, g: (h - x_hat * _mean(h * x_hat, ax)) / s),
        NORM,
        "mean missing",
        "axis 0",
    ),
    (
        "batch norm: x_hat dropped",
        batch_norm_with(lambda h, x_hat, s, ax, g: (h - _mean(h, ax)) / s),
        NORM,
        "x_hat missing",
        "axis 0",
    ),
    (
        "batch norm: both dropped",
        batch_norm_with(lambda h, x_hat, s, ax, g: h / s),
        NORM,
        "mean and x_hat missing",
        "axis 0",
    ),
    (
        "batch norm: x_hat dropped, images",
        batch_norm_with(lambda h, x_hat, s, ax, g: (h - _mean(h, ax)) / s),
        NORM4,
        "x_hat missing",
        "(0, 2, 3)",
    ),
    (
        "batch norm: a sum for the mean",
        batch_norm_with(lambda h, x_hat, s, ax, g: (h - h.sum(ax, keepdims=True) - x_hat * _mean(h * x_hat, ax)) / s),
        NORM,
        "mean missing",
        "axis 0",
    ),
    (
        "batch norm: 1/sigma forgotten",
        batch_norm_with(lambda h, x_hat, s, ax, g: h - _mean(h, ax) - x_hat * _mean(h * x_hat, ax)),
        NORM,
        "factor along an axis",
        "axis 1",
    ),
    (
        "batch norm: the weight forgotten",
        batch_norm_with(lambda h, x_hat, s, ax, g: (g - _mean(g, ax) - x_hat * _mean(g * x_hat, ax)) / s),
        NORM,
        "factor missing",
        "weight",
    ),
    (
        "batch norm: means over the wrong axis",
        batch_norm_with(lambda h, x_hat, s, ax, g: (h - h.mean(1, keepdims=True) - x_hat * _mean(h * x_hat, ax)) / s),
        NORM,
        "wrong axis",
        "axis 1",
    ),
    (
        "batch norm: the weight's gradient averaged",
        batch_norm_with(to_weight=lambda h, x_hat, s, ax, g: (g * x_hat).mean(ax)),
        NORM,
        "1/N",
        "6",
    ),
    (
        "batch norm: the bias's gradient over images only",
        batch_norm_with(to_bias=lambda h, x_hat, s, ax, g: g[0].sum((1, 2))),
        NORM4,
        "overwritten",
        "adding up",
    ),
    (
        "batch norm: eps in one pass only",
        batch_norm_with(
            lambda h, x_hat, s, ax, g: (h - _mean(h, ax) - x_hat * _mean(h * x_hat, ax)) / np.sqrt(s**2 + 1e-3)
        ),
        NORM,
        "nearly right",
        "digits",
    ),
    # precision and state
    ("sin: through float32", spoiled(np.sin, float64_to_float32), [A], "float32", "float32"),
    ("a float32 result", lambda x: x.astype("float32"), [A], "float32", "returned float32"),
    ("a value kept on self", Cached(), [A], "stale forward value", "called once more"),
    ("a mask kept on self", MaskKept(), [A], "stale forward value", "called once more"),
    ("another value each time", Counting(), [A], "not repeatable", "each time"),
    ("the derivative writes into g", writes_into("g"), [A], "writes into its input", "g, the upstream"),
    ("the derivative writes into x", writes_into("x"), [A], "writes into its input", "x"),
    ("the derivative writes into y", writes_into("y"), [A], "writes into its input", "y, the output"),
    ("derivatives that share a buffer", product_with_a_shared_buffer, [A, B], "together", "at once"),
    (
        "a float32 layer",
        lambda x: x @ Tensor(np.ones((4, 2), np.float32)),
        [A],
        "float32",
        "float32 tensors of its own",
    ),
    ("writes into its input", in_place, [A], "writes into its input", "x"),
    ("returns an array", lambda x: x.numpy() ** 2, [A], "not a tensor", "ndarray"),
    ("log outside its domain", ops.log, [A], "not finite", "nan or inf"),
    (
        "a derivative that returns an array",
        spoiled(np.exp, lambda g, y, x: g.data * y.data),
        [A],
        "raised",
        "must return a Tensor",
    ),
    ("a derivative that raises", spoiled(np.exp, lambda g, y, x: g @ ops.concatenate([y, y])), [A], "raised", "matmul"),
]

ORDER_2_BUGS = [
    (
        "tanh: the derivative on arrays",
        like(ops.tanh, lambda g, y, x: g * Tensor(1 - y.data**2)),
        [A],
        "zero",
        "plain arrays",
    ),
    (
        "mul: the derivative on arrays",
        spoiled(np.multiply, lambda g, y, a, b: unbroadcast(g * b, a), lambda g, y, a, b: Tensor(g.data * a.data)),
        [A, B],
        "zero",
        "plain arrays",
    ),
    (
        "square: y detached in the derivative",
        spoiled(np.exp, lambda g, y, x: g * y.detach()),
        [A],
        "zero",
        "plain arrays",
    ),
    ("batch norm: the derivative on arrays", batch_norm_with(), NORM, "zero", "plain arrays"),
]
