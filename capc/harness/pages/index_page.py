"""The list of what is in a results folder: runs, experiments, benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from capc.harness.pages.markup import element, page, section, table

_HEAD = ("run", "started", "parties", "queries", "answered", "status", "privacy")


def index_page(
    runs: Iterable[tuple[Mapping[str, Any], bool]], others: Sequence[tuple[str, str, float]]
) -> str:
    """A row for each run, with a link where it has a page; then those of all else.

    `others` are what each is, its address, and when its page was written (seconds since 1970).
    """
    rows = []
    for record, has_page in runs:
        name, flags = str(record["run_id"]), record.get("flags") or {}
        link = element("a", name, href=f"{name}/report.html") if has_page else name
        status = record.get("exit_status")
        rows.append(
            (
                link,
                str(record.get("start", ""))[:19].replace("T", " "),
                flags.get("n_parties", ""),
                flags.get("n_queries", ""),
                record.get("answers", ""),
                "running" if status is None else status,
                record.get("privacy") or "",
            )
        )
    parts = [element("h1", "CaPC runs"), table(_HEAD, rows)]
    if others:
        listed = [(element("a", at, href=at), kind, _day(written)) for kind, at, written in others]
        parts.append(
            section("Experiments and benchmarks", table(("page", "what", "written"), listed))
        )
    return page("CaPC runs", *parts)


def _day(written: float) -> str:
    return datetime.fromtimestamp(written, timezone.utc).isoformat(" ", "minutes")[:16]
