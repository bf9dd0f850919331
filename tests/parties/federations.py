"""Federations for tests: every party in a folder of its own, its process started by the command."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from cutting import Cutting
from free_ports import free_ports

from capc.cli import main
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import Dense, Input, Network, Relu
from capc.graph.prepared import save_network
from capc.parties.federation.audit_log import entries
from capc.privacy.accountant import Accountant

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HOST = "127.0.0.1"
NAMES = ("guardian", "answering-0", "answering-1", "querying")
FIVE = ("guardian", "answering-0", "answering-1", "answering-2", "querying")
LINKS = (  # who connects to whom, of NAMES
    *(("querying", "answering-0"), ("querying", "answering-1"), ("querying", "guardian")),
    *(("answering-0", "guardian"), ("answering-1", "guardian")),
)
CLASSES, INPUTS = 3, 4
SEEDS = (2, 5)  # of models that agree on queries of several labels


def small_network(seed: int) -> Network:
    """Two dense layers, with weights that are exact in fixed point."""
    draw = np.random.default_rng(seed)

    def dense(name: str, source: str, inputs: int, outputs: int) -> Dense:
        weight = draw.integers(-256, 257, (inputs, outputs)) / 256
        bias = draw.integers(-256, 257, outputs) / 256
        return Dense(name, (source,), (outputs,), weight=weight, bias=bias)

    return Network(
        (
            Input("x", (), (INPUTS,)),
            dense("first", "x", INPUTS, 5),
            Relu("relu", ("first",), (5,)),
            dense("last", "relu", 5, CLASSES),
        )
    )


class Federation:
    """The parties' folders below `root`, and their processes.

    `labels` are what all models say of the queries; the noise is too small to change them.
    """

    def __init__(
        self,
        root: Path,
        *,
        queries: int = 2,
        meet_seconds: int = 20,
        timeout_seconds: int = 20,
        names: Sequence[str] = NAMES,
        min_parties: int | None = None,
        reconnect_seconds: float = 1,
        addresses: Mapping[str, str] | None = None,
    ) -> None:
        """`addresses`: of the parties' machines, where that is not this one."""
        self.root = root
        self.running: dict[str, subprocess.Popen[str]] = {}
        for name, port in zip(names, free_ports(len(names)), strict=True):
            host = HOST if addresses is None else addresses[name]
            words = [f"--folder={root / name}", f"--host={host}", f"--port={port}"]
            status = main(["party", "init", name, *words])
            assert status == 0
            self.change(name, "party.toml", "meet_seconds = 300", f"meet_seconds = {meet_seconds}")
            self.change(
                name, "party.toml", "timeout_seconds = 600", f"timeout_seconds = {timeout_seconds}"
            )
            if name != "querying":
                self.change(name, "party.toml", '"0.0.0.0"', f'"{host}"')
        self.change("querying", "party.toml", "# queries = ", "shape = [4]\nqueries = ")
        samples = np.random.default_rng(5).random((200, INPUTS))
        votes = np.stack(
            [np.argmax(evaluate_float(small_network(seed), samples), axis=1) for seed in SEEDS]
        )
        agreed = np.flatnonzero(votes[0] == votes[1])[:queries]
        self.samples, self.labels = samples[agreed], votes[0][agreed].tolist()
        np.save(root / "querying" / "samples.npy", self.samples)
        for index in range(len(names) - 2):
            model = small_network(SEEDS[index % len(SEEDS)])
            save_network(model, root / f"answering-{index}" / "model.npz")
        shared = (ROOT / "config" / "federation.toml").read_text()
        shared = re.sub("num_classes = 10", f"num_classes = {CLASSES}", shared)
        shared = re.sub("n_queries = 2", f"n_queries = {queries}", shared)
        shared = re.sub('"garbled"', '"transfers"', shared)
        shared = re.sub("sigma = 7.0", "sigma = 0.01", shared)
        shared = re.sub("epsilon = 20.0", "epsilon = 1e9", shared)
        shared = re.sub(
            "reconnect_seconds = 20 ", f"reconnect_seconds = {reconnect_seconds:g} ", shared
        )
        if min_parties is not None:
            shared = re.sub("# min_parties = 2 ", f"min_parties = {min_parties} ", shared)
        shared += "".join((root / name / "member.toml").read_text() for name in names)
        for name in names:
            (root / name / "federation.toml").write_text(shared)

    def change(self, name: str, file: str, old: str, new: str) -> None:
        """Replace a text in a party's file, which has to be there."""
        path = self.root / name / file
        text = path.read_text()
        assert old in text, f"{path} has no {old}"
        path.write_text(text.replace(old, new, 1))

    def through(self, name: str, relay: Cutting, caller: str) -> None:
        """From here on `caller` reaches a party by a relay."""
        path = self.root / caller / "federation.toml"
        before, found, after = path.read_text().partition(f'name = "{name}"\n')
        assert found
        path.write_text(
            before + found + re.sub(r"port = \d+", f"port = {relay.port}", after, count=1)
        )

    def start(self, *names: str, prefix: Sequence[str] = (), at: str | None = None) -> None:
        """Start parties as their users would; `at`: with a signal at a step (dying_member)."""
        program = ["-m", "capc.cli"] if at is None else [str(HERE / "dying_member.py")]
        for name in names:
            role, folder = name.partition("-")[0], self.root / name
            environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
            self.running[name] = subprocess.Popen(
                [*prefix, sys.executable, *program, "party", role, "--config", "party.toml"],
                cwd=folder,
                env=environment | ({} if at is None else {"CAPC_TEST_AT": at}),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )

    def hear(self, name: str, words: str) -> None:
        """Return once a party has said this; AssertionError where it ends before."""
        said = self.running[name].stderr
        assert said is not None
        for line in said:
            if words in line:
                return
        raise AssertionError(f"{name} ended and did not say {words!r}")

    def rows(self) -> list[dict[str, str]]:
        """What the querying party has in its labels.csv."""
        with (self.root / "querying" / "labels.csv").open() as file:
            return list(csv.DictReader(file))

    def events(self, name: str, event: str) -> list[dict[str, Any]]:
        """The fields of a party's log lines of one kind, of a log that holds."""
        log = self.root / name / "audit.jsonl"
        return [entry.fields for entry in entries(log) if entry.fields["event"] == event]

    def charged(self) -> int:
        """For how many queries the guardian's account was charged."""
        account = Accountant.load(self.root / "guardian" / "account.json")
        return sum(account.counts.values())

    def wait(self, name: str, seconds: float = 60) -> tuple[int, str]:
        """A party's exit status, and what it said."""
        process = self.running[name]
        said = process.communicate(timeout=seconds)[1]
        return process.returncode, said

    def end(self) -> None:
        """Kill who still runs."""
        for process in self.running.values():
            if process.poll() is None:
                process.kill()
            if process.stderr is not None:
                process.stderr.close()
            process.wait()


def port_of(made: Federation, name: str) -> int:
    """Where a party listens."""
    text = (made.root / name / "member.toml").read_text()
    return int(text.partition("port = ")[2].partition("\n")[0])


def place(made: Federation, name: str) -> str:
    """A party as errors call it."""
    if name == "querying":
        return f"querying ({HOST})"
    return f"{name} ({HOST}:{port_of(made, name)})"


def require_status(ended: Mapping[str, tuple[int, str]], status: int) -> None:
    """All parties ended with this exit status; AssertionError with what each of them said."""
    if any(found != status for found, _ in ended.values()):
        said = (f"{name} ended with {found}:\n{text}" for name, (found, text) in ended.items())
        raise AssertionError(f"not all ended with {status}\n" + "\n".join(said))


@contextmanager
def federation(root: Path, **settings: Any) -> Iterator[Federation]:
    """A federation whose processes end with the block; the settings are those of Federation."""
    made = Federation(root, **settings)
    try:
        yield made
    finally:
        made.end()
