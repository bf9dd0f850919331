"""Parties on machines of their own: no driver, any order, equal terms or no run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from federations import NAMES, federation

from capc.parties.federation.audit_log import entries
from capc.roles import STEPS


def events(path: Path, event: str) -> list[dict[str, object]]:
    return [entry.fields for entry in entries(path) if entry.fields["event"] == event]


@pytest.mark.parametrize("noise", ["guardian", "distributed"])
def test_two_hospitals_and_a_guardian_get_labels_without_a_driver(
    tmp_path: Path, noise: str
) -> None:
    with federation(tmp_path) as made:
        for name in NAMES:
            made.change(name, "federation.toml", 'noise = "guardian"', f'noise = "{noise}"')
            made.change(name, "party.toml", "log = ", 'debug = true\nlog_format = "json"\nlog = ')
        made.start("querying", "answering-1", "answering-0", "guardian")
        ended = {name: made.wait(name) for name in NAMES}
    assert [status for status, _ in ended.values()] == [0] * 4, ended
    rows = list(csv.DictReader((tmp_path / "querying" / "labels.csv").open()))
    assert [row["query"] for row in rows] == ["0", "1"]
    assert [int(row["label"]) for row in rows] == made.labels
    logs = [tmp_path / name / "audit.jsonl" for name in NAMES]
    runs = [events(log, "run")[0]["run"] for log in logs]
    assert set(runs) == {rows[0]["run"]}, "one name of the run in all logs"
    assert [event["query"] for event in events(logs[0], "spent")] == [0, 1]
    for log in logs[1:3]:
        asked = [e for e in events(log, "step") if (e["step"], e["phase"]) == ("2", "online")]
        assert [event["query"] for event in asked] == [0, 1]
    for name in NAMES[:3]:
        assert not (tmp_path / name / "labels.csv").exists()
        assert '"label"' not in (tmp_path / name / "audit.jsonl").read_text()
    for name, (_, said) in ended.items():
        lines = [json.loads(line) for line in said.splitlines()]
        assert {line["role"] for line in lines} == {name}
        assert {line["step"] for line in lines} <= {None, *STEPS}
        assert {"3"} <= {line["step"] for line in lines} or name.startswith("answering")
        assert "label" not in said
