"""Entry of the benchmark: `python bench/run.py`, see bench/README.md."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # The checkout instead of bench/ itself, whose file names must not shadow the standard library.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from bench.main import main

    sys.exit(main())
