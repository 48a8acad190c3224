"""The list of exercises, in order: what each replaces in the library, how it is checked, and its hints.

The library's own function is the solution. So there is one truth, and what a student writes fits in its place.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from minigan.exercises import checks

STUBS = Path(__file__).parent / "stubs"  # the originals, which `start` and `reset` copy


@dataclass(frozen=True)
class Exercise:
    """One exercise. `replaces` says which function of the library each of the student's functions stands in for."""

    number: int
    name: str
    level: str  # core, for everyone; scaffold, partly written already; challenge, for those who want more
    lesson: int
    replaces: dict[str, str]  # {"tanh": "minigan.ops.math:tanh"}
    check: Callable[[SimpleNamespace], None]  # raises checks.Wrong
    hints: tuple[str, str, str]  # the last is nearly the answer
    only: Callable[..., bool] = lambda *args: True  # for which calls the student's function is meant

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.number:02}_{self.name}.py"

    def solution(self, function: str) -> Any:
        """The library's own version of one of the functions."""
        module, _, path = self.replaces[function].partition(":")
        value = importlib.import_module(module)
        for part in path.split("."):
            value = getattr(value, part)
        return value


def find(name: str) -> Exercise:
    """The exercise with this name, number or file name; raises ValueError with the list of names if there is none."""
    for exercise in EXERCISES:
        if Path(name).name.removesuffix(".py") in (
            exercise.name,
            str(exercise.number),
            exercise.file.removesuffix(".py"),
        ):
            return exercise
    raise ValueError(f"there is no exercise {name!r}: choose one of {', '.join(e.name for e in EXERCISES)}")


def two_matrices(a: Any, b: Any) -> bool:
    """matmul also takes vectors and stacks, which exercise 3 leaves out."""
    return getattr(a, "ndim", 0) == 2 and getattr(b, "ndim", 0) == 2


EXERCISES = [
    Exercise(
        1,
        "unbroadcast",
        "core",
        2,
        {"unbroadcast": "minigan.ops.shape:unbroadcast"},
        checks.unbroadcast,
        (
            "Write down the shapes of g and x below each other, lined up on the right. Which axes differ?",
            "Two kinds of axes are summed: those in front that x does not have, and those where x has size 1 and g "
            "has more.",
            "new = g.ndim - len(shape); the axes are range(new), and new + i for every i where shape[i] == 1; "
            "then reshape(sum(g, axis=...), shape).",
        ),
    ),
    Exercise(
        2,
        "mul",
        "core",
        2,
        {"mul": "minigan.ops.math:mul"},
        checks.mul,
        (
            "If only a changes, y = a b is a straight line in a. What is its slope?",
            "The slope in a is b. Times g, this has the shape of the result; a may be smaller.",
            "to_a returns unbroadcast(g * b, a); to_b is the same with the letters swapped.",
        ),
    ),
    Exercise(
        3,
        "matmul",
        "core",
        2,
        {"matmul": "minigan.ops.linear:matmul"},
        checks.matmul,
        (
            "In sum_j g_ij b_kj the index j is summed. In a matrix product X @ Z the index in the middle is summed.",
            "sum_j g_ij b_kj = sum_j g_ij (b.T)_jk.",
            "to_a returns g @ b.T; for to_b, sum_i a_ik g_ij is a.T @ g.",
        ),
        two_matrices,
    ),
    Exercise(
        4,
        "tanh",
        "core",
        3,
        {"tanh": "minigan.ops.math:tanh"},
        checks.tanh,
        (
            "Divide (c c - s s) / (c c) out, and remember what s / c is.",
            "The slope is 1 - y^2. The gradient is the slope times what came from above.",
            "return g * (1.0 - y * y)",
        ),
    ),
    Exercise(
        5,
        "leaky_relu",
        "core",
        4,
        {"leaky_relu": "minigan.ops.math:leaky_relu"},
        checks.leaky_relu,
        (
            "What is the slope of the line y = x, and what that of y = slope x?",
            "An array with 1 where x.data > 0 and with slope elsewhere; times g.",
            "return g * Tensor(np.where(x.data > 0, 1.0, slope), dtype=x.dtype)",
        ),
    ),
    Exercise(
        6,
        "topological_order",
        "scaffold",
        2,
        {"topological_order": "minigan.tensor:topological_order"},
        checks.topological_order,
        (
            "When a tensor is met for the first time it cannot be listed yet: its parents come first. So put it back "
            "on the "
            "stack, marked, and its parents on top of it.",
            "If parents_are_done, append it. Otherwise, if it is not in seen: add it to seen, push (tensor, True), "
            "then push "
            "(parent, False) for every parent.",
            "if parents_are_done: order.append(tensor); elif tensor not in seen: seen.add(tensor); "
            "stack.append((tensor, True)); stack.extend((parent, False) for parent, _ in tensor.parents)",
        ),
    ),
    Exercise(
        7,
        "bce_with_logits",
        "core",
        4,
        {"softplus": "minigan.ops.math:softplus", "bce_with_logits": "minigan.losses:bce_with_logits"},
        checks.bce_with_logits,
        (
            "D = 1 / (1 + e^-x), so -ln D = ln(1 + e^-x); and 1 - D = 1 / (1 + e^x).",
            "softplus: np.maximum(x, 0) + log1p of e to the power -|x|. The loss: t softplus(-x) + (1 - t) "
            "softplus(x), averaged.",
            "value = np.maximum(x.data, 0) + np.log1p(np.exp(-np.abs(x.data))); to_x returns g * sigmoid(x); the "
            "loss is "
            "mean(softplus(-logits) * target + softplus(logits) * (1 - target)).",
        ),
    ),
    Exercise(
        8,
        "linear",
        "core",
        4,
        {"linear": "minigan.ops.linear:linear"},
        checks.linear,
        (
            "sum_o g_no W_oi, sum_n g_no x_ni, sum_n g_no: find the matrix product for each.",
            "(N, out) @ (out, in) is (N, in); (out, N) @ (N, in) is (out, in); a sum over the batch is (out,).",
            "value = x.data @ weight.data.T, plus bias.data unless bias is None; to_x: g @ weight; to_weight: g.T @ x; "
            "to_bias: sum(g, axis=0).",
        ),
    ),
    Exercise(
        9,
        "he_normal",
        "core",
        4,
        {"he_normal": "minigan.nn.init:he_normal"},
        checks.he_normal,
        (
            "Set fan_in Var(w) (1 + slope^2) / 2 = 1 and solve for Var(w).",
            "Var(w) = 2 / ((1 + slope^2) fan_in); standard normal numbers are multiplied by its root.",
            "return (np.sqrt(2 / ((1 + slope**2) * fan_in)) * rng.standard_normal(shape)).astype(np.float32)",
        ),
    ),
    Exercise(
        10,
        "adam_step",
        "core",
        5,
        {"adam_step": "minigan.optim:Adam.update"},
        checks.adam_step,
        (
            "Four lines: m, v, the two corrected means, theta. Write the formulas down as they stand, then make them "
            "in place.",
            "m *= b1, then m += (1 - b1) * g; the same with v and g * g; t is self.steps.",
            "m_hat = m / (1 - b1**self.steps); v_hat = v / (1 - b2**self.steps); "
            "theta -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)",
        ),
    ),
    Exercise(
        11,
        "unfold",
        "scaffold",
        9,
        {"unfold": "minigan.ops.conv:unfold"},
        checks.unfold,
        (
            "The slice stands in the text; here the loop variables are k and m, and the sizes oh and ow.",
            "Rows: from k in steps of stride, oh of them: k : k + stride * oh : stride.",
            "patches[:, :, k, m] = images[:, :, k : k + stride * oh : stride, m : m + stride * ow : stride]",
        ),
    ),
    Exercise(
        12,
        "conv2d",
        "core",
        9,
        {"conv2d": "minigan.ops.conv:conv2d"},
        checks.conv2d,
        (
            "Three steps: columns from unfold; a matrix of weights times the columns; the shape (N, O, OH, OW).",
            "The matrix of weights is reshape(weight, (O, -1)). The bias (O,) must be reshaped to (1, O, 1, 1) to be "
            "added.",
            "y = reshape(reshape(weight, (weight.shape[0], -1)) @ unfold(x, kernel_size, stride, padding), "
            "(x.shape[0], -1, oh, ow)); with a bias, y + reshape(bias, (1, -1, 1, 1)).",
        ),
    ),
    Exercise(
        13,
        "conv_transpose2d",
        "scaffold",
        9,
        {"conv_transpose2d": "minigan.ops.conv:conv_transpose2d"},
        checks.conv_transpose2d,
        (
            "Make a matrix of the weight and of x, multiply, fold.",
            "reshape(weight, (C, -1)) is (C, O K K); its transpose times reshape(x, (N, C, -1)) gives the columns.",
            "columns = reshape(weight, (weight.shape[0], -1)).T @ reshape(x, (x.shape[0], x.shape[1], -1)); "
            "y = fold(columns, size, kernel_size, stride, padding); with a bias, y + reshape(bias, (1, -1, 1, 1)).",
        ),
    ),
    Exercise(
        14,
        "batch_norm",
        "core",
        10,
        {"batch_norm": "minigan.ops.norm:batch_norm", "update_running": "minigan.nn.layers:update_running"},
        checks.batch_norm,
        (
            "mu = mean(x, axes, keepdims=True) is subtracted from x; the variance is the mean of the square of that.",
            "y = centred / sqrt(var + eps) * reshape(weight, per_channel) + reshape(bias, per_channel). A running "
            "mean of 1, a "
            "batch's of 2 and a momentum of 0.1 give 1.1.",
            "return y, mu.data.reshape(-1), var.data.reshape(-1); and running.data *= 1 - momentum, then "
            "running.data += momentum * batch.",
        ),
    ),
    Exercise(
        15,
        "batch_norm_backward",
        "challenge",
        10,
        {"batch_norm": "minigan.ops.norm:batch_norm"},
        checks.batch_norm_backward,
        (
            "The path through mu gives -(1 / M) sum_j h_j, which is a mean. What does the path through sigma give?",
            "d x_hat_j / d sigma = -x_hat_j / sigma, times x_hat_i / M, summed over j with h_j: -x_hat_i mean(h "
            "x_hat), over sigma.",
            "h = g * reshape(weight, per_channel); (h - mean(h, axes, keepdims=True) - x_hat * mean(h * x_hat, axes, "
            "keepdims=True)) / sigma; for the weight sum(g * x_hat, axes); for the bias sum(g, axes).",
        ),
    ),
    Exercise(
        16,
        "generator_losses",
        "core",
        8,
        {
            "minimax_generator": "minigan.losses:minimax.generator",
            "non_saturating_generator": "minigan.losses:non_saturating.generator",
        },
        checks.generator_losses,
        (
            "The slope of -softplus(x) is -sigmoid(x). For softplus(-x), the chain rule brings a minus. Do not "
            "forget the mean.",
            "Minimax: -D / N. Non-saturating: -sigmoid(-x) / N, which is (D - 1) / N.",
            "value = -np.mean(np.logaddexp(0, fake.data)), to_fake: -g * sigmoid(fake) / fake.size; "
            "value = np.mean(np.logaddexp(0, -fake.data)), to_fake: g * (sigmoid(fake) - 1) / fake.size",
        ),
    ),
    Exercise(
        17,
        "discriminator_step",
        "core",
        7,
        {"discriminator_step": "minigan.train:discriminator_step"},
        checks.discriminator_step,
        (
            "As many fakes as reals: len(real) noise vectors. Score reals and fakes one after the other, not in one "
            "batch.",
            "Detach the fakes before scoring them; then loss = game.discriminator(real_logits, fake_logits).",
            "noise = draw_noise(len(real), noise_dim, rng, labels); with generator.frozen(): fake = generator(noise); "
            "real_logits = score(discriminator, real, labels); fake_logits = score(discriminator, fake.detach(), "
            "labels); "
            "after the loss: optimizer.zero_grad(); loss.backward(); optimizer.step().",
        ),
    ),
    Exercise(
        18,
        "generator_step",
        "core",
        7,
        {"generator_step": "minigan.train:generator_step"},
        checks.generator_step,
        (
            "The gradient goes from the loss through the discriminator to the fakes, and on into the generator: "
            "detach nothing.",
            "Freeze the discriminator, not the generator: with discriminator.frozen(): fake_logits = score(...).",
            "noise = draw_noise(batch_size, noise_dim, rng, labels); fake = generator(noise); with "
            "discriminator.frozen(): "
            "fake_logits = score(discriminator, fake, labels); loss = game.generator(fake_logits); "
            "optimizer.zero_grad(); "
            'loss.backward(); optimizer.step(); return {"g_loss": loss}.',
        ),
    ),
    Exercise(
        19,
        "wasserstein",
        "challenge",
        10,
        {
            "wasserstein_discriminator": "minigan.losses:wasserstein.discriminator",
            "gradient_penalty": "minigan.losses:gradient_penalty",
        },
        checks.wasserstein,
        (
            "The loss is small when reals score high and fakes low. For the penalty, follow the Start: slope, norm, "
            "mean.",
            "(slope,) = grad(critic(between).sum(), between, create_graph=True); squares = reshape(slope, (n, -1)) "
            "** 2.",
            "mean(fake) - mean(real); norm = sqrt(sum(squares, axis=1) + 1e-12); return mean((norm - 1) ** 2).",
        ),
    ),
]
