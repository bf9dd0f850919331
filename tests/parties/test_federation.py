"""Parties on machines of their own: no driver, any order, equal terms or no run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from federations import NAMES, federation

from capc.roles import STEPS


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
    rows = made.rows()
    assert [row["query"] for row in rows] == ["0", "1"]
    assert [int(row["label"]) for row in rows] == made.labels
    runs = [made.events(name, "run")[0]["run"] for name in NAMES]
    assert set(runs) == {rows[0]["run"]}, "one name of the run in all logs"
    assert [event["query"] for event in made.events(NAMES[0], "spent")] == [0, 1]
    for name in NAMES[1:3]:
        asked = [e for e in made.events(name, "step") if (e["step"], e["phase"]) == ("2", "online")]
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
