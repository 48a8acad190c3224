"""Threads and blocks: every part is done once, errors arrive, and BLAS gets its own threads back."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import versions
from finite_differences import leaves

from minigan import Tensor, gans, grad, nn, ops, start
from minigan.fast import threads
from minigan.gan import computing
from minigan.networks import dcgan_discriminator


@pytest.fixture(autouse=True)
def fast():
    """The fast versions, on 2 threads, with limits so low that small arrays are shared out too."""
    with versions.fast(2):
        yield


@pytest.fixture(params=[1, 2, 4])
def count(request):
    """The same on so many threads."""
    with versions.fast(request.param):
        yield request.param


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


# --- blocks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 2, 5, 16, 17])
@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_for_each_block_keeps_the_order(count, n):
    with versions.fast(count):
        assert threads.for_each_block(lambda i: i * i, range(n)) == [i * i for i in range(n)]


def test_all_threads_together_visit_every_part_once(count):
    x, y = np.arange(1003.0), np.zeros(1003)

    def work(x, y):
        y += x

    threads.in_blocks(work, x, y)
    np.testing.assert_array_equal(y, np.arange(1003.0))


@pytest.mark.parametrize("spoil", [lambda a: a[::2], lambda a: a[:, ::-1], lambda a: a.T], ids=["gaps", "turned", "T"])
def test_arrays_with_gaps_or_in_another_order_are_changed_in_place_too(spoil, count):
    base = np.zeros((64, 32))
    y = spoil(base)
    x = normal(*y.shape)

    def work(y, x):
        y += x

    threads.in_blocks(work, y, x)
    np.testing.assert_array_equal(y, x)
    assert np.count_nonzero(base) == x.size


def test_arrays_that_lie_channels_last_are_cut_too():
    arrays, parts = [np.zeros((3, 8, 8, 5)).transpose(0, 3, 1, 2) for _ in range(2)], []
    threads.in_blocks(lambda *parts_: parts.append(parts_), *arrays)
    assert [part[0].size for part in parts] == [50] * 19 + [10]
    assert all(np.shares_memory(part, array) for pair in parts for part, array in zip(pair, arrays, strict=True))


def everything(x, weight):
    """Value, both gradients, and a second-order gradient, as bytes."""
    x, weight = leaves(x, weight)
    y = ops.conv2d(x, weight, None, 2, 1)
    upstream = Tensor(normal(*y.shape, seed=2).astype(y.dtype))
    first = grad(y, [x, weight], upstream, create_graph=True)
    second = grad((first[0] * first[0]).sum(), weight)
    return [t.numpy().tobytes() for t in (y, *first, *second)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_bytes_every_time_and_for_any_number_of_threads(dtype, count):
    x, weight = normal(7, 3, 6, 5).astype(dtype), normal(4, 3, 3, 3).astype(dtype)
    results = []
    for n in (count, count, 1, 3, 16):
        with versions.fast(n, block=1):
            results.append(everything(x, weight))
    assert all(result == results[0] for result in results)


def test_one_seed_gives_the_same_bytes_each_time(count):
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
    monkeypatch.setattr(threads, "THREADS", 4)
    finished = []

    def work(i):
        if i == bad:
            raise KeyError(i)
        threading.Event().wait(0.05)
        finished.append(i)

    with pytest.raises(KeyError):
        threads.for_each_block(work, range(4))
    assert sorted(finished) == [i for i in range(4) if i != bad]


def test_where_no_thread_can_be_started_the_work_is_done_all_the_same(monkeypatch):
    monkeypatch.setattr(threads, "THREADS", 3)
    monkeypatch.setattr(threads, "_helpers", threads._Helpers())

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert threads.for_each_block(lambda i: i * i, range(10)) == [i * i for i in range(10)]


def python(code, **environment):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


def test_the_settings_from_outside():
    code = "from minigan.fast import threads; print(threads.THREADS, threads.is_plain())"
    assert python(code, MINIGAN_THREADS="3", MINIGAN_PLAIN="1").stdout == "3 True\n"
    assert python(code, MINIGAN_THREADS="1", MINIGAN_PLAIN="0").stdout == "1 False\n"
    assert python(code, MINIGAN_THREADS="1024", MINIGAN_PLAIN="").stdout == "1024 False\n"
    cores = python(code, MINIGAN_THREADS="").stdout
    assert int(cores.split()[0]) >= 1


WRONG = {
    "MINIGAN_THREADS": ["0", "many", "-1", "1.5", " 2", "1e3", "٣", "²", "1025", "9" * 5000],
    "MINIGAN_PLAIN": ["false", "off", "2", "-1", " "],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_setting_from_outside_is_one_sentence(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=rf"^{name} must be (a whole number from 1 to 1024|1 or 0), not '") as error:
        start.check_environment()
    assert len(str(error.value)) < 120


def test_a_wrong_setting_is_found_before_anything_else(tmp_path):
    """By a program that imports the library, in its own last line; by the command, in its only one."""
    for name, modules in (("MINIGAN_THREADS", ["minigan", "minigan.ops"]), ("MINIGAN_PLAIN", ["minigan.data"])):
        for module in modules:
            last = python(f"import {module}", **{name: "many"}).stderr.strip().splitlines()[-1]
            assert last.startswith(f"ValueError: {name} must be ")
        for words in (["gans"], ["train", "--help"], []):
            command, environment = [sys.executable, "-m", "minigan", *words], os.environ | {name: "many"}
            out = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
            assert (out.returncode, out.stdout) == (2, "")
            assert out.stderr.startswith(f"minigan: {name} must be ") and len(out.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("argv", "original", "is_one"),
    [
        (["-m"], ["python", "-m", "minigan", "gans"], True),
        (["-m"], ["python", "-X", "utf8", "-m", "minigan"], True),
        (["-m"], ["python", "-m", "minigan.exercises", "minigan"], False),
        (["/usr/bin/minigan", "gans"], ["python", "/usr/bin/minigan", "gans"], True),
        (["/usr/bin/pytest", "-m", "minigan"], ["python", "/usr/bin/pytest", "-m", "minigan"], False),
        (["train_minigan.py"], ["python", "train_minigan.py"], False),
        (["-c"], ["python", "-c", "import minigan"], False),
        ([""], ["python"], False),
        ([], [], False),
    ],
)
def test_which_process_is_the_command(monkeypatch, argv, original, is_one):
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", original)
    assert start.is_command() == is_one


def test_importing_leaves_the_threads_of_blas_alone():
    code = (
        "import numpy, threadpoolctl\n"
        "before = [p['num_threads'] for p in threadpoolctl.threadpool_info()]\n"
        "import minigan, threading\n"
        "assert before == [p['num_threads'] for p in threadpoolctl.threadpool_info()]\n"
        "assert threading.active_count() == 1\n"
    )
    assert python(code).returncode == 0


# --- the threads of BLAS -----------------------------------------------------------------------------------------


@pytest.fixture
def blas():
    """BLAS's libraries, with 3 threads each, on any machine."""
    libraries = threads._blas.libraries
    before = [library.num_threads for library in libraries]
    for library in libraries:
        library.set_num_threads(3)
    yield lambda: [library.num_threads for library in libraries]
    for library, count in zip(libraries, before, strict=True):
        library.set_num_threads(count)


@pytest.mark.parametrize("bad", [None, 0, 3])
def test_blas_gets_its_threads_back_after_blocks_and_after_an_error_in_one(blas, bad):
    outside = blas()

    def work(i):
        if i == bad:
            raise RuntimeError("this block is bad")
        return blas()

    if bad is None:
        assert all(set(seen) <= {1} for seen in threads.for_each_block(work, range(4)))  # one while blocks run
    else:
        with pytest.raises(RuntimeError, match="this block is bad"):
            threads.for_each_block(work, range(4))
    assert blas() == outside


def test_the_smallest_wish_counts_and_the_old_number_comes_back(blas):
    outside = blas()
    with threads.blas_threads(2):
        assert set(blas()) <= {2} and threads._blas.shares_out()
        with pytest.raises(ZeroDivisionError), threads.blas_threads(1):
            assert set(blas()) <= {1} and not threads._blas.shares_out()
            raise ZeroDivisionError
        assert set(blas()) <= {2}
    assert blas() == outside and not threads._blas.shares_out()


def test_the_lowest_of_nested_wishes(blas):
    outside = blas()
    with threads.blas_threads(2), threads.blas_threads(1), threads.blas_threads(2):
        assert set(blas()) <= {1}
    assert blas() == outside


def test_a_forked_child_has_the_threads_that_were_there_before(blas):
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    outside = blas()
    with threads.blas_threads(1):
        child = os.fork()
        if child == 0:
            os._exit(0 if threads._blas.limits == [] and blas() == outside else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert set(blas()) <= {1}


def test_ctrl_c_at_the_start_leaves_nothing_behind(blas, monkeypatch):
    outside, right = blas(), threads._blas._set

    def interrupted():
        monkeypatch.setattr(threads._blas, "_set", right)
        right()
        raise KeyboardInterrupt

    monkeypatch.setattr(threads._blas, "_set", interrupted)
    with pytest.raises(KeyboardInterrupt), threads.blas_threads(1):
        pass
    assert blas() == outside and threads._blas.limits == []


def test_wishes_of_several_threads(blas):
    outside, barrier = blas(), threading.Barrier(2)

    def first():
        with threads.blas_threads(1):
            barrier.wait()
            barrier.wait()

    thread = threading.Thread(target=first)
    thread.start()
    barrier.wait()
    with threads.blas_threads(2):
        assert set(blas()) <= {1}  # the other thread's wish is still open
    barrier.wait()
    thread.join()
    assert blas() == outside


def test_which_threads_suit_which_networks(blas, monkeypatch):
    """BLAS's own where there are only dense layers; one of BLAS beside ours where there is any convolution."""
    outside = blas()
    points = gans.GANS["gan"]({"samples": (2,)}, np.random.default_rng(0))
    images = gans.GANS["dcgan"]({"images": (1, 8, 8)}, np.random.default_rng(0), width=1)
    for trained, wanted in ((points, 2), (images, 1)):
        with computing(trained):
            assert set(blas()) <= {wanted}
        assert blas() == outside
    with versions.plain(), computing(images):
        assert blas() == outside
    points.extra = nn.Sequential(nn.Sequential(nn.Conv1d(1, 1, 1)))  # any network that it holds, however deep inside
    with computing(points):
        assert set(blas()) <= {1}


def test_who_computes_a_product(monkeypatch):
    """A small one BLAS on one thread; a large one our threads, or BLAS's inside `blas_threads`."""
    monkeypatch.setattr(threads, "WORTH_IT", 1000)
    small, large, seen = np.ones((4, 4)), np.ones((20, 20)), []
    ours, limits = threads.for_each_block, threads.blas_threads
    monkeypatch.setattr(threads, "for_each_block", lambda *a: seen.append("ours") or ours(*a))
    monkeypatch.setattr(threads, "blas_threads", lambda n: seen.append(n) or limits(n))
    threads.product(small, small)
    threads.product(large, large)
    assert seen == [1, "ours", 1]
    seen.clear()
    with limits(2):
        threads.product(small, small)
        threads.product(large, large)
    assert seen == [1]
