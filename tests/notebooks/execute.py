"""Execute notebooks in a kernel of their own, as a person would: `make notebooks`.

Each runs in a folder of its own below the one that is named first, where its results and its
executed copy stay.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
MOST_SECONDS = 600  # of a cell


def execute(notebook: Path, folder: Path) -> Path:
    """Execute a notebook in `folder`; the executed copy there. CellExecutionError where it fails.

    The kernel finds this repository's package, whatever is installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        path for path in (str(ROOT), os.environ.get("PYTHONPATH", "")) if path
    )
    content = nbformat.read(notebook, as_version=4)
    place = {"metadata": {"path": folder}}
    client = NotebookClient(content, timeout=MOST_SECONDS, kernel_name="python3", resources=place)
    client.execute()
    executed = folder / notebook.name
    nbformat.write(content, executed)
    return executed


def main(target: str, *notebooks: str) -> None:
    """Execute each notebook, and say how long it took."""
    for name in notebooks:
        notebook, start = Path(name), time.monotonic()
        executed = execute(notebook, Path(target).absolute() / notebook.stem)
        sys.stdout.write(f"{notebook.name}: {time.monotonic() - start:.0f} s, {executed}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
