"""Run CaPC: flags in, harness called, exit status out. `--help` lists every flag."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

if __name__ == "__main__":
    try:
        from capc.cli import main

        sys.exit(main(["run", *sys.argv[1:]], program="run_experiment.py"))
    except KeyboardInterrupt:  # Ctrl-C while the program itself is being loaded
        sys.exit(130)
