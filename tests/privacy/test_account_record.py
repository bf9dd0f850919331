"""An older copy of an account that is put back between two runs is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from capc.errors import ConfigError
from capc.privacy.account_file import AccountFile
from capc.privacy.accountant import Accountant
from capc.privacy.rdp import Mechanism

GNMAX = Mechanism("gnmax", 40.0)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of a user whose runs have left nothing yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "capc" / "accounts"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An account of three queries; `old.json` beside it is its copy of one query."""
    path = tmp_path / "account.json"
    charge(path, 1)
    shutil.copy(path, tmp_path / "old.json")
    charge(path, 2)
    return path


def charge(path: Path, count: int) -> None:
    with AccountFile(path) as file:
        file.account.charge(GNMAX, count)
        file.save(file.account)


def test_the_last_state_is_accepted_under_any_name(path: Path, state: Path) -> None:
    moved = path.with_name("moved.json")
    path.rename(moved)
    charge(moved, 1)
    assert Accountant.load(moved).counts == {GNMAX: 4}
    [record] = state.iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700


def test_an_older_copy_is_refused_until_its_record_is_removed(path: Path, state: Path) -> None:
    old = path.with_name("old.json")
    for name in (old, path):
        shutil.copy(old, path)
        with pytest.raises(ConfigError, match="copy: it was saved once, and later 2 times"):
            AccountFile(name)
    [record] = state.iterdir()
    with pytest.raises(ConfigError, match=f"remove {record}"):
        AccountFile(path)
    record.unlink()
    charge(path, 1)
    assert Accountant.load(path).counts == {GNMAX: 2}


def test_an_edited_account_is_refused(path: Path) -> None:
    path.write_text(path.read_text().replace('"count": 3', '"count": 1'))
    with pytest.raises(ConfigError, match="was edited since a run saved it"):
        AccountFile(path)


def test_a_state_that_was_saved_elsewhere_is_newer(path: Path, state: Path) -> None:
    """On another machine, or by another user: this one's record lags behind, and says nothing."""
    [record] = state.iterdir()
    noted = record.read_text()
    charge(path, 1)
    record.write_text(noted)
    charge(path, 1)
    assert Accountant.load(path).counts == {GNMAX: 5}


def test_where_nothing_can_be_noted_runs_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_number: int) -> object:
        raise KeyError

    monkeypatch.setenv("XDG_STATE_HOME", "/proc/none")
    charge(tmp_path / "account.json", 1)
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", absent)
    charge(tmp_path / "account.json", 1)
    assert Accountant.load(tmp_path / "account.json").counts == {GNMAX: 2}


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"saves": "many", "sha256": ""}'])
def test_a_record_that_cannot_be_read_is_named(path: Path, state: Path, content: str) -> None:
    [record] = state.iterdir()
    record.write_text(content)
    with pytest.raises(ConfigError, match=f"{record}, the record of .* cannot be read: remove it"):
        AccountFile(path)


@pytest.mark.parametrize(
    "history",
    [
        3,
        {"identity": "../../x", "saves": 1},
        {"identity": "0" * 32, "saves": -1},
        {"identity": "0" * 32, "saves": True},
        {"identity": "0" * 32},
    ],
)
def test_a_history_that_cannot_be_is_refused(path: Path, history: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"history": history}))
    with pytest.raises(ConfigError, match="history"):
        AccountFile(path)
