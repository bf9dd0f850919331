"""The scaling benchmark as tables, as a picture with a panel for each axis, and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from capc.bench.laws import Law
from capc.console import significant
from capc.harness.pages.environment import repeat_section
from capc.harness.pages.markup import command_block, element, figure, page, picture, section, table
from capc.learning.plots import BLUE, VERMILION, WIDTH, save_figure, span_text

AXES = {
    "parties": "answering parties",
    "classes": "classes",
    "hidden": "weights of the model",
    "batch": "queries at a time",
}
"""What each axis counts."""

_THOUSANDS = ("hidden",)  # axes of which one alone takes too little to be read

EXTRAPOLATED = 250  # parties, the paper's most

HEAD = ("along", "value", "n", "median, ms", "p10, ms", "p90, ms", "sent by all, MB")
LAW_HEAD = ("along", "fixed, ms", "each, ms", "off, %", "fixed, MB", "each, MB", "MB off, %")
LEGEND = (
    "Times are those of one batch of queries, all steps, offline and online, at the querying "
    "party; n batches were measured. p10 and p90 are the tenth and ninetieth percentile. Bytes are "
    "what all parties sent for the batch. A line is fixed + each * value; every measured point is "
    "within so many percent of it (off). All parties share one machine: on machines of their own, "
    "answering parties work side by side."
)
_MARKS = (
    "dot: median of a batch, line from it: p10 to p90; n = {n} batches a dot; "
    "square: bytes of a batch; dashed: the fitted line"
)


@dataclass(frozen=True)
class Point:
    """One batch of queries at one value of an axis: seconds at the querying party, all's bytes."""

    axis: str
    value: int
    n: int
    median_s: float
    p10_s: float
    p90_s: float
    megabytes: float


Laws = Mapping[str, tuple[Law, Law]]
"""By axis, the lines of seconds and of megabytes."""


def point_rows(points: Sequence[Point]) -> Iterator[tuple[str, ...]]:
    """The cells of a table under HEAD."""
    for point in points:
        times = (point.median_s, point.p10_s, point.p90_s)
        yield (
            *(AXES[point.axis], f"{point.value:,}", str(point.n)),
            *(significant(1e3 * seconds) for seconds in times),
            significant(point.megabytes),
        )


def law_rows(laws: Laws) -> Iterator[tuple[str, ...]]:
    """The cells of a table under LAW_HEAD."""
    for axis, (seconds, megabytes) in laws.items():
        counted = 1000 if axis in _THOUSANDS else 1
        yield (
            AXES[axis] if counted == 1 else f"{counted:,} {AXES[axis]}",
            *(significant(1e3 * value) for value in (seconds.fixed, counted * seconds.each)),
            f"{100 * seconds.off:.0f}",
            *(significant(value) for value in (megabytes.fixed, counted * megabytes.each)),
            f"{100 * megabytes.off:.0f}",
        )


def extrapolation(laws: Laws, most: int) -> str:
    """What EXTRAPOLATED parties would take, and how far that is from what was measured."""
    seconds, megabytes = (law.at(EXTRAPOLATED) for law in laws["parties"])
    return (
        f"By these lines, one query to {EXTRAPOLATED} answering parties would take "
        f"{significant(seconds)} s on this machine and {significant(megabytes)} MB in all. At most "
        f"{most} parties were measured: the rest is extrapolated."
    )


def draw_scaling(folder: Path, points: Sequence[Point], laws: Laws) -> list[Path]:
    """Seconds above, megabytes below; a column for each axis."""

    def plot(axes: Any) -> None:
        for place, (axis, label) in enumerate(AXES.items()):
            chosen = [point for point in points if point.axis == axis]
            values = [point.value for point in chosen]
            line = np.linspace(min(values), max(values), 50)
            above, below = axes[0][place], axes[1][place]
            medians = [1e3 * point.median_s for point in chosen]
            reach = [
                [1e3 * (point.median_s - point.p10_s) for point in chosen],
                [1e3 * (point.p90_s - point.median_s) for point in chosen],
            ]
            above.errorbar(values, medians, yerr=reach, fmt="o", color=BLUE, capsize=2)
            above.plot(line, 1e3 * laws[axis][0].at(line), "--", color=BLUE)
            megabytes = [point.megabytes for point in chosen]
            below.plot(values, megabytes, "s", color=VERMILION)
            below.plot(line, laws[axis][1].at(line), "--", color=VERMILION)
            below.set_xlabel(label)
            for panel in (above, below):
                panel.set_ylim(0, 1.06 * panel.get_ylim()[1])
                panel.set_xlim(0, 1.08 * max(values))
                panel.locator_params(axis="x", nbins=4)
                panel.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes[0][0].set_ylabel("milliseconds of a batch")
        axes[1][0].set_ylabel("megabytes sent by all")

    marks = _MARKS.format(n=span_text(point.n for point in points))
    return save_figure(
        folder, "scaling", plot, marks=marks, panels=len(AXES), rows=2, width=2.1 * WIDTH
    )


def scaling_page(
    points: Sequence[Point], laws: Laws, png: bytes, machine: Mapping[str, Any], command: str
) -> str:
    """The whole page."""
    heading = "How the protocol scales"
    most = max(point.value for point in points if point.axis == "parties")
    return page(
        heading,
        element("h1", heading),
        element("p", extrapolation(laws, most)),
        figure(picture(png, LEGEND, broad=True), LEGEND),
        section("The fitted lines", table(LAW_HEAD, law_rows(laws), numbers=1)),
        section("What was measured", table(HEAD, point_rows(points), numbers=1)),
        repeat_section(machine, command_block(command)),
        images=True,
    )
