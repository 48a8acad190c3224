"""What makes things fast changes no result: the same numbers in plain mode and with any number of threads."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from finite_differences import leaves
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ops import CHECKS

import minigan
from minigan import Tensor, grad, nn, ops, parallel
from minigan.models import dcgan_discriminator, mlp_discriminator
from minigan.optim import SGD, Adam, RMSprop
from minigan.train import score, score_both, suitable_threads


@pytest.fixture(params=[1, 2, 4])
def threads(request, monkeypatch):
    """So many threads, and limits so low that small arrays are shared out too."""
    monkeypatch.setattr(parallel, "THREADS", request.param)
    monkeypatch.setattr(parallel, "BLOCK", 50)
    monkeypatch.setattr(parallel, "WORTH_IT", 100)
    monkeypatch.setattr(ops.conv, "BLOCK", 500)
    return request.param


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def everything(op, arrays):
    """The value, and the gradient of every operand."""
    operands = leaves(*arrays)
    y = op(*operands)
    g = Tensor(normal(*y.shape, seed=3))
    return [y.numpy(), *(gradient.numpy() for gradient in grad(y, operands, g))]


CASES = [
    pytest.param(op, arrays, id=f"{name}-{i}")
    for name, cases in CHECKS.items()
    for i, (op, _, arrays) in enumerate(cases)
]


@pytest.mark.parametrize(("op", "arrays"), CASES)
def test_plain_and_fast_agree(op, arrays, monkeypatch):
    monkeypatch.setattr(parallel, "WORTH_IT", 0)
    fast = everything(op, arrays)
    with minigan.plain():
        plain = everything(op, arrays)
    for a, b in zip(fast, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def channels_last(array):
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


a_few = settings(max_examples=25, deadline=None, derandomize=True, database=None)


@a_few
@given(st.data())
def test_convolutions_of_random_shapes_agree(data):
    def draw(low, high):
        return data.draw(st.integers(low, high))

    n, c, o, kernel, stride, padding = draw(1, 9), draw(1, 5), draw(1, 5), draw(1, 4), draw(1, 3), draw(0, 2)
    h, w = draw(kernel, 12), draw(kernel, 12)
    block = data.draw(st.sampled_from([1, 300, 256 * 1024]))
    x, weight, bias = channels_last(normal(n, c, h, w)), normal(o, c, kernel, kernel), normal(o)
    y = normal(n, o, *(((size + 2 * padding - kernel) // stride + 1) for size in (h, w)))
    before, ops.conv.BLOCK = ops.conv.BLOCK, block
    try:
        for op, arrays in (
            (lambda x, w, b: ops.conv2d(x, w, b, stride, padding), [x, weight, bias]),
            (lambda y, w: ops.conv_transpose2d(y, w, None, stride, 0), [y, weight]),
        ):
            fast = everything(op, arrays)
            with minigan.plain():
                plain = everything(op, arrays)
            for a, b in zip(fast, plain, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    finally:
        ops.conv.BLOCK = before


@a_few
@given(st.integers(1, 70), st.integers(1, 40), st.integers(1, 70), st.sampled_from([1, 2, 4]))
def test_products_of_random_shapes_agree(n, k, m, threads):
    a, b = normal(k, n).T, normal(k, m)
    before = parallel.THREADS, parallel.WORTH_IT
    parallel.THREADS, parallel.WORTH_IT = threads, 0
    try:
        np.testing.assert_allclose(parallel.product(a, b), a @ b, rtol=1e-12, atol=1e-12)
        assert parallel.product(a.astype(np.float32), b.astype(np.float32)).dtype == np.float32
    finally:
        parallel.THREADS, parallel.WORTH_IT = before


@pytest.mark.parametrize("shape", [(7,), (13, 9), (3, 4, 5, 6)])
@pytest.mark.parametrize("optimizer", [SGD, RMSprop, Adam])
def test_optimizers_move_the_same_way_in_blocks(threads, optimizer, shape):
    moved = []
    for plain in (False, True):
        parameter = nn.Parameter(channels_last(normal(*shape)) if len(shape) == 4 else normal(*shape))
        step = optimizer([parameter], lr=0.1)
        for seed in range(3):
            parameter.grad = Tensor(normal(*shape, seed=seed))  # in another order in memory than the parameter
            if plain:
                with minigan.plain():
                    step.step()
            else:
                step.step()
        moved.append(parameter.numpy())
    np.testing.assert_array_equal(*moved)


def test_all_threads_together_visit_every_part_once(threads):
    x, y = np.arange(1003.0), np.zeros(1003)

    def work(x, y):
        y += x

    parallel.in_blocks(work, x, y)
    np.testing.assert_array_equal(y, np.arange(1003.0))


def test_one_seed_gives_the_same_bytes_each_time(threads):
    def run():
        rng = np.random.default_rng(0)
        model = dcgan_discriminator((1, 16, 16), width=4, rng=rng)
        x = Tensor(rng.standard_normal((6, 1, 16, 16), dtype=np.float32))
        loss = model(x).sum()
        loss.backward()
        return [p.grad.numpy().tobytes() for p in model.parameters()]

    assert run() == run()


# --- errors, threads that cannot be had, settings ----------------------------------------------------------------


@pytest.mark.parametrize("bad", [0, 1, 2, 3])
def test_an_error_in_any_share_arrives_when_all_have_finished(monkeypatch, bad):
    monkeypatch.setattr(parallel, "THREADS", 4)
    finished = []

    def work(i):
        if i == bad:
            raise KeyError(i)
        threading.Event().wait(0.05)
        finished.append(i)

    with pytest.raises(KeyError):
        parallel.for_each_block(work, range(4))
    assert sorted(finished) == [i for i in range(4) if i != bad]


def test_where_no_thread_can_be_started_the_work_is_done_all_the_same(monkeypatch):
    monkeypatch.setattr(parallel, "THREADS", 3)
    monkeypatch.setattr(parallel, "_helpers", parallel._Helpers())

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert parallel.for_each_block(lambda i: i * i, range(10)) == [i * i for i in range(10)]


def test_plain_mode_ends_and_is_a_threads_own():
    assert not parallel.is_plain()
    seen = []
    with minigan.plain():
        assert parallel.is_plain()
        thread = threading.Thread(target=lambda: seen.append(parallel.is_plain()))
        thread.start()
        thread.join()
        with pytest.raises(ZeroDivisionError), minigan.plain():
            raise ZeroDivisionError
        assert parallel.is_plain()
    assert not parallel.is_plain() and seen == [False]


def python(code, **environment):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


def test_the_settings_from_outside():
    code = "from minigan import parallel; print(parallel.THREADS, parallel.is_plain())"
    assert python(code, MINIGAN_THREADS="3", MINIGAN_PLAIN="1").stdout == "3 True\n"
    assert python(code, MINIGAN_THREADS="1", MINIGAN_PLAIN="0").stdout == "1 False\n"
    wrong = python(code, MINIGAN_THREADS="many").stderr
    assert "MINIGAN_THREADS must be a whole number of at least 1, not 'many'" in wrong


def test_importing_leaves_the_threads_of_blas_alone():
    code = (
        "import numpy, threadpoolctl\n"
        "before = [p['num_threads'] for p in threadpoolctl.threadpool_info()]\n"
        "import minigan, threading\n"
        "assert before == [p['num_threads'] for p in threadpoolctl.threadpool_info()]\n"
        "assert threading.active_count() == 1\n"
    )
    assert python(code).returncode == 0


# --- reals and fakes in one pass -------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_scoring_both_is_scoring_each(labels, norm):
    rng = np.random.default_rng(0)
    outputs = 3 if labels else 1
    model = dcgan_discriminator((1, 16, 16), width=4, rng=rng, outputs=outputs, norm=norm)
    real, fake = (Tensor(rng.standard_normal((4, 1, 16, 16), dtype=np.float32)) for _ in range(2))
    classes = Tensor(np.eye(3, dtype=np.float32)[[0, 2, 1, 1]]) if labels else None
    both = score_both(model, real, fake, classes)
    each = score(model, real, classes), score(model, fake, classes)
    for a, b in zip(both, each, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)


def test_without_batch_norm_both_are_scored_in_one_pass():
    calls = []
    model = mlp_discriminator((2,), (4,), np.random.default_rng(0))
    forward = model.forward
    model.forward = lambda x: calls.append(x.shape) or forward(x)
    score_both(model, Tensor(np.ones((3, 2), np.float32)), Tensor(np.zeros((3, 2), np.float32)))
    assert calls == [(6, 2)]


# --- the threads of BLAS -----------------------------------------------------------------------------------------


@pytest.fixture
def blas():
    """BLAS's libraries, with 3 threads each, on any machine."""
    libraries = parallel._blas.libraries
    before = [library.num_threads for library in libraries]
    for library in libraries:
        library.set_num_threads(3)
    yield lambda: [library.num_threads for library in libraries]
    for library, count in zip(libraries, before, strict=True):
        library.set_num_threads(count)


def test_the_smallest_wish_counts_and_the_old_number_comes_back(blas):
    outside = blas()
    with parallel.blas_threads(2):
        assert set(blas()) <= {2} and parallel._blas.shares_out()
        with pytest.raises(ZeroDivisionError), parallel.blas_threads(1):
            assert set(blas()) <= {1} and not parallel._blas.shares_out()
            raise ZeroDivisionError
        assert set(blas()) <= {2}
    assert blas() == outside and not parallel._blas.shares_out()


def test_the_lowest_of_nested_wishes(blas):
    outside = blas()
    with parallel.blas_threads(2), parallel.blas_threads(1), parallel.blas_threads(2):
        assert set(blas()) <= {1}
    assert blas() == outside


def test_a_forked_child_has_the_threads_that_were_there_before(blas):
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    outside = blas()
    with parallel.blas_threads(1):
        child = os.fork()
        if child == 0:
            os._exit(0 if parallel._blas.limits == [] and blas() == outside else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert set(blas()) <= {1}


def test_ctrl_c_at_the_start_leaves_nothing_behind(blas, monkeypatch):
    outside, right = blas(), parallel._blas._set

    def interrupted():
        monkeypatch.setattr(parallel._blas, "_set", right)
        right()
        raise KeyboardInterrupt

    monkeypatch.setattr(parallel._blas, "_set", interrupted)
    with pytest.raises(KeyboardInterrupt), parallel.blas_threads(1):
        pass
    assert blas() == outside and parallel._blas.limits == []


def test_wishes_of_several_threads(blas):
    outside, barrier = blas(), threading.Barrier(2)

    def first():
        with parallel.blas_threads(1):
            barrier.wait()
            barrier.wait()

    thread = threading.Thread(target=first)
    thread.start()
    barrier.wait()
    with parallel.blas_threads(2):
        assert set(blas()) <= {1}  # the other thread's wish is still open
    barrier.wait()
    thread.join()
    assert blas() == outside


def test_which_threads_suit_which_networks(blas, monkeypatch):
    monkeypatch.setattr("minigan.train.THREADS", 2)
    dense, convolutions = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Sequential(nn.Conv2d(1, 1, 1)))
    with suitable_threads(dense, dense):
        assert set(blas()) <= {2}
    with suitable_threads(dense, convolutions):
        assert set(blas()) <= {1}


def test_who_computes_a_product(monkeypatch):
    """A small one BLAS on one thread; a large one our threads, or BLAS's inside `blas_threads`."""
    monkeypatch.setattr(parallel, "THREADS", 2)
    monkeypatch.setattr(parallel, "WORTH_IT", 1000)
    monkeypatch.setattr(parallel._plain, "on", False)
    small, large, seen = np.ones((4, 4)), np.ones((20, 20)), []
    ours, limits = parallel.for_each_block, parallel.blas_threads
    monkeypatch.setattr(parallel, "for_each_block", lambda *a: seen.append("ours") or ours(*a))
    monkeypatch.setattr(parallel, "blas_threads", lambda n: seen.append(n) or limits(n))
    parallel.product(small, small)
    parallel.product(large, large)
    assert seen == [1, "ours", 1]
    seen.clear()
    with limits(2):
        parallel.product(small, small)
        parallel.product(large, large)
    assert seen == [1]
