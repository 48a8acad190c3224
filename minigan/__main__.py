"""`python -m minigan` is `minigan`."""

import sys


def main() -> int:
    """The command line. It is imported only here, so that Ctrl-C in that second ends without a traceback too."""
    try:
        from minigan import cli

        return cli.main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
