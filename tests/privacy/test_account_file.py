"""An account carried in a file: one holder at a time, never fewer charges than happened."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
        assert Accountant.load(path).counts == {}  # made at once: the lock is on the file itself
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


def _swapped(path: Path) -> None:
    charged(1).save(path)


def _rolled_back(path: Path) -> None:
    path.write_bytes(Path(f"{path}.old").read_bytes())


def _edited(path: Path) -> None:
    path.write_text(path.read_text().replace('"count": 7', '"count": 1'))


def _linked(path: Path) -> None:
    (path.parent / "second name").hardlink_to(path)


def _removed(path: Path) -> None:
    path.unlink()


def _a_link(path: Path) -> None:
    path.rename(path.parent / "moved")
    path.symlink_to(path.parent / "moved")


@pytest.mark.parametrize("change", [_swapped, _rolled_back, _edited, _linked, _removed, _a_link])
def test_a_file_that_is_not_the_one_last_written_is_refused(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "account.json"
    charged(1).save(path)
    shutil.copy(path, f"{path}.old")
    with AccountFile(path) as file:
        file.save(charged(7))
        change(path)
        with pytest.raises(ConfigError, match=r"during the run|several names"):
            file.save(charged(8))


def test_no_file_beside_the_account_is_needed_for_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    with AccountFile(path) as file:
        for beside in tmp_path.iterdir():
            if beside != path:
                beside.unlink()
        with pytest.raises(ConfigError, match="in use by another run"):
            AccountFile(path)
        file.save(charged(2))
    assert [beside.name for beside in tmp_path.iterdir()] == ["account.json"]


def test_a_second_name_is_refused_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    charged(1).save(path)
    (tmp_path / "other.json").hardlink_to(path)
    for name in ("account.json", "other.json"):
        with pytest.raises(ConfigError, match="several names"):
            AccountFile(tmp_path / name)


def test_of_many_that_begin_at_once_one_holds_it(tmp_path: Path) -> None:
    """Each that gets in adds one charge: none is lost, whatever meets whatever."""
    path = tmp_path / "account.json"

    def add(_place: int) -> int:
        for turn in range(40):
            try:
                with AccountFile(path) as file:
                    file.account.charge(GNMAX, 1)
                    file.save(file.account)
                    return 1
            except ConfigError as error:
                assert "in use by another run" in str(error), turn
        return 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(24))) == Accountant.load(path).counts[GNMAX]


def test_a_folder_that_cannot_be_synced_is_an_error_and_the_file_stays_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "account.json"
    with AccountFile(path) as file:

        def refuse(_folder: Path) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patched:
            patched.setattr("capc.files.sync_folder", refuse)
            with pytest.raises(ConfigError, match="Input/output error"):
                file.save(charged(3))
        with pytest.raises(ConfigError, match="in use by another run"):
            AccountFile(path)
        file.save(charged(4))
    assert Accountant.load(path).counts == {GNMAX: 4}


def test_an_account_is_bound_to_the_owners_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    with AccountFile(path, "three banks") as file:
        assert file.account.owners == "three banks"
        file.account.charge(GNMAX, 2)
        file.save(file.account)
    with AccountFile(path, "three banks") as file:
        assert file.account.counts == {GNMAX: 2}
    for _ in range(2):  # a lock that stayed would change the second message
        with pytest.raises(ConfigError, match="covers the data of three banks") as refused:
            AccountFile(path, "four banks")
        assert "this run asks four banks" in str(refused.value)
        assert "--data_owners='three banks'" in str(refused.value)
        assert "name another --account" in str(refused.value)
    assert Accountant.load(path).counts == {GNMAX: 2}


def test_an_account_of_version_1_is_read_and_bound_by_the_next_save(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    document = json.loads(charged(3).to_json())
    del document["owners"]
    path.write_text(json.dumps(document | {"version": 1}))
    assert Accountant.load(path).owners is None
    with AccountFile(path, "three banks") as file:
        assert file.account.counts == {GNMAX: 3}
    with AccountFile(path, "four banks"):  # nothing was charged meanwhile
        pass
    with AccountFile(path, "three banks") as file:
        file.save(file.account)
    assert json.loads(path.read_text())["version"] == 2
    with pytest.raises(ConfigError, match="three banks"):
        AccountFile(path, "four banks")


@pytest.mark.parametrize("changes", [{"version": 1}, {"owners": 3}, {"owners": ""}])
def test_owners_that_cannot_be_are_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "account.json"
    _damaged(path, **changes)
    with pytest.raises(ConfigError, match="owners"):
        AccountFile(path)
