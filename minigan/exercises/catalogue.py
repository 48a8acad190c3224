"""The list of exercises, in order: how each is judged, what it replaces in the library, and its hints.

A stub's file name says its number, and its first line its level and its lesson: they stand nowhere else. The library's
own function, in its plain form, is the solution. So there is one truth, and what a student writes fits in its place.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np

from minigan import table
from minigan.exercises.judges import (
    adam,
    batch_norm,
    chain_rule,
    convolution,
    layers,
    losses,
    order_of_the_walk,
    training_steps,
    wasserstein,
)
from minigan.exercises.judges.answer import Answer
from minigan.tensor import Tensor

STUBS = Path(__file__).parent / "stubs"  # the originals, which `start` and `reset` copy
HEADER = re.compile(r'"""Exercise (\w+) \((core|scaffold|challenge), lesson (\w+)\): ')


@dataclass(frozen=True)
class Exercise:
    """One exercise. `replaces` says which function of the library each of the student's functions stands in for."""

    number: int
    name: str
    level: str  # core, for everyone; scaffold, partly written already; challenge, for those who want more
    lesson: str  # the slug of its lesson
    judge: Callable[..., None]  # gets an Answer for each of the functions, and raises Wrong
    hints: tuple[str, ...]  # three; the last is nearly the answer
    replaces: dict[str, str]  # the names of its functions, and those in the table: {"conv2d": "conv"}
    only: Callable[..., bool]  # for which calls of the library's function the student's is meant
    beside: tuple[str, ...]  # names in the table of what the solution calls, and is shown beside it

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.number:02}_{self.name}.py"

    def check(self, functions: dict[str, Callable[..., Any]]) -> list[Answer]:
        """Raise `Wrong` unless these functions, by the names that the exercise asks for, are right; returns them."""
        answers = [Answer(name, functions[name]) for name in self.replaces]
        with np.errstate(all="ignore"):  # an overflow that does no harm is no news, and of others the judge speaks
            self.judge(*answers)
        return answers

    def solution(self, function: str) -> Callable[..., Any]:
        """The library's own version of one of the functions, as it is read."""
        return table.PLAIN[self.replaces[function]]


def find(name: str) -> Exercise:
    """The exercise with this name, number or file name; raises ValueError with the list of names if there is none."""
    given = Path(name).name.removesuffix(".py")
    for exercise in EXERCISES:
        if given in (exercise.name, str(exercise.number), exercise.file.removesuffix(".py")):
            return exercise
    raise ValueError(f"there is no exercise {name!r}: choose one of {', '.join(e.name for e in EXERCISES)}")


def _exercise(
    name: str,
    judge: Callable[..., None],
    *hints: str,
    replaces: dict[str, str] | None = None,
    only: Callable[..., bool] = lambda *arguments: True,
    beside: tuple[str, ...] = (),
) -> Exercise:
    """The exercise with the stub of this name. Mostly it has one function, which the table knows by the same name."""
    (stub,) = STUBS.glob(f"[0-9][0-9]_{name}.py")
    header = HEADER.match(stub.read_text("utf-8"))
    if header is None or header[1] != name:
        raise ValueError(f"{stub} must begin with: Exercise {name} (LEVEL, lesson SLUG): ")
    return Exercise(
        int(stub.name[:2]), name, header[2], header[3], judge, hints, replaces or {name: name}, only, beside
    )


def _two_matrices(a: Any, b: Any) -> bool:
    """matmul also takes arrays, vectors and stacks, which the exercise leaves out."""
    return isinstance(a, Tensor) and isinstance(b, Tensor) and a.ndim == b.ndim == 2


def _one_target(x: Any, target: Any = 0) -> bool:
    """bce_with_logits may also be given a target for each logit, which the exercise leaves out."""
    return isinstance(target, Number)


def _square_kernels(x: Any, weight: Any, bias: Any, stride: Any, padding: Any, *others: Any) -> bool:
    """conv also takes sounds, volumes, and a stride or padding for each axis, which the exercises leave out."""
    images = x.ndim == weight.ndim == 4 and weight.shape[2] == weight.shape[3]
    return images and isinstance(stride, int) and isinstance(padding, int)


EXERCISES = [
    _exercise(
        "unbroadcast",
        chain_rule.unbroadcast,
        "Write down the shapes of g and x below each other, lined up on the right. Which axes differ?",
        "Two kinds of axes are summed: those in front that x does not have, and those where x has size 1 and g more.",
        "new = g.ndim - len(shape); the axes are range(new), and new + i for every i where shape[i] == 1; then "
        "reshape(sum(g, axis=...), shape).",
    ),
    _exercise(
        "mul",
        chain_rule.mul,
        "If only a changes, y = a b is a straight line in a. What is its slope?",
        "The slope in a is b. Times g, this has the shape of the result; a may be smaller.",
        "to_a returns unbroadcast(g * b, a); to_b is the same with the letters swapped.",
    ),
    _exercise(
        "matmul",
        chain_rule.matmul,
        "In sum_j g_ij b_kj the index j is summed. In a matrix product X @ Z the index in the middle is summed.",
        "sum_j g_ij b_kj = sum_j g_ij (b.T)_jk.",
        "to_a returns g @ b.T; for to_b, sum_i a_ik g_ij is a.T @ g.",
        only=_two_matrices,
    ),
    _exercise(
        "tanh",
        chain_rule.tanh,
        "Divide (c c - s s) / (c c) out, and remember what s / c is.",
        "The slope is 1 - y^2. The gradient is the slope times what came from above.",
        "return g * (1.0 - y * y)",
    ),
    _exercise(
        "leaky_relu",
        layers.leaky_relu,
        "What is the slope of the line y = x, and what that of y = slope x?",
        "An array with 1 where x.data > 0 and with slope elsewhere; times g.",
        "return g * Tensor(np.where(x.data > 0, 1.0, slope), dtype=x.dtype)",
    ),
    _exercise(
        "topological_order",
        order_of_the_walk.topological_order,
        "When a tensor is met for the first time it cannot be listed yet: its parents come first. So put it back on "
        "the stack, marked, and its parents on top of it.",
        "If parents_are_done, append it. Otherwise, if it is not in seen: add it to seen, push (tensor, True), then "
        "push (parent, False) for every parent.",
        "if parents_are_done: order.append(tensor); elif tensor not in seen: seen.add(tensor); "
        "stack.append((tensor, True)); stack.extend((parent, False) for parent, _ in tensor.parents)",
    ),
    _exercise(
        "bce_with_logits",
        losses.bce_with_logits,
        "D = 1 / (1 + e^-x), so -ln D = ln(1 + e^-x); and 1 - D = 1 / (1 + e^x).",
        "softplus: np.maximum(x, 0) + log1p of e to the power -|x|. The loss: t softplus(-x) + (1 - t) softplus(x), "
        "averaged.",
        "value = np.maximum(x.data, 0) + np.log1p(np.exp(-np.abs(x.data))); to_x returns g * sigmoid(x); the loss is "
        "mean(softplus(-logits) * target + softplus(logits) * (1 - target)).",
        replaces={"softplus": "softplus", "bce_with_logits": "bce_with_logits"},
        only=_one_target,
    ),
    _exercise(
        "linear",
        layers.linear,
        "sum_o g_no W_oi, sum_n g_no x_ni, sum_n g_no: find the matrix product for each.",
        "(N, out) @ (out, in) is (N, in); (out, N) @ (N, in) is (out, in); a sum over the batch is (out,).",
        "value = x.data @ weight.data.T, plus bias.data unless bias is None; to_x: g @ weight; to_weight: g.T @ x; "
        "to_bias: sum(g, axis=0).",
    ),
    _exercise(
        "he_normal",
        layers.he_normal,
        "Set fan_in Var(w) (1 + slope^2) / 2 = 1 and solve for Var(w).",
        "Var(w) = 2 / ((1 + slope^2) fan_in); standard normal numbers are multiplied by its root.",
        "return (np.sqrt(2 / ((1 + slope**2) * fan_in)) * rng.standard_normal(shape)).astype(np.float32)",
    ),
    _exercise(
        "adam_step",
        adam.adam_step,
        "Four lines: m, v, the two corrected means, theta. Write the formulas down as they stand, then make them "
        "change their arrays in place.",
        "m *= b1, then m += (1 - b1) * g; the same with v and g * g; t is an argument.",
        "m_hat = m / (1 - b1**t); v_hat = v / (1 - b2**t); theta -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)",
        replaces={"adam_step": "Adam.update"},
    ),
    _exercise(
        "unfold",
        convolution.unfold,
        "The slice stands in the text; here the loop variables are k and m, and the sizes oh and ow.",
        "Rows: from k in steps of stride, oh of them: k : k + stride * oh : stride.",
        "patches[:, :, k, m] = images[:, :, k : k + stride * oh : stride, m : m + stride * ow : stride]",
    ),
    _exercise(
        "conv2d",
        convolution.conv2d,
        "Three steps: columns from unfold; a matrix of weights times the columns; the shape (N, O, OH, OW).",
        "The matrix of weights is reshape(weight, (O, -1)). The bias (O,) must become (1, O, 1, 1) to be added.",
        "y = reshape(reshape(weight, (weight.shape[0], -1)) @ unfold(x, kernel_size, stride, padding), "
        "(x.shape[0], -1, oh, ow)); with a bias, y + reshape(bias, (1, -1, 1, 1)).",
        replaces={"conv2d": "conv"},
        only=_square_kernels,
        beside=("correlate",),
    ),
    _exercise(
        "conv_transpose2d",
        convolution.conv_transpose2d,
        "Make a matrix of the weight and of x, multiply, fold.",
        "reshape(weight, (C, -1)) is (C, O K K); its transpose times reshape(x, (N, C, -1)) gives the columns.",
        "columns = reshape(weight, (weight.shape[0], -1)).T @ reshape(x, (x.shape[0], x.shape[1], -1)); "
        "y = fold(columns, size, kernel_size, stride, padding); with a bias, y + reshape(bias, (1, -1, 1, 1)).",
        replaces={"conv_transpose2d": "conv_transpose"},
        only=_square_kernels,
        beside=("stamp",),
    ),
    _exercise(
        "batch_norm",
        batch_norm.batch_norm,
        "mu = mean(x, axes, keepdims=True) is subtracted from x; the variance is the mean of the square of that.",
        "y = centred / sqrt(var + eps) * reshape(weight, per_channel) + reshape(bias, per_channel). A running mean of "
        "1, a batch's of 2 and a momentum of 0.1 give 1.1.",
        "return y, mu.data.reshape(-1), var.data.reshape(-1); and running.data *= 1 - momentum, then "
        "running.data += momentum * batch.",
        replaces={"batch_norm": "batch_norm", "update_running": "update_running"},
    ),
    _exercise(
        "batch_norm_backward",
        batch_norm.batch_norm_backward,
        "The path through mu gives -(1 / M) sum_j h_j, which is a mean. What does the path through sigma give?",
        "d x_hat_j / d sigma = -x_hat_j / sigma, times x_hat_i / M, summed over j with h_j: -x_hat_i mean(h x_hat), "
        "over sigma.",
        "h = g * reshape(weight, per_channel); (h - mean(h, axes, keepdims=True) - x_hat * mean(h * x_hat, axes, "
        "keepdims=True)) / sigma; for the weight sum(g * x_hat, axes); for the bias sum(g, axes).",
        replaces={"batch_norm": "batch_norm"},
    ),
    _exercise(
        "generator_losses",
        losses.generator_losses,
        "The slope of -softplus(x) is -sigmoid(x). For softplus(-x), the chain rule brings a minus. Do not forget the "
        "mean.",
        "Minimax: -D / N. Non-saturating: -sigmoid(-x) / N, which is (D - 1) / N.",
        "value = -np.mean(np.logaddexp(0, fake.data)), to_fake: -g * sigmoid(fake) / fake.size; "
        "value = np.mean(np.logaddexp(0, -fake.data)), to_fake: g * (sigmoid(fake) - 1) / fake.size",
        replaces={
            "minimax_generator": "minimax.generator",
            "non_saturating_generator": "non_saturating.generator",
        },
    ),
    _exercise(
        "discriminator_step",
        training_steps.discriminator_step,
        "Go through D 2 to D 5 one by one: each is one or two lines, or three. In which of them is G in danger?",
        "with G.frozen(): around making the fakes; then two calls of D, one of them of fake.detach(); then "
        "loss = game.discriminator(real_logits, fake_logits).",
        "with G.frozen(): fake = G(noise); real_logits, fake_logits = D(real), D(fake.detach()); after the loss: "
        "optimizer.zero_grad(); loss.backward(); optimizer.step().",
    ),
    _exercise(
        "generator_step",
        training_steps.generator_step,
        "The gradient goes from the loss through the discriminator to the fakes, and on into the generator: detach "
        "nothing.",
        "Freeze the discriminator, not the generator: with D.frozen(): fake_logits = D(fake).",
        "fake = G(noise); with D.frozen(): fake_logits = D(fake); loss = game.generator(fake_logits); "
        'return {"g_loss": minimise(loss, optimizer)}.',
    ),
    _exercise(
        "wasserstein",
        wasserstein.wasserstein,
        "The loss is small when reals score high and fakes low. For the penalty, follow the Start: slope, norm, mean.",
        "(slope,) = grad(critic(between).sum(), between, create_graph=True); squares = reshape(slope, (n, -1)) ** 2.",
        "mean(fake) - mean(real); norm = sqrt(sum(squares, axis=1) + 1e-12); return mean((norm - 1) ** 2).",
        replaces={
            "wasserstein_discriminator": "wasserstein.discriminator",
            "gradient_penalty": "gradient_penalty",
        },
    ),
]
