"""Run CaPC: flags in, harness called, exit status out. `--help` lists every flag."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from capc.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]], program="run_experiment.py"))
