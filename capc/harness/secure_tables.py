"""The tables that a run of the protocol left, as `capc learn --secure` reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from capc.errors import ProtocolError
from capc.label_sets import set_number
from capc.learning.voting import Answers
from capc.privacy.voting_rules import VotingRule


def read_table(path: Path) -> Any:
    """A table of a run that ended well."""
    import pandas  # noqa: PLC0415

    if not path.is_file():
        raise ProtocolError(f"the protocol's run wrote no {path.name}")
    return pandas.read_csv(path, dtype={"label": str})


def truth(column: Any) -> Any:
    """A column of true and false as such, and of nothing as nothing."""
    return column.map(lambda value: {"true": True, "false": False}.get(str(value).lower()))


def read_queries(run: Path) -> Any:
    """The queries that a run did not refuse."""
    table = read_table(run / "queries.csv")
    table["answered"] = truth(table["answered"])
    if "delta" in table:  # a query that the budget refused was charged nothing
        table = table[(table["answered"] == True) | table["delta"].notna()]  # noqa: E712
    return table


def answers_of(table: Any, asked: int, rule: VotingRule) -> Answers:
    """The rows of queries.csv as answers, without those that the budget refused."""
    rows = table.sort_values("query")
    if list(rows["query"]) != list(range(len(rows))) or len(rows) > asked:
        raise ProtocolError("queries.csv does not list the queries that were asked")
    answered = rows["answered"].to_numpy(dtype=np.bool_)
    read = set_number if rule.multi_label else int
    label = rows["label"].map(read, na_action="ignore").fillna(-1).to_numpy(dtype=np.int64)
    return Answers(np.arange(len(rows)), answered, np.where(answered, label, -1))
