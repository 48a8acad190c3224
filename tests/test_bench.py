"""The benchmark's parts; the timing itself is for people to run (`minigan bench`), not for tests."""

import contextlib
import importlib.util
import itertools
import json
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minigan import cli
from minigan.bench import compare, minigan_side, turns
from minigan.bench.compare import Row
from minigan.bench.workloads import OPS, WORKLOADS, batch, weights

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")


def test_the_networks_are_those_of_the_table():
    """Counts by hand: (in + 1) out for dense layers, in out k k (+ out) for convolutions, 2 C for batch norm."""
    counts = {
        w.name: [sum(a.size for a in weights(net, 0)) for net in (w.generator, w.discriminator)] for w in WORKLOADS
    }
    g3 = 65 * 6272 + 2 * 128 + (128 * 64 * 16 + 64) + 2 * 64 + (64 * 16 + 1)
    d3 = (64 * 16 + 64) + (64 * 128 * 16 + 128) + 6273
    assert counts["W1"] == [17 * 128 + 129 * 128 + 129 * 2, 3 * 128 + 129 * 128 + 129]
    assert counts["W2"] == [65 * 256 + 257 * 512 + 513 * 784, 785 * 512 + 513 * 256 + 257]
    assert counts["W3"] == [g3, d3 + 2 * 128] and counts["W5"] == [g3, d3]
    assert counts["W4"] == [3_576_704, 2_765_568]  # as PyTorch's DCGAN tutorial counts them


@pytest.mark.parametrize("workload", WORKLOADS[:3] + WORKLOADS[4:], ids=lambda w: w.name)
def test_a_step_of_minigan_moves_every_parameter(workload):
    side = minigan_side.MiniganSide(workload)
    before = [p.numpy().copy() for net in (side.gan.G, side.gan.D) for p in net.parameters()]
    side.step()
    after = [p.numpy() for net in (side.gan.G, side.gan.D) for p in net.parameters()]
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    trained = len(side.gan.D.parameters()) if workload.penalty else len(moved)
    assert sum(moved) >= trained - 2  # a bias before batch norm has gradient 0; the critic's last one too


@needs_torch
@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_both_sides_compute_the_same(workload, tuned):
    from minigan.bench.torch_side import TorchSide

    ours, theirs = minigan_side.MiniganSide(workload).proof(), TorchSide(workload, tuned).proof()
    assert ours.keys() == theirs.keys() and len(ours) > 4
    for name, array in ours.items():
        scale = np.max(np.abs(theirs[name]))
        assert scale < 1e-9 or np.max(np.abs(array - theirs[name])) < 1e-6 * scale, name


@needs_torch
def test_a_small_benchmark_from_end_to_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compare, "WORKLOADS", WORKLOADS[:1])
    monkeypatch.setattr(compare, "OPS", OPS[-1:])
    monkeypatch.setattr(compare, "THREADS", (1,))
    monkeypatch.setattr(turns, "REPEATS", 0)
    for arguments in ({}, {"against": tmp_path / "result.json"}):
        compare.run(tmp_path / "result.json", **arguments, turns=2, seconds=0.02)
    out = capsys.readouterr().out
    assert "W1 dense GAN on points" in out and "now / before" in out and "bce_with_logits" in out
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["ratios"]["W1 1"] > 0 and len(result["rows"][0]["seconds"]["torch"]) == 2


def test_without_pytorch_one_sentence_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["bench"]) == 2
    assert "pip install 'minigan[bench]'" in capsys.readouterr().err


def test_the_batch_is_the_same_each_time():
    assert np.array_equal(batch(WORKLOADS[2]), batch(WORKLOADS[2])) and batch(WORKLOADS[2]).shape == (64, 1, 28, 28)


# --- fair turns, with fake sides: nothing is timed ---------------------------------------------------------


class FakeSide:
    """Takes no time for its steps. All sides share a diary of who was told what."""

    def __init__(self, name, diary, seconds=1.0, loss=2.0):
        self.name, self.diary, self.seconds, self.loss = name, diary, seconds, loss
        self.process = SimpleNamespace(pid=0)

    def ask(self, command):
        self.diary.append((self.name, command))
        kind, _, argument = command.partition(" ")
        if kind == "proof":
            np.savez(argument, losses=np.array([1.0, self.loss]))
        return self.seconds * int(argument) if kind == "steps" else 2**20


def sides_and_diary(*names):
    diary = []
    return {name: FakeSide(name, diary) for name in names}, diary


@pytest.fixture
def taken(monkeypatch):
    """The shares of the machine that neighbours take in the turns to come; when the list is empty they take nothing."""
    shares, readings = [], []

    def clocks(process):  # each second one is the end of a turn: a second on two cores, of which we used one
        share = shares.pop(0) if len(readings) % 2 and shares else 0.0
        turn = np.array([2.0, 1.0 - 2 * share, 0.0, 1.0]) * (len(readings) % 2)
        readings.append(turn + (readings[-1] if readings else 0.0))
        return readings[-1]

    monkeypatch.setattr(turns, "clocks", clocks)
    monkeypatch.setattr(turns, "cpu_seconds", lambda process: 0.0)
    monkeypatch.setattr(turns.time, "sleep", lambda seconds: None)
    return shares


def test_the_order_turns_and_each_turn_begins_with_a_warm_up(taken):
    sides, diary = sides_and_diary("a", "b", "c")
    found = turns.take_turns(sides, "steps 5", 3, warm_up="steps 1")
    assert "".join(name for name, _ in diary[1::2]) == "abc" + "cba" + "abc"
    assert diary[::2] == [(name, "steps 1") for name, _ in diary[1::2]]
    assert {name: [turn.answer for turn in side] for name, side in found.items()} == dict.fromkeys("abc", [5.0] * 3)


def test_a_disturbed_turn_is_repeated_with_its_warm_up(taken):
    taken += [0.0, 0.3, 0.06, 0.04]
    sides, diary = sides_and_diary("a", "b")
    found = turns.take_turns(sides, "steps 5", 1, warm_up="steps 1")
    assert diary == [("a", "steps 1"), ("a", "steps 5")] + [("b", "steps 1"), ("b", "steps 5")] * 3
    (turn,) = found["b"]
    assert turn.neighbours == pytest.approx(0.04) and not turn.disturbed


def test_repeats_come_to_an_end_and_the_quietest_turn_counts(taken):
    taken += [0.5, 0.2, 0.4, *[0.5] * 100]
    sides, diary = sides_and_diary("a")
    sides["a"].ask = lambda command: diary.append(command) or len(diary)
    turn = turns.take_turn(sides, "a", "steps 5")
    assert len(diary) == 1 + turns.REPEATS
    assert turn.answer == 2 and turn.neighbours == pytest.approx(0.2) and turn.disturbed


def test_on_a_machine_that_stays_busy_nothing_is_repeated_any_more(taken):
    taken += [0.5] * 100
    sides, diary = sides_and_diary("a", "b")
    found = turns.take_turns(sides, "steps 5", 3, patience=0)
    assert len(diary) == 6 and all(turn.disturbed for turn in found["a"] + found["b"])


def test_what_neighbours_took():
    """On two cores for one second each, of which the process used 1.2 seconds."""
    start = np.array([10.0, 4.0, 1.0, 3.0])
    for idle, stolen, share in ((0.8, 0.0, 0.0), (0.4, 0.0, 0.2), (0.4, 0.4, 0.2), (0.8, 0.1, 0.05), (0.81, 0.0, 0.0)):
        assert turns.neighbours(start, np.add(start, [2.0, idle, stolen, 1.2])) == pytest.approx(share)
    assert turns.neighbours(None, start) == turns.neighbours(start, None) == 0.0


STAT = """cpu  300 0 0 900 100 0 0 8 0 0
cpu0 100 0 0 400 50 0 0 4 0 0
cpu1 100 0 0 300 50 0 0 4 0 0
cpu2 100 0 0 200 0 0 0 0 0 0
intr 12345
"""


def test_the_clocks_count_the_cores_that_the_process_may_use(tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "STAT", tmp_path / "stat")
    monkeypatch.setattr(turns, "cpu_seconds", lambda process: 7.0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    monkeypatch.setattr(os, "sysconf", lambda name: 100, raising=False)
    assert turns.clocks(1) is None  # no such file: another system
    turns.STAT.write_text("cpu 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0\n")
    assert turns.clocks(1) is None
    turns.STAT.write_text(STAT)
    assert turns.clocks(1)[1:].tolist() == [8.0, 0.08, 7.0]
    monkeypatch.setattr(turns, "cpu_seconds", lambda process: None)
    assert turns.clocks(1) is None


def slept_in_rest(monkeypatch, used):
    """How long a turn waits where looks at the CPU time of its only side show these seconds."""
    slept = []
    monkeypatch.setattr(turns, "cpu_seconds", lambda process: next(used))
    monkeypatch.setattr(turns.time, "sleep", slept.append)
    turns.rest(sides_and_diary("a")[0])
    return pytest.approx(sum(slept))


def test_a_turn_waits_until_no_thread_is_busy(monkeypatch):
    assert slept_in_rest(monkeypatch, itertools.repeat(3.0)) == turns.REST
    busy = [step * turns.LOOK for step in range(8)]
    assert slept_in_rest(monkeypatch, itertools.chain(busy, itertools.repeat(busy[-1]))) == 8 * turns.LOOK


@pytest.mark.parametrize("used", [itertools.count(), itertools.repeat(None)], ids=["always busy", "not known"])
def test_but_not_forever(monkeypatch, used):
    assert slept_in_rest(monkeypatch, used) in (turns.LONGEST_REST, turns.LONGEST_REST + turns.LOOK / 2)


# --- results and tables ------------------------------------------------------------------------------------


@pytest.fixture
def fakes(monkeypatch, taken):
    """Fake sides instead of processes: `fakes.sides[name]` are their settings, `fakes.diary` what they were told."""
    fakes = SimpleNamespace(sides={}, diary=[])

    @contextlib.contextmanager
    def sides_of(folders, workload, threads, device):
        fakes.diary.append((workload, threads))
        yield {name: FakeSide(name, fakes.diary, **fakes.sides.get(name, {})) for name in folders}

    monkeypatch.setattr(compare, "sides_of", sides_of)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # no PyTorch is needed
    return fakes


def row(ratio=1.0, other="torch", workload="W1", **fields):
    """minigan takes `ratio` times the other's 2 seconds, more or less."""
    seconds = {"minigan": [1.5 * ratio, 2.0 * ratio, 2.5 * ratio], other: [2.0, 2.0, 2.0]}
    seconds |= {"torch tuned": [1.0, 1.0, 1.0]} if other == "torch" else {}
    return Row(workload, 2, 0.0, seconds, dict.fromkeys(seconds, 2**20 * 100), **fields)


def test_ratios_are_taken_turn_by_turn():
    assert row().ratios("torch").tolist() == [0.75, 1.0, 1.25]
    text = compare.line(row(neighbours={"minigan": [0.0, 0.2, 0.0], "torch": [0.05, 0.04, 0.3]}))
    assert "1.00 (0.88 to 1.12)" in text and "100 / 100 MB" in text and text.endswith("2 of 6 turns disturbed")
    assert "disturbed" not in compare.line(row(neighbours={"minigan": [0.05, 0.0, 0.0]}))


def test_an_earlier_result_is_judged():
    quiet = {"minigan": [0.0], "torch": [0.0]}
    before = {r.key: r for r in (row(0.80, neighbours=quiet), row(0.80, workload="W2", neighbours=quiet))}
    lines = compare.table_against([row(0.82), row(0.84, workload="W2"), row(workload="W3")], before).splitlines()
    assert [line.split()[-6:] for line in lines[1:3]] == [
        ["2", "1600.0ms", "1640.0ms", "0.80", "0.82", "1.02"],
        ["2", "1600.0ms", "1680.0ms", "0.80", "0.84", "1.05"],
    ]
    assert lines[3:] == ["slower than 1.03 times: W2 with 2 threads (1.05)"]
    assert compare.table_against([row(0.82)], before).endswith("no workload is slower than 1.03 times; at most 1.02")
    assert compare.table_against([row(workload="W5")], before).endswith("no row in common")


OLD_RESULT = {
    "machine": "x86_64, 2 cores",
    "ratios": {"W1 2": 0.75},
    "rows": [
        {
            "workload": "W1",
            "threads": 2,
            "difference": 1e-12,
            "seconds": {"minigan": [0.003, 0.003], "torch": [0.004, 0.004], "torch tuned": [0.002, 0.002]},
            "memory": {"minigan": 1, "torch": 1, "torch tuned": 1},
        }
    ],
}


def test_a_result_of_the_old_format_is_read(tmp_path):
    (tmp_path / "old.json").write_text(json.dumps(OLD_RESULT))
    before = compare._read(tmp_path / "old.json")
    assert before["W1 2"].ratio("torch") == 0.75 and before["W1 2"].neighbours == {}
    text = compare.table_against([row(0.75)], before)
    assert "3.0ms" in text and "careful: the earlier result" in text


def test_a_result_is_read_as_it_was_written_and_new_fields_do_no_harm(tmp_path):
    rows = [row(neighbours={"minigan": [0.1, 0.0, 0.0]}), row(0.5, workload="W2")]
    compare._write(tmp_path / "new.json", rows)
    assert list(compare._read(tmp_path / "new.json").values()) == rows
    content = json.loads((tmp_path / "new.json").read_text())
    content["rows"][0]["mood"] = "good"
    (tmp_path / "new.json").write_text(json.dumps(content))
    assert compare._read(tmp_path / "new.json")["W1 2"] == rows[0]


def test_a_file_that_is_no_result(fakes, tmp_path, monkeypatch, capsys):
    compare._write(tmp_path / "beside.json", [row(other="other")])
    beside = (tmp_path / "beside.json").read_text()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: sys)  # as if PyTorch were there
    for content in ("", "[]", '{"rows": 3}', '{"rows": [3]}', '{"rows": [{"workload": "W1"}]}', "[" * 200_000, beside):
        (tmp_path / "old.json").write_text(content)
        assert cli.main(["bench", "--against", str(tmp_path / "old.json")]) == 2
        assert "is not a result of `minigan bench --json`" in capsys.readouterr().err
    assert cli.main(["bench", "--against", os.devnull]) == 2
    assert "is not a result of `minigan bench --json`" in capsys.readouterr().err


# --- two checkouts of minigan ------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path):
    """A folder with a minigan whose worker answers as one of an older version would, and says where it runs."""
    folder = tmp_path / "checkout"
    (folder / "minigan" / "bench").mkdir(parents=True)
    for package in ("minigan", "minigan/bench"):
        (folder / package / "__init__.py").touch()
    (folder / "minigan" / "bench" / "worker.py").write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    command, _, argument = line.strip().partition(' ')\n"
        "    answer = 0.25 * int(argument) if command == 'steps' else [__file__, *sys.argv[1:]]\n"
        "    print(json.dumps(answer), flush=True)\n"
    )
    return folder


def test_the_other_side_runs_the_minigan_of_its_checkout(checkout, monkeypatch):
    monkeypatch.chdir(compare.HERE)  # our own version must not come first, even from here
    with turns.sides_of({"other": checkout}, "W2", 1, "cpu") as sides:
        assert sides["other"].ask("where") == [str(checkout / "minigan/bench/worker.py"), "minigan", "W2", "1"]
        assert sides["other"].ask("steps 4") == 1.0


def test_beside_another_checkout_needs_no_pytorch(checkout, fakes, tmp_path, capsys):
    fakes.sides = {"minigan": {"seconds": 0.021}, "other": {"seconds": 0.02}}
    assert cli.main(["bench", "--beside", str(checkout), "--json", str(tmp_path / "result.json")]) == 0
    _machine, header, *lines, verdict = capsys.readouterr().out.splitlines()
    assert header.split() == ["threads", "now", "other", "now", "/", "other", "(quartiles)"]
    assert lines[0] == "W1 dense GAN on points             2    21.0ms    20.0ms   1.05 (1.05 to 1.05)"
    assert len(lines) == 10 and verdict.startswith("slower than 1.03 times: W1 with 2 threads (1.05), W2 with 2")
    told = [command for _, command in fakes.diary if isinstance(command, str)]
    assert sum(command.startswith("proof") for command in told) == 2 * 5  # a proof holds for any number of threads
    steps = [command for command in told if command.startswith("steps")]
    assert set(steps[::2]) == {"steps 1"} and len(steps) == 2 * 10 * 2 * (1 + compare.TURNS)
    assert len(json.loads((tmp_path / "result.json").read_text())["rows"]) == 10


@pytest.mark.parametrize("loss", [2.1, float("nan")])
def test_sides_that_compute_something_else_are_not_timed(checkout, fakes, capsys, loss):
    for side in ("minigan", "other"):
        fakes.sides = {side: {"loss": loss}}
        assert cli.main(["bench", "--beside", str(checkout)]) == 2
        assert "W1: minigan and other do not compute the same" in capsys.readouterr().err
    assert not any("steps" in str(command) for _, command in fakes.diary)


def test_a_folder_without_minigan_and_options_that_exclude_each_other(checkout, fakes, tmp_path, capsys):
    assert cli.main(["bench", "--beside", str(tmp_path)]) == 2
    assert "is no folder with a version of minigan" in capsys.readouterr().err
    assert cli.main(["bench", "--beside", str(checkout), "--against", "result.json"]) == 2
    assert "leave out one of them" in capsys.readouterr().err
