"""`capc privacy`: JSON out, one line per error, private figures labelled and kept back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capc import cli
from capc.fixed_point import Int64
from capc.privacy.accountant import Accountant
from capc.privacy.conversion import Conversion
from capc.privacy.rdp import Mechanism

Files = tuple[Path, Int64, NDArray[np.bool_]]

NOISE = ["--sigma", "40", "--threshold", "300", "--sigma_threshold", "200", "--delta", "1e-6"]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    rng = np.random.default_rng(1)
    votes = rng.multinomial(249, rng.dirichlet([0.1] * 10, 50))
    answered = np.arange(50) % 3 == 0
    np.save(tmp_path / "votes.npy", votes)
    np.save(tmp_path / "answered.npy", answered)
    return tmp_path, votes, answered


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any, str]:
    status = cli.main(["privacy", *(str(argument) for argument in arguments)])
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else None, err


@pytest.mark.parametrize("conversion", ["classic", "improved"])
@pytest.mark.parametrize("bound", ["independent", "dependent"])
def test_epsilon_is_that_of_the_account(
    files: Files, capsys: pytest.CaptureFixture[str], bound: str, conversion: Conversion
) -> None:
    folder, votes, answered = files
    paths = ["--votes", folder / "votes.npy", "--answered", folder / "answered.npy"]
    options = ["--bound", bound, "--conversion", conversion]
    status, report, err = run(capsys, "epsilon", *paths, *NOISE, *options)
    account = Accountant()
    if bound == "dependent":
        account.charge_votes(votes, 40.0, 300.0, 200.0, answered=answered)
    else:
        account.charge(Mechanism("threshold", 200.0), 50)
        account.charge(Mechanism("gnmax", 40.0), 17)
    loss = account.privacy_loss(1e-6, conversion)
    assert status == 0
    assert (report["epsilon"], report["order"]) == (loss.epsilon, loss.order)
    assert (report["queries_charged"], report["answered_charged"]) == (50, 17)
    assert (report["bound"], report["conversion"]) == (bound, conversion)
    assert report["private"] is (bound == "dependent")
    assert ("do not publish" in err) is (bound == "dependent")


def test_the_law_of_the_noise_can_be_chosen(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, *_ = files
    arguments = ["epsilon", "--votes", folder / "votes.npy", *NOISE, "--bound", "dependent"]
    _, discrete, _ = run(capsys, *arguments)
    _, continuous, _ = run(capsys, *arguments, "--noise", "continuous")
    assert discrete["noise"] == "discrete"
    assert discrete["epsilon"] > continuous["epsilon"]


def test_the_expected_cost_rule_goes_by_its_name_and_is_private(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, *_ = files
    status, report, err = run(
        capsys, "epsilon", "--votes", folder / "votes.npy", *NOISE, "--expected_cost"
    )
    assert status == 0
    assert report["rule"] == "expected cost"
    assert report["private"]
    assert "do not publish" in err


def test_private_figures_stay_out_of_the_file_unless_asked(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, *_ = files
    out = folder / "report.json"
    arguments = ["epsilon", "--votes", folder / "votes.npy", *NOISE, "--output", out]
    _, printed, _ = run(capsys, *arguments)
    assert json.loads(out.read_text()) == printed
    _, printed, _ = run(capsys, *arguments, "--bound", "dependent")
    written = json.loads(out.read_text())
    assert written["epsilon"] is None and written["order"] is None
    assert written["withheld"] == ["epsilon", "order"]
    assert str(printed["epsilon"]) not in out.read_text()
    run(capsys, *arguments, "--bound", "dependent", "--include_private")
    assert json.loads(out.read_text()) == printed


def test_no_noise_is_infinite_and_said(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    folder, *_ = files
    arguments = ["--votes", folder / "votes.npy", "--sigma", "0", "--delta", "1e-6"]
    status, report, err = run(capsys, "epsilon", *arguments)
    assert (status, report["epsilon"], report["order"]) == (0, "infinite", None)
    assert "infinite" in err


def test_calibrate_goes_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    budget = ["--epsilon", "2", "--delta", "1e-6"]
    _, found, _ = run(capsys, "calibrate", *budget, "--queries", "141")
    assert 39.0 < found["sigma"] <= 40.0
    assert found["epsilon"] == pytest.approx(2.0, rel=1e-9)
    status, found, _ = run(capsys, "calibrate", *budget, "--sigma", "40")
    assert (status, found["queries"], found["private"]) == (0, 141, False)
    assert found["epsilon"] <= 2.0


def test_the_edge_of_the_grid_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--epsilon", "500", "--delta", "1e-6", "--sigma", "1"]
    _, _, err = run(capsys, "calibrate", *arguments)
    assert "edge of the grid" in err


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (["--votes", "none.npy"], "none.npy does not exist"),
        (["--votes", "text.npy"], "not a readable .npy"),
        (["--votes", "objects.npy"], "not a readable .npy"),
        (["--votes", "several.npz"], "several arrays"),
        (["--votes", "nan.npy"], "not finite"),
        (["--votes", "negative.npy"], "negative"),
        (["--votes", "flat.npy"], "shape"),
        (["--answered", "short.npy"], "2 queries"),
        (["--answered", "two.npy"], "zeros and ones"),
        (["--answered", "some.npy"], "every query is answered"),
        (["--sigma", "-1"], "sigma"),
        (["--sigma", "nan"], "sigma"),
        (["--delta", "0"], "delta"),
        (["--threshold", "5"], "together"),
        (["--threshold", "nan", "--sigma_threshold", "5"], "threshold is nan"),
        (["--expected_cost"], "needs --threshold"),
        (["--output", "nowhere/report.json"], "cannot be written"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    extra: list[str],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("good.npy", np.array([[5, 3], [4, 4]]))
    np.save("nan.npy", np.array([[5, np.nan]]))
    np.save("negative.npy", np.array([[5, -3]]))
    np.save("flat.npy", np.zeros((2, 2, 2)))
    np.save("objects.npy", np.array([[5, None]], dtype=object), allow_pickle=True)
    np.savez("several.npz", a=np.zeros(2), b=np.zeros(2))
    np.save("short.npy", np.array([True]))
    np.save("two.npy", np.array([2, 0]))
    np.save("some.npy", np.array([True, False]))
    (tmp_path / "text.npy").write_text("5 3\n")
    base = ["epsilon", "--votes", "good.npy", "--sigma", "40", "--delta", "1e-6"]
    status, _, err = run(capsys, *base, *extra)
    assert status == 2
    assert reason in err
    assert err.strip().count("\n") == 0


def test_it_starts_fast_and_alone() -> None:
    program = (
        "import sys; import capc.privacy.privacy_command\n"
        "assert not {'opendp', 'scipy', 'pandas', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    shown = subprocess.run(
        [sys.executable, "-m", "capc.cli", "privacy", "epsilon", "--help"],
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert "capc privacy epsilon --votes" in shown.stdout


def test_an_account_in_a_file_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    account = Accountant()
    account.charge(Mechanism("threshold", 150.0), 1621)
    account.charge(Mechanism("gnmax", 40.0), 883)
    path = tmp_path / "account.json"
    account.save(path)
    flags = ["account", "--file", path, "--delta", "1e-5", "--conversion", "classic"]
    status, report, err = run(capsys, *flags)
    assert (status, err) == (0, "")
    assert report["epsilon"] == pytest.approx(5.7919, abs=5e-5)
    assert report["charges"] == [
        {"mechanism": "threshold", "sigma": 150.0, "count": 1621},
        {"mechanism": "gnmax", "sigma": 40.0, "count": 883},
    ]
    assert not report["private"]
    account.charge_votes([[250, 0], [249, 1]], 40.0)
    account.save(path, include_private=True)
    output = tmp_path / "report.json"
    status, report, err = run(capsys, *flags, "--output", output)
    assert report["private"] and "do not publish" in err
    assert report["charges"][1]["count"] == 885
    assert json.loads(output.read_text())["withheld"] == ["epsilon", "order"]
    assert run(capsys, "account", "--file", tmp_path / "none", "--delta", "1e-5")[0] == 2


DISTRIBUTED = ["--noise", "distributed", "--parties", "250", "--colluding", "50"]


def test_under_distributed_noise_each_query_costs_the_same(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, votes, answered = files
    base = ["epsilon", "--votes", folder / "votes.npy", "--sigma", "40", "--delta", "1e-6"]
    some = ["--threshold", "300", "--answered", folder / "answered.npy"]
    status, report, err = run(capsys, *base, *DISTRIBUTED, *some)
    assert (status, err) == (0, "")
    account = Accountant()
    account.charge(Mechanism("distributed", 40.0, None, 250, 50), len(votes))
    assert report["epsilon"] == account.privacy_loss(1e-6).epsilon
    assert report["answered_charged"] == answered.sum()
    assert report["rule"] == "every query, answered or not"
    assert float(report["excess_per_query"].split("e")[1]) < -1000
    assert run(capsys, *base, *DISTRIBUTED)[1]["epsilon"] == report["epsilon"]
    path = folder / "account.json"
    account.owners = "250 hospitals"
    account.save(path)
    _, kept, _ = run(capsys, "account", "--file", path, "--delta", "1e-6")
    assert kept["epsilon"] == report["epsilon"]
    assert kept["owners"] == "250 hospitals"
    (charge,) = kept["charges"]
    assert (charge["parties"], charge["colluding"], charge["count"]) == (250, 50, 50)
    assert charge["excess_per_query"] == report["excess_per_query"]


def test_calibration_under_distributed_noise(capsys: pytest.CaptureFixture[str]) -> None:
    base = ["calibrate", "--epsilon", "2", "--delta", "1e-6"]
    _, plain, _ = run(capsys, *base, "--queries", "500")
    status, found, err = run(capsys, *base, "--queries", "500", *DISTRIBUTED)
    assert (status, err) == (0, "")
    assert (found["sigma"], found["epsilon"]) == (plain["sigma"], plain["epsilon"])
    assert run(capsys, *base, "--sigma", found["sigma"], *DISTRIBUTED)[1]["queries"] == 500


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (["--noise", "distributed"], "needs --parties"),
        (["--parties", "5"], "need --noise distributed"),
        ([*DISTRIBUTED, "--sigma_threshold", "3"], "no --sigma_threshold"),
        ([*DISTRIBUTED, "--colluding", "250"], "allowed is 0 to 249"),
        ([*DISTRIBUTED, "--sigma", "0.01"], "at least"),
    ],
)
def test_distributed_noise_that_cannot_be(
    files: Files, capsys: pytest.CaptureFixture[str], extra: list[str], reason: str
) -> None:
    votes = ["epsilon", "--votes", files[0] / "votes.npy", "--sigma", "40", "--delta", "1e-6"]
    queries = ["calibrate", "--epsilon", "2", "--delta", "1e-6", "--sigma", "40"]
    for base in (votes, queries):
        status, _, err = run(capsys, *base, *extra)
        assert status == 2
        assert reason in err


def test_what_distributed_noise_has_no_rule_for(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    votes = ["epsilon", "--votes", files[0] / "votes.npy", "--delta", "1e-6", *DISTRIBUTED]
    for extra, reason in (
        (["--sigma", "40", "--bound", "dependent"], "independent bound alone"),
        (["--sigma", "40", "--answered", files[0] / "answered.npy"], "without --threshold"),
    ):
        status, _, err = run(capsys, *votes, *extra)
        assert status == 2
        assert reason in err
    coarse = ["--noise", "distributed", "--parties", "400", "--sigma", "0.0554"]
    status, _, err = run(capsys, "calibrate", "--epsilon", "1e6", "--delta", "1e-6", *coarse)
    assert status == 2
    assert "too coarse to calibrate" in err
