"""The earlier name of `capc models`: train the parties' private models."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from capc.cli import main

if __name__ == "__main__":
    sys.exit(main(["models", *sys.argv[1:]]))
