"""The process in which a student's file is checked. It is started by `isolation.py`, as a script."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for this minigan, wherever it lies ...
    from minigan.exercises.child import main

    del sys.path[0]  # ... but not for what lies beside it
    main()
