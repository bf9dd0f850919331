"""`capc party log verify`, and `capc party status`: what a party's own log says."""

from __future__ import annotations

import sys
from pathlib import Path

from capc.command_line import ExitStatus, Parser
from capc.errors import ConfigError
from capc.parties.federation.audit_log import BrokenLogError, Entry, entries, is_in_use
from capc.parties.federation.party_file import PartyFile


def log_main(argv: list[str]) -> int:
    """Check a log's chain; the exit status."""
    parser = Parser(
        "capc party log verify",
        description="Check that no line of a party's log was changed, removed or put in between.",
        examples=["capc party log verify audit.jsonl"],
    )
    parser.add_argument("action", choices=["verify"])
    parser.add_argument("file", help="the log")
    parser.add_argument(
        "--head", metavar="HASH", help="a hash that another party's log has of this one (`met`)"
    )
    flags = parser.parse_args(argv)
    last: Entry | None = None
    seen = flags.head is None
    for last in entries(Path(flags.file)):
        seen = seen or last.hash == flags.head
    if not seen:
        raise BrokenLogError(f"{flags.file} has no line of hash {flags.head}: its end was cut off")
    if last is None:
        raise ConfigError(f"{flags.file} is empty")
    sys.stdout.write(f"{last.number} lines in order; the last hash is {last.hash}\n")
    return ExitStatus.OK


def status_main(argv: list[str]) -> int:
    """Print whether a party runs and how far it came; the exit status."""
    parser = Parser(
        "capc party status",
        description="Whether the party of this machine runs, and what its log says last.",
        examples=["capc party status --config party.toml"],
    )
    parser.add_argument("--config", required=True, help="the party's party.toml")
    own = PartyFile.read(Path(parser.parse_args(argv).config))
    if not own.log.exists():
        sys.stdout.write(f"{own.config.party} has not run yet\n")
        return ExitStatus.OK
    state = "runs" if is_in_use(own.log) else "does not run"
    run, last = "", None
    for last in entries(own.log):
        run = last.fields["run"] if last.fields["event"] == "run" else run
    sys.stdout.write(f"{own.config.party} {state}\n")
    if last is not None:
        told = {"event", "query", "step", "phase", "epsilon", "reason"}
        said = [
            f"{value}" for name, value in last.fields.items() if name in told and value is not None
        ]
        sys.stdout.write(f"run {run[:16] or 'none'}; at {last.fields['at']}: {' '.join(said)}\n")
    return ExitStatus.OK
