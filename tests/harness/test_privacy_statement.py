"""What a run says its noise is worth, what it records as weak, and what --private refuses."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from capc.errors import ConfigError
from capc.harness.cautions import cautions
from capc.harness.experiment import main
from capc.harness.privacy_statement import privacy_statement, require_private
from capc.harness.settings import parse_settings

NOISE = ("--sigma=40", "--epsilon=5", "--delta=1e-6")


def test_a_default_is_named_and_epsilon_is_what_it_is() -> None:
    default = parse_settings([])
    assert privacy_statement(default, 812.3) == (
        "sigma was not stated: 0.1 by default, as in the original programs; "
        "epsilon = 812.3 at delta = 1e-05: no meaningful privacy"
    )
    for flag in ("--sigma=0.1", "--dp_noise_scale=0.1"):
        stated = parse_settings([flag])
        assert privacy_statement(stated, 19.9) == "epsilon = 19.9 at delta = 1e-05"
        assert privacy_statement(stated, 20.0).endswith(
            "20 at delta = 1e-05: no meaningful privacy"
        )
    kept = parse_settings([*NOISE, "--account=a.json"])
    assert privacy_statement(kept, 2.0) == (
        "epsilon = 2 at delta = 1e-06, over all runs of the account"
    )


@pytest.mark.parametrize(
    "flags", [["--sigma=0"], ["--sigma=7", "--threshold=1", "--sigma_threshold=0"]]
)
def test_without_noise_there_is_no_privacy_and_every_row_says_so(flags: list[str]) -> None:
    settings = parse_settings(flags)
    assert privacy_statement(settings, math.inf) == (
        "there is no noise on what is opened; epsilon = infinite at delta = 1e-05: no meaningful "
        "privacy"
    )
    assert settings.insecure_switches == "no_noise"
    assert privacy_statement(settings, 0.0).endswith("no meaningful privacy")


def test_emp_is_named_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPC_GC_BIN", str(tmp_path))
    for name in ("argmax_1-emp", "sum_histogram-emp", "sum_histogram"):
        (tmp_path / name).touch(mode=0o700)
    switches = {
        flags: parse_settings(flags.split()).insecure_switches
        for flags in (
            *("--gc_backend=emp", "--gc_backend=auto", "--gc_backend=builtin"),
            *("--gc_backend=auto --cpu", "--gc_backend=emp --cpu --sigma=0"),
        )
    }
    assert list(switches.values()) == ["emp", "emp", "", "cpu", "cpu+emp+no_noise"]
    assert any("EMP" in line for line in cautions(parse_settings(["--gc_backend=emp"])))
    (tmp_path / "argmax_1").touch(mode=0o700)
    assert parse_settings([]).insecure_switches == ""


def test_private_names_all_that_is_missing_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [*NOISE, f"--account={tmp_path / 'account.json'}", "--private"]
    require_private(parse_settings(whole))
    for flag, _ in (word.split("=") for word in whole[:-1]):
        less = [word for word in whole if not word.startswith(f"{flag}=")]
        with pytest.raises(ConfigError, match=rf"^--private: {flag} is not stated[^;]*$"):
            main(less)
    with pytest.raises(ConfigError) as error:
        main(["--private", "--verify", "--epsilon=inf"])
    assert str(error.value) == (
        "--private: --sigma is not stated; --epsilon is not stated (inf is no limit); --delta is "
        "not stated; --account is not stated; --verify opens every share"
    )
    for bad, said in {
        "--verify": "--verify",
        "--cpu": "--cpu",
        "--insecure": "--insecure",
        "--threshold=2 --sigma_threshold=0": "--sigma_threshold is 0",
    }.items():
        with pytest.raises(ConfigError, match=f"--private: {said}"):
            main([*whole, *bad.split()])
    with pytest.raises(ConfigError, match=r"--private: --sigma is 0$"):
        main(["--sigma=0", *whole[1:]])
    monkeypatch.setenv("CAPC_GC_BIN", str(tmp_path))
    for name in ("argmax_1-emp", "sum_histogram-emp"):
        (tmp_path / name).touch(mode=0o700)
    with pytest.raises(ConfigError, match=r"--private: the circuits run on EMP$"):
        main(whole)
