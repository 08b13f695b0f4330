"""``python -m ssah_index`` is the console script."""

from ssah_index.cli.main import main

if __name__ == "__main__":
    main()
