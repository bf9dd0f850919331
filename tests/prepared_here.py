"""Models prepared in the tests' own process, which has loaded TensorFlow anyhow.

Loading it in a process for each run, as a run does, takes 4 s of processor time:
tests/learning/test_shapes.py and the examples of the documents do so.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout

import pytest

from capc.command_line import ExitStatus
from capc.console import MinuteLines
from capc.errors import CapcError
from capc.harness import models
from capc.inference import graph_command


def _prepare(command: Sequence[str], minutes: MinuteLines) -> tuple[int, str]:
    _python, _option, _module, *arguments = command
    try:
        with redirect_stdout(io.StringIO()):
            return graph_command.main(arguments), ""
    except CapcError as error:
        return ExitStatus.USAGE, str(error)


@pytest.fixture
def prepare_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs prepare their models in this process."""
    monkeypatch.setattr(models, "_patiently", _prepare)
