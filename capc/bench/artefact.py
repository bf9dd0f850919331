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
from capc.console import table_console
from capc.errors import ConfigError, FileError
from capc.files import REPOSITORY, write_whole
from capc.harness.pages.environment import environment_table
from capc.harness.pages.markup import Markup, element, page, section, table
from capc.harness.pages.run_files import INDEX, write_report
from capc.harness.rundir import machine
from capc.harness.tables import write_table

NO_RESULT = "no result: the command failed"


@dataclass(frozen=True)
class Verdict:
    """A claim and what was found, in words; a row of claims.csv."""

    claim: str
    command: str
    expected: str
    found: str
    holds: bool


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
        style = "green" if verdict.holds else "bold red"
        said = "holds" if verdict.holds else "DOES NOT HOLD"
        console.print(f"{said}: {verdict.claim}: {verdict.found}", style=style, highlight=False)
    console.print(f"report: {report}", highlight=False, soft_wrap=True)
    return ExitStatus.OK if all(verdict.holds for verdict in verdicts) else ExitStatus.DISAGREES


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
    found, holds = f"{NO_RESULT} with status {ran.status}", False
    if ran.status in (ExitStatus.OK, ExitStatus.DISAGREES):
        try:
            found, holds = claim.look(folder / ran.step.name, printed)
        except (OSError, ValueError, KeyError) as error:
            found = f"{NO_RESULT} to leave what was expected: {error}"
    return Verdict(claim.said, ran.command, claim.expected, found, holds)


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
    hold = sum(verdict.holds for verdict in verdicts)
    said = f"{hold} of {len(verdicts)} claims hold. The commands took {minutes:.1f} minutes."
    if left:
        said += f" {left} commands have not run yet."
    good = hold == len(verdicts) and not left
    rows = [
        (
            verdict.claim,
            element("code", verdict.command, class_="long"),
            verdict.expected,
            verdict.found,
            element("b", "holds" if verdict.holds else "does not hold"),
        )
        for verdict in verdicts
    ]
    head = ("claim", "command", "expected", "found", "so it")
    return page(
        "CaPC artefact",
        element("h1", "CaPC artefact"),
        element("div", said, class_=f"note {'good' if good else 'bad'}"),
        section("Claims", table(head, rows)),
        section(
            "What ran", table(("results", "minutes", "expected", "status"), map(_row, done), 1)
        ),
        section("Environment", environment_table(here)),
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
        help="small: minutes; full: more queries, parties and seeds, most of an hour "
        "(default: small)",
    )
    add_results_dir(parser, "results/artefact", "an empty or new folder for all of it")
    return parser
