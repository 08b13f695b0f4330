"""``python -m ssah_index`` and the console script ``ssah-index``."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it with 130 even before it is loaded."""
    try:
        from ssah_index.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
