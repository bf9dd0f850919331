"""The parties' config file: there and back, and an error that names the field."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capc.errors import ConfigError
from capc.fixed_point import FixedPoint
from capc.graph.agreement import Agreement
from capc.he.parameters import EncryptionParameters
from capc.inference.choice import NonlinearChoice
from capc.inference.link import Link
from capc.parties import answering_party
from capc.parties import config as configs
from capc.parties.config import OwnNoise, PartyConfig, PrivacySettings, QuerySource

BASE = PartyConfig(
    party="answering-1",
    index=1,
    n_parties=3,
    num_classes=10,
    n_queries=20,
    batch_size=4,
    encryption_parameters=EncryptionParameters("HE_SEAL", 8192, 128, (47, 24, 24, 24, 30)),
    input_range=(0.0, 1.0),
    with_threshold=False,
    nonlinear=NonlinearChoice("auto", Link.parse("40ms,100mbit")),
    model="/models/1.npz",
    agreement=Agreement(FixedPoint(41, 12), {3: 0.5}, (11, 12), (20,)),
)
GUARDIAN = replace(
    BASE,
    party="guardian",
    index=0,
    model=None,
    agreement=None,
    with_threshold=True,
    privacy=PrivacySettings(40.0, 200, 150.0, None, 1e-5, "classic"),
)
QUERYING = replace(
    BASE,
    party="querying",
    index=0,
    model=None,
    agreement=None,
    queries=QuerySource("mnist", 5, None),
)


DISTRIBUTED = [
    replace(BASE, distributed_noise=True, own_noise=OwnNoise(2.0, 1)),
    replace(
        GUARDIAN,
        distributed_noise=True,
        privacy=PrivacySettings(2.0, 200, 0.0, None, 1e-5, "classic", None, "distributed", 1),
    ),
    replace(QUERYING, distributed_noise=True, min_parties=2),
]
LABELS = [
    replace(BASE, with_threshold=False, voting="binary"),
    replace(QUERYING, with_threshold=False, voting="tau", max_labels=2),
]


@pytest.mark.parametrize(
    "config", [BASE, GUARDIAN, QUERYING, *DISTRIBUTED, *LABELS], ids=lambda config: config.party
)
def test_there_and_back(config: PartyConfig, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    config.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert PartyConfig.read(path) == config


def test_only_the_guardian_is_told_the_noise() -> None:
    assert GUARDIAN.to_json()["privacy"]["sigma"] == 40.0
    own = {"answering-1": "model", "querying": "queries", "guardian": "privacy"}
    for config in (BASE, QUERYING, GUARDIAN):
        assert {"model", "queries", "privacy"} & set(config.to_json()) == {own[config.party]}
        assert "with_threshold" in config.to_json()


def test_a_party_that_draws_its_noise_is_told_its_scale_and_no_budget() -> None:
    answering, guardian, querying = (config.to_json() for config in DISTRIBUTED)
    assert answering["own_noise"] == {"sigma": 2.0, "colluding": 1}
    assert "privacy" not in answering
    assert not {"own_noise", "privacy"} & set(querying)
    assert "own_noise" not in guardian
    assert {config.vote_shift for config in DISTRIBUTED} == {8}
    assert {BASE.vote_shift, GUARDIAN.vote_shift, QUERYING.vote_shift} == {0}


@pytest.mark.parametrize("config", [BASE, GUARDIAN, *DISTRIBUTED[:2]])
def test_who_draws_the_noise_is_the_same_to_all(config: PartyConfig) -> None:
    fields = config.to_json() | {"distributed_noise": not config.distributed_noise}
    with pytest.raises(ConfigError, match="distributed_noise"):
        PartyConfig.from_json(fields)


def test_the_threshold_of_the_guardian_is_the_one_that_all_know() -> None:
    for with_threshold, threshold in ((False, 200), (True, None)):
        fields = GUARDIAN.to_json() | {"with_threshold": with_threshold}
        fields["privacy"] |= {"threshold": threshold}
        with pytest.raises(ConfigError, match="with_threshold"):
            PartyConfig.from_json(fields)


def test_encryption_parameters_are_checked_where_they_are_read() -> None:
    fields = BASE.to_json()
    fields["encryption_parameters"]["coeff_modulus"] = [60] * 5
    with pytest.raises(ConfigError, match="coeff_modulus has 300 bits in all"):
        PartyConfig.from_json(fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", 1),
        ("min_parties", 4),
        ("min_parties", 0),
        ("n_parties", 0),
        ("n_parties", True),
        ("n_queries", 1.5),
        ("num_classes", 1),
        ("port", 65536),
        ("gc_backend", "other"),
        ("nonlinear", "garbled"),
        ("nonlinear", {"way": "auto", "link": "slow"}),
        ("timeout_seconds", 0),
        ("max_logit", float("inf")),
        ("insecure", 1),
        ("party", ""),
        ("encryption_parameters", []),
        ("encryption_parameters", {"scheme_name": "HE_SEAL"}),
        ("with_threshold", 1),
        ("unencrypted", None),
        ("input_range", [1, 0]),
        ("input_range", [0]),
        ("privacy", {"threshold": False}),
        ("privacy", []),
        ("privacy", {"sigma": -1, "threshold": None}),
        ("own_noise", {"sigma": 1.0, "colluding": -1}),
        ("own_noise", 2),
        ("distributed_noise", 0),
        ("voting", "majority"),
        ("max_labels", 0),
        ("queries", {"dataset": "mnist"}),
        ("queries", []),
        ("model", ""),
        ("agreement", {"ring_bits": 41}),
        ("agreement", []),
    ],
)
def test_a_wrong_field_is_named(name: str, value: Any) -> None:
    fields = BASE.to_json() | {name: value}
    with pytest.raises(ConfigError) as error:
        PartyConfig.from_json(fields)
    inner = {
        "privacy": ("sigma",),
        "own_noise": ("colluding",),
        "queries": ("start",),
        "encryption_parameters": ("poly_modulus_degree",),
    }
    assert any(word in str(error.value) for word in (name, *inner.get(name, ())))


def test_missing_and_unknown_fields_are_named() -> None:
    fields = BASE.to_json()
    for name in fields:
        if name in ("model", "agreement"):
            continue
        rest = {key: fields[key] for key in fields if key != name}
        with pytest.raises(ConfigError, match=name):
            PartyConfig.from_json(rest)
    with pytest.raises(ConfigError, match="secret"):
        PartyConfig.from_json({**fields, "secret": 1})


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        PartyConfig.read(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        PartyConfig.read(tmp_path / "bad.json")
    (tmp_path / "list.json").write_text(json.dumps([]))
    with pytest.raises(ConfigError, match="not a JSON object"):
        PartyConfig.read(tmp_path / "list.json")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"voting": "binary", "with_threshold": True}, "voting is 'binary'.*no threshold"),
        ({"voting": "tau", "with_threshold": False}, "tau needs it"),
        ({"max_labels": 3}, "goes with --voting tau"),
    ],
)
def test_votes_that_cannot_be_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        PartyConfig.from_json(BASE.to_json() | changed)


@pytest.mark.parametrize(
    ("address", "n_parties", "conversations", "gives_back"),
    [
        ("127.0.0.1", 16, 16, False),
        ("127.0.0.1", 17, 16, True),
        ("127.0.0.1", 250, 16, True),
        ("10.0.0.7", 250, 250, False),
    ],
)
def test_many_parties_of_one_machine_take_turns(
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    n_parties: int,
    conversations: int,
    gives_back: bool,
) -> None:
    """With two cores; those that wait for their turn give back what they have freed."""
    monkeypatch.setattr(configs, "cores", lambda: 2)
    calls: list[None] = []
    monkeypatch.setattr(answering_party, "give_back_freed_memory", lambda: calls.append(None))
    config = replace(BASE, address=address, n_parties=n_parties)
    assert config.conversations == conversations
    answering_party.rest(config)
    assert bool(calls) == gives_back
