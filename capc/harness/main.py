"""`capc run`: flags to settings, settings to a run."""

from __future__ import annotations

from collections.abc import Sequence

from capc.harness.settings import parse_settings


def main(argv: Sequence[str] | None = None, program: str = "capc run") -> int:
    """The exit status of a run; CapcError for flags and files that cannot be used."""
    settings = parse_settings(argv, program)
    # Imported late: --help and a wrong flag need none of it.
    from capc.harness.experiment import run  # noqa: PLC0415

    return run(settings)
