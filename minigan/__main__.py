"""`python -m minigan` is `minigan`."""

import sys


def main() -> int:
    """The command line. It is imported only here, so that Ctrl-C in that second ends without a traceback too."""
    try:
        from minigan import cli

        return cli.main()
    except ValueError as error:  # a setting that is read at the import, such as MINIGAN_THREADS
        print(f"minigan: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
