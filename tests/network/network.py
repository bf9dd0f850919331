#!/usr/bin/env python3
"""A federation of five between hosts with a delay: its seconds, bytes and rounds, as a table.

Five parties, three of which answer, run on this machine as on five: each in a network namespace of
its own, started in random order, with `models/cryptonets-relu.pb` and queries at random. Printed is
what the querying party's own log says of each step, the median of its queries, for each network.

Needs root, `ip` and /dev/net/tun. `make network` calls it; the documents have what it printed.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from capc.bench.emulated_hosts import Host, Link, hosts, why_not
from capc.parties.federation.audit_log import entries
from capc.roles import GUARDIAN, PHASES, QUERYING, STEPS, answering, role_of

ROOT = Path(__file__).resolve().parents[2]
CAPC = [sys.executable, "-m", "capc.cli"]
ANSWERING = 3
PARTIES = (GUARDIAN, *map(answering, range(ANSWERING)), QUERYING)
ROUND_TRIPS_MS = (0, 2, 40, 50, 200)  # 0: loopback, without a rate
LINE_MBIT = 100
PARTY_SECONDS = 900


@dataclass(frozen=True)
class Cost:
    """What a phase of a step took at the querying party, with all answering parties together."""

    seconds: float
    sent_bytes: int
    rounds: int


Costs = dict[tuple[str, str], Cost]


def say(*words: str) -> None:
    """A line on the screen."""
    sys.stdout.write(" ".join(words) + "\n")


def command(*words: str, cwd: Path = ROOT) -> str:
    """What a command of the program prints; SystemExit with what it says where it fails."""
    ended = subprocess.run([*CAPC, *words], cwd=cwd, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"{words}: {ended.stderr}")
    return ended.stdout


def prepared_model(folder: Path) -> Path:
    """The model of all answering parties."""
    command("graph", "prepare", f"--cache_dir={folder}", "models/cryptonets-relu.pb")
    (model,) = folder.glob("*.npz")
    return model


def make_federation(root: Path, addresses: dict[str, str], model: Path, queries: int) -> None:
    """The folders of all parties; on one address their ports differ."""
    for place, name in enumerate(PARTIES):
        words = [f"--host={addresses[name]}", f"--port={7000 + 10 * place}"]
        command("party", "init", name, f"--folder={root / name}", *words)
    shared = (ROOT / "config" / "federation.toml").read_text()
    shared = re.sub("n_queries = 2", f"n_queries = {queries}", shared)
    shared = re.sub(r"epsilon = 20\.0", "epsilon = 1e6", shared)
    shared += "".join((root / name / "member.toml").read_text() for name in PARTIES)
    for name in PARTIES:
        (root / name / "federation.toml").write_text(shared)
        if role_of(name) == "answering":
            (root / name / "model.npz").symlink_to(model)
    np.save(root / QUERYING / "samples.npy", np.random.default_rng(1).random((queries, 28, 28, 1)))
    own = root / QUERYING / "party.toml"
    own.write_text(own.read_text().replace("# queries = ", "shape = [28, 28, 1]\nqueries = "))


def run(root: Path, at: dict[str, Host]) -> None:
    """Start all parties, in random order, and wait for them; each has to end well."""
    order = random.sample(PARTIES, len(PARTIES))
    with ExitStack() as ending:
        started = {}
        for name in order:
            words = [*CAPC, "party", role_of(name), "--config", "party.toml"]
            log = ending.enter_context((root / name / "log").open("wb"))
            started[name] = subprocess.Popen(
                at[name].inside(words) if at else words, cwd=root / name, stderr=log
            )
            ending.callback(started[name].kill)
        for name, process in started.items():
            if process.wait(PARTY_SECONDS):
                said = (root / name / "log").read_text().splitlines()[-3:]
                raise SystemExit(f"{name} ended with {process.returncode}: {said}")
    for name in PARTIES:
        command("party", "log", "verify", str(root / name / "audit.jsonl"))


def measured(root: Path) -> Costs:
    """The querying party's log: medians of the queries, and set-up."""
    steps = defaultdict(list)
    for entry in entries(root / QUERYING / "audit.jsonl"):
        found = entry.fields
        if found["event"] == "step":
            sent = found["sent"] + found["received"]
            cost = Cost(found["seconds"], sent, found["rounds"])
            steps[found["step"], found["phase"]].append(cost)
    return {
        place: Cost(
            statistics.median(cost.seconds for cost in costs),
            int(statistics.median(cost.sent_bytes for cost in costs)),
            int(statistics.median(cost.rounds for cost in costs)),
        )
        for place, costs in steps.items()
    }


def network(round_trip_ms: int, model: Path, queries: int) -> Costs:
    """One federation in one network."""
    with ExitStack() as ending:
        root = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="capc-network-")))
        at: dict[str, Host] = {}
        if round_trip_ms:
            link = Link(round_trip_ms / 1000, LINE_MBIT * 1e6)
            at = dict(zip(PARTIES, ending.enter_context(hosts(len(PARTIES), link)), strict=True))
        addresses = {name: at[name].address if at else "127.0.0.1" for name in PARTIES}
        make_federation(root, addresses, model, queries)
        run(root, at)
        return measured(root)


def expected() -> tuple[float, float]:
    """What `capc estimate` says of a query: seconds on free cores, and bytes of all parties."""
    words = [f"--n_parties={ANSWERING}", "--ignore_parties", "--n_queries=1", "--sigma=7"]
    said = command("estimate", *words, "--encryption_params=config/fast.json")
    found = re.search(r"about ([\d.]+) s and ([\d.]+) ([kMG])B a query", said)
    if found is None:
        raise SystemExit(f"capc estimate said: {said}")
    return float(found[1]), float(found[2]) * {"k": 1e3, "M": 1e6, "G": 1e9}[found[3]]


def total(costs: Costs) -> Cost:
    """A whole query, its set-up left out."""
    parts = [cost for (_, phase), cost in costs.items() if phase != "setup"]
    return Cost(
        sum(part.seconds for part in parts),
        sum(part.sent_bytes for part in parts),
        sum(part.rounds for part in parts),
    )


def waits(costs: Costs) -> float:
    """Round trips of a query, one after the other: answering parties are waited for side by side.

    Each of them has a line of its own, too.
    """
    return sum(
        cost.rounds / (1 if step == "3" else ANSWERING)
        for (step, phase), cost in costs.items()
        if phase != "setup"
    )


def print_table(found: dict[int, Costs]) -> None:
    """Markdown, to standard output."""
    named = [f"{trip} ms" if trip else "loopback" for trip in found]
    say("| step | phase | bytes | rounds |", " | ".join(named), "|")
    say("|---|---|" + "---:|" * (2 + len(found)))
    first = next(iter(found.values()))
    for step in STEPS:
        for phase in PHASES:
            if (cost := first.get((step, phase))) is None:
                continue
            seconds = [f"{costs[step, phase].seconds:.3f} s" for costs in found.values()]
            shown = f"{cost.sent_bytes:,} | {cost.rounds}"
            say(f"| {step} | {phase} | {shown} |", " | ".join(seconds), "|")
    whole = total(first)
    seconds = [f"{total(costs).seconds:.2f} s" for costs in found.values()]
    shown = f"{whole.sent_bytes:,} | {whole.rounds}"
    say(f"| a query | offline, online | {shown} |", " | ".join(seconds), "|")
    computing, sent = expected()
    predicted = []
    for trip in found:
        line = 8 * sent / ANSWERING / (LINE_MBIT * 1e6) if trip else 0.0
        predicted.append(f"{computing + line + trip / 1000 * waits(first):.2f} s")
    say(f"| predicted | | {sent:,.0f} | |", " | ".join(predicted), "|")


def main() -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--queries", type=int, default=5)
    parser.add_argument("--round_trips_ms", type=int, nargs="+", default=ROUND_TRIPS_MS)
    flags = parser.parse_args()
    if (reason := why_not()) is not None:
        say(f"skipped: {reason}")
        return 0
    with tempfile.TemporaryDirectory(prefix="capc-network-") as folder:
        model = prepared_model(Path(folder))
        found = {trip: network(trip, model, flags.queries) for trip in flags.round_trips_ms}
    print_table(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
