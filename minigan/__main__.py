"""`python -m minigan` is `minigan`."""

import os
import signal
import sys
import time
from types import FrameType
from typing import Any

STOPPED = 130  # the exit code after Ctrl-C, as shells have it
PAUSE = 1.0  # seconds after a Ctrl-C in which others are ignored, so that what it began ends without a traceback
_heard = -PAUSE  # when Ctrl-C was obeyed last


def main() -> int:
    """The command line. However often Ctrl-C is pressed, it ends with exit code 130 and without a traceback."""
    from minigan import cli  # in this second `start.py` answers Ctrl-C

    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # a shell's background job stays deaf; training listens
        signal.signal(signal.SIGINT, _stop)
    sys.unraisablehook = _unraisable
    try:
        code = cli.main()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to stop
        return code
    except KeyboardInterrupt:
        return STOPPED


def _stop(signum: int, frame: FrameType | None) -> None:
    global _heard
    before, _heard = _heard, time.monotonic()
    if _heard - before >= PAUSE:
        raise KeyboardInterrupt


def _unraisable(problem: Any) -> None:
    """Where Python drops an error, as in the middle of freeing an object, a Ctrl-C must still stop the command."""
    if problem.exc_type is KeyboardInterrupt:
        os._exit(STOPPED)  # a run is whole at any instant
    sys.__unraisablehook__(problem)


if __name__ == "__main__":
    sys.exit(main())
