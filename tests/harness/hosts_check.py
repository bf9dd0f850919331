"""Part of `make federation-check`: a run by ssh loses a party that answers, then the one that asks.

Every party is started over ssh, by an sshd on loopback. `--min_parties` goes on without the first,
`--resume` after the second; the account stays on the guardian's host.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from test_hosts import NAMES, ROOT, hosts_file, sshd  # noqa: F401  a fixture

from capc.privacy.accountant import Accountant

QUERIES = 20
MOST_SECONDS = 300


def start(*flags: str) -> subprocess.Popen[str]:
    """A run of the command."""
    words = [sys.executable, "-m", "capc.cli", "run", *flags, "--launcher=subprocess"]
    return subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def rows(run: Path) -> list[dict[str, str]]:
    """What a run has by now."""
    file = run / "queries.csv"
    return list(csv.DictReader(file.open())) if file.exists() else []


def wait_for(run: Path, count: int, driver: subprocess.Popen[str]) -> None:
    """Until so many queries are answered."""
    until = time.monotonic() + MOST_SECONDS
    while len(rows(run)) < count:
        assert driver.poll() is None and time.monotonic() < until
        time.sleep(0.05)


def processes(remote: Path) -> Iterator[tuple[str, int]]:
    """The parties that run on the hosts, each with its process."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            config = next((Path(w) for w in words if w.startswith(str(remote))), None)
            if config is not None and config.name == "config.json":
                yield json.loads(config.read_text())["party"], int(entry.name)
        except (OSError, ValueError):
            continue


def kill(remote: Path, name: str) -> None:
    """One party, at once."""
    os.kill(dict(processes(remote))[name], signal.SIGKILL)


def test_a_run_by_ssh_survives_both_and_pays_for_nothing_twice(
    tmp_path: Path,
    sshd: str,  # noqa: F811
) -> None:
    """Twenty queries under distributed noise; each is answered once, and charged."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    fields = {"host": "127.0.0.1", "python": str(python), "listen": "127.0.0.1"}
    hosts = hosts_file(tmp_path, sshd, **fields)
    remote, account = tmp_path / "remote", tmp_path / "account.json"
    results = tmp_path / "results"
    flags = [f"--n_parties={len(NAMES) - 2}", "--min_parties=2", f"--n_queries={QUERIES}"]
    flags += ["--ignore_parties", "--noise=distributed", "--sigma=1", "--num_threads=1"]
    flags += [f"--hosts={hosts}", f"--account={account}", f"--results_dir={results}"]
    driver = start(*flags, "--encryption_params=config/fast.json")
    latest = results / "latest"
    wait_for(latest, 3, driver)
    kill(remote, "answering-1")
    wait_for(latest, 6, driver)
    kill(remote, "querying")
    said = driver.communicate(timeout=MOST_SECONDS)[0]
    assert driver.returncode == 1, said
    assert "querying" in said
    first = latest.resolve()
    before = rows(first)
    again = start(f"--resume={first}")
    said = again.communicate(timeout=MOST_SECONDS)[0]
    assert again.returncode == 0, said
    after = rows(latest)
    assert len(before) + len(after) == QUERIES
    assert "2" in {row["voters"] for row in before}
    assert {row["voters"] for row in after} == {"3"}
    charged = sum(Accountant.load(account).counts.values())
    assert QUERIES <= charged <= QUERIES + 3
    assert list(remote.iterdir()) == [], "no host has anything left"
    sys.stdout.write(
        f"{len(before)} queries, then {len(after)} by --resume; the account was charged for "
        f"{charged}\n"
    )
