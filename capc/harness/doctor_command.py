"""`capc doctor`: what this machine has for a run, what is missing, and a run of a few seconds."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from capc.command_line import ExitStatus, Parser, add_results_dir
from capc.console import show_line, table_console
from capc.harness.machine_checks import Finding, machine_findings

_STYLES = {"note": "yellow", "missing": "bold red"}


def main(argv: Sequence[str] | None = None) -> int:
    """Show what was found; 0 where a run has all it needs, 1 where something is missing."""
    options = _parser().parse_args(argv)
    console = table_console()
    findings = machine_findings(Path(options.results_dir).absolute())
    for finding in findings:
        _show(console, finding)
    lacks = [finding.what for finding in findings if finding.state == "missing"]
    if not lacks and not options.without_run:
        tested: Finding = importlib.import_module("capc.harness.self_test").self_test()
        _show(console, tested)
        lacks = [tested.what] if tested.state == "missing" else []
    if lacks:
        show_line(console, f"not ready: {', '.join(lacks)}", "bold red")
        return ExitStatus.FAILED
    show_line(console, "ready: `capc run --ignore_parties` asks a first query", "bold")
    return ExitStatus.OK


def _show(console: Console, finding: Finding) -> None:
    line = f"{finding.state:<8} {finding.what:<17} {finding.found}"
    show_line(console, line, _STYLES.get(finding.state, ""))
    if finding.remedy:
        show_line(console, f"{'':<8} {'':<17} -> {finding.remedy}")


def _parser() -> Parser:
    parser = Parser(
        "capc doctor",
        description="Look at what a run needs of this machine, and ask one query of a tiny model.",
        examples=["capc doctor", "capc doctor --without_run"],
    )
    add_results_dir(parser, "results", "where runs will be kept")
    parser.add_argument(
        "--without_run", action="store_true", help="look only; ask no query (default: ask one)"
    )
    return parser
