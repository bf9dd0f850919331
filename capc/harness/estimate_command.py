"""`capc estimate`: with the flags of a run, what it would take and cost; no party starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from capc.command_line import ExitStatus
from capc.console import show_line, table_console
from capc.harness.estimate import estimate, plan_lines
from capc.harness.models import models_missing
from capc.harness.preparation import prepare
from capc.harness.settings import parse_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Print what a run with these flags is expected to take; CapcError where it could not run."""
    settings = parse_settings(argv, "capc estimate")
    console = table_console()

    def say(text: str, style: str = "") -> None:
        show_line(console, text, style)

    if not settings.ignore_parties and (missing := models_missing(settings)):
        say(
            f"{missing} of {settings.n_parties} models are not trained yet: this takes "
            f"{settings.model_type} for all, as --ignore_parties does"
        )
        settings = replace(settings, ignore_parties=True)
    ready = prepare(settings, say)
    found = estimate(ready.settings, ready.costs)
    for line in plan_lines(ready.settings, found):
        say(line)
    return ExitStatus.OK if found.admitted else ExitStatus.NOTHING_ANSWERED
