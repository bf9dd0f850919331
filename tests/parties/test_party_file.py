"""party.toml and federation.toml: whatever is wrong in them is named with its file and field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from federations import NAMES, ROOT, Federation

from capc.cli import main
from capc.errors import ConfigError
from capc.parties.federation.party_file import PartyFile


@pytest.fixture
def made(tmp_path: Path) -> Federation:
    return Federation(tmp_path)


def read(made: Federation, name: str) -> PartyFile:
    return PartyFile.read(made.root / name / "party.toml")


def test_each_party_is_told_its_own(made: Federation) -> None:
    files = {name: read(made, name) for name in NAMES}
    assert files["guardian"].config.privacy is not None
    assert files["answering-1"].config.index == 1
    assert files["querying"].labels == made.root / "querying" / "labels.csv"
    for name, own in files.items():
        assert own.config.ring is not None
        assert (own.config.model is not None) == name.startswith("answering")
        assert own.federation.terms == files["guardian"].federation.terms
        assert "privacy.sigma" in own.federation.terms


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("federation.toml", "sigma = 0.01", "sigma = 0", "privacy.sigma is not above 0"),
        ("federation.toml", "sigma = 0.01", "", "privacy.sigma is missing"),
        ("federation.toml", "epsilon = 1e9", "", "privacy.epsilon is missing"),
        ("federation.toml", "delta =", "dleta =", "privacy.dleta is unknown"),
        ("federation.toml", "sigma = 0.01", "threshold = 2\nsigma = 1", "sigma_threshold is miss"),
        ("federation.toml", "batch_size = 1", "batch_size = 0", "batch_size is 0"),
        (
            "federation.toml",
            "reconnect_seconds = 1 ",
            "reconnect_seconds = -1 ",
            "s is -1; allowed",
        ),
        ("federation.toml", "ring_bits = 41", "ring_bits = 1", "ring_bits is 1"),
        ("federation.toml", '"transfers"', '"emp"', "way is 'emp'; allowed is one of garbled"),
        ("federation.toml", '"transfers"', '"auto"\nlink = "9"', "allowed is a round-trip time"),
        ("federation.toml", "security_level = 128", "security_level = 7", "security_level is 7"),
        ("federation.toml", "sha256:", "sha256:0", "fingerprint is not that of the certificate"),
        ("federation.toml", 'name = "answering-1"', 'name = "answering-2"', "the parties are"),
        ("federation.toml", "level = 128", "level = 0", "security_level is 0, below 128"),
        ("federation.toml", 'certificate = "', 'certificate = "AAAA', "is no certificate"),
        ("federation.toml", "[run]", "[run", "is not TOML"),
        ("party.toml", "meet_seconds = 20", 'meet_seconds = "x"', "meet_seconds is 'x'"),
        ("party.toml", "log =", "program_port = 70000\nlog =", "program_port is 70000"),
        ("party.toml", "log =", "lgo =", "lgo is unknown"),
        ("party.toml", '"guardian"', '"answering-7"', "which the federation does not have"),
    ],
)
def test_what_is_wrong_is_named(made: Federation, file: str, old: str, new: str, said: str) -> None:
    made.change("guardian", file, old, new)
    with pytest.raises(ConfigError, match=r"guardian/\w+\.toml") as caught:
        read(made, "guardian")
    assert said in str(caught.value)


def test_a_certificate_that_the_others_do_not_have_is_noticed(made: Federation) -> None:
    folder = made.root / "guardian"
    for name in ("party.key", "party.crt", "party.toml", "member.toml"):
        (folder / name).unlink()
    assert main(["party", "init", "guardian", f"--folder={folder}", "--host=other"]) == 0
    with pytest.raises(ConfigError, match="has another certificate of guardian"):
        read(made, "guardian")


def test_init_writes_nothing_over_and_keeps_the_key_private(
    made: Federation, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made.root / "guardian"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(["party", "init", "guardian", f"--folder={folder}", "--host=other"]) == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert (folder / "party.key").stat().st_mode & 0o777 == 0o600
    assert main(["party", "init", "somebody", "--host=other"]) == 2
    assert "somebody is not the name of a party" in capsys.readouterr().err


def test_the_template_has_the_parameters_of_fast_json(made: Federation) -> None:
    fast = json.loads((ROOT / "config" / "fast.json").read_text())
    assert read(made, "guardian").federation.encryption_parameters.to_fields() == fast
