"""The list of runs in a results folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from capc.harness.pages.markup import element, page, table

_HEAD = ("run", "started", "parties", "queries", "answered", "status", "privacy")


def index_page(runs: Iterable[tuple[Mapping[str, Any], bool]]) -> str:
    """A row for each run, with a link where it has a page."""
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
    return page("CaPC runs", element("h1", "CaPC runs"), table(_HEAD, rows))
