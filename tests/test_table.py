"""The table: which version of a function a call runs, where, and until when."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import versions

import minigan
from minigan import Tensor, ops, table
from minigan.optim import Adam
from minigan.tensor import op, record


@pytest.fixture
def number():
    """A function in the table, as it is after the test again: plainly it returns 1, and its fast version 2."""
    before = dict(table.PLAIN), dict(table.FASTEST)

    @table.swappable
    def number():
        """The number of the version."""
        return 1

    @table.fast(number)
    def two():
        return 2

    with versions.fast():
        yield number
    for entries, own in zip((table.PLAIN, table.FASTEST), before, strict=True):
        entries.clear()
        entries.update(own)


NAME = "number.<locals>.number"


def test_a_call_runs_the_fast_version_and_in_plain_mode_the_plain_one(number):
    assert number() == 2
    with minigan.plain():
        assert number() == 1
    assert number() == 2
    assert table.plain_version(number)() == 1


def test_a_function_in_the_table_keeps_its_name_and_its_words(number):
    assert (number.__name__, number.__doc__) == ("number", "The number of the version.")
    assert ops.tanh.__name__ == "tanh" and "Hyperbolic" in ops.tanh.__doc__
    assert ops.tanh.__module__ == "minigan.ops.math"


def test_without_a_fast_version_both_are_the_plain_one():
    assert table.FASTEST["tanh"] is table.PLAIN["tanh"] is table.plain_version(ops.tanh)
    assert table.FASTEST["leaky_relu"] is not table.PLAIN["leaky_relu"]
    assert table.PLAIN.keys() == table.FASTEST.keys()


def test_a_method_is_in_the_table_under_the_name_of_its_class():
    assert table.PLAIN["Adam.update"] is table.plain_version(Adam.update)


def test_plain_mode_may_be_nested_and_ends_after_an_exception(number):
    with minigan.plain():
        with minigan.plain():
            assert table.is_plain() and number() == 1
        assert table.is_plain() and number() == 1
        with pytest.raises(ZeroDivisionError), minigan.plain():
            raise ZeroDivisionError
        assert table.is_plain() and number() == 1
    assert not table.is_plain() and number() == 2
    with pytest.raises(ZeroDivisionError), minigan.plain():
        raise ZeroDivisionError
    assert not table.is_plain() and number() == 2


def test_plain_mode_is_a_threads_own(number):
    inside, go_on, seen = threading.Event(), threading.Event(), []

    def other():
        with minigan.plain():
            inside.set()
            go_on.wait(10)
            seen.append(number())

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    assert number() == 2  # while the other thread is in plain mode
    with minigan.plain():
        pass  # ending ours does not end its own
    go_on.set()
    thread.join(10)
    assert seen == [1]


def test_a_replaced_function_runs_in_every_mode_and_thread_until_the_end(number):
    seen = []
    with table.replaced({NAME: lambda: 3}):
        assert number() == 3
        with minigan.plain():
            assert number() == 3
        thread = threading.Thread(target=lambda: seen.append(number()))
        thread.start()
        thread.join(10)
        assert table.plain_version(number)() == 1  # the library's own, still
    assert seen == [3] and number() == 2
    with minigan.plain():
        assert number() == 1


def test_replacements_may_be_nested_and_end_after_an_exception(number):
    with table.replaced({NAME: lambda: 3}):
        with table.replaced({NAME: lambda: 4}):
            assert number() == 4
        assert number() == 3
        with pytest.raises(ZeroDivisionError), table.replaced({NAME: lambda: 5}):
            raise ZeroDivisionError
        assert number() == 3
    assert number() == 2


def test_replacing_inside_plain_mode_puts_back_both_versions(number):
    with minigan.plain():
        with table.replaced({NAME: lambda: 3}):
            assert number() == 3
        assert number() == 1
    assert number() == 2


def test_replacing_a_name_that_is_not_there_changes_nothing(number):
    with pytest.raises(KeyError, match="no such function"), table.replaced({NAME: lambda: 3, "no such function": len}):
        pass
    assert number() == 2 and "no such function" not in table.PLAIN


def test_a_replaced_operation_is_run_by_those_that_use_it():
    def wrong(x, axis=None, keepdims=False):
        return record(np.sum(x.data, axis=axis, keepdims=keepdims) + 100, (x, lambda g, y: g * 0.0))

    x = Tensor(np.ones((2, 5)))
    with table.replaced({"sum": wrong}):
        assert ops.mean(x).item() == (10 + 100) / 10
        assert x.sum().item() == 110  # as a method too
    assert ops.mean(x).item() == 1


def test_a_second_function_of_one_name_is_refused(number):
    def tanh(x):
        return x

    tanh.__qualname__ = "tanh"
    for enter in (op, table.swappable):
        with pytest.raises(ValueError, match="two functions 'tanh' in the table: give one another name"):
            enter(tanh)
    assert table.PLAIN["tanh"] is table.plain_version(ops.tanh)


def test_a_second_fast_version_is_refused(number):
    with pytest.raises(ValueError, match=r"'number.*' has a fast version already"):
        table.fast(number)(lambda: 3)
    assert number() == 2


def test_a_fast_version_of_what_is_not_in_the_table_is_refused():
    with pytest.raises(KeyError, match="cumsum"):
        table.fast(np.cumsum)(np.cumsum)


def test_an_error_names_the_operation_in_every_version(number):
    def fails(x):
        raise ValueError("it does not work")

    with table.replaced({"tanh": fails}), pytest.raises(ValueError, match=r"^tanh of shapes \(2,\): it does not work$"):
        ops.tanh(Tensor([1.0, 2.0]))


@pytest.mark.parametrize(
    ("setting", "plain"), [("1", True), ("yes", True), ("0", False), ("no", False), ("", False), (None, False)]
)
def test_the_mode_of_the_start_comes_from_outside(setting, plain):
    environment = {name: value for name, value in os.environ.items() if name != "MINIGAN_PLAIN"}
    environment |= {} if setting is None else {"MINIGAN_PLAIN": setting}
    code = (
        "import threading; from minigan import table; print(table.is_plain())\n"
        "threading.Thread(target=lambda: print(table.is_plain())).start()"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.stdout == f"{plain}\n{plain}\n", result.stderr
