"""The benchmark's parts; the timing itself is for people to run (`minigan bench`), not for tests."""

import importlib.util
import json
import sys

import numpy as np
import pytest

from minigan import cli
from minigan.bench import compare, minigan_side
from minigan.bench.compare import Row, table
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
    before = [p.numpy().copy() for net in (side.generator, side.discriminator) for p in net.parameters()]
    side.step()
    after = [p.numpy() for net in (side.generator, side.discriminator) for p in net.parameters()]
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    trained = len(side.discriminator.parameters()) if workload.penalty else len(moved)
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
    for arguments in ({}, {"against": tmp_path / "result.json"}):
        compare.run(tmp_path / "result.json", **arguments, turns=2, seconds=0.02)
    out = capsys.readouterr().out
    assert "W1 dense GAN on points" in out and "before: " in out and "bce_with_logits" in out
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["ratios"]["W1 1"] > 0 and len(result["rows"][0]["seconds"]["torch"]) == 2


def test_without_pytorch_one_sentence_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["bench"]) == 2
    assert "pip install 'minigan[bench]'" in capsys.readouterr().err


def test_a_file_that_is_no_result(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: sys)
    for content in ("", "[]", '{"ratios": 3}'):
        (tmp_path / "old.json").write_text(content)
        assert cli.main(["bench", "--against", str(tmp_path / "old.json")]) == 2
        assert "is not a result of `minigan bench --json`" in capsys.readouterr().err


def test_ratios_are_taken_turn_by_turn():
    seconds = {"minigan": [1.0, 2.0, 3.0], "torch": [2.0, 2.0, 2.0], "torch tuned": [1.0, 1.0, 1.0]}
    memory = {name: 2**20 * 100 for name in seconds}
    row = Row("W1", 2, 0.0, seconds, memory)
    assert row.ratios("torch").tolist() == [0.5, 1.0, 1.5]
    text = table([row], {"W1 2": 0.75})
    assert "1.00 (0.75 to 1.25)" in text and "100 / 100 MB" in text and "before: 0.75" in text


def test_the_batch_is_the_same_each_time():
    assert np.array_equal(batch(WORKLOADS[2]), batch(WORKLOADS[2])) and batch(WORKLOADS[2]).shape == (64, 1, 28, 28)
