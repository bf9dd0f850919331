"""`capc models`: the training script of the repository, as a subcommand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from capc.errors import ConfigError
from capc.harness.settings import REPOSITORY


def main(argv: Sequence[str]) -> int:
    """The exit status of scripts/train_models.py with these flags."""
    script = REPOSITORY / "scripts" / "train_models.py"
    if not script.is_file():
        raise ConfigError(f"{script} is not there: training needs the repository")
    return subprocess.run([sys.executable, str(script), *argv], check=False).returncode
