"""An account carried in a file: one holder at a time, never fewer charges than happened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from capc.errors import ConfigError
from capc.privacy.account_file import AccountFile
from capc.privacy.accountant import Accountant
from capc.privacy.rdp import Mechanism

GNMAX = Mechanism("gnmax", 40.0)


def charged(count: int) -> Accountant:
    account = Accountant()
    account.charge(GNMAX, count)
    return account


def test_a_missing_file_is_a_new_account_and_the_next_holder_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    with AccountFile(path) as file:
        assert file.account.counts == {}
        assert not path.exists()
        file.save(charged(3))
        file.save(charged(2))
    assert path.stat().st_mode & 0o777 == 0o600
    with AccountFile(path) as file:
        assert file.account.counts == {GNMAX: 2}


@pytest.mark.parametrize("name", ["account.json", "link.json"])
def test_a_second_holder_is_refused_until_the_first_is_gone(tmp_path: Path, name: str) -> None:
    path = tmp_path / "account.json"
    (tmp_path / "link.json").symlink_to(path)
    with AccountFile(path) as file:
        file.save(charged(1))  # replaces the file: the lock must outlive it
        with pytest.raises(ConfigError, match="in use by another run"):
            AccountFile(tmp_path / name)
    with AccountFile(tmp_path / name) as file:
        file.save(charged(2))
    assert (tmp_path / "link.json").is_symlink()
    assert Accountant.load(path).counts == {GNMAX: 2}


def test_a_holder_that_is_killed_leaves_the_file_free_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    program = (
        "import os, sys\n"
        "from capc.privacy.account_file import AccountFile\n"
        "from capc.privacy.rdp import Mechanism\n"
        "file = AccountFile(sys.argv[1])\n"
        "file.account.charge(Mechanism('gnmax', 40.0), 5)\n"
        "file.save(file.account)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert ended.returncode == -9
    with AccountFile(path) as file:
        assert file.account.counts == {GNMAX: 5}


def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    with AccountFile(tmp_path / "account.json") as file:
        pass
    with pytest.raises(ConfigError, match="is closed"):
        file.save(charged(1))


def _damaged(path: Path, **changes: object) -> None:
    charged(1).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "else"}, "format is not"),
        ({"version": 9}, "version is 9"),
        ({"charges": [{"mechanism": "gnmax"}]}, "charge 0 must have"),
        ({"private": True}, "private does not agree"),
    ],
)
def test_a_damaged_file_is_refused_and_let_go(tmp_path: Path, changes: object, said: str) -> None:
    path = tmp_path / "account.json"
    _damaged(path, **changes)  # type: ignore[arg-type]
    for _ in range(2):  # a lock that stayed would change the second message
        with pytest.raises(ConfigError, match=said):
            AccountFile(path)


def test_a_private_account_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    private = Accountant()
    private.charge_votes([[250, 0, 0]], 40.0)
    private.save(tmp_path / "private.json", include_private=True)
    with pytest.raises(ConfigError, match="data-dependent and private"):
        AccountFile(tmp_path / "private.json")
    with pytest.raises(ConfigError, match="folder that exists"):
        AccountFile(tmp_path / "none" / "account.json")
