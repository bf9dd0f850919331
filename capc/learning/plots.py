"""Figures that a paper could print: vector (PDF) and PNG, in colours that the colour-blind tell.

The colours are Okabe and Ito's; every series also differs in marker, hatch or position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from capc.learning.measures import mean_interval

if TYPE_CHECKING:
    import pandas

BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
_ARMS = {
    "own": ("own data", SKY, ""),
    "capc": ("with CaPC", BLUE, "//"),
    "vote": ("with the vote, no noise", GREEN, ".."),
}
_LINES = {"pate": ("plain PATE", ORANGE, ":"), "pooled": ("all data pooled", BLACK, "--")}
_LINES["distilled"] = ("distillation, no noise", GREEN, "--")
_LINES["ensemble"] = ("vote of all, no noise", VERMILION, "-.")


Ends = list[float]

_LEAST_FLOOR = 30.0  # percent
WIDTH, HEIGHT = 5.2, 3.4  # inches
_MANY = 6  # parties beyond which a figure grows wider and its ticks bear numbers alone
_SERIES = ((BLUE, "o-"), (VERMILION, "s--"), (GREEN, "^-."), (ORANGE, "D:"))


def draw(
    folder: Path, accuracy: pandas.DataFrame, classes: pandas.DataFrame, title: str
) -> list[Path]:
    """accuracy, strategies and fairness figures below `folder`/figures."""
    accuracy, classes = (table.fillna({"strategy": ""}) for table in (accuracy, classes))
    own = accuracy[accuracy["arm"] == "own"]
    parties = accuracy.loc[accuracy["party"] >= 0, "party"].nunique()
    files = save_figure(
        folder,
        "accuracy",
        lambda axes: _accuracy(axes, accuracy, title),
        marks=_bar_marks("seeds", (_units(part) for _, part in own.groupby("party"))),
        width=WIDTH * max(1.0, parties / _MANY),
    )
    if accuracy.loc[accuracy["arm"] == "capc", "strategy"].nunique() > 1:
        dots = len(own.groupby(["seed", "party"]))
        files += save_figure(
            folder,
            "strategies",
            lambda axes: _strategies(axes, accuracy, title),
            marks="dot: one querying party in one seed; diamond: their mean, with its 95 % "
            f"interval (Student's t); n = {dots} dots",
        )
    by_class = classes[classes["arm"] == "own"].dropna(subset="accuracy").groupby("class")
    files += save_figure(
        folder,
        "fairness",
        lambda axes: _fairness(axes, classes, title),
        marks=_bar_marks("parties and seeds", (_units(part) for _, part in by_class)),
    )
    return files


def _bar_marks(over: str, units: Iterable[Sequence[float]]) -> str:
    """What a bar and its line are, and over how many values."""
    n = span_text(len(values) for values in units)
    return f"bar: mean over {over}; line: its 95 % interval (Student's t); n = {n} a bar"


def span_text(counts: Iterable[int]) -> str:
    """One number, or the least and the most of several."""
    found = sorted(set(counts)) or [0]
    return f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"


def draw_sweep(folder: Path, sweep: pandas.DataFrame, title: str) -> list[Path]:
    """Queries answered and epsilon over the number of parties."""
    seeds = sweep["seed"].nunique()
    return save_figure(
        folder,
        "sweep",
        lambda axes: _sweep(axes, sweep, title),
        marks=f"dot: one seed; line: through the means of n = {seeds} seeds",
        panels=2,
        width=2 * WIDTH,
    )


def save_figure(
    folder: Path,
    name: str,
    plot: Callable[[Any], None],
    *,
    marks: str,
    panels: int = 1,
    rows: int = 1,
    width: float = WIDTH,
) -> list[Path]:
    """`folder`/figures/`name` as PDF and PNG; `marks` below it says what its bars and dots are."""
    import matplotlib as mpl  # noqa: PLC0415  a second that other commands need not wait for

    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    folder = folder / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(
        {"font.size": 9, "pdf.fonttype": 42, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure, axes = pyplot.subplots(rows, panels, figsize=(width, rows * HEIGHT))
        plot(axes)
        figure.tight_layout(rect=(0, 0.05 / rows, 1, 1))
        figure.text(0.5, 0.015 / rows, marks, ha="center", fontsize=6.5, color="#444444")
        files = [folder / f"{name}.pdf", folder / f"{name}.png"]
        figure.savefig(files[0], metadata={"CreationDate": None})
        figure.savefig(files[1], dpi=200)
        pyplot.close(figure)
    return files


def _first_strategy(table: pandas.DataFrame) -> str:
    """The strategy that the baseline `vote` was run with; without it, the answers' first one."""
    named = table[table["arm"] == "vote"]
    chosen = named if len(named) else table[table["arm"] == "capc"]
    return str(chosen["strategy"].iloc[0])


def _of_arm(table: pandas.DataFrame, arm: str, strategy: str) -> pandas.DataFrame:
    chosen: pandas.DataFrame = table[
        (table["arm"] == arm) & (table["strategy"].isin(["", strategy]))
    ]
    return chosen


def _units(table: pandas.DataFrame) -> list[float]:
    """Accuracy of each party in each seed, averaged over retraining seeds.

    With one such unit the retraining seeds are shown instead: there is nothing else to vary.
    """
    units: list[float] = table.groupby(["seed", "party"])["accuracy"].mean().tolist()
    every: list[float] = table["accuracy"].tolist()
    return units if len(units) > 1 else every


def _bars(axes: Any, place: Any, values: list[list[float]], arm: str, width: float) -> Ends:
    """One bar per entry with its interval; the ends of the intervals, in percent."""
    found = [mean_interval(entry) for entry in values]
    label, colour, hatch = _ARMS[arm]
    means = np.array([100 * entry.mean for entry in found])
    reach = np.array([100 * (entry.high - entry.mean) for entry in found])  # nan for one value
    axes.bar(
        place,
        means,
        width,
        yerr=reach,
        label=label,
        color=colour,
        hatch=hatch,
        edgecolor="white",
        ecolor="#444444",
        capsize=2,
        linewidth=0,
    )
    return [*means, *(means - reach), *(means + reach)]


def _accuracy(axes: Any, table: pandas.DataFrame, title: str) -> None:
    """Bars per querying party; each over seeds and retraining seeds."""
    strategy = _first_strategy(table)
    parties = sorted(table.loc[table["party"] >= 0, "party"].unique())
    shown = [arm for arm in _ARMS if (table["arm"] == arm).any()]
    ends: Ends = []
    for place, arm in enumerate(shown):
        mine = _of_arm(table, arm, strategy)
        values = [_units(mine[mine["party"] == party]) for party in parties]
        shift = 0.26 * (place - (len(shown) - 1) / 2)
        ends += _bars(axes, np.arange(len(parties)) + shift, values, arm, 0.25)
    for arm, (label, colour, style) in _LINES.items():
        found = table.loc[table["arm"] == arm, "accuracy"]
        if len(found):
            mean = 100 * found.mean()
            ends.append(mean)
            text = f"{label} ({mean:.1f})"
            axes.axhline(mean, color=colour, linestyle=style, label=text, zorder=0)
    word = "party " if len(parties) <= _MANY else ""
    axes.set_xticks(range(len(parties)), [f"{word}{party}" for party in parties])
    axes.set_xlabel("" if word else "querying party")
    axes.set_ylabel("accuracy, %")
    axes.set_title(title)
    _zoom(axes, ends)
    below = -0.1 if word else -0.18
    axes.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, below), frameon=False)


def _strategies(axes: Any, table: pandas.DataFrame, title: str) -> None:
    """The gain over own data by query choice; a dot per party and seed, the mean with interval."""
    keys = ["seed", "party"]
    own = table[table["arm"] == "own"].groupby(keys)["accuracy"].mean()
    gained = table[table["arm"] == "capc"]
    names = list(dict.fromkeys(gained["strategy"]))
    for place, name in enumerate(names):
        mine = gained[gained["strategy"] == name].groupby(keys)["accuracy"].mean()
        gain = 100 * (mine - own.reindex(mine.index))
        found = mean_interval(gain.tolist())
        jitter = np.linspace(-0.12, 0.12, len(gain)) if len(gain) > 1 else np.zeros(len(gain))
        axes.plot(place + jitter, gain, "o", color=SKY, markersize=4, zorder=1)
        axes.errorbar(
            [place],
            [found.mean],
            yerr=[found.high - found.mean],
            fmt="D",
            color=BLUE,
            capsize=4,
            zorder=2,
        )
    axes.axhline(0.0, color=BLACK, linewidth=0.8)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("gain in accuracy, percentage points")
    axes.set_title(title)


def _fairness(axes: Any, classes: pandas.DataFrame, title: str) -> None:
    """Accuracy by class before and after, over querying parties, seeds, retraining seeds."""
    strategy = _first_strategy(classes)
    labels = sorted(classes["class"].unique())
    ends: Ends = []
    for shift, arm in ((-0.2, "own"), (0.2, "capc")):
        mine = _of_arm(classes, arm, strategy)
        values = [_units(mine[mine["class"] == label].dropna()) for label in labels]
        ends += _bars(axes, np.arange(len(labels)) + shift, values, arm, 0.38)
    axes.set_xticks(range(len(labels)), [str(label) for label in labels])
    axes.set_xlabel("class")
    axes.set_ylabel("accuracy, %")
    axes.set_title(title)
    _zoom(axes, ends)
    axes.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False)


def _sweep(axes: Any, sweep: pandas.DataFrame, title: str) -> None:
    """Answered, and epsilon spent (data-independent), per number of parties.

    A line per query choice through the means over seeds, a dot for each seed.
    """
    panels = (
        ("answered", "queries answered, all parties"),
        ("epsilon_independent", "ε spent (data-independent)"),
    )
    names = list(dict.fromkeys(sweep["strategy"]))
    for place, (column, label) in enumerate(panels):
        for name, (colour, style) in zip(names, _SERIES, strict=False):
            mine = sweep[sweep["strategy"] == name]
            means = mine.groupby("parties")[column].mean()
            axes[place].plot(means.index, means.to_numpy(), style, color=colour, label=name)
            axes[place].plot(mine["parties"], mine[column], ".", color=colour, alpha=0.5)
        axes[place].set_xticks(sorted(sweep["parties"].unique()))
        axes[place].set_xlabel("parties K")
        axes[place].set_ylabel(label)
        axes[place].set_ylim(bottom=0)
    axes[0].legend(fontsize=7, title="query choice", title_fontsize=7, frameon=False)
    axes[0].figure.suptitle(title, fontsize=11)


def _zoom(axes: Any, ends: Ends) -> None:
    """An axis of accuracy that starts below the lowest interval; the label says that it does.

    It cuts no interval, but at 0 and 100 %.
    """
    floor = 5.0 * np.floor(float(np.nanmin(ends)) / 5.0) - 5.0
    floor = floor if floor >= _LEAST_FLOOR else 0.0
    axes.set_ylim(floor, min(float(np.nanmax(ends)) + 3.0, 101.0))
    if floor > 0:
        axes.set_ylabel(f"{axes.get_ylabel()} (from {floor:g})")
