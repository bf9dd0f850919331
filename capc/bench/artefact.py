"""`capc artefact`: all that a reviewer needs, into one folder: an index page and a claims table."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from rich.console import Console

from capc.bench.artefact_claims import Claim, Step, steps
from capc.command_line import ExitStatus, Parser, add_results_dir
from capc.console import show_line, table_console
from capc.errors import ConfigError, FileError
from capc.files import REPOSITORY, write_whole
from capc.harness.pages.environment import environment_table
from capc.harness.pages.markup import Markup, command_block, element, page, section, table
from capc.harness.pages.run_files import INDEX, write_report
from capc.harness.rundir import machine
from capc.harness.tables import write_table

NO_RESULT = "no result: the command failed"
HOLDS, FAILS, NOT_MEASURED = "holds", "does not hold", "not measured"
_SHOWN = {HOLDS: ("good", "green"), FAILS: ("bad", "bold red"), NOT_MEASURED: ("warn", "yellow")}
"""By verdict, its note on the page and its style on the screen."""


@dataclass(frozen=True)
class Verdict:
    """A claim, what was found, and one of HOLDS, FAILS and NOT_MEASURED; a row of claims.csv."""

    claim: str
    command: str
    expected: str
    found: str
    verdict: str


@dataclass(frozen=True)
class Ran:
    """A step that ran: its command, seconds, exit status."""

    step: Step
    command: str
    seconds: float
    status: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run all steps; status 3 where a claim does not hold, and the page is written all the same."""
    options = _parser().parse_args(argv)
    folder, console = Path(options.results_dir).absolute(), table_console()
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty: move it away, or name another --results_dir")
    planned = steps(options.size)
    minutes = sum(step.minutes for step in planned)
    console.print(
        f"{len(planned)} commands, about {minutes:.0f} minutes on two idle cores", highlight=False
    )
    verdicts: list[Verdict] = []
    done: list[Ran] = []
    for step in planned:
        ran, printed = _run(folder, step, console)
        done.append(ran)
        verdicts += [_verdict(folder, ran, printed, claim) for claim in step.claims]
        report = _leave(folder, done, verdicts, left=len(planned) - len(done))
    for verdict in verdicts:
        said = f"{verdict.verdict}: {verdict.claim}: {verdict.found}"
        show_line(console, said, _SHOWN[verdict.verdict][1])
    show_line(console, f"report: {report}")
    failed = any(verdict.verdict == FAILS for verdict in verdicts)
    return ExitStatus.DISAGREES if failed else ExitStatus.OK


def _run(folder: Path, step: Step, console: Console) -> tuple[Ran, str]:
    """Run a step from the repository's folder; what it printed is kept in a log of its name."""
    own = folder / step.name
    own.mkdir(parents=True, exist_ok=True)
    words = [*step.words, *([f"--results_dir={own}"] if step.takes_folder else [])]
    shown = shlex.join(["capc", *step.words])
    console.print(f"{shown}  (about {step.minutes:g} min)", highlight=False, soft_wrap=True)
    start = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "capc.cli", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    seconds = time.perf_counter() - start
    log = f"$ {shown}\n{ended.stdout}{ended.stderr}"
    write_whole(own / "output.txt", log, error=FileError)
    return Ran(step, shown, seconds, ended.returncode), ended.stdout


def _verdict(folder: Path, ran: Ran, printed: str, claim: Claim) -> Verdict:
    found: str
    holds: bool | None
    found, holds = f"{NO_RESULT} with status {ran.status}", False
    if ran.status in (ExitStatus.OK, ExitStatus.DISAGREES):
        try:
            found, holds = claim.look(folder / ran.step.name, printed)
        except (OSError, ValueError, KeyError) as error:
            found = f"{NO_RESULT} to leave what was expected: {error}"
    verdict = NOT_MEASURED if holds is None else HOLDS if holds else FAILS
    return Verdict(claim.said, ran.command, claim.expected, found, verdict)


def _leave(folder: Path, done: Sequence[Ran], verdicts: Sequence[Verdict], left: int) -> Path:
    """claims.csv and the index page, after each step: an artefact that was stopped has both."""
    names = tuple(field.name for field in fields(Verdict))
    write_table(folder / "claims.csv", names, (astuple(verdict) for verdict in verdicts))
    return write_report(folder, artefact_page(done, verdicts, left, machine()), INDEX)


def artefact_page(
    done: Sequence[Ran], verdicts: Sequence[Verdict], left: int, here: dict[str, Any]
) -> str:
    """The whole page: claims first, then what ran."""
    minutes = sum(ran.seconds for ran in done) / 60
    counts = {said: sum(verdict.verdict == said for verdict in verdicts) for said in _SHOWN}
    said = ", ".join(f"{verdict} {count}" for verdict, count in counts.items() if count)
    summary = f"{len(verdicts)} claims: {said}. The commands took {minutes:.1f} minutes."
    if left:
        summary += f" {left} commands have not run yet."
    kind = "bad" if counts[FAILS] else "warn" if left or counts[NOT_MEASURED] else "good"
    ran = table(
        ("results", "minutes", "expected minutes", "exit status"), map(_row, done), numbers=1
    )
    return page(
        "CaPC artefact",
        element("h1", "CaPC artefact"),
        element("div", summary, class_=f"note {kind}"),
        section("Claims", *map(_claim, verdicts)),
        section("What ran", ran),
        section("Environment", environment_table(here)),
    )


def _claim(verdict: Verdict) -> Markup:
    """A claim with its command, what is expected and what was found: a table has no room for it."""
    facts = (("expected", verdict.expected), ("found", verdict.found))
    return element(
        "div",
        element("b", f"{verdict.claim}: {verdict.verdict}"),
        command_block(verdict.command),
        *(element("div", f"{name}: {value}") for name, value in facts),
        class_=f"note {_SHOWN[verdict.verdict][0]}",
    )


def _row(ran: Ran) -> tuple[object, ...]:
    step = ran.step
    log: Markup = element("a", "output", href=f"{step.name}/output.txt")
    named = (
        step.name if step.page is None else element("a", step.name, href=f"{step.name}/{step.page}")
    )
    cell = Markup(f"{named} ({log})")
    return cell, f"{ran.seconds / 60:.1f}", f"{step.minutes:g}", ran.status


def _parser() -> Parser:
    parser = Parser(
        "capc artefact",
        description="Run all that a reviewer needs into one folder, with an index page and a table "
        "of claims:\nclaim, command, what is expected, what was found.",
        examples=["capc artefact --size=small", "make artefact"],
    )
    parser.add_argument(
        "--size",
        choices=("small", "full"),
        default="small",
        help="small: minutes; full: more queries, parties and seeds, some 25 minutes "
        "(default: small)",
    )
    add_results_dir(parser, "results/artefact", "an empty or new folder for all of it")
    return parser
