"""The earlier name of `capc recorded-run`: the published MNIST run beside its re-derivation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from capc.cli import main

if __name__ == "__main__":
    sys.exit(main(["recorded-run", *sys.argv[1:]]))
