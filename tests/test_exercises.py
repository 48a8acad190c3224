"""The exercises: stubs are "not written yet", the library passes, wrong solutions are named, faults stay contained."""

import argparse
import contextlib
import copy
import csv
import errno
import functools
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from solved import SOLUTIONS, solved

from minigan import ShapeError, Tensor, nn, ops, plain, table
from minigan.exercises import EXERCISES, catalogue, check, check_file, commands, find, in_place
from minigan.exercises.catalogue import STUBS
from minigan.exercises.in_place import ExerciseError
from minigan.exercises.runner import load
from minigan.gans import WGANGP, ConditionalGAN, OriginalGAN
from minigan.gans.gan import discriminator_step, generator_step

LESSONS = Path(__file__).parents[1] / "lessons" / "source"
NAMES = [exercise.name for exercise in EXERCISES]


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(STUBS, tmp_path / "exercises", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "exercises"


def write(folder, name, source):
    path = folder / find(name).file
    path.write_text(source, "utf-8")
    return path


def outcome(folder, name, source, **limits):
    return check_file(find(name), write(folder, name, source), **limits)


def functions_of(folder, name, source):
    module = load(find(name), write(folder, name, source))
    return [getattr(module, function) for function in find(name).replaces]


# --- the list ----------------------------------------------------------------------------------------------------


def test_the_list_is_in_order_and_complete():
    assert [e.number for e in EXERCISES] == list(range(1, len(EXERCISES) + 1))
    assert {e.level for e in EXERCISES} == {"core", "scaffold", "challenge"}
    slugs = {path.stem.lstrip("0123456789_") for path in LESSONS.glob("*.py")}
    assert all(len(e.hints) == 3 and e.lesson in slugs for e in EXERCISES)
    assert all(entry in table.PLAIN for e in EXERCISES for entry in [*e.replaces.values(), *e.beside])
    assert sorted(p.name for p in STUBS.glob("[0-9]*.py")) == [e.file for e in EXERCISES]
    assert set(SOLUTIONS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_stub_says_what_it_is(name):
    exercise = find(name)
    text = (STUBS / exercise.file).read_text("utf-8")
    assert text.startswith(f'"""Exercise {exercise.name} ({exercise.level}, lesson {exercise.lesson}): ')
    assert not re.search(r"(exercise|lesson)s? \d", text, re.IGNORECASE)  # numbers change, names stay
    for heading in ("What ", "Start ", "Shapes ", "Example ", "Use "):
        assert f"\n{heading}" in text


def test_a_stub_whose_first_line_says_too_little_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "STUBS", tmp_path)
    (tmp_path / "04_tanh.py").write_text('"""Exercise tanh (core): the derivative of tanh."""')
    with pytest.raises(ValueError, match=r"04_tanh.py must begin with: Exercise tanh \(LEVEL, lesson SLUG\)"):
        catalogue._exercise("tanh", print)


def test_an_unknown_exercise():
    assert find("4").name == find("04_tanh").name == find("04_tanh.py").name == "tanh"
    with pytest.raises(ValueError, match=r"no exercise 'tan'.*tanh"):
        find("tan")


# --- stubs and solutions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_an_untouched_stub_is_not_written_yet(folder, name):
    exercise = find(name)
    assert check_file(exercise, folder / exercise.file).status == "not written yet"
    touched = (STUBS / exercise.file).read_text("utf-8") + "\n# begun\n"
    result = outcome(folder, name, touched)
    assert result.status == "not written yet" and f"{exercise.file}, line " in result.message, result


@pytest.mark.parametrize("name", NAMES)
def test_the_solved_exercise_passes(folder, name):
    result = outcome(folder, name, solved(name))
    assert result.passed and result.output == "", result


@pytest.mark.parametrize("name", NAMES)
def test_the_librarys_own_function_passes(name):
    exercise = find(name)
    exercise.check({function: exercise.solution(function) for function in exercise.replaces})


@pytest.mark.parametrize("name", NAMES)
def test_the_last_hint_is_nearly_the_answer(name):
    words = {
        word for code in SOLUTIONS[name] for word in code.replace("(", " ").replace(")", " ").split() if len(word) > 3
    }
    found = [word for word in words if word.strip(",[]") in find(name).hints[2]]
    assert len(found) >= min(3, len(words) // 2), find(name).hints[2]


# --- wrong solutions: each is caught, with its sentence --------------------------------------------------------

STEP = "optimizer.zero_grad()\n    loss.backward()\n    optimizer.step()"
FREEZES_STATISTICS_ONLY = """    for module in D.modules():
        module.is_frozen = True
    fake_logits = D(fake)
    for module in D.modules():
        module.is_frozen = False"""
BUGS = [
    ("unbroadcast", ("sum(g,", "-sum(g,"), "unbroadcast of g (3, 4) to x (3, 4) is wrong: the sign is flipped"),
    (
        "unbroadcast",
        (
            "reshape(sum(g, axis=tuple(axes)), shape)",
            "reshape(sum(g, axis=tuple(axes)), shape) * (np.prod(shape) / g.size)",
        ),
        "the gradients of the copies add up",
    ),
    ("unbroadcast", ("*(new + i for i, n in enumerate(shape) if n == 1)", ""), "cannot reshape"),
    ("mul", ("return unbroadcast(g * b, a)", "return g * b"), "a broadcast was not summed"),
    (
        "mul",
        ("return unbroadcast(g * b, a)", "return unbroadcast(g * a, a)"),
        "this is the gradient of b, not of a",
    ),
    ("mul", ("unbroadcast(g * b, a)", "Tensor(unbroadcast(g * b, a).data)"), "the gradient is zero everywhere"),
    ("matmul", ("g @ b.T", "g @ b"), "raised ShapeError at 03_matmul.py"),
    ("matmul", ("a.T @ g", "(a.T @ g).T"), "it is transposed"),
    ("tanh", ("1.0 - y * y", "1.0 - y"), "a term is missing or wrong"),
    ("tanh", ("g * (1.0 - y * y)", "1.0 - y * y"), "the upstream gradient g was not used"),
    ("leaky_relu", ("x.data > 0", "x.data >= 0"), "at x = 0 take the slope, 0.2"),
    ("he_normal", ("(1 + slope**2) * fan_in", "fan_in"), "the slope is left out"),
    ("he_normal", ("2 / ((1 + slope**2) * fan_in)", "2 / fan_in * (1 + slope**2)"), "do not multiply by it"),
    ("he_normal", ("rng.standard_normal", "np.random.standard_normal"), "must draw its numbers from `rng`"),
    (
        "adam_step",
        ("m_hat = m / (1 - b1**t)", "m /= 1 - b1**t\n    m_hat = m"),
        "give that a name of its own",
    ),
    ("adam_step", ("**t)", "**self.t)"), "has no attribute 't'"),
    ("adam_step", ("**t)", "**self.steps)"), "take the argument t; the optimizer's own steps are those of all"),
    ("adam_step", ("**t)", "**(t + 1))"), "t counts from 1 already"),
    ("adam_step", ("m_hat / (", "g / ("), "it moves by g itself"),
    ("adam_step", ("m += (1 - b1) * g", "m += g"), "must count 1 - b1, so that the weights add up to 1"),
    ("adam_step", ("v += (1 - b2) * g * g", "g *= g\n    v += (1 - b2) * g"), "changes g, which it must leave alone"),
    ("linear", ("x.data @ weight.data.T", "x @ weight.T"), "record takes the value as an array"),
    ("tanh", ("1.0 - y * y", "1.0 - np.tanh(x) ** 2"), "use minigan.ops.tanh"),
    ("bce_with_logits", ("g * sigmoid(x)", "g * sigmoid(y)"), "it is the derivative at y"),
    (
        "batch_norm",
        (
            "running.data *= 1 - momentum\n    running.data += momentum * batch",
            "running.data = running.data * (1 - momentum) + momentum * batch",
        ),
        "did not change running.data in place",
    ),
    (
        "batch_norm",
        (
            "y = reshape",
            "x_hat = (x - x.data.mean(axes, keepdims=True)) / x.data.std(axes, keepdims=True)\n    y = reshape",
        ),
        "batch_norm",
    ),
    ("batch_norm_backward", ("mean(h, axes, keepdims=True)", "mean(h, axes)"), "batch_norm"),
    (
        "generator_step",
        ("game.generator(fake_logits)", "game.discriminator(fake_logits, fake_logits)"),
        "must ask for its own loss",
    ),
    (
        "generator_step",
        ("    fake = G(noise)\n", "    with G.frozen():\n        fake = G(noise)\n"),
        "frozen()",
    ),
    (
        "wasserstein",
        ("mean((norm - 1) ** 2)", "mean(((norm - 1) * Tensor(norm.data > 1, dtype=norm.dtype)) ** 2)"),
        "a norm below 1 is pulled up to 1 too",
    ),
    ("leaky_relu", ("1.0, slope", "slope, 1.0"), "are swapped"),
    ("leaky_relu", (", dtype=x.dtype", ""), "its derivative fails for float32 inputs"),
    (
        "leaky_relu",
        ("np.where(x.data > 0, 1.0, slope)", "(x.data >= 0) + slope * (x.data <= 0)"),
        "at x = 0 take the slope, 0.2",
    ),
    ("topological_order", ("seen.add(tensor)", "pass"), "lists a tensor more than once"),
    ("topological_order", ("order.append(tensor)", "order.insert(0, tensor)"), "lists a child before its parent"),
    (
        "bce_with_logits",
        ("np.maximum(x.data, 0) + np.log1p(np.exp(-np.abs(x.data)))", "np.log(1 + np.exp(x.data))"),
        "softplus(-30) must be 9.35762e-14, but yours is 9.34808e-14",
    ),
    ("bce_with_logits", ("g * sigmoid(x)", "g * sigmoid(-x)"), "gradcheck of softplus: WRONG"),
    (
        "bce_with_logits",
        ("g * sigmoid(x)", "g * x.exp() / (x.exp() + 1)"),
        "the derivative of softplus at 1000 in float64 must be 1, but yours is nan",
    ),
    (
        "bce_with_logits",
        ("softplus(-logits) * target + softplus(logits)", "softplus(logits) * target + softplus(-logits)"),
        "the targets of real and fake are swapped",
    ),
    ("linear", ("sum(g, axis=0)", "mean(g, axis=0)"), "it is 5 times too small"),
    ("linear", ("g.T @ x", "x.T @ g"), "it is transposed"),
    ("linear", ("sum(g, axis=0)", "g"), "a broadcast was not summed"),
    (
        "he_normal",
        ("np.sqrt(2 / ((1 + slope**2) * fan_in))", "2 / ((1 + slope**2) * fan_in)"),
        "the variance was used as the standard deviation",
    ),
    ("he_normal", ("2 / ((1 + slope**2) * fan_in)", "1 / fan_in"), "that is Xavier's"),
    ("he_normal", (".astype(np.float32)", ""), "must return float32"),
    ("adam_step", ("/ (1 - b1**t)", ""), "only v is corrected, not m"),
    ("adam_step", ("theta -= self.lr", "theta = theta - self.lr"), "did not change theta in place"),
    ("adam_step", ("g * g", "g"), "g is not squared"),
    (
        "unfold",
        ("k : k + stride * oh : stride", "m : m + stride * oh : stride"),
        "unfold with kernel 2, stride 1, padding 0 of x (2, 3, 6, 7) is wrong",
    ),
    ("conv2d", ("return y if bias is None else y + reshape(bias, (1, -1, 1, 1))", "return y"), "the bias is left out"),
    (
        "conv2d",
        ("reshape(weight, (weight.shape[0], -1))", "reshape(weight[:, :, ::-1, ::-1], (weight.shape[0], -1))"),
        "the kernels are turned round",
    ),
    ("conv_transpose2d", ("stride, padding)", "stride, padding) * 0.5"), "conv_transpose2d with kernel 3"),
    (
        "batch_norm",
        (
            "running.data *= 1 - momentum\n    running.data += momentum * batch",
            "running.data *= momentum\n    running.data += (1 - momentum) * batch",
        ),
        "momentum is the wrong way round",
    ),
    (
        "batch_norm",
        ("mean(centred * centred, axes, keepdims=True)", "mean(centred * centred, 0, keepdims=True)"),
        "batch_norm",
    ),
    ("batch_norm", ("sqrt(var + eps)", "(sqrt(var) + eps)"), "eps belongs under the root"),
    (
        "batch_norm_backward",
        ("h - mean(h, axes, keepdims=True) - x_hat", "h - x_hat"),
        "a mean or sum is missing or wrong",
    ),
    (
        "batch_norm_backward",
        (" - x_hat * mean(h * x_hat, axes, keepdims=True)", ""),
        "a term x_hat mean(g x_hat) is missing or wrong",
    ),
    ("batch_norm_backward", ("sum(g * x_hat, axes)", "mean(g * x_hat, axes)"), "it is 6 times too small"),
    ("batch_norm_backward", (") / sigma", ")"), "1 / sigma is left out"),
    ("generator_losses", ("return -g * sigmoid(fake)", "return g * sigmoid(fake)"), "the sign is flipped"),
    ("generator_losses", ("sigmoid(fake) / fake.size", "sigmoid(fake)"), "it is 7 times too large"),
    (
        "generator_losses",
        ("np.mean(np.logaddexp(0, -fake.data))", "np.mean(np.logaddexp(0, fake.data))"),
        "the logit has the wrong sign",
    ),
    ("discriminator_step", ("fake.detach()", "fake"), None),  # frozen() alone is enough
    ("discriminator_step", (STEP, "loss = minimise(loss, optimizer)"), None),
    ("discriminator_step", ("D(real), D(fake.detach())", "D(fake.detach()), D(real)"), "swaps the labels"),
    ("discriminator_step", ("with G.frozen():", "if True:"), "changed G's running statistics"),
    ("discriminator_step", ("with G.frozen():", "with no_grad():"), "changed G's running statistics"),
    (
        "discriminator_step",
        (STEP, STEP + "\n    for p in G.parameters():\n        p.data -= 0.1"),
        "changed G (0.weight)",
    ),
    (
        "discriminator_step",
        ("    with G.frozen():", "    for p in G.parameters():\n        p.requires_grad = False\n    with G.frozen():"),
        "left G frozen",
    ),
    ("discriminator_step", (STEP, STEP + "\n    G.eval()"), "left G in evaluation"),
    (
        "discriminator_step",
        ("G(noise)", "G(noise[:3])"),
        "logits of fakes of shape (3, 1), but they should have (5, 1)",
    ),
    ("discriminator_step", ("G(noise)", "G(noise * 0.5)"), "logits of the fakes that are not D(fake.detach())"),
    ("discriminator_step", ("D(real),", "D(real * 0.5),"), "logits of the reals that are not D(real)"),
    (
        "discriminator_step",
        ("D(real), D(fake.detach())", "(lambda both: (both[:5], both[5:]))(D(concatenate([real, fake])))"),
        "scores reals and fakes in one batch, where batch norm mixes their statistics",
    ),
    ("discriminator_step", ("game.discriminator(real_logits, fake_logits)", "fake_logits.mean()"), "never asked for"),
    ("discriminator_step", ("loss = game", "loss = -game"), "walks uphill"),
    ("discriminator_step", ("    optimizer.zero_grad()\n", ""), "added its gradients to those of an earlier step"),
    ("discriminator_step", ("    loss.backward()\n", ""), "did not change D: it had no gradients"),
    ("discriminator_step", ("    optimizer.step()\n", ""), "did not change D: backward, then optimizer.step()"),
    (
        "discriminator_step",
        (STEP, "optimizer.step()\n    optimizer.zero_grad()\n    loss.backward()"),
        "call backward() before that",
    ),
    ("discriminator_step", (STEP, STEP + "\n    optimizer.step()"), "moved twice"),
    ("discriminator_step", ("belief(real_logits)", "belief(fake_logits)"), "discriminator_step's d_real is wrong"),
    ("discriminator_step", ("belief(real_logits)", "0.5"), "d_real must be a Tensor, but it is float"),
    ("discriminator_step", ("loss.detach()", "loss"), "d_loss is still tied to the graph"),
    ("discriminator_step", ('"d_real"', '"real"'), "must return a dict with d_loss, d_real, d_fake"),
    ("generator_step", (STEP, "loss = minimise(loss, optimizer)"), None),
    ("generator_step", ("D(fake)", "D(fake.detach())"), "nothing to differentiate"),
    ("generator_step", ("with D.frozen():", "if True:"), "changed D's running statistics"),
    (
        "generator_step",
        ("    with D.frozen():\n        fake_logits = D(fake)", FREEZES_STATISTICS_ONLY),
        "sent gradients into D: score inside `with D.frozen():`",
    ),
    ("generator_step", ("loss = game", "loss = -game"), "walks uphill"),
    ("generator_step", ("    optimizer.zero_grad()\n", ""), "added its gradients to those of an earlier step"),
    ("generator_step", ("G(noise)", "G(noise[:2])"), "logits of fakes of shape (2, 1), but they should have (5, 1)"),
    ("generator_step", ("fake = G(noise)", "G.eval()\n    fake = G(noise)\n    G.train()"), "in training mode"),
    ("generator_step", ("loss.detach()", "loss"), "g_loss is still tied to the graph"),
    ("generator_step", ('return {"g_loss": loss.detach()}', "return loss"), "must return a dict with g_loss"),
    ("he_normal", ("* fan_in)", "* shape[1])"), "take the argument fan_in; the shape does not show it"),
    (
        "batch_norm",
        ("mean(centred * centred, axes, keepdims=True)", "mean(x * x, axes, keepdims=True) - mu * mu"),
        "loses its digits where the mean is large",
    ),
    ("batch_norm", ("running.data += momentum * batch", "running.data += batch"), "must count momentum"),
    ("topological_order", ("in tensor.parents)", "in tensor.parents[:1])"), "misses 1 of 5 tensors"),
    (
        "wasserstein",
        (
            "reshape(slope, (n, -1)) ** 2\n    norm = sqrt(sum(squares, axis=1)",
            "slope**2\n    norm = sqrt(sum(squares, axis=-1)",
        ),
        "the norm is taken over axis 2 only",
    ),
    ("wasserstein", ("mean(fake) - mean(real)", "mean(real) - mean(fake)"), "real and fake are swapped"),
    ("wasserstein", ("axis=1) + 1e-12", "axis=0) + 1e-12"), "the norm is taken over the batch"),
    ("wasserstein", (", create_graph=True", ""), "use grad(..., create_graph=True)"),
    ("wasserstein", (" + 1e-12", ""), "add 1e-12 under the root"),
    (
        "wasserstein",
        (
            "reshape(slope, (n, -1)) ** 2\n    norm = sqrt(sum(squares, axis=1)",
            "slope**2\n    norm = sqrt(sum(squares, axis=(0, 1, 2))",
        ),
        "one norm is taken of everything",
    ),
]


MORE_IMPORTS = "from minigan import no_grad\nfrom minigan.ops import concatenate, mean, reshape\n"
FAKES_FIRST = "fake_logits = D(fake.detach())\n    real_logits = D(real)"


@pytest.mark.parametrize(("name", "change", "words"), BUGS, ids=[f"{b[0]}-{i}" for i, b in enumerate(BUGS)])
def test_a_wrong_solution_is_named(folder, name, change, words):
    source = solved(name, change).replace("from minigan import Tensor", f"{MORE_IMPORTS}from minigan import Tensor", 1)
    module = load(find(name), write(folder, name, source))
    functions = [getattr(module, function) for function in find(name).replaces]
    result = check(name, *functions)
    if words is None:
        assert result.passed
    else:
        assert result.status == "failed" and words in result.message, result


OTHER_WAYS = [
    ("unbroadcast", ("if n == 1)", "if n == 1 and g.shape[new + i] > 1)")),
    ("tanh", ("1.0 - y * y", "1.0 - tanh(x) ** 2")),
    ("leaky_relu", ("np.where(x.data > 0, 1.0, slope)", "(x.data > 0) * (1 - slope) + slope")),
    ("bce_with_logits", ("np.maximum(x.data, 0) + np.log1p(np.exp(-np.abs(x.data)))", "np.logaddexp(0, x.data)")),
    ("linear", ("return sum(g, axis=0)", "return reshape(sum(g, axis=0, keepdims=True), (-1,))")),
    ("he_normal", ("(std * rng.standard_normal(shape))", "rng.normal(0, std, shape)")),
    ("adam_step", ("m *= b1\n    m += (1 - b1) * g", "m[...] = b1 * m + (1 - b1) * g")),
    ("batch_norm", ("running.data *= 1 - momentum\n    running.data +=", "running.data += -momentum * running.data +")),
    ("batch_norm", ("x_hat = centred / sqrt(var + eps)", "x_hat = centred * (var + eps) ** -0.5")),
    ("discriminator_step", ("real_logits, fake_logits = D(real), D(fake.detach())", FAKES_FIRST)),
    ("discriminator_step", ("loss.backward()", "loss.backward(inputs=D.parameters())")),
    ("generator_step", ("loss.backward()", "loss.backward(inputs=optimizer.parameters)")),
    ("wasserstein", ("reshape(slope, (n, -1)) ** 2", "reshape(slope * slope, (n, -1))")),
]


@pytest.mark.parametrize(("name", "change"), OTHER_WAYS, ids=[f"{o[0]}-{i}" for i, o in enumerate(OTHER_WAYS)])
def test_another_right_way_passes(folder, name, change):
    source = solved(name, change).replace("from minigan import Tensor", f"{MORE_IMPORTS}from minigan import Tensor", 1)
    result = check(name, *functions_of(folder, name, source))
    assert result.passed, result


def test_a_missing_detach_is_named(folder):
    """Without frozen() and without detach(), the fakes carry gradients into the generator."""
    frozen = "    with G.frozen():\n        fake = G(noise)"
    statistics_only = FREEZES_STATISTICS_ONLY.replace("D", "G").replace("fake_logits = G(fake)", "fake = G(noise)")
    source = solved("discriminator_step", (frozen, statistics_only), ("fake.detach()", "fake"))
    result = check("discriminator_step", *functions_of(folder, "discriminator_step", source))
    assert "sent gradients into G: score fake.detach() instead of fake" in result.message


@pytest.mark.parametrize(
    ("name", "change", "function"),
    [
        ("bce_with_logits", ("np.maximum(x.data, 0)", "x.data"), "softplus"),
        ("bce_with_logits", ("return mean(softplus", "return -mean(softplus"), "bce_with_logits"),
        ("batch_norm", ("running.data *= 1 - momentum", "running.data *= momentum"), "update_running"),
        ("batch_norm", ("sqrt(var + eps)", "sqrt(var)"), "batch_norm"),
        ("generator_losses", ("np.mean(np.logaddexp(0, -fake.data))", "np.sum(fake.data)"), "non_saturating_generator"),
    ],
)
def test_of_two_functions_the_wrong_one_is_placed(folder, name, change, function):
    source = solved(name, change)
    result = check(name, *functions_of(folder, name, source))
    assert (
        f"the notebook, {function} in line {source[: source.index(f'def {function}(')].count(chr(10)) + 1}: "
        in result.message
    )


# --- faults in a student's file --------------------------------------------------------------------------------

HEAD = "import numpy as np\nfrom minigan import Tensor\n\n\n"
FAULTS = {
    "a syntax error": (HEAD + "def tanh(x:\n    return x\n", "04_tanh.py, line 5: SyntaxError"),
    "an exception": (HEAD + "def tanh(x):\n    y = x\n    return y.nothing\n", "04_tanh.py, line 7: AttributeError"),
    "an exception on import": (HEAD + "import no_such_module\n", "04_tanh.py, line 5: ModuleNotFoundError"),
    "a missing function": (HEAD + "def tan(x):\n    return x\n", "04_tanh.py: there is no function tanh"),
    "not a function": (HEAD + "tanh = 3\n", "04_tanh.py: there is no function tanh"),
    "a wrong return type": (
        HEAD + "def tanh(x):\n    return np.tanh(x.data)\n",
        "04_tanh.py, tanh in line 5: tanh must return a Tensor, but it returned ndarray",
    ),
    "no return": (
        HEAD + "def tanh(x):\n    x + x\n",
        "tanh in line 5: tanh must return a Tensor, but it returned nothing",
    ),
    "a wrong number of arguments": (HEAD + "def tanh():\n    return 1\n", "TypeError"),
    "exit()": (HEAD + "exit(0)\n", "04_tanh.py, line 5: SystemExit"),
    "input()": (HEAD + "def tanh(x):\n    input()\n", "04_tanh.py, line 6: EOFError"),
    "infinite recursion": (HEAD + "def tanh(x):\n    return tanh(x)\n", "04_tanh.py, line 6: RecursionError"),
    "a crash": (HEAD + "import ctypes\n\n\ndef tanh(x):\n    ctypes.string_at(0)\n", "04_tanh.py"),
    "the process ends": (HEAD + "import os\n\nos._exit(3)\n", "ended without an answer (exit code 3)"),
    "an empty file": ("", "there is no function tanh"),
    "no text": (b"\xff\xfe\x00", "04_tanh.py"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_in_a_students_file_gets_one_sentence(folder, what):
    source, words = FAULTS[what]
    path = folder / find("tanh").file
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    result = check_file(find("tanh"), path)
    assert result.status == "failed" and words in result.message, result
    assert "Traceback" not in result.message and len(result.message.splitlines()) == 1, result


LOOPS = {
    "in Python": "def tanh(x):\n    while True:\n        pass\n",
    "on import": "while True:\n    pass\n",
    "while sleeping": "import time\n\n\ndef tanh(x):\n    time.sleep(1000)\n",
    "that ignores interrupts": (
        "def tanh(x):\n    while True:\n        try:\n            while True:\n                pass\n"
        "        except BaseException:\n            pass\n"
    ),
    "that prints": "def tanh(x):\n    while True:\n        print('again')\n",
}


@pytest.mark.parametrize("what", LOOPS)
def test_an_endless_loop_is_ended_and_placed(folder, what):
    began = time.monotonic()
    result = outcome(folder, "tanh", LOOPS[what], seconds=2.0)
    assert time.monotonic() - began < 60  # it does end; how soon depends on the machine
    assert result.status == "failed" and "04_tanh.py, line " in result.message, result
    assert "still running after 2 seconds" in result.message or "File too large" in result.message
    assert len(result.output) <= 2000


@pytest.mark.parametrize(
    "code", ["threading.Thread(target=lambda: time.sleep(600)).start()", "atexit.register(lambda: time.sleep(60))"]
)
def test_what_the_students_code_leaves_running_holds_nobody_up(folder, code):
    began = time.monotonic()
    assert outcome(folder, "tanh", f"import atexit\nimport threading\nimport time\n\n{code}\n" + solved("tanh")).passed
    assert time.monotonic() - began < 30


def test_a_process_that_does_not_watch_its_time_is_ended(folder):
    source = "import faulthandler\n\nfaulthandler.cancel_dump_traceback_later()\nwhile True:\n    pass\n"
    assert "without an answer" in outcome(folder, "tanh", source, seconds=1.0).message


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user who may not read a file")
def test_an_unreadable_file_is_one_failure(folder):
    path = write(folder, "tanh", solved("tanh"))
    path.chmod(0)
    assert "Permission denied" in check_file(find("tanh"), path).message


def test_a_correction_of_the_same_size_within_a_second_counts(folder):
    right = solved("tanh")
    wrong = right.replace("1.0 - y * y", "1.0 + y * y")
    for source in (wrong, right, wrong, right):
        assert outcome(folder, "tanh", source).passed == (source == right)
    assert not (folder / "__pycache__").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process reliably")
def test_a_flood_of_memory_is_stopped(folder):
    result = outcome(folder, "tanh", "import numpy as np\n\n\ndef tanh(x):\n    return np.ones(2**31)\n")
    assert "MemoryError" in result.message and "line 5" in result.message


def test_what_the_student_prints_is_shown(folder):
    result = outcome(folder, "tanh", solved("tanh") + "print('here I am')\n")
    assert result.passed and result.output == "here I am\n"


def test_a_missing_file(tmp_path):
    assert "there is no file" in check_file(find("tanh"), tmp_path / "04_tanh.py").message


def test_it_is_the_students_file_that_runs(folder):
    assert outcome(folder, "tanh", solved("tanh")).passed
    assert not outcome(folder, "tanh", solved("tanh", ("1.0 - y * y", "1.0 + y * y"))).passed
    assert outcome(folder, "tanh", solved("tanh")).passed


# --- pytest and the command line -------------------------------------------------------------------------------


def run_pytest(folder):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder).stdout


def test_pytest_checks_the_files_beside_the_test(folder):
    for name in NAMES:
        write(folder, name, solved(name))
    write(folder, "tanh", solved("tanh", ("1.0 - y * y", "y * y - 1.0")))
    text = run_pytest(folder)
    assert f"1 failed, {len(NAMES) - 1} passed" in text
    assert "the sign is flipped" in text and "Traceback" not in text


def main(*arguments):
    """`minigan exercise ...`, without the rest of the command line."""
    parser = argparse.ArgumentParser(prog="minigan")
    commands.add_command(parser.add_subparsers())
    options = parser.parse_args(["exercise", *map(str, arguments)])
    return options.command(options)


def run(capsys, *arguments):
    """Its exit code, output and error, of which the command line makes a sentence and the exit code 2."""
    try:
        code, error = main(*arguments), ""
    except ValueError as sentence:
        code, error = 2, str(sentence)
    return code, capsys.readouterr().out, error


def test_the_list_shows_progress(folder, capsys):
    write(folder, "unbroadcast", solved("unbroadcast"))
    write(folder, "mul", solved("mul", ("g * b", "g + b")))
    code, out, _ = run(capsys, "--folder", folder)
    lines = out.splitlines()
    assert code == 0 and len(lines) == len(NAMES) + 1
    assert lines[0].split()[1:] == ["✓", "unbroadcast", "core", "tensors_and_the_chain_rule", "passed"]
    assert lines[1].endswith("failed") and lines[2].endswith("not written yet")
    assert lines[-1].startswith(f"1 of {len(NAMES)} passed. Next: edit ")
    assert lines[-1].endswith(f"minigan exercise check mul --folder {folder}")


def test_check_hint_and_solution(folder, capsys):
    write(folder, "tanh", solved("tanh", ("1.0 - y * y", "y * y - 1.0")))
    code, out, _ = run(capsys, "check", "tanh", "--folder", folder)
    assert code == 1 and "✗ tanh: failed" in out and "the sign is flipped" in out and "exercise hint tanh" in out
    code, out, err = run(capsys, "solution", "tanh", "--folder", folder)
    assert code == 2 and "def tanh" not in out and "--give-up" in err
    for level in (1, 2, 3):
        code, out, _ = run(capsys, "hint", "tanh", level)
        assert code == 0 and find("tanh").hints[level - 1] in out
    code, out, _ = run(capsys, "solution", "4", "--give-up")
    assert code == 0 and "def tanh" in out and "math.py, line " in out
    write(folder, "tanh", solved("tanh"))
    code, out, _ = run(capsys, "check", "tanh", "--folder", folder)
    assert code == 0 and "✓ tanh: passed" in out
    assert "def tanh" in run(capsys, "solution", "tanh", "--folder", folder)[1]


def test_reset_keeps_the_students_version(folder, capsys):
    assert "as it was handed out" in run(capsys, "reset", "tanh", "--folder", folder)[1]
    for number in (1, 2):
        write(folder, "tanh", f"# attempt {number}\n")
        code, out, _ = run(capsys, "reset", "tanh", "--folder", folder)
        assert code == 0 and f"04_tanh_old{number}.py" in out
        assert (folder / f"04_tanh_old{number}.py").read_text() == f"# attempt {number}\n"
    assert (folder / "04_tanh.py").read_bytes() == (STUBS / "04_tanh.py").read_bytes()


def test_start_lays_the_exercises_out(tmp_path, capsys):
    code, out, _ = run(capsys, "start", tmp_path / "mine")
    assert code == 0 and str(tmp_path / "mine") in out
    names = {path.name for path in (tmp_path / "mine").iterdir()}
    assert names >= {e.file for e in EXERCISES} | {"README.md", "test_exercises.py"}
    code, _, err = run(capsys, "start", tmp_path / "mine")
    assert code == 2 and "exists already" in err


def test_a_full_disk_leaves_no_half_exercise(tmp_path, folder, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    write(folder, "tanh", "# mine\n")
    monkeypatch.setattr(os, "fsync", full)
    for words, path in ([["start", tmp_path / "new"], tmp_path / "new"], [["reset", "4", "--folder", folder], folder]):
        with pytest.raises(OSError) as error:
            main(*words)
        assert str(error.value.filename).startswith(str(path))
    assert not list((tmp_path / "new").iterdir())
    assert (folder / "04_tanh_old1.py").read_text() == "# mine\n" and not (folder / "04_tanh.py").exists()


def test_start_without_a_folder_is_found_by_the_other_commands(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys)
    assert code == 2 and err == "there are no exercises here: `minigan exercise start` lays them out"
    code, _, err = run(capsys, "--folder", "my work")
    assert code == 2 and err.endswith("in my work: `minigan exercise start 'my work'` lays them out")
    code, out, _ = run(capsys, "start")
    assert code == 0 and out == f"{len(NAMES)} exercises are in exercises; begin with: minigan exercise\n"
    assert run(capsys, "check", "tanh")[0] == 1
    monkeypatch.chdir(tmp_path / "exercises")
    write(Path(), "tanh", solved("tanh"))
    assert run(capsys, "check", "tanh")[0] == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_is_the_plain_function(name, capsys):
    code, out, _ = run(capsys, "solution", name, "--give-up")
    exercise = find(name)
    places = re.findall(r"^# .*/minigan/(\S+), line \d+$", out, re.MULTILINE)
    assert code == 0 and len(places) == len(exercise.replaces) + len(exercise.beside)
    assert not [place for place in places if place.startswith(("fast", "exercises"))]
    for entry in [*exercise.replaces.values(), *exercise.beside]:
        assert f"def {entry.split('.')[-1]}(" in out
    assert out.count("\n") < 45 * len(places)
    assert ("def correlate(" in out, "def stamp(" in out) == (name == "conv2d", name == "conv_transpose2d")


def test_watch_checks_at_each_save_and_goes_on(folder):
    for name in NAMES[:-2]:
        write(folder, name, solved(name))
    code = "import sys; from test_exercises import main; main(*sys.argv[1:])"
    command = [sys.executable, "-u", "-c", code, "--watch", "--folder", str(folder)]
    options = {"text": True, "encoding": "utf-8", "env": os.environ | {"PYTHONIOENCODING": "utf-8"}}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent, **options)
    try:
        for name in NAMES[-2:]:
            assert "waiting for you to save" in wait_for(process, "waiting")
            write(folder, name, solved(name) + "\n((")
            assert "SyntaxError" in wait_for(process, "waiting")
            write(folder, name, solved(name))
            wait_for(process, f"✓ {name}: passed")
        wait_for(process, "all done")
        assert process.wait(60) == 0
    finally:
        process.kill()


def wait_for(process, words):
    seen = ""
    for line in process.stdout:
        seen += line
        if words in line:
            return seen
    raise AssertionError(f"{words!r} never came:\n{seen}")


def test_the_teachers_report(tmp_path, capsys):
    students = {"ada": solved("tanh"), "ben": "while True:\n    pass\n", "cleo": "def tanh(x:\n"}
    for name, source in students.items():
        shutil.copytree(STUBS, tmp_path / name)
        write(tmp_path / name, "tanh", source)
    code, out, _ = run(capsys, "report", *[tmp_path / name for name in students], "-o", tmp_path / "report.csv")
    assert code == 0 and "1 of 19 passed" in out
    with open(tmp_path / "report.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(students) * len(EXERCISES)
    tanh = {Path(row["folder"]).name: row for row in rows if row["exercise"] == "tanh"}
    assert tanh["ada"]["status"] == "passed" and tanh["ben"]["status"] == tanh["cleo"]["status"] == "failed"
    assert "still running" in tanh["ben"]["diagnosis"] and "SyntaxError" in tanh["cleo"]["diagnosis"]
    assert {row["status"] for row in rows if row["exercise"] != "tanh"} == {"not written yet"}
    assert {row["lesson"] for row in rows if row["exercise"] == "conv2d"} == {"convolution"}
    code, _, err = run(capsys, "report", tmp_path / "dora", "-o", tmp_path / "report.csv")
    assert code == 2 and "dora is not a folder" in err


def test_the_readmes_example_is_what_the_check_says(folder, capsys):
    write(
        folder,
        "batch_norm_backward",
        solved("batch_norm_backward", (" - x_hat * mean(h * x_hat, axes, keepdims=True)", "")),
    )
    _, out, _ = run(capsys, "check", "batch_norm_backward", "--folder", folder)
    text = (STUBS / "README.md").read_text("utf-8")
    shown = text.split("```\n✗")[1].split("\n```")[0]

    def words(text):  # rounding errors of about 1e-11 differ between machines
        return [word for word in text.split() if "e-1" not in word]

    assert words("✗" + shown) == words(out.replace(f" --folder {folder}", ""))


# --- a student's code in the library's place -------------------------------------------------------------------


def original(shape, loss="non_saturating"):
    return OriginalGAN({"samples": shape}, np.random.default_rng(0), loss=loss)


def conditional():
    return ConditionalGAN({"images": (1, 8, 8), "labels": (3,)}, np.random.default_rng(0), width=4)


def wasserstein():
    return WGANGP({"samples": (1, 8, 8)}, np.random.default_rng(0), batch_size=4, critic_steps=2)


def trained(make):
    """Every array of a GAN after three steps on random data.

    Adam's first steps are lr sign(g), so rounding could decide on them; a large eps makes them as smooth as g.
    """
    gan = make()
    gan.g_optimizer.eps = gan.d_optimizer.eps = 0.01
    shape = (2,) if gan.preview(np.random.default_rng(0)).ndim == 2 else (1, 8, 8)
    for step in range(3):
        rng = np.random.default_rng(step)
        batch = {"samples": rng.uniform(-1, 1, (8, *shape)).astype(np.float32), "labels": rng.integers(0, 3, 8)}
        gan.step(rng, **{name: batch["labels" if name == "labels" else "samples"] for name in gan.needs()})
    return gan.arrays()


def all_solved(folder):
    return [function for name in NAMES for function in functions_of(folder, name, solved(name))]


DENSE = {
    "unbroadcast",
    "mul",
    "matmul",
    "leaky_relu",
    "topological_order",
    "linear",
    "he_normal",
    "adam_step",
    "update_running",
}
IMAGES = DENSE | {"tanh", "conv2d", "conv_transpose2d", "unfold", "batch_norm"}
STEPS = {"discriminator_step", "generator_step"}
SAME_GAN = {
    "points": (lambda: original((2,)), DENSE | STEPS | {"bce_with_logits", "non_saturating_generator"}),
    "flat images": (
        lambda: original((1, 8, 8), "minimax"),
        DENSE | STEPS | {"bce_with_logits", "minimax_generator", "tanh"},
    ),
    "conditional": (conditional, IMAGES | {"bce_with_logits", "non_saturating_generator"}),
    "wgan_gp": (wasserstein, IMAGES | {"wasserstein_discriminator", "gradient_penalty"}),
}


@pytest.mark.parametrize("what", SAME_GAN)
@pytest.mark.parametrize("mode", ["fast", "plain"])
def test_the_students_code_trains_the_same_gan(folder, what, mode):
    make, taking_part = SAME_GAN[what]
    functions = all_solved(folder)
    expected = trained(make)
    with plain() if mode == "plain" else contextlib.nullcontext(), in_place(functions) as served:
        found = trained(make)
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)
    assert {s.name for s in served if s.calls} == taking_part
    without_gradients = STEPS | {"topological_order", "unbroadcast", "he_normal", "adam_step", "update_running"}
    if what != "wgan_gp":  # where derivatives, in which linear calls matmul, are differentiated in turn
        without_gradients.add("matmul")
    assert {s.name for s in served if s.gradients} - without_gradients == taking_part - without_gradients


def test_all_exercises_take_part_somewhere():
    parts = set.union(*[taking_part for _, taking_part in SAME_GAN.values()])
    assert {function for e in EXERCISES for function in e.replaces} - parts == {
        "softplus"
    }  # called in its own file only


def library():
    return dict(table.PLAIN), dict(table.FASTEST)


def test_afterwards_the_library_is_as_before(folder):
    functions, before = all_solved(folder), library()
    with in_place(functions):
        assert all(table.PLAIN[entry] is not before[0][entry] for e in EXERCISES for entry in e.replaces.values())
    assert library() == before
    with pytest.raises(ZeroDivisionError), in_place(functions):
        raise ZeroDivisionError
    assert library() == before
    with pytest.raises(ValueError, match="no exercise asks"), in_place([*functions, library]):
        pass
    assert library() == before


def test_one_inside_the_other(folder):
    """The inner function runs; what it does not take goes to the outer one; afterwards the outer one runs again."""
    x, w, before = Tensor(np.ones((1, 2, 4, 4))), Tensor(np.ones((3, 2, 3, 3))), library()

    def conv2d(x, weight, bias=None, stride=1):
        return outer[0](x, weight, bias, stride)

    outer = functions_of(folder, "conv2d", solved("conv2d"))
    with in_place(outer) as outside:
        between = library()
        ops.conv2d(x, w)
        with in_place([conv2d]) as inside:
            ops.conv2d(x, w)
            calls = outside[0].calls, inside[0].calls
            ops.conv2d(x, w)
            assert (outside[0].calls, inside[0].calls) == (calls[0], calls[1] + 1)
            ops.conv2d(x, w, padding=1)
            assert (outside[0].calls, inside[0].calls) == (calls[0] + 1, calls[1] + 1)
        assert library() == between
        ops.conv2d(x, w)
        assert (outside[0].calls, inside[0].calls) == (calls[0] + 2, calls[1] + 1)
    assert library() == before


CALLS = {  # a call, and how often the student's function should run for it
    "conv2d": (lambda x, w: ops.conv2d(x, w, stride=2, padding=1), 1),
    "conv2d with everything spelled out": (lambda x, w: ops.conv2d(x, w, None, 1, 1, 1), 1),
    "conv2d with names": (lambda x, w: ops.conv2d(weight=w, x=x, dilation=1), 1),
    "conv2d with a dilation": (lambda x, w: ops.conv2d(x, w, padding=2, dilation=2), 0),
    "conv2d with two strides": (lambda x, w: ops.conv2d(x, w, stride=(1, 2)), 0),
    "conv2d with an oblong kernel": (lambda x, w: ops.conv2d(x, w[:, :, :2]), 0),
    "conv1d": (lambda x, w: ops.conv1d(x[:, :, 0], w[:, :, 0]), 0),
    "conv3d": (lambda x, w: ops.conv3d(ops.reshape(x, (1, 2, 6, 3, 2)), ops.reshape(w[:, :, :2], (2, 2, 2, 3, 1))), 0),
    "conv_transpose2d": (lambda x, w: ops.conv_transpose2d(x, w, stride=2, output_padding=1), 1),
    "conv_transpose2d with pairs": (lambda x, w: ops.conv_transpose2d(x, w, None, 2, 0, (1, 0)), 1),
    "conv_transpose2d with a dilation": (lambda x, w: ops.conv_transpose2d(x, w, dilation=2), 0),
    "matmul of matrices": (lambda x, w: x[0, 0] @ x[0, 1].T, 1),
    "matmul of stacks": (lambda x, w: x @ x, 0),
    "matmul with a vector": (lambda x, w: x[0, 0] @ x[0, 1, 0], 1),  # the library makes a matrix of it
    "matmul with an array": (lambda x, w: np.ones((2, 6)) @ x[0, 0], 0),
    "leaky_relu with the library's default": (lambda x, w: ops.leaky_relu(x), 1),
    "leaky_relu with a name": (lambda x, w: ops.leaky_relu(x, slope=0.2), 1),
}


@pytest.mark.parametrize("what", CALLS)
def test_a_call_that_the_students_function_does_not_take_goes_to_the_library(folder, what):
    """And one that it does take is answered by it, with the library's defaults."""
    name, (call, times) = what.split()[0], CALLS[what]
    name = {"conv1d": "conv2d", "conv3d": "conv2d"}.get(name, name)
    change = [("slope: float = 0.01", "slope: float = 0.5")] if name == "leaky_relu" else []
    functions = functions_of(folder, name, solved(name, *change))
    rng = np.random.default_rng(0)
    x, w = (Tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((1, 2, 6, 6), (2, 2, 3, 3)))
    results = []
    for place in (contextlib.nullcontext(), in_place(functions)):
        with place as served:
            y = call(x, w)
            calls = served[0].calls if served else 0
            y.sum().backward()
        results.append([y.numpy(), x.grad.numpy(), *([] if w.grad is None else [w.grad.numpy()])])
        x.grad = w.grad = None
    assert calls == times
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_a_bad_call_is_no_mistake_of_the_students(folder):
    with in_place(all_solved(folder)):
        with pytest.raises(ShapeError, match=r"matmul of shapes \(2, 3\) and \(2, 3\): .* must be equal"):
            Tensor(np.ones((2, 3))) @ Tensor(np.ones((2, 3)))
        with pytest.raises(ShapeError, match="3 channels, but the weight"):
            ops.conv2d(Tensor(np.ones((1, 3, 4, 4))), Tensor(np.ones((1, 2, 3, 3))))
        with pytest.raises(TypeError, match="missing a required argument: 'b'"):
            ops.mul(Tensor([1.0]))


def test_a_function_that_takes_too_little_is_named(folder):
    with pytest.raises(ExerciseError, match="your mul raised TypeError"), in_place([lambda_named("mul")]):
        Tensor([1.0]) * Tensor([2.0])


def lambda_named(name):
    def function():
        return Tensor([0.0])

    function.__name__ = name
    return function


def test_minigans_own_function_is_refused():
    with (
        pytest.raises(ValueError, match="tanh is minigan's own: give in_place a function that you wrote"),
        in_place([ops.tanh]),
    ):
        pass


def test_the_students_function_is_really_used(folder):
    source = solved("tanh", ("1.0 - y * y", "1.0 - y * y + 5.0"))
    x = Tensor([0.0], requires_grad=True)
    with in_place(functions_of(folder, "tanh", source)) as served:
        x.tanh().sum().backward()
        nn.Tanh()(x)
    assert x.grad.numpy().tolist() == [6.0]
    assert (served[0].calls, served[0].gradients, served[0].file) == (2, 1, "04_tanh.py")


IN_TRAINING = {
    "it raises": (
        ("g * (1.0 - y * y)", "g.nothing"),
        "04_tanh.py, line 26: the derivative of your tanh raised AttributeError",
    ),
    "a wrong gradient": (
        ("return g * (1.0 - y * y)", "return (g * (1.0 - y * y)).sum()"),
        "04_tanh.py, line 25: the derivative of your tanh gave a Tensor of shape ()",
    ),
    "an array": (("return g * (1.0 - y * y)", "return g.data"), "the derivative of your tanh gave an array"),
    "float64": (("record(np.tanh(x.data)", "record(np.tanh(x.data.astype(np.float64))"), "04_tanh.py"),
    "a wrong value": (
        ("record(np.tanh(x.data)", "record(np.tanh(x.data)[:1]"),
        "your tanh returned a Tensor of shape (1, 2) in float32, but it should return a Tensor of shape (3, 2)",
    ),
}


@pytest.mark.parametrize("what", IN_TRAINING)
def test_a_students_function_that_fails_in_training_is_named(folder, what):
    change, words = IN_TRAINING[what]
    functions = functions_of(folder, "tanh", solved("tanh", change))
    x = Tensor(np.ones((3, 2), np.float32), requires_grad=True)
    with pytest.raises(ExerciseError) as error, in_place(functions):
        (x * 2.0).tanh().sum().backward()
    assert words in str(error.value), error.value


def test_a_function_that_no_exercise_asks_for():
    def cosine(x):
        return x

    with pytest.raises(ValueError, match="no exercise asks for a function 'cosine'"), in_place([cosine]):
        pass


def test_the_exercises_that_pass_train(folder, capsys):
    for name in ("mul", "linear", "generator_step", "conv2d"):
        write(folder, name, solved(name))
    write(folder, "tanh", "broken(")
    with in_place(commands.passed_functions(folder)) as served:
        trained(lambda: original((1, 8, 8)))
    assert capsys.readouterr().out == "left out, since it fails its check: tanh\n"
    rows = commands.summary_of(served).splitlines()
    assert [row.split()[:2] for row in rows[1:4]] == [
        ["mul", "02_mul.py"],
        ["linear", "08_linear.py"],
        ["generator_step", "18_generator_step.py"],
    ]
    assert rows[4] == "not called by minigan in this run: conv2d"
    assert rows[5].endswith("gradients went back through your code") and int(rows[5].split()[0].replace(",", "")) > 50


def test_no_exercise_passes(folder):
    with pytest.raises(ValueError, match=r"no exercise in .* passes yet: see `minigan exercise`"):
        commands.passed_functions(folder)


# --- in a notebook ---------------------------------------------------------------------------------------------


def test_a_check_in_a_notebook_shows_the_report(folder):
    (tanh,) = functions_of(folder, "tanh", solved("tanh", ("1.0 - y * y", "y * y - 1.0")))
    result = check("tanh", tanh)
    assert not result.passed and "<table>" in result._repr_html_() and "the sign is flipped" in result._repr_html_()
    (tanh,) = functions_of(folder, "tanh", solved("tanh"))
    assert "✓ tanh: passed" in check("tanh", tanh)._repr_html_()
    assert "there is no function tanh" in check("tanh").message


def twice_as_slow(function):
    def wrapper(*arguments):
        function(*arguments)
        return function(*arguments)

    return wrapper


class Called:
    def __init__(self, function):
        self.function = function

    def __call__(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    "form", [lambda tanh: lambda x: tanh(x), twice_as_slow, functools.partial, Called], ids=["lambda", *"dpo"]
)
def test_a_function_without_the_name_is_taken_under_it(folder, form):
    """What `tanh = lambda x: ...` or a decorator gives the name tanh to has another name of its own, or none."""
    (tanh,) = functions_of(folder, "tanh", solved("tanh"))
    (wrong,) = functions_of(folder, "tanh", solved("tanh", ("1.0 - y * y", "y * y - 1.0")))
    assert check("tanh", form(tanh)).passed
    assert "the sign is flipped" in check("tanh", form(wrong)).message


def test_a_function_of_another_name_is_refused_with_how_to_name_it(folder):
    softplus, bce = functions_of(folder, "bce_with_logits", solved("bce_with_logits"))
    result = check("bce_with_logits", lambda x: softplus(x), lambda x, t: bce(x, t))
    says = "the notebook: there is no function softplus; write `def softplus(...)`, so that it has this name"
    assert result.status == "failed" and result.message == says
    assert check("bce_with_logits", softplus, lambda x, t: bce(x, t)).passed
    assert "write `def tanh(...)`" in check("tanh", test_what_is_no_function_gets_a_sentence).message


def cell(number, source):
    """The functions of a notebook's cell, in a file of the kind of name that Jupyter gives it."""
    names = {}
    exec(compile(source, f"/tmp/ipykernel_{number}/{number}.py", "exec"), names)
    return names


def test_an_error_in_a_notebook_names_the_line_of_the_cell():
    head = "import numpy as np\nfrom minigan.tensor import record\n\n\n"
    result = check("tanh", cell(1, f"{head}def tanh(x):\n    return np.tahn(x.data)\n")["tanh"])
    assert result.message.startswith("the notebook, line 6 of tanh's cell: AttributeError: ")
    source = f"{head}def tanh(x):\n    return record(np.tanh(x.data), (x, lambda g, y: g * y.nothing))\n"
    result = check("tanh", cell(2, source)["tanh"])
    assert "its derivative raised AttributeError at line 6 of its cell" in result.message
    result = check("tanh", cell(3, "\n\ndef tanh(x):\n    return x.tanh()\n")["tanh"])
    assert result.message.startswith("the notebook, line 4: your tanh calls minigan's tanh")


def test_a_function_that_calls_itself_through_the_library_is_named_in_training(folder):
    (leaky_relu,) = functions_of(
        folder,
        "leaky_relu",
        solved("leaky_relu", ("return record(", "from minigan.ops import relu\n    return relu(x) + record(")),
    )
    with (
        pytest.raises(
            ExerciseError, match=r"leaky_relu calls minigan's relu, which would call yours, without end: wri"
        ),
        in_place([leaky_relu]),
    ):
        ops.leaky_relu(Tensor([1.0]))


def test_what_is_no_function_gets_a_sentence():
    with pytest.raises(TypeError, match="check takes your functions"):
        check("tanh", 3)
    with pytest.raises(TypeError, match="in_place takes a list of your functions"), in_place([np.tanh]):
        pass


def test_a_check_leaves_its_players_alone(folder):
    """Checking the library's own steps twice gives the same answer: nothing lasts from one check to the next."""
    for _ in range(2):
        find("discriminator_step").check({"discriminator_step": discriminator_step})
        find("generator_step").check({"generator_step": generator_step})


@pytest.mark.parametrize("answer", ["solved", "untouched", "wrong"])
def test_the_nbgrader_example(answer):
    """Its cells, run as nbgrader runs them: the student's cell, then the test cell, which must fail or pass."""
    notebook = json.loads((STUBS / "nbgrader_example.ipynb").read_text("utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    graded = [cell for cell in cells if cell["metadata"].get("nbgrader", {}).get("grade")]
    assert len(graded) == 1 and graded[0]["metadata"]["nbgrader"]["points"] > 0
    sources = ["".join(cell["source"]) for cell in cells]
    replacement = {"solved": "return g * (1.0 - y * y)", "wrong": "return g * (1.0 - y)", "untouched": None}[answer]
    if replacement:
        assert 'raise NotImplementedError("not written yet")' in sources[0]
        sources[0] = sources[0].replace('raise NotImplementedError("not written yet")', replacement)
    namespace = {}
    exec(sources[0], namespace)
    if answer == "solved":
        exec(sources[1], namespace)
    else:
        with pytest.raises(AssertionError, match="not written yet" if answer == "untouched" else "a term is missing"):
            exec(sources[1], namespace)


def test_a_copy_of_a_tensor_in_place_is_harmless(folder):
    """Deep copies, which the average of the generator starts as, do not disturb the counting."""
    with in_place(functions_of(folder, "tanh", solved("tanh"))):
        copy.deepcopy(nn.Tanh())(Tensor([1.0]))
    assert inspect.unwrap(ops.tanh).__name__ == "tanh"
