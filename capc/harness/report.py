"""The end of a run on the screen: labels, times, what was checked, where the files are."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from capc.console import bytes_text, counted, epsilon_text, seconds_text, show_line
from capc.harness.command_again import PROGRAM
from capc.harness.outcome import Outcome
from capc.harness.paper import PAPER_NOTE
from capc.harness.recorder import Results
from capc.harness.rundir import RunDirectory
from capc.harness.settings import Settings
from capc.harness.tables import ALL_PHASES
from capc.harness.verify import Check
from capc.privacy.voting_rules import VotingRule

_MAX_ROWS = 20
_WIDTH_WITH_SPREAD = 80


def show_failure(consoles: Sequence[Console], outcome: Outcome) -> None:
    """Which party failed, why, and its last lines."""
    cause = outcome.cause
    for console in consoles:
        if cause is not None:
            who = cause.party or "the run"
            show_line(console, f"{who} failed: {cause.reason}", "bold red")
            for line in outcome.tail:
                show_line(console, f"  | {line}")
        if outcome.interrupted:
            show_line(console, "stopped: every party has been ended", "yellow")


def show_rest(
    consoles: Sequence[Console], settings: Settings, results: Results, folder: Path
) -> None:
    """What a run that was stopped has done, and the command for the rest."""
    done = next(query for query in itertools.count() if query not in results.answers)
    for console in consoles:
        if done >= settings.n_queries:
            show_line(console, f"all {settings.n_queries} queries were done")
            continue
        show_line(console, f"done: {done} of {settings.n_queries} queries, kept in queries.csv")
        show_line(console, f"the rest: {PROGRAM} --resume={shlex.quote(str(folder))}")


def show_privacy(consoles: Sequence[Console], statement: str) -> None:
    """The first line of a result: what its noise is worth."""
    for console in consoles:
        show_line(console, statement, "bold")


def show_labels(
    consoles: Sequence[Console],
    results: Results,
    true_labels: Sequence[int] | None,
    n_queries: int | None = None,
    *,
    rule: VotingRule | None = None,
) -> None:
    """The labels, in a table when they are few, and how many were answered and are right."""
    answers = [results.answers[query] for query in sorted(results.answers)]

    def said_of(label: int | None) -> str:
        return str(label if rule is None or label is None else rule.text(label))

    table = Table(box=box.SIMPLE)
    for name in ("query", "label", "true label", "epsilon spent"):
        table.add_column(name, justify="right")
    for answer in answers[:_MAX_ROWS]:
        spent = results.spent.get(answer.query)
        table.add_row(
            str(answer.query),
            said_of(answer.label) if answer.answered else "not answered",
            "" if true_labels is None else said_of(true_labels[answer.query]),
            epsilon_text(spent.epsilon if spent else None),
        )
    answered = [answer for answer in answers if answer.answered]
    for console in consoles:
        console.print(table)
        if len(answers) > _MAX_ROWS:
            show_line(console, f"and {len(answers) - _MAX_ROWS} more, in queries.csv")
        asked = len(answers) if n_queries is None else n_queries
        said = [f"{len(answered)} of {asked} answered"]
        if refused := asked - len(answers):
            said.append(f"{refused} refused")
        if below := len(answers) - len(answered):
            said.append(f"{below} below the threshold")
        if true_labels is not None and answered:
            right = sum(answer.label == true_labels[answer.query] for answer in answered)
            said.append(f"{counted(right, 'label')} right")
        show_line(console, ", ".join(said))


def show_agreement(consoles: Sequence[Console], checks: Mapping[int, Check]) -> None:
    """Whether the labels equal the reference: yes or no, for the run as a whole.

    Which ones do not would tell of votes. Under noise that was not opened nothing is compared.
    """
    found = {check.agrees for check in checks.values()}
    if not found:
        return
    said, style = "yes", ""
    if False in found:
        said, style = "NO", "bold red"
    elif None in found:
        style = "dim"
        said = (
            "not compared: noise may rightly change a label, so that it cannot be checked "
            "against the models (--verify opens the noise, and checks it)"
        )
    for console in consoles:
        show_line(console, f"the labels equal the reference on the same models: {said}", style)


def show_differing(
    consoles: Sequence[Console], checks: Mapping[int, Check], run: RunDirectory
) -> None:
    """That the protocol's integers change votes, where they do, and where to see which.

    Which and how many they are tells of votes without noise.
    """
    known = [check for check in checks.values() if check.integer_label is not None]
    differ = any(check.integer_label != check.float_label for check in known)
    for console in consoles if differ else ():
        show_line(
            console,
            "WARNING: the precision is too low: the protocol's integers vote for other labels than "
            f"the float models, before any noise; {run.private.check_csv} says for which queries",
            "bold red",
        )


def show_times(consoles: Sequence[Console], summary: Sequence[Mapping[str, Any]]) -> None:
    """Medians per step and phase, beside the paper's."""
    for console in consoles:
        console.print(_times(summary, spread=console.width >= _WIDTH_WITH_SPREAD))
        if any(row.get("paper_s") is not None for row in summary):
            show_line(console, f"paper: {PAPER_NOTE}; both: offline and online", "dim")


def _times(summary: Sequence[Mapping[str, Any]], *, spread: bool) -> Table:
    """Fits 80 columns with the spread, 60 without it."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    quantiles = {"median": "median_s"} | ({"p10": "p10_s", "p90": "p90_s"} if spread else {})
    for name in ("step", "phase"):
        table.add_column(name, no_wrap=True)
    for name in (*quantiles, "n", "bytes", "paper", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in summary:
        paper, ratio = row.get("paper_s"), row.get("ratio")
        table.add_row(
            row["step"],
            "both" if row["phase"] == ALL_PHASES else row["phase"],
            *(seconds_text(row[name]) for name in quantiles.values()),
            str(row["n"]),
            bytes_text(row["bytes_median"]),
            "" if paper is None else seconds_text(paper),
            "" if ratio is None else f"{ratio:.1f}x",
        )
    return table


def show_files(
    consoles: Sequence[Console], run: RunDirectory, attach: str | None, *, finished: bool
) -> None:
    """Where everything lies, and how to see the panes."""
    for console in consoles:
        if finished:
            show_line(console, f"queries:  {run.queries_csv}")
            show_line(console, f"times:    {run.timings_csv}")
            show_line(console, f"summary:  {run.summary_csv}")
            show_line(console, f"private:  {run.private.check_csv} (do not publish it)")
        show_line(console, f"logs:     {run.path / 'logs'}")
        if attach is not None:
            show_line(console, f"panes:    {attach}")
