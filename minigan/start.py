"""What `import minigan` does first: it checks what the environment asks for, and lets Ctrl-C end the command quietly.

Both must come before NumPy is imported, which takes longer than all the rest: until then nothing could answer them.
"""

import itertools
import os
import signal
import sys
from pathlib import Path

MOST_THREADS = 1024


def check_environment() -> None:
    """Raise ValueError, in one sentence, where a variable of the environment is none that minigan can obey."""
    threads, plain = os.environ.get("MINIGAN_THREADS", ""), os.environ.get("MINIGAN_PLAIN", "")
    whole = threads.isascii() and threads.isdecimal() and len(threads) < 10  # Python reads no number of 5,000 digits
    if threads and not (whole and 1 <= int(threads) <= MOST_THREADS):
        shown = threads if len(threads) < 30 else threads[:30] + "..."
        raise ValueError(f"MINIGAN_THREADS must be a whole number from 1 to {MOST_THREADS}, not {shown!r}")
    if plain not in ("", "0", "no", "1", "yes"):
        raise ValueError(f"MINIGAN_PLAIN must be 1 or 0, not {plain!r}")


def is_command() -> bool:
    """Whether this process is `minigan` or `python -m minigan`, and no program or notebook that imports minigan."""
    by_module = sys.argv[:1] == ["-m"] and ("-m", "minigan") in itertools.pairwise(sys.orig_argv)
    return by_module or Path(*sys.argv[:1]).stem == "minigan"


if is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # nothing has begun; `__main__` takes over when it has

try:
    check_environment()
except ValueError as error:
    if not is_command():
        raise
    print(f"minigan: {error}", file=sys.stderr)
    sys.exit(2)
