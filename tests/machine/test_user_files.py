"""Files that a user names: what is no regular file, too large or lies about itself is one error."""

from __future__ import annotations

import errno
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from capc import files
from capc.arrays import load_array, open_arrays
from capc.data.saved_queries import load_saved_queries
from capc.errors import CapcError
from capc.files import (
    cache_root,
    existing,
    expanded,
    parse_json,
    read_bounded,
    read_json,
    socket_folder,
    write_whole,
)
from capc.graph.calibration import Calibration
from capc.graph.prepared import load_network
from capc.he.parameters import EncryptionParameters
from capc.learning.experiment import load_experiment
from capc.parties.config import PartyConfig
from capc.privacy.account_file import AccountFile
from capc.privacy.votes import load_array as load_votes

READERS: dict[str, Callable[[Path], object]] = {
    "account": AccountFile,
    "encryption parameters": lambda path: EncryptionParameters.from_json(str(path)),
    "experiment": load_experiment,
    "party config": PartyConfig.read,
    "calibration": lambda path: Calibration(path).digest(),
    "calibration values": lambda path: Calibration(path).load((2,)),
    "votes": lambda path: load_votes(path, "votes"),
    "prepared model": load_network,
    "samples": lambda path: load_saved_queries(path, None),
}


def a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "file.npy")
    return folder / "file.npy"


def a_device(folder: Path) -> Path:
    (folder / "file.npy").symlink_to("/dev/zero")
    return folder / "file.npy"


def a_loop(folder: Path) -> Path:
    (folder / "file.npy").symlink_to("file.npy")
    return folder / "file.npy"


def of_holes(folder: Path) -> Path:
    with (folder / "file.npy").open("wb") as file:
        file.truncate(1 << 40)
    return folder / "file.npy"


@pytest.mark.parametrize("make", [a_pipe, a_device, a_loop, of_holes])
@pytest.mark.parametrize("kind", READERS)
def test_what_is_no_bounded_file_is_refused(
    kind: str, make: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = make(tmp_path)
    with pytest.raises(CapcError, match=r"file\.npy"):
        READERS[kind](path)


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"a":' * 200_000, '{"a": 1, "a": 2}', f"[{'9' * 400}]", "\x00", "\xff"]
)
@pytest.mark.parametrize("kind", ["account", "encryption parameters", "experiment", "party config"])
def test_json_that_goes_too_far_is_refused(kind: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(CapcError):
        READERS[kind](path)


def npy(shape: str, dtype: str = "<f4") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64)


@pytest.mark.parametrize("shape", ["(1000000000, 1000)", "(-1, 4)", f"({'9' * 40},)", "(1, a)"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_lies(shape: str, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "file.npy"
    path.write_bytes(npy(shape))
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", npy(shape))
    with pytest.raises(ValueError):
        load_array(path)


def test_archives_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    np.savez_compressed(path, a=np.zeros(1_000_000))
    with pytest.raises(ValueError, match="unpacks to more"):
        load_array(path, 1 << 20)
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="objects"):
        load_array(tmp_path / "objects.npy")
    (tmp_path / "text").write_text("PK no archive")
    with pytest.raises(ValueError, match="no NumPy file"):
        load_array(tmp_path / "text")


def test_only_the_arrays_that_are_asked_for_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    np.savez(path, a=np.arange(3), b=np.full(1000, 7, dtype=np.uint8))
    path.write_bytes(path.read_bytes().replace(b"\7" * 1000, b"\7" * 999 + b"\10"))
    with pytest.raises(ValueError, match="no NumPy file"):  # the checksum of b
        load_array(path)
    with open_arrays(path, only=["a", "missing"]) as arrays:
        assert list(arrays) == ["a"]
        assert arrays["a"].tolist() == [0, 1, 2]


def test_arrays_come_back(tmp_path: Path) -> None:
    written = {"a": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "b": np.array("text")}
    np.savez_compressed(tmp_path / "file.npz", **written)  # type: ignore[arg-type]
    with open_arrays(tmp_path / "file.npz") as archive:
        for name, values in written.items():
            np.testing.assert_array_equal(archive[name], values)
    np.save(tmp_path / "file.npy", np.empty((0, 3)))
    assert load_array(tmp_path / "file.npy").shape == (0, 3)
    with pytest.raises(ValueError, match="one array"), open_arrays(tmp_path / "file.npy"):
        pass


def test_bounds_and_numbers(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"[12]")
    assert read_json(path) == [12]
    assert read_bounded(path, 4) == b"[12]"
    with pytest.raises(OSError, match="Larger than 3 bytes"):
        read_bounded(path, 3)
    with pytest.raises(IsADirectoryError):
        read_bounded(tmp_path)
    with pytest.raises(ValueError, match="400 digits"):
        parse_json("9" * 400)
    with pytest.raises(ValueError, match="'a' stands twice"):
        parse_json('{"a": 1, "b": 2, "a": 1}')


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000, "a\0b"])
def test_names_too_long_or_odd(name: str) -> None:
    with pytest.raises(CapcError):
        existing(name)


def test_a_tilde_of_nobody_is_a_name() -> None:
    assert existing("~nobody-of-this-name/file") is None


def test_the_cache_lies_where_the_system_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CAPC_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_root() == tmp_path / ".cache" / "capc"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert cache_root() == tmp_path / "caches" / "capc"
    monkeypatch.setenv("CAPC_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own"


def test_a_path_outlives_the_folder_before_its_dots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    monkeypatch.chdir(tmp_path / "gone")
    assert expanded("../results") == tmp_path / "results"
    assert expanded(tmp_path / "link") == tmp_path / "link"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    def absent(_number: int) -> object:
        raise KeyError

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("CAPC_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", absent)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"capc-cache-{os.getuid()}"


def test_a_user_without_a_home_has_a_cache(homeless: Path) -> None:
    assert cache_root() == cache_root() == homeless
    assert homeless.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_another_s_folder_is_not_the_cache(homeless: Path, kind: str) -> None:
    if kind == "open":
        homeless.mkdir()
        homeless.chmod(0o777)
    elif kind == "link":
        homeless.symlink_to(homeless.parent)
    else:
        homeless.touch()
    with pytest.raises(CapcError, match="CAPC_CACHE"):
        cache_root()


def test_sockets_lie_in_a_short_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("d" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with socket_folder("capc-", "control") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(str(folder / "control")) <= 107
    assert not folder.exists()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(files, "_MAX_SOCKET_BYTES", 5)
    with pytest.raises(CapcError, match="TMPDIR"), socket_folder("capc-", "control"):
        pass


def _is_folder(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def test_the_folder_is_synced_after_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power may fail at any moment: the file is on the disk before its name, then the name is."""
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        calls.append("folder" if _is_folder(descriptor) else "file")
        fsync(descriptor)

    def named(path: Path, target: Path) -> Path:
        calls.append("name")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", named)
    write_whole(tmp_path / "file", "text")
    assert calls == ["file", "name", "folder"]


def test_a_file_system_that_syncs_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fails: int) -> Callable[[int], None]:
        def fsync(descriptor: int) -> None:
            if _is_folder(descriptor):
                raise OSError(fails, os.strerror(fails))

        return fsync

    monkeypatch.setattr(os, "fsync", refuse(errno.EINVAL))
    write_whole(tmp_path / "file", "text")
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    with pytest.raises(CapcError, match="Input/output error"):
        write_whole(tmp_path / "file", "text")
