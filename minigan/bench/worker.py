"""A process that does the work of one side when it is told to: `python -m minigan.bench.worker SIDE WORKLOAD THREADS`.

It reads commands from its input, a line each, and answers each with a line: "proof PATH" writes the losses and
gradients of a step in float64 (and is of no more use after that), "steps N" takes N steps and says how many seconds
that took, "memory" the most bytes that the process ever had, and "op I" how long the I-th operation takes.
With MINIGAN_DEVICE=cuda, both sides compute on the GPU.

These commands are a contract between versions: `minigan bench --beside` talks with the worker of another one.
"""

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from minigan.bench.workloads import LARGE, OPS, WORKLOADS


def build(side: str, name: str) -> Any:
    """The side's workload."""
    workload = next(workload for workload in [*WORKLOADS, *LARGE] if workload.name == name)
    if side == "minigan":
        from minigan.bench.minigan_side import MiniganSide

        return MiniganSide(workload)
    from minigan.bench.torch_side import TorchSide

    return TorchSide(workload, tuned=side == "torch tuned")


def steps(subject: Any, count: int) -> float:
    """The seconds that so many steps take."""
    began = time.perf_counter()
    for _ in range(count):
        subject.step()
    return time.perf_counter() - began


def op(side: str, number: int) -> dict[str, float]:
    """The seconds of one operation's forward pass and gradients."""
    if side == "minigan":
        from minigan.bench.minigan_side import op_seconds
    else:
        from minigan.bench.torch_side import op_seconds
    return op_seconds(OPS[number])


def peak_memory() -> int:
    """The most bytes of memory that this process ever had; 0 where the system does not tell."""
    with contextlib.suppress(OSError, StopIteration):  # Linux; getrusage would count what its parent had before it
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(side: str, name: str, threads: str) -> None:
    """Obey until the input ends. minigan takes its threads from the environment."""
    if side != "minigan":
        import torch

        torch.set_num_threads(int(threads))
    subject = None if name == "ops" else build(side, name)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "proof":
            np.savez(argument, **subject.proof())
            answer: Any = True
        elif command == "steps":
            answer = steps(subject, int(argument))
        elif command == "op":
            answer = op(side, int(argument))
        else:
            answer = peak_memory()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
