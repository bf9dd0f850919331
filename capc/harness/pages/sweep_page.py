"""The page of a sweep: what was varied, and a row for each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from capc.console import epsilon_text, seconds_text
from capc.harness.pages.markup import element, join, page, section, table

_HEAD = ("status", "answered", "right", "agreement", "epsilon", "seconds")


def sweep_page(
    name: str,
    command: str,
    varied: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    links: Mapping[str, str],
) -> str:
    """The whole page; `links` are addresses by the keys of runs that have a page."""
    heading = f"CaPC sweep {name}"
    shown = []
    for row in rows:
        key = row["run"]
        link = element("a", key[:8], href=links[key]) if key in links else key[:8]
        settings = (row[column] for column in varied)
        shown.append((link, *settings, *_outcome(row)))
    parts = [
        element("h1", heading),
        element("p", f"{len(rows)} runs of capc {command}. All figures are in sweep.csv."),
        section("Runs", table(("run", *varied, *_HEAD), shown)),
    ]
    failed = [row for row in rows if row.get("reason")]
    if failed:
        reasons = [(row["run"][:8], row["reason"]) for row in failed]
        parts.append(section("Without a result", table(("run", "why"), reasons)))
    return page(heading, join(parts, "\n"))


def _outcome(row: Mapping[str, Any]) -> tuple[str, ...]:
    seconds = row.get("seconds")
    return (
        str(row.get("status", "")),
        *(str("" if row.get(name) is None else row[name]) for name in ("answered", "labels_right")),
        str(row.get("agreement") or ""),
        "" if row.get("epsilon") is None else epsilon_text(row["epsilon"]),
        "" if seconds is None else seconds_text(seconds),
    )
