"""Where the querying party begins: after what an earlier run of the same queries has brought."""

from __future__ import annotations

from pathlib import Path

import pytest
from federations import Federation, federation

from capc.errors import FileError
from capc.parties.federation.audit_log import entries
from capc.parties.federation.party_file import PartyFile
from capc.parties.federation.records import OwnRecords


def asked(made: Federation, queries: bytes, answers: int, *, count: int = 4) -> int:
    """The first query of a run that answers so many, and ends as a killed process does."""
    records = OwnRecords(PartyFile.read(made.root / "querying" / "party.toml"))
    first = records.first_query(queries, count)
    records.named(bytes([len(list(entries(records.log.path)))]) * 32)
    for query in range(first, first + answers):
        records.answer(query, True, 1)
    records.close()
    return first


def test_a_run_goes_on_after_the_last_answer_and_all_are_asked_once(tmp_path: Path) -> None:
    with federation(tmp_path) as made:
        assert asked(made, b"some", 1) == 0
        assert asked(made, b"some", 0) == 1, "one that died before its first answer"
        assert asked(made, b"other", 2) == 0, "other queries begin anew"
        assert asked(made, b"some", 3) == 1
        assert asked(made, b"some", 1) == 0, "all were answered: a run of its own"
        log = tmp_path / "querying" / "audit.jsonl"
        marks = [e.fields["queries"] for e in entries(log) if e.fields["event"] == "run"]
        assert (len(marks), len(set(marks))) == (5, 2)


def test_half_a_row_is_cut_off_and_asked_again(tmp_path: Path) -> None:
    with federation(tmp_path) as made:
        asked(made, b"some", 2)
        labels = tmp_path / "querying" / "labels.csv"
        labels.write_bytes(labels.read_bytes()[:-4])
        assert asked(made, b"some", 0) == 1
        assert len(labels.read_text().splitlines()) == 2


def test_a_file_of_other_columns_is_refused(tmp_path: Path) -> None:
    with federation(tmp_path) as made:
        (tmp_path / "querying" / "labels.csv").write_text("run,query,answered,label\n")
        with pytest.raises(FileError, match=r"labels\.csv has other columns than run, query"):
            asked(made, b"some", 1)
