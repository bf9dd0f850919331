"""The page of a learning experiment: what was asked, what came of it, figures, times.

It shows accuracies, which are measured on models and votes without noise. So it may be shown where
the training data are public, and not elsewhere: `capc publish` copies it under --public_data alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from capc.console import epsilon_text
from capc.data.own_data import title
from capc.harness.pages.environment import repeat_section
from capc.harness.pages.markup import (
    Markup,
    command_block,
    element,
    figure,
    join,
    page,
    picture,
    section,
    table,
)
from capc.harness.pages.tables_of_run import Row, number
from capc.learning.query_stage import PATE

_ARMS = {
    "own": "own data alone",
    "capc": "own data and the answers",
    "vote": "own data and the same queries, all labelled by the vote without noise",
    "pate": "a student on the answers alone (plain PATE)",
    "distilled": "the same student on the vote without noise",
    "pooled": "all parties' data pooled",
    "ensemble": "the vote itself as a classifier, without noise",
}
_CAPTIONS = {
    "accuracy": "A bar is the mean accuracy of a querying party's model over seeds and retraining "
    "seeds, its line the 95 % interval of that mean (Student's t), and n is in the table above. "
    "Lines across are baselines.",
    "strategies": "A dot is one querying party in one seed. A diamond is their mean, with its 95 % "
    "interval. Above 0 the answers helped.",
    "fairness": "A bar is the mean accuracy on one class over querying parties, seeds and "
    "retraining seeds, its line the 95 % interval of that mean.",
    "sweep": "A dot is one seed, and the line goes through their means.",
}
_COUNTS = ("asked", "answered", "right, %", "epsilon")
_PRIVATE = (
    "This page has accuracies, which are measured on models and votes without noise: no epsilon "
    "covers them. Show it where the training data are public, and not elsewhere."
)


def learn_page(
    record: Mapping[str, Any], tables: Mapping[str, Sequence[Row]], figures: Mapping[str, bytes]
) -> str:
    """The whole page, from run.json, the tables by name, and the figures (PNG) by name."""
    experiment = record["experiment"]
    heading = f"CaPC experiment {experiment['name']}"
    return page(
        heading,
        element("h1", heading),
        element("div", _PRIVATE, class_="note warn"),
        _asked(experiment),
        *_answers(tables.get("queries", ())),
        *_accuracies(tables.get("summary", ())),
        *_sweep(tables.get("sweep", ())),
        *_figures(figures),
        _costs(record),
        _repeat(record),
        images=bool(figures),
    )


def _asked(experiment: Mapping[str, Any]) -> Markup:
    privacy = experiment["privacy"]
    threshold, limit = privacy.get("threshold"), privacy.get("epsilon")
    rows = [
        ("data", title(str(experiment["dataset"]))),
        ("parties", f"{experiment['parties']}, of whom {experiment['querying_parties']} ask"),
        ("models", ", ".join(map(str, experiment["models"]))),
        ("choice of queries", ", ".join(map(str, experiment["strategies"]))),
        ("noise", f"scale {privacy['sigma']:g}"),
        ("threshold", "none" if threshold is None else f"{threshold:g} votes"),
        (
            "budget",
            "no limit" if limit is None else f"epsilon {limit:g}, delta {privacy['delta']:g}",
        ),
        ("seeds", ", ".join(map(str, experiment["seeds"]))),
        ("retraining seeds", experiment["retraining_seeds"]),
    ]
    return section("What was asked", table(("what", "value"), rows))


def _answers(queries: Sequence[Row]) -> list[Markup]:
    """Questions and answers by querying party; epsilon is that of all of them together."""
    if not queries:
        return []
    rows = [
        (
            _two_lines(
                "the student" if row["party"] == "-1" else f"party {row['party']}",
                f"seed {row['seed']}, {row['strategy']}",
            ),
            *_counts(row),
        )
        for row in queries
    ]
    note = "Epsilon is what all querying parties of a seed and strategy spent together."
    head = ("who asked", *_COUNTS)
    return [section("Answers", table(head, rows, numbers=1), element("p", note, class_="dim"))]


def _accuracies(summary: Sequence[Row]) -> list[Markup]:
    """Mean, 95 % interval and n of the accuracy of each way to train, and of the gains."""
    rows = [
        (
            _two_lines(
                _ARMS.get(row["arm"], row["arm"])
                + (", gain" if row["metric"] == "accuracy_gain" else ""),
                f"queries by {row['strategy']}" if row["strategy"] not in ("", PATE) else "",
            ),
            _percent(row["mean"]),
            f"{_percent(row['low'])} to {_percent(row['high'])}" if int(row["units"]) > 1 else "",
            row["units"],
        )
        for row in sorted(summary, key=_place)
        if row["metric"] in ("accuracy", "accuracy_gain") and row["units"] != "0"
    ]
    if not rows:
        return []
    note = (
        "n is the number of units: one querying party in one seed, averaged over retraining seeds. "
        "The interval is Student's t over units. A gain is against own data alone, in percentage "
        "points. The paper gives accuracies for other data and models, which are not repeated "
        "here; docs/learning.md sets its claims beside what was found."
    )
    head = ("trained on", "accuracy, %", "95 % interval", "n")
    found = [table(head, rows, numbers=1), element("p", note, class_="dim")]
    return [section("Accuracy on test examples", *found)]


def _place(row: Row) -> tuple[bool, int]:
    """Accuracies before gains, each in the order of the ways to train."""
    arms = list(_ARMS)
    place = arms.index(row["arm"]) if row["arm"] in arms else len(arms)
    return row["metric"] != "accuracy", place


def _sweep(sweep: Sequence[Row]) -> list[Markup]:
    if not sweep:
        return []
    rows = [
        (
            _two_lines(f"{row['parties']} parties", f"seed {row['seed']}, {row['strategy']}"),
            *_counts(row),
        )
        for row in sweep
    ]
    head = ("who voted", *_COUNTS)
    return [section("Over the number of parties", table(head, rows, numbers=1))]


def _counts(row: Row) -> tuple[str, ...]:
    return (
        row["asked"],
        row["answered"],
        _percent(row["labels_right"]),
        epsilon_text(number(row["epsilon_independent"])),
    )


def _two_lines(said: str, below: str) -> Markup:
    return join([said, element("span", below, class_="below")])


def _figures(figures: Mapping[str, bytes]) -> list[Markup]:
    found = []
    for name, content in figures.items():
        caption = _CAPTIONS.get(name, "")
        found.append(figure(picture(content, f"{name}: {caption}"), caption))
    return [section("Figures", *found)] if found else []


def _costs(record: Mapping[str, Any]) -> Markup:
    rows = [(f"{name}, seconds", f"{spent:.0f}") for name, spent in record["stages"].items()]
    rows += [
        (f"most memory of {name.replace('_', ' ')}, MiB", str(most))
        for name, most in record.get("peak_memory_mib", {}).items()
    ]
    return section("What it took", table(("what", "value"), rows, numbers=1))


def _percent(cell: str) -> str:
    value = number(cell)
    return "" if value is None else f"{100 * value:.1f}"


def _repeat(record: Mapping[str, Any]) -> Markup:
    note = "experiment.json is the field `experiment` of run.json, as a file."
    return repeat_section(
        record["machine"],
        command_block(f"capc learn {record['stage']} --config experiment.json"),
        element("p", note, class_="dim"),
    )
