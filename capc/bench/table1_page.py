"""Table 1 as a paper could print it: cells in milliseconds, a picture, and a page with both."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from capc.console import significant
from capc.harness.pages.environment import repeat_section
from capc.harness.pages.markup import command_block, element, figure, page, picture, table
from capc.harness.paper import PAPER_NOTE
from capc.learning.plots import BLUE, ORANGE, WIDTH, save_figure, span_text

HEAD = (
    *("row", "steps", "n", "ours, ms", "± ms", "online, ms"),
    *("paper, ms", "± ms", "paper / ours"),
)
LEGEND = (
    "n is the number of queries. Ours and the paper's are means, ± one standard deviation over "
    "queries, offline and online together (online: of that alone), with one answering party and a "
    "batch of 1. N is the degree of the polynomials."
)
NOT_THE_SAME = (
    "The schemes differ: the paper's step 1a is he-transformer with CKKS, which approximates; ours "
    "is BFV with circuits, which is exact. The machines differ too: the ratio is no comparison of "
    "implementations. On a GPU without encryption, the paper's step 1a took 3.15 s."
)
_MARKS = "bar: mean; line: one standard deviation to either side; n = {n} queries a bar of ours"


@dataclass(frozen=True)
class Cell:
    """One figure: ours is the mean and standard deviation over `n` queries, as the paper's is."""

    row: str
    steps: str
    n: int
    mean_s: float
    deviation_s: float
    online_mean_s: float
    paper_s: float
    paper_deviation_s: float
    ratio: float


def text_rows(cells: Sequence[Cell]) -> Iterator[tuple[str, ...]]:
    """The cells of a table under HEAD: all times in milliseconds."""
    for cell in cells:
        times = (cell.mean_s, cell.deviation_s, cell.online_mean_s)
        paper = (cell.paper_s, cell.paper_deviation_s)
        yield (
            *(cell.row, cell.steps, str(cell.n)),
            *(significant(1e3 * seconds) for seconds in (*times, *paper)),
            significant(cell.ratio),
        )


def draw_table1(folder: Path, cells: Sequence[Cell]) -> list[Path]:
    """A panel for each group of steps, ours beside the paper's on a logarithmic axis."""
    groups = list(dict.fromkeys(cell.steps for cell in cells))

    def plot(drawn: Any) -> None:
        axes = np.atleast_1d(drawn)
        for place, steps in enumerate(groups):
            chosen = [cell for cell in cells if cell.steps == steps]
            _panel(axes[place], steps, chosen)
            axes[place].set_ylim(_least(cells), 2e3 * max(cell.paper_s for cell in cells))
        axes[0].set_ylabel("milliseconds a query")
        axes[0].figure.legend(
            *axes[0].get_legend_handles_labels(), fontsize=7, frameon=False, ncols=2,
            loc="upper center", bbox_to_anchor=(0.5, 0.1),
        )  # fmt: skip

    marks = _MARKS.format(n=span_text(cell.n for cell in cells))
    return save_figure(folder, "table1", plot, marks=marks, panels=len(groups), width=1.8 * WIDTH)


def _least(cells: Sequence[Cell]) -> float:
    """The power of ten below all figures, in milliseconds: where the bars begin."""
    least = min(min(cell.mean_s, cell.paper_s) for cell in cells)
    return float(10.0 ** (math.floor(math.log10(1e3 * least)) - 1))


def _panel(axes: Any, steps: str, cells: Sequence[Cell]) -> None:
    series = (
        ("ours", BLUE, "//", [(cell.mean_s, cell.deviation_s) for cell in cells]),
        ("the paper's, as remembered", ORANGE, "", [
            (cell.paper_s, cell.paper_deviation_s) for cell in cells
        ]),
    )  # fmt: skip
    for shift, (label, colour, hatch, figures) in zip((-0.2, 0.2), series, strict=True):
        means = [1e3 * mean for mean, _ in figures]
        # a line to below 0 has no place on a logarithmic axis
        down = [1e3 * min(deviation, 0.9 * mean) for mean, deviation in figures]
        up = [1e3 * deviation for _, deviation in figures]
        places = [place + shift for place in range(len(cells))]
        axes.bar(
            places, means, 0.38, yerr=(down, up), label=label, color=colour, hatch=hatch,
            edgecolor="white", ecolor="#444444", capsize=2, linewidth=0,
        )  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.yaxis.set_minor_formatter(lambda *_: "")
    axes.set_xticks(range(len(cells)), [cell.row.replace(" = ", "=") for cell in cells])
    axes.tick_params(axis="x", labelsize=7, rotation=20)
    axes.set_title(f"steps {steps}" if "-" in steps else f"step {steps}")


def table1_page(cells: Sequence[Cell], png: bytes, machine: Mapping[str, Any], command: str) -> str:
    """The whole page."""
    caption = f"{LEGEND} The paper's: {PAPER_NOTE}. The axis is logarithmic."
    heading = "Table 1 of the paper, with ours beside it"
    return page(
        heading,
        element("h1", heading),
        element("div", NOT_THE_SAME, class_="note warn"),
        figure(picture(png, caption, broad=True), caption),
        table(HEAD, text_rows(cells), numbers=2),
        repeat_section(machine, command_block(command)),
        images=True,
    )
