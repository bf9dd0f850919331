"""The page of a run: what was asked, what happened, what it cost, who learned what.

It is made of what may be shown alone: the record as it is published and the public tables, so that
the page of a run and that of its publication are the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from capc.command_line import STATUS_MEANINGS
from capc.console import bytes_text, counted, epsilon_text, seconds_text
from capc.data.own_data import title
from capc.files import REPOSITORY
from capc.harness.command_again import command_again
from capc.harness.pages import drawings
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
from capc.harness.pages.tables_of_run import Row, Tables, bars, middle_query, number
from capc.harness.paper import PAPER_NOTE
from capc.harness.published_records import run_record
from capc.roles import QUERYING

_MAX_ROWS = 200
_SHIPPED = re.compile(r"config/[\w-]+\.json")
# Where a run is kept, and by whom it is run, does not change what it does.
_OF_THE_PLACE = {"user", "results_dir", "log_timing_file", "session"}
_WEAKENED = {
    "cpu": "no encryption: every answering party saw every query (--cpu)",
    "security_level": "encryption parameters under 128-bit security (--insecure)",
    "verify": "every share was opened to the driver (--verify)",
    "no_noise": "something was opened without noise: epsilon is infinite",
    "emp": "the circuits ran on EMP 0.3, which checks less of what a peer sends",
}


def run_page(record: Mapping[str, Any], tables: Tables) -> str:
    """The whole page, from run.json and the tables of a run that ended, well or not."""
    shown, dropped = run_record(record)
    heading = join(
        [
            element("h1", f"CaPC run {shown['run_id']}"),
            element("p", f"{shown['start']} to {shown.get('end', 'now')}", class_="dim"),
        ]
    )
    return page(
        f"CaPC run {shown['run_id']}",
        heading,
        *_warnings(shown),
        _facts(shown, tables),
        _asked(shown),
        *_drawn(shown, tables),
        *_labels(shown, tables),
        _learned(shown, tables),
        *_times(tables),
        _repeat(record, shown, dropped),
    )


def _warnings(shown: Mapping[str, Any]) -> list[Markup]:
    """What a reader must know first: how it ended, what weakened it, what its noise is worth."""
    said: list[tuple[str, str]] = []
    status = shown.get("exit_status")
    if status:
        meaning = {int(known): text for known, text in STATUS_MEANINGS.items()}.get(status, "")
        said.append(("bad", f"The run ended with status {status}: {meaning}."))
    if party := (shown.get("failure") or {}).get("party"):
        said.append(("bad", f"The party that failed: {party}."))
    said += [("bad", complaint) for complaint in shown.get("complaints") or []]
    if (refused := shown.get("refused")) and not shown.get("complaints"):
        said.append(("warn", f"The budget refused query {refused['query']} and those after it."))
    said += [("warn", _WEAKENED.get(name, name)) for name in shown.get("insecure") or []]
    if privacy := shown.get("privacy"):
        said.append(("warn" if "no meaningful privacy" in privacy else "good", privacy))
    return [element("div", text, class_=f"note {kind}") for kind, text in said]


def _facts(shown: Mapping[str, Any], tables: Tables) -> Markup:
    flags = shown["flags"]
    answered = [row for row in tables.queries if row["answered"] == "true"]
    known = [row for row in answered if row["true_label"]]
    right = sum(row["label"] == row["true_label"] for row in known)
    facts = [
        (f"{len(answered)} of {flags['n_queries']}", "queries answered"),
        (f"{right} of {len(known)}" if known else "not known", "labels right"),
        (_spent(tables), f"epsilon spent, of {_budget_text(flags)}"),
    ]
    asked = [row for row in tables.timings if row["party"] == QUERYING and row["query"]]
    if asked:
        queries = len({row["query"] for row in asked})
        seconds = sum(float(row["seconds"]) for row in asked) / queries
        facts.append((seconds_text(seconds), "a query, on average"))
    sent = sum(int(row["bytes_sent"]) for row in tables.timings)
    facts.append((bytes_text(sent), "sent by all parties"))
    return element(
        "div",
        *(element("div", element("b", value), element("span", name)) for value, name in facts),
        class_="facts",
    )


def _spent(tables: Tables) -> str:
    spent = [number(row["epsilon_spent"]) for row in tables.queries]
    return epsilon_text(max((value for value in spent if value is not None), default=0.0))


def _budget_text(flags: Mapping[str, Any]) -> str:
    budget = drawings.budget_of_flags(flags.get("epsilon"))
    return "no limit" if budget is None else f"{budget:g}"


def _asked(shown: Mapping[str, Any]) -> Markup:
    flags, noise = shown["flags"], shown.get("noise") or {}
    encryption = shown["encryption_parameters"]
    primes = "+".join(map(str, encryption["coeff_modulus"]))
    rows: list[tuple[str, object]] = [
        ("queries", f"{flags['n_queries']}, {flags['batch_size']} at a time"),
        ("data", flags.get("dataset_name", "saved queries")),
        ("answering parties", flags["n_parties"]),
        ("model", flags.get("model_type", "a file of its own")),
        ("noise", _noise_text(flags, noise)),
        ("threshold", _threshold_text(flags)),
        ("epsilon of the budget", _budget_text(flags)),
        ("delta", "1e-05" if flags["delta"] is None else f"{flags['delta']:g}"),
        (
            "encryption",
            f"BFV, degree {encryption['poly_modulus_degree']}, primes of {primes} bits, "
            f"{encryption['security_level']}-bit security",
        ),
    ]
    return section("What was asked", table(("what", "value"), rows))


def _noise_text(flags: Mapping[str, Any], noise: Mapping[str, Any]) -> str:
    sigma = noise.get("sigma", flags.get("sigma"))
    if noise.get("source", flags.get("noise")) == "distributed":
        among = f"{flags['colluding']} of whom may tell others"
        return f"scale {sigma:g}, drawn by the answering parties, {among}"
    return "not stated" if sigma is None else f"scale {sigma:g}, drawn by the guardian"


def _threshold_text(flags: Mapping[str, Any]) -> str:
    if flags.get("threshold") is None:
        return "none: every query is answered"
    if flags.get("sigma_threshold") is None:
        return f"{flags['threshold']} votes"
    return f"{flags['threshold']} votes, under noise of scale {flags['sigma_threshold']:g}"


def _drawn(shown: Mapping[str, Any], tables: Tables) -> list[Markup]:
    """The protocol with this run's figures, and one query in time."""
    found = []
    if tables.summary:
        drawing = drawings.protocol_drawing(
            shown["flags"]["n_parties"],
            tables.summary,
            encrypted="cpu" not in (shown.get("insecure") or []),
        )
        caption = (
            "Medians over the queries: the querying party's seconds (where it has none, those of "
            "who took longest), and the bytes that all parties sent. Every link is TLS 1.3."
        )
        found.append(section("The protocol in this run", figure(drawing, caption)))
    query = middle_query(tables.timings)
    if query is not None:
        caption = (
            f"Query {query}, whose time is the median. The tables hold how long a step took: the "
            "querying party's steps are laid end to end, and what others did in a step ends with "
            "it. Waiting for the querying party is left out."
        )
        drawing = drawings.timeline_drawing(bars(tables.timings, query))
        found.append(section("One query in time", figure(drawing, caption)))
    return found


def _labels(shown: Mapping[str, Any], tables: Tables) -> list[Markup]:
    if not tables.queries:
        return []
    spent = [number(row["epsilon_spent"]) for row in tables.queries]
    finite = [value for value in spent if value is not None and value < float("inf")]
    parts: list[Markup] = []
    if finite:
        budget = drawings.budget_of_flags(shown["flags"].get("epsilon"))
        caption = "Epsilon spent after each query" + _left(budget, max(finite))
        parts.append(figure(drawings.epsilon_drawing(finite, budget), caption))
    rows = [
        (
            row["query"],
            row["label"] if row["answered"] == "true" else "not answered",
            row["true_label"],
            epsilon_text(number(row["epsilon_spent"])),
        )
        for row in tables.queries[:_MAX_ROWS]
    ]
    parts.append(table(("query", "label", "true label", "epsilon spent"), rows, numbers=3))
    if (more := len(tables.queries) - _MAX_ROWS) > 0:
        parts.append(element("p", f"and {more} more, in queries.csv", class_="dim"))
    return [section("Labels and budget", *parts)]


def _left(budget: float | None, spent: float) -> str:
    if budget is None:
        return "; no limit was set."
    return f": {spent:.4g} of {budget:g}, {max(budget - spent, 0.0):.4g} left."


def _learned(shown: Mapping[str, Any], tables: Tables) -> Markup:
    """Who learned what, by the protocol; more only where a switch gave it up."""
    labels = sum(row["answered"] == "true" for row in tables.queries)
    with_threshold = shown["flags"].get("threshold") is not None
    weak = shown.get("insecure") or []
    rows = [
        ("querying party", f"{counted(labels, 'label')}, and which queries were not answered"),
        (
            "each answering party",
            "every query, in the clear (--cpu)" if "cpu" in weak else "nothing",
        ),
        (
            "privacy guardian",
            "how many queries were asked, and which were answered"
            if with_threshold
            else "how many queries were asked",
        ),
        (
            "the experimenter, who ran all parties",
            "labels, times and epsilon" + ("; every share (--verify)" if "verify" in weak else ""),
        ),
    ]
    note = (
        "Whoever follows the protocol learns no more, and a querying party that cheats gets "
        "nothing more either; SECURITY.md and docs/adversary.md say what is promised and what is "
        "not. This page holds outputs of the protocol and times, nothing of the folder private/."
    )
    return section(
        "Who learned what", table(("who", "learned"), rows), element("p", note, class_="dim")
    )


def _times(tables: Tables) -> list[Markup]:
    if not tables.summary:
        return []
    beside = any(row["paper_s"] for row in tables.summary)
    head = ["step", "phase", "median", "p10", "p90", "n", "bytes"]
    rows = [_time_row(row, beside=beside) for row in tables.summary]
    parts = [table([*head, *(["paper", "ratio"] if beside else [])], rows, numbers=2)]
    if beside:
        parts.append(element("p", f"paper: {PAPER_NOTE}", class_="dim"))
    return [section("Times", *parts)]


def _time_row(row: Row, *, beside: bool) -> list[str]:
    cells = [row["step"], row["phase"]]
    cells += [seconds_text(float(row[name])) for name in ("median_s", "p10_s", "p90_s")]
    cells += [row["n"], bytes_text(float(row["bytes_median"]))]
    paper, ratio = number(row["paper_s"]), number(row["ratio"])
    if beside:
        cells.append("" if paper is None else seconds_text(paper))
        cells.append("" if ratio is None else f"{ratio:.1f}x")
    return cells


def _repeat(record: Mapping[str, Any], shown: Mapping[str, Any], dropped: Sequence[str]) -> Markup:
    """The machine, and the command; a text that names a file is left out of it."""
    command, hides = _command(record["flags"], shown["flags"], dropped)
    parts = [command_block(command)]
    if hides:
        parts.append(element("p", "... stands for a name of a file or user", class_="dim"))
    return repeat_section(shown["machine"], *parts)


def _command(
    flags: Mapping[str, Any], shown: Mapping[str, Any], dropped: Sequence[str]
) -> tuple[str, bool]:
    told = dict(shown)
    hidden = {name.removeprefix("flags.") for name in dropped if name.startswith("flags.")}
    name = str(flags.get("encryption_params"))
    if _SHIPPED.fullmatch(name) and (REPOSITORY / name).is_file():
        told["encryption_params"] = name
    if title(str(flags.get("dataset_name"))) != flags.get("dataset_name"):
        hidden.add("dataset_name")
    bare = command_again({})
    usual = {flag for flag in hidden if command_again({flag: flags[flag]}) == bare}
    unknown = hidden - usual - _OF_THE_PLACE - set(told)
    unknown |= {"dataset_name"} & hidden
    return command_again(told, unknown), bool(unknown)
