"""--encryption_params: one way to find, read and refuse, in every command that takes it."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from he_reference import CONFIG

from capc import cli
from capc.errors import ConfigError
from capc.files import REPOSITORY
from capc.he.parameter_flags import FAST, add_encryption_params, read_encryption_params
from capc.he.parameters import EncryptionParameters

FAST_PARAMETERS = EncryptionParameters.from_json(str(CONFIG / "fast.json"))
MODEL = str(REPOSITORY / "models" / "cryptonets-relu.pb")
WEAK = FAST_PARAMETERS.to_json().replace('"security_level": 128', '"security_level": 0')


def test_a_file_is_found_here_or_below_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_encryption_params(FAST) == FAST_PARAMETERS
    assert read_encryption_params(" " + FAST_PARAMETERS.to_json()) == FAST_PARAMETERS
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "fast.json").write_text((CONFIG / "11.json").read_text())
    assert read_encryption_params(FAST).poly_modulus_degree == 16384


def test_weak_parameters_are_refused_unless_they_are_allowed() -> None:
    with pytest.raises(ConfigError, match="--encryption_params: security_level is 0"):
        read_encryption_params(WEAK)
    assert read_encryption_params(WEAK, allow_insecure=True).security_level == 0


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text("[1]")
    with pytest.raises(ConfigError, match=f"--encryption_params {path}: .*not a JSON object"):
        read_encryption_params(str(path))
    with pytest.raises(ConfigError, match="which is not a file"):
        read_encryption_params(str(tmp_path))


def test_the_default_is_shown() -> None:
    parser = argparse.ArgumentParser()
    add_encryption_params(parser)
    assert parser.parse_args([]).encryption_params == FAST
    assert FAST in parser.format_help()


@pytest.mark.parametrize(
    "command",
    [["run"], ["graph", "inspect", MODEL], ["accuracy", MODEL]],
    ids=lambda command: command[0],
)
def test_every_command_finds_it_alike(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([*command, "--encryption_params=config/none.json"]) == 2
    said = capsys.readouterr().err
    assert "--encryption_params names config/none.json, which is not a file" in said
