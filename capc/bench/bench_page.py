"""The page of the benchmarks: a table for each area, and ours beside each peer as bars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from capc.bench.rows import Row, ratios
from capc.console import significant
from capc.harness.pages.drawings import WIDTH, svg, text_at
from capc.harness.pages.environment import repeat_section
from capc.harness.pages.markup import (
    Markup,
    command_block,
    element,
    figure,
    join,
    page,
    section,
    table,
)

HEAD = (
    *("benchmark", "implementation", "n", "median, ms", "p10, ms", "p90, ms"),
    *("sent, kB", "received, kB", "ratio", "note"),
)
LEGEND = (
    "n is how often each was measured. p10 and p90 are the tenth and ninetieth percentile: four of "
    "five measurements lie between them. ratio is the median over ours, which was measured in the "
    "same run. kB are 1,000 bytes, at the party that was measured."
)
_CAPTION = (
    "Bar: median. Line across its end: from p10 to p90. Bars of one benchmark share a scale that "
    "begins at 0; those of different benchmarks do not."
)
_LEFT, _LINE = 150, 20
_FONT = {"font_size": 11.5}
_BOLD = {**_FONT, "font_weight": "bold"}


def cells(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """The cells of a table under HEAD, one unit a column; empty where nothing was measured."""
    for row, ratio in zip(rows, ratios(rows), strict=True):
        yield (
            row.benchmark,
            row.implementation,
            str(row.n),
            *(_scaled(value, 1e3) for value in (row.median_s, row.p10_s, row.p90_s)),
            *(_scaled(value, 1e-3) for value in (row.bytes_sent, row.bytes_received)),
            "" if ratio is None else f"{ratio:.2f}",
            row.note,
        )


def bench_page(areas: Mapping[str, Sequence[Row]], machine: Mapping[str, Any], load: str) -> str:
    """The whole page, from the rows of each area."""
    parts: list[Markup] = [element("h1", "CaPC benchmarks"), element("p", LEGEND)]
    for area, rows in areas.items():
        found = [table((HEAD[0], *HEAD[2:-1]), _with_notes(rows), numbers=1)]
        if drawing := peers_drawing(rows):
            found.insert(0, figure(drawing, _CAPTION))
        parts.append(section(area, *found))
    command = f"capc bench {' '.join(areas)}"
    note = f"Load of the machine when this page was written: {load}"
    parts.append(repeat_section(machine, element("p", note, class_="dim"), command_block(command)))
    return page("CaPC benchmarks", *parts)


def _with_notes(rows: Sequence[Row]) -> Iterator[tuple[object, ...]]:
    """The same cells, what is text below the benchmark: so a phone has room for times."""
    for benchmark, implementation, *others, note in cells(rows):
        said = f"{implementation}; {note}" if note else implementation
        yield join([benchmark, element("span", said, class_="below")]), *others


def peers_drawing(rows: Sequence[Row]) -> Markup | None:
    """Bars for each benchmark that more than one implementation ran; None where there is none."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.median_s is not None:
            groups.setdefault(row.benchmark, []).append(row)
    parts, y = [], 4
    for benchmark, found in groups.items():
        if len(found) < 2:
            continue
        parts.append(text_at(4, y + 14, benchmark, text_anchor="start", **_BOLD))
        y += _LINE
        longest = max(row.p90_s or row.median_s or 0.0 for row in found)
        for row in found:
            parts.append(_bar(row, y, (WIDTH - _LEFT - 90) / longest))
            y += _LINE
        y += 8
    if not parts:
        return None
    return svg(y, "Ours beside peers, by benchmark", *parts)


def _bar(row: Row, y: int, scale: float) -> Markup:
    median, low, high = (value or 0.0 for value in (row.median_s, row.p10_s, row.p90_s))
    kind = "s1a" if row.implementation.startswith("builtin") else "s2"
    end, reach, middle = _LEFT + median * scale, _LEFT + high * scale, y + 8
    return join(
        [
            text_at(_LEFT - 6, y + 12, row.implementation, text_anchor="end", **_FONT),
            element("rect", x=_LEFT, y=y + 1, width=round(end - _LEFT, 2), height=14, class_=kind),
            element(
                "line",
                **{"x1": round(_LEFT + low * scale, 2), "x2": round(reach, 2), "y1": middle},
                y2=middle,
                class_="whisker",
            ),
            text_at(
                reach + 6, y + 12, f"{significant(median * 1e3)} ms", text_anchor="start", **_FONT
            ),
        ]
    )


def _scaled(value: float | None, factor: float) -> str:
    return "" if value is None else significant(value * factor)
