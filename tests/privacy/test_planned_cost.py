"""`capc privacy cost`: what a guardian would charge for queries, before any is asked."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from capc import cli
from capc.errors import ConfigError
from capc.privacy.accountant import Accountant
from capc.privacy.budget import Budget
from capc.privacy.rdp import Mechanism

DISTRIBUTED = ["--noise", "distributed", "--parties", "50", "--colluding", "2"]


def cost(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any, str]:
    status = cli.main(["privacy", "cost", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else None, err


def test_known_answers(capsys: pytest.CaptureFixture[str]) -> None:
    # Mironov's conversion of a Gaussian: min over a of Q a / s^2 + log(1/d) / (a - 1), here at 3.5.
    status, plain, err = cost(capsys, "--sigma", 7, "--queries", 100, "--conversion", "classic")
    assert (status, err) == (0, "")
    assert plain["epsilon"] == pytest.approx(100 * 3.5 / 49 - math.log(1e-5) / 2.5)
    assert (plain["delta"], plain["order"], plain["private"]) == (1e-5, 3.5, False)
    # The recorded MNIST run of docs/privacy.md.
    recorded = ["--sigma", 40, "--threshold", 200, "--sigma_threshold", 150]
    asked = ["--queries", 1621, "--answered", 883, "--conversion", "classic"]
    assert cost(capsys, *recorded, *asked)[1]["epsilon"] == pytest.approx(5.7919, abs=5e-5)


def test_it_is_what_a_guardian_charges(capsys: pytest.CaptureFixture[str]) -> None:
    budget = Budget(None, 1e-5, 9.0, 20.0, 6.0)
    for query in range(30):
        budget.charge(answered=query % 3 == 0)
    flags = ["--sigma", 9, "--threshold", 20, "--sigma_threshold", 6]
    _, report, _ = cost(capsys, *flags, "--queries", 30, "--answered", 10)
    assert report["epsilon"] == budget.epsilon_spent
    drawn = Accountant()
    drawn.charge(Mechanism("distributed", 9.0, None, 50, 2), 30)
    _, report, _ = cost(capsys, "--sigma", 9, "--queries", 30, "--threshold", 20, *DISTRIBUTED)
    assert report["epsilon"] == drawn.privacy_loss(1e-5).epsilon
    assert float(report["excess_per_query"].split("e")[1]) < -1000


@pytest.mark.parametrize("flags", [[], ["--sigma_threshold", 3], DISTRIBUTED])
def test_so_many_queries_fit_and_one_more_does_not(
    capsys: pytest.CaptureFixture[str], flags: list[object]
) -> None:
    _, report, _ = cost(capsys, "--sigma", 7, "--epsilon", 10, *flags)
    fit = report["queries_that_fit"]
    assert fit == report["queries"] > 0
    assert report["epsilon"] <= 10
    _, more, _ = cost(capsys, "--sigma", 7, "--epsilon", 10, "--queries", fit + 1, *flags)
    assert more["queries_that_fit"] == fit
    assert more["epsilon"] > 10


@pytest.mark.parametrize("conversion", ["classic", "improved"])
@pytest.mark.parametrize("charged", [0, 5, 11, 40])
def test_the_room_is_what_the_guardian_admits(charged: int, conversion: Any) -> None:
    account = Accountant()
    account.charge(Mechanism("gnmax", 5.0), charged)
    given = {"conversion": conversion, "account": account}
    budget = Budget(6.0, 1e-6, 8.0, 10.0, 5.0, **given)
    assert budget.room() == budget.admit(1000)[0]
    assert (budget.room() == 0) is (charged == 40)
    assert Budget(None, 1e-6, 8.0, **given).room() is None


def test_without_noise_nothing_fits(capsys: pytest.CaptureFixture[str]) -> None:
    status, report, err = cost(capsys, "--sigma", 0, "--epsilon", 3, "--queries", 1)
    assert (status, report["epsilon"], report["queries_that_fit"]) == (0, "infinite", 0)
    assert "no noise" in err
    account = Accountant()
    account.charge(Mechanism("gnmax", 0.0), 1)
    assert Budget(3.0, 1e-5, 4.0, account=account).room() == 0


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ([], "give --queries, --epsilon, or both"),
        (["--queries", 0], "allowed is 1 or more"),
        (["--epsilon", 3, "--answered", 2], "--answered goes with --queries"),
        (["--queries", 3, "--answered", 2], "without a threshold every query is answered"),
        (["--queries", 3, "--answered", 4, "--sigma_threshold", 3], "allowed is 0 to 3"),
        (["--queries", 3, "--threshold", 4], "--threshold needs --sigma_threshold"),
        (["--queries", 3, "--answered", 2, *DISTRIBUTED], "each query costs the same"),
        (["--queries", 3, "--delta", 2], "delta is 2"),
        (["--epsilon", "inf"], "give a finite number above 0"),
    ],
)
def test_a_plan_that_is_none(
    capsys: pytest.CaptureFixture[str], flags: list[object], reason: str
) -> None:
    status, _, err = cost(capsys, "--sigma", 7, *flags)
    assert status == ConfigError.exit_status
    assert reason in err
    assert err.strip().count("\n") == 0
