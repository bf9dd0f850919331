"""Figures: no interval is cut, a line per query choice, room for many parties."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from capc.learning import plots


def table(parties: int, accuracies: tuple[float, ...], **columns: Any) -> pd.DataFrame:
    """Rows of accuracy.csv: each arm and party with these accuracies, a seed for each."""
    rows = [
        {"seed": seed, "party": party, "arm": arm, "strategy": strategy, "accuracy": accuracy}
        for arm, strategy in (("own", ""), ("capc", "gap"), ("vote", "gap"))
        for party in range(parties)
        for seed, accuracy in enumerate(accuracies)
    ]
    return pd.DataFrame(rows).assign(**columns)


def intervals(axes: Any) -> NDArray[np.float64]:
    """The ends of every error bar that is drawn."""
    segments = [segment for bars in axes.collections for segment in bars.get_segments()]
    return np.array([segment[:, 1] for segment in segments if segment.size])


@pytest.mark.parametrize("accuracies", [(0.2, 0.3, 0.25), (0.85, 0.86), (0.5, 0.9), (0.91, 0.99)])
def test_no_interval_is_cut_inside_0_to_100(accuracies: tuple[float, ...]) -> None:
    axes = Figure().subplots()
    plots._accuracy(axes, table(3, accuracies), "title")
    low, high = axes.get_ylim()
    ends = intervals(axes)
    assert len(ends) == 9
    assert low <= max(ends.min(), 0.0)
    assert high >= min(ends.max(), 100.0)
    assert (f"(from {low:g})" in axes.get_ylabel()) == (low > 0)


def test_one_value_has_no_interval() -> None:
    axes = Figure().subplots()
    plots._accuracy(axes, table(2, (0.8,)), "title")
    assert not np.isfinite(intervals(axes)).any()
    assert axes.get_ylim()[0] == 75.0


@pytest.mark.parametrize(("parties", "label", "width"), [(3, "party 0", 1), (18, "0", 3)])
def test_many_parties_get_a_wider_figure(
    tmp_path: Path, parties: int, label: str, width: int
) -> None:
    axes = Figure().subplots()
    accuracy = table(parties, (0.8, 0.9))
    plots._accuracy(axes, accuracy, "title")
    assert axes.get_xticklabels()[0].get_text() == label
    classes = accuracy.assign(**{"class": 0})
    path = next(p for p in plots.draw(tmp_path, accuracy, classes, "t") if p.name == "accuracy.png")
    pixels = int.from_bytes(path.read_bytes()[16:20], "big")
    assert pixels == pytest.approx(width * 5.2 * 200, abs=2)


def test_a_sweep_has_a_line_per_query_choice_and_a_tick_per_number_of_parties() -> None:
    rows = [
        {"parties": k, "seed": s, "strategy": name, "answered": k * place + s}
        for k in (10, 50)
        for s in (0, 2)
        for place, name in enumerate(("gap", "random"), start=1)
    ]
    axes = Figure().subplots(1, 2)
    plots._sweep(axes, pd.DataFrame(rows).assign(epsilon_independent=3.0), "title")
    lines = {line.get_label(): line.get_ydata().tolist() for line in axes[0].get_lines()}
    assert lines["gap"] == [11, 51]
    assert lines["random"] == [21, 101]
    assert axes[1].get_xticks().tolist() == [10, 50]
