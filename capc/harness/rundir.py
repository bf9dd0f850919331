"""The folder that a run leaves, and what run.json says about it."""

from __future__ import annotations

import contextlib
import datetime
import json
import platform
import secrets
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from capc.errors import ConfigError, ExitStatus, FileError
from capc.files import REPOSITORY, held_folder, is_abandoned, read_json, write_whole
from capc.harness import private_folder
from capc.harness.private_folder import PrivateFolder
from capc.machine import cores, memory_bytes, package_version

_PACKAGES = ("capc", "numpy", "seal-python", "opendp", "pandas", "libtmux", "rich", "cryptography")


def now() -> str:
    """The time in UTC, to the millisecond, as ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


class RunDirectory:
    """results/<run id>/ with logs/, parties/ and private/, and results/latest pointing at it.

    All of it is its owner's alone, whatever the umask.
    """

    def __init__(self, results_dir: Path) -> None:
        stamp = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        self.run_id = f"{stamp}-{secrets.token_hex(3)}"
        self.path = results_dir / self.run_id
        self._held = ExitStack()  # says that the driver lives, to runs that sweep
        try:
            results_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700)
            (self.path / "logs").mkdir(mode=0o700)
            (self.path / "parties").mkdir(mode=0o700)
            self.private = PrivateFolder(self.path / private_folder.NAME)
            self._held.enter_context(held_folder(self.path / "parties"))
            self._point_latest(results_dir)
            _sweep(results_dir)
        except OSError as error:
            raise ConfigError(
                f"cannot make {self.path} ({error.strerror}); choose another --results_dir"
            ) from None

    def _point_latest(self, results_dir: Path) -> None:
        latest = results_dir / "latest"
        if latest.exists() and not latest.is_symlink():
            return  # a folder of the user's own, as a copy of results has it: it stays
        temporary = results_dir / f".latest-{self.run_id}"
        temporary.symlink_to(self.run_id)
        try:
            temporary.replace(latest)
        except OSError:
            temporary.unlink()
            raise

    def party_directory(self, name: str) -> Path:
        """The party's own working folder, made on the first call."""
        path = self.path / "parties" / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def remove_party_directories(self) -> None:
        """Working folders hold nothing that run.json does not say."""
        shutil.rmtree(self.path / "parties", ignore_errors=True)

    def release(self) -> None:
        """The driver is done: whoever sweeps finds run.json complete."""
        self._held.close()

    def log_file(self, name: str) -> Path:
        """Where the log of a party, or of the driver, goes: a file made here, its owner's alone."""
        path = self.path / "logs" / f"{name}.log"
        path.touch(mode=0o600)
        return path

    @property
    def queries_csv(self) -> Path:
        """One row for each query; the columns are tables.QUERY_COLUMNS."""
        return self.path / "queries.csv"

    @property
    def timings_csv(self) -> Path:
        """One row for each query, party, step and phase; tables.TIMING_COLUMNS."""
        return self.path / "timings.csv"

    @property
    def summary_csv(self) -> Path:
        """One row for each step and phase; tables.SUMMARY_COLUMNS."""
        return self.path / "summary.csv"

    def read_run_json(self) -> dict[str, Any]:
        """What run.json holds; FileError where it cannot be read."""
        try:
            record: dict[str, Any] = read_json(self.path / "run.json")
        except (OSError, ValueError) as error:
            raise FileError(f"{self.path / 'run.json'} cannot be read: {error}") from None
        return record

    def write_run_json(self, content: dict[str, Any]) -> None:
        """Replace run.json, whole or not at all; FileError where that fails."""
        text = json.dumps(_finite(content), indent=2, default=str, allow_nan=False)
        write_whole(self.path / "run.json", text + "\n", error=FileError)


def _sweep(results_dir: Path) -> None:
    """Take away what drivers that were killed left: working folders, which hold nothing of worth.

    Only such a run's whose folder its driver held and holds no more; its run.json then says so.
    """
    for parties in results_dir.glob("*/parties"):
        path = parties.parent / "run.json"
        if path.parent.is_symlink() or not is_abandoned(parties):
            continue
        try:
            record = read_json(path)
        except (OSError, ValueError):
            continue
        if not isinstance(record, dict) or record.get("exit_status", 0) is not None:
            continue  # it ended by itself: --debug keeps the folders
        shutil.rmtree(parties, ignore_errors=True)
        record |= {"exit_status": ExitStatus.FAILED, "failure": "its driver was killed"}
        with contextlib.suppress(FileError):
            text = json.dumps(record, indent=2) + "\n"
            write_whole(path, text, error=FileError)


def _finite(value: Any) -> Any:
    """JSON has no infinity: write it as text."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    return value


def machine() -> dict[str, Any]:
    """What a reader needs to judge the times: versions, commit, processor."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu": _processor(),
        "cores": cores(),
        "memory_bytes": memory_bytes(),
        "commit": _commit(),
        "versions": {name: package_version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit, with a mark when the working tree differs; None outside a repository."""
    if not (REPOSITORY / ".git").exists():
        return None
    try:
        result = subprocess.run(
            ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
