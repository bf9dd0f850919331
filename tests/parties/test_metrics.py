"""A party's figures: what each role may show, on loopback alone, to no page of a browser."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from federations import HOST, NAMES, Federation
from free_ports import free_ports

from capc.cli import main
from capc.errors import ConfigError
from capc.parties.federation import metrics_server
from capc.parties.federation.metrics import FAILED, Metrics
from capc.parties.federation.metrics_server import MetricsServer
from capc.parties.federation.party_file import PartyFile
from capc.parties.federation.records import OwnRecords
from capc.transport.limits import DEFAULT_LIMITS

_LINE = re.compile(r'capc_[a-z_]+(\{([a-z]+="[a-z0-9.-]+",?)+\})? [0-9.e+-]+|# (HELP|TYPE) capc_.+')


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PartyFile]:
    made = Federation(tmp_path_factory.mktemp("federation"))
    return {name: PartyFile.read(made.root / name / "party.toml") for name in NAMES}


def served(files: dict[str, PartyFile], name: str) -> OwnRecords:
    """A party's records after a run of two queries, at the end of which it stops for a reason."""
    log = files[name].log.with_name("other.jsonl")
    log.unlink(missing_ok=True)
    records = OwnRecords(replace(files[name], log=log))
    records.met("guardian", "0" * 64)
    for query in range(2):
        records.timing(query, "2", "online", 0.25, bytes_sent=100, bytes_received=7, rounds=1)
        if name == "guardian":
            records.spent(query, 1.5 * (query + 1), 1e-5, "improved", query == 0)
        if name == "querying":
            records.answer(query, query == 0, 2 if query == 0 else None)
    records.metrics.connection_refused()
    records.close()
    return records


@pytest.mark.parametrize("name", NAMES)
def test_each_line_is_in_the_text_format(files: dict[str, PartyFile], name: str) -> None:
    lines = served(files, name).metrics.text().splitlines()
    assert [line for line in lines if not _LINE.fullmatch(line)] == []
    assert "capc_peers_met_total 1" in lines
    assert "capc_connections_refused_total 1" in lines
    assert 'capc_step_seconds_sum{step="2",phase="online"} 0.5' in lines
    assert 'capc_step_bytes_total{step="2",phase="online",direction="out"} 200' in lines
    assert 'capc_state{state="meeting"} 1' in lines


def test_a_role_shows_what_it_learns_and_no_more(files: dict[str, PartyFile]) -> None:
    text = {name: served(files, name).metrics.text() for name in NAMES}
    outcomes = {name: set(re.findall('outcome="([a-z]+)"', said)) for name, said in text.items()}
    assert outcomes["answering-0"] == {"served"}
    assert outcomes["querying"] == {"answered", "unanswered"}
    assert outcomes["guardian"] == {"answered", "unanswered", "refused"}
    assert 'capc_queries_total{outcome="answered"} 1' in text["guardian"]
    assert "capc_epsilon_spent 3.0" in text["guardian"]
    assert "capc_epsilon_budget 1000000000.0" in text["guardian"]
    for name in ("querying", "answering-0"):
        assert "epsilon" not in text[name]
    for said in text.values():
        assert not re.search("label|vote|share", said)


@pytest.fixture
def server(
    files: dict[str, PartyFile], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[int, Metrics]]:
    monkeypatch.setattr(metrics_server, "_REQUEST_SECONDS", 0.5)
    (port,) = free_ports(1)
    metrics = Metrics(files["guardian"].config)
    made = MetricsServer(port, metrics)
    yield port, metrics
    made.close()


def asked(port: int, path: str, host: str = "localhost") -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_health_says_the_state(server: tuple[int, Metrics]) -> None:
    port, metrics = server
    status, body = asked(port, "/health")
    assert (status, json.loads(body)) == (200, {"party": "guardian", "state": "meeting"})
    metrics.state = FAILED
    assert asked(port, "/health")[0] == 503
    assert asked(port, "/metrics") == (200, metrics.text())
    assert asked(port, "/")[0] == 404


def test_a_page_of_another_name_learns_nothing(server: tuple[int, Metrics]) -> None:
    """A browser sends the name that it looked up, whoever owns it."""
    status, body = asked(server[0], "/metrics", "hospital.example")
    assert (status, "capc_" in body) == (403, False)


def test_a_silent_client_holds_nobody_up_for_long(server: tuple[int, Metrics]) -> None:
    with socket.create_connection((HOST, server[0])) as silent:
        silent.sendall(b"GET /metrics HTTP/1.1\r\n")
        start = time.monotonic()
        assert asked(server[0], "/health")[0] == 200
        assert time.monotonic() - start < 3


def test_a_taken_port_is_named(server: tuple[int, Metrics], files: dict[str, PartyFile]) -> None:
    log = files["guardian"].log.with_name("taken.jsonl")
    with pytest.raises(ConfigError, match=f"metrics_port {server[0]} cannot be used"):
        OwnRecords(replace(files["guardian"], log=log, metrics_port=server[0]))
    OwnRecords(replace(files["guardian"], log=log)).close()  # its log is free again


def test_limits_have_defaults_and_are_checked(tmp_path: Path) -> None:
    made = Federation(tmp_path)
    config = tmp_path / "guardian" / "party.toml"
    assert PartyFile.read(config).limits == DEFAULT_LIMITS
    with config.open("a") as file:
        file.write("metrics_port = 9100\n[limits]\nstrangers = 8\nhandshake_seconds = 2\n")
    own = PartyFile.read(config)
    assert (own.metrics_port, own.limits) == (
        9100,
        replace(DEFAULT_LIMITS, strangers=8, handshake_seconds=2.0),
    )
    for old, new, said in (
        ("strangers = 8", "strangers = 0", "limits.strangers is 0; allowed is more than 0"),
        ("strangers = 0", "strangers = 1.5", "limits.strangers is 1.5; allowed is a whole number"),
        ("strangers = 1.5", "stranger = 1", "limits.stranger is unknown"),
    ):
        made.change("guardian", "party.toml", old, new)
        with pytest.raises(ConfigError) as caught:
            PartyFile.read(config)
        assert said in str(caught.value)


def test_the_flag_is_for_a_party_without_a_driver(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--config", "x", "--control", "y", "--metrics_port", "9100"]
    assert main(["party", "guardian", *flags]) == 2
    assert "does not go with --control" in capsys.readouterr().err


def test_the_template_of_init_says_the_limits(tmp_path: Path) -> None:
    """Its comments are what they would be as settings."""
    Federation(tmp_path)
    config = tmp_path / "guardian" / "party.toml"
    head, _, settings = config.read_text().partition("# [limits]\n")
    lines = [line.removeprefix("# ") for line in settings.splitlines()]
    assert [line.split()[0] for line in lines] == list(vars(DEFAULT_LIMITS))
    config.write_text("\n".join([head, "[limits]", *lines, ""]))
    assert PartyFile.read(config).limits == DEFAULT_LIMITS
