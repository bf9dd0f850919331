"""What a run will take and cost, said before it; what is left of one that was stopped."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted_runs import World, scripted_run, voter

from capc import cli
from capc.errors import ConfigError
from capc.graph.agreement import agree, with_agreement
from capc.harness import estimate_command
from capc.harness.command_again import command_again, command_to_go_on
from capc.harness.estimate import Estimate, estimate, plan_lines
from capc.harness.flags import build_parser
from capc.harness.preparation import Preparation
from capc.harness.queries import Queries
from capc.harness.settings import Settings, parse_settings
from capc.harness.verify import check_models
from capc.inference.costs import LayerCost, query_costs, total_cost
from capc.privacy.accountant import Accountant
from capc.privacy.rdp import Mechanism

RANGE = (0.0, 1.0)
AGREED = agree([voter(1)] * 3, RANGE, 30.0)
FAST = "--encryption_params=config/fast.json"


def settings_of(*flags: str) -> Settings:
    return parse_settings(["--n_parties=3", "--ignore_parties", FAST, *flags])


def costs_of(settings: Settings) -> Sequence[LayerCost]:
    networks, queries = AGREED.networks, np.zeros((1, *AGREED.networks[0].input.shape), np.float32)
    return check_models(
        networks, Queries(queries, None, RANGE), settings, agreements=AGREED.agreements
    ).costs


def estimated(*flags: str) -> tuple[Estimate, list[str]]:
    settings = settings_of(*flags)
    found = estimate(settings, costs_of(settings))
    return found, plan_lines(settings, found)


def test_traffic_is_that_of_the_packing_and_of_each_party() -> None:
    found, lines = estimated("--n_queries=4", "--sigma=7")
    network = with_agreement(AGREED.networks[0], AGREED.agreements[0], RANGE)
    cost = total_cost(query_costs(network, settings_of().encryption_parameters))
    assert found.sent_bytes == 3 * (cost.offline_bytes + cost.online_bytes)
    assert found.seconds is not None
    assert found.seconds > 3 * (cost.offline_seconds + cost.online_seconds)
    assert found.memory_bytes > 3 * cost.weight_bytes
    assert lines[0] == "plan: 4 queries of mnist to 3 answering parties, 5 processes"
    assert " for 4, on two free cores" in lines[1]


def test_epsilon_is_what_the_guardian_would_have_charged(tmp_path: Path) -> None:
    account = Accountant()
    account.charge(Mechanism("gnmax", 7.0), 100)
    spent = account.privacy_loss(1e-5).epsilon
    found, lines = estimated("--n_queries=100", "--sigma=7")
    assert (found.epsilon, found.room, found.admitted) == (spent, None, 100)
    assert "no limit is set" in lines[2]
    found, lines = estimated("--n_queries=100", "--sigma=7", "--epsilon=10")
    assert (found.room, found.admitted) == (87, 87)
    assert found.epsilon <= 10
    assert "the last 13 queries are refused" in lines[2]
    path = tmp_path / "account.json"
    account.save(path)
    flags = ("--sigma=7", "--epsilon=11", f"--account={path}")
    found, lines = estimated("--n_queries=1", *flags)
    assert (found.epsilon_before, found.admitted, found.room) == (spent, 1, 1)
    assert "10.91 of it spent before" in lines[2]
    assert "1 query would fit" in lines[2]
    assert estimated("--n_queries=1", "--sigma=7", "--epsilon=9", f"--account={path}")[0].room == 0


def test_a_budget_beyond_counting_stops_no_run() -> None:
    found, _ = estimated("--sigma=1e7", "--epsilon=1e6", "--n_queries=2")
    assert (found.admitted, found.room) == (2, 10**15)


def test_without_encryption_nothing_is_counted() -> None:
    found, lines = estimated("--cpu", "--sigma=7")
    assert (found.seconds, found.sent_bytes) == (None, None)
    assert lines[1].startswith("expected: next to no time, for nothing is encrypted")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0312, "0.031 s"), (0.4, "0.4 s"), (42, "42 s"), (3e4, "8.3 h")]
)
def test_times_are_rounded(seconds: float, text: str) -> None:
    found = Estimate(1, 1, seconds, 1000, 1000, 1, 2.0, 0.0, None)
    assert f"about {text} and 1.0 kB a query, on two" in plan_lines(settings_of(), found)[1]


def test_the_command_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Settings] = []

    def prepare(settings: Settings, say: Any) -> Preparation:
        asked.append(settings)
        queries: Any = type("Queries", (), {"input_range": RANGE})
        return Preparation(settings, queries, [], [], AGREED, None, [], costs_of(settings))

    monkeypatch.setattr(estimate_command, "prepare", prepare)
    flags = ["--n_parties=3", f"--results_dir={tmp_path / 'new'}", f"--checkpoint_dir={tmp_path}"]
    assert cli.main(["estimate", *flags, FAST, "--sigma=7"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("3 of 3 models are not trained yet: this takes cryptonets-relu for all")
    assert asked[0].ignore_parties
    assert not (tmp_path / "new").exists()
    assert [line.split(":")[0] for line in said.splitlines()[-3:]] == [
        *("plan", "expected", "privacy")
    ]
    assert cli.main(["estimate", *flags, FAST, "--sigma=0", "--epsilon=1"]) == 4
    assert "a budget of 1 at delta 1e-05 admits no query" in capsys.readouterr().out


COMMANDS = [
    [],
    ["--n_parties=3", "--ignore_parties", "--sigma=7", "--epsilon=10", "--delta=1e-6"],
    ["--input_range", "-1", "1", "--dataset=a=b c.npz", "--start_batch=5", "--ring=41"],
    ["--threshold=2", "--sigma_threshold=0.5", "--session=x", "--launcher=subprocess", "--verify"],
]


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_again_gives_the_same_flags(words: list[str]) -> None:
    parser = build_parser("capc run")
    flags = vars(parser.parse_args(words))
    again = shlex.split(command_again(flags))
    assert again[:2] == ["capc", "run"]
    assert vars(parser.parse_args(again[2:])) == flags
    assert len(again) <= len(words) + 2
    rest = vars(parser.parse_args(shlex.split(command_to_go_on({**flags, "n_queries": 9}, 4))[2:]))
    assert rest == {**flags, "n_queries": 5, "start_batch": flags["start_batch"] + 4}


def test_flags_that_are_not_said() -> None:
    flags = vars(build_parser("capc run").parse_args(["--account=/home/jane/a.json"]))
    assert command_again(flags, unknown=["account"]) == "capc run --account=..."
    with pytest.raises(ValueError, match="nothing is left"):
        command_to_go_on(flags, 1)


@pytest.mark.parametrize("account", [False, True])
def test_a_stopped_run_says_how_to_go_on(tmp_path: Path, account: bool) -> None:
    flags = [f"--account={tmp_path / 'account.json'}"] if account else []
    done = scripted_run(tmp_path / "made", World((1, 1, 2)), "--sigma=7", *flags, ends="stopped")
    assert done.status == 130
    assert "done: 1 of 3 queries, kept in queries.csv" in done.screen
    (line,) = (line for line in done.screen.splitlines() if line.startswith("the rest: "))
    (run,) = (tmp_path / "made").rglob("run.json")
    Accountant().save(run.with_name("account.json"))
    rest = parse_settings(shlex.split(line.removeprefix("the rest: "))[2:])
    assert (rest.n_queries, rest.start_batch, rest.privacy.sigma) == (2, 1, 7)
    expected = tmp_path if account else run.parent
    assert rest.privacy.account == str(expected / "account.json")
    with pytest.raises(ConfigError, match="--sigma is refused with --resume"):
        parse_settings([f"--resume={run.parent}", "--sigma=1"])
    with pytest.raises(ConfigError, match="no run's folder"):
        parse_settings([f"--resume={tmp_path}"])
