"""The unit, the image's recipe and the compose file: what they name exists, and they agree."""

from __future__ import annotations

import configparser
import logging
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from federations import ROOT

from capc.cli import main
from capc.roles import GUARDIAN, PARTY_NAME, QUERYING, answering, role_of
from capc.transport.limits import DEFAULT_LIMITS

SERVICE = ROOT / "config" / "service"
UNIT = SERVICE / "capc-party@.service"
RECIPE = (SERVICE / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((SERVICE / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
_LARGEST_EXPOSURE = "20"  # of 100, as `systemd-analyze security` counts


def of_recipe(name: str) -> list[str]:
    """What follows each instruction of that name."""
    return re.findall(rf"^{name} (.+)$", RECIPE, re.MULTILINE)


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False, comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


def unit_command() -> list[str]:
    return shlex.split(unit()["ExecStart"])


@pytest.mark.parametrize(
    ("role", "words"),
    [
        *((QUERYING, unit_command()[1:]), ("guardian", unit_command()[1:])),
        *((role_of(name), service["command"]) for name, service in SERVICES.items()),
    ],
)
def test_each_command_is_one_of_the_program(
    role: str,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It gets as far as its party.toml, which is not here."""
    # a party sets up and ends the logging of its process, which here is that of the tests
    for name in ("basicConfig", "shutdown"):
        monkeypatch.setattr(logging, name, lambda **_: None)
    given = [word.replace("%i", role).replace("party.toml", str(tmp_path / "x")) for word in words]
    assert given[:2] == ["party", role]
    assert main(given) == 1
    assert f"{tmp_path / 'x'} cannot be read" in caplog.text


def test_unit_and_image_have_the_program_where_the_set_up_builds_it() -> None:
    (program,) = yaml.safe_load(of_recipe("ENTRYPOINT")[0])
    assert program == unit_command()[0]
    built = of_recipe("WORKDIR")[0]
    assert program == f"{built}/.venv/bin/capc"
    assert f"COPY --from=build {built} {built}" in RECIPE
    for script in re.findall(r"scripts/[\w.]+", RECIPE):
        assert os.access(ROOT / script, os.X_OK), script


def test_services_are_a_federation_of_the_image() -> None:
    count = sum(name.startswith("answering") for name in SERVICES)
    assert set(SERVICES) == {QUERYING, GUARDIAN, *map(answering, range(count))}
    folder = of_recipe("WORKDIR")[-1]
    for name, service in SERVICES.items():
        assert PARTY_NAME.fullmatch(name)
        assert service["volumes"] == [f"./parties/{name}:{folder}"]
        build = service["build"]
        assert (SERVICE / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        test = service["healthcheck"]["test"]
        assert Path(test[1]).parent == Path(unit_command()[0]).parent
        port = service["command"][service["command"].index("--metrics_port") + 1]
        assert f"127.0.0.1:{port}/health" in test[-1]


def test_ports_are_those_that_init_writes(tmp_path: Path) -> None:
    folder = tmp_path / "guardian"
    assert main(["party", "init", "guardian", "--host=h", f"--folder={folder}"]) == 0
    (port,) = re.findall(r"port = (\d+)", (folder / "member.toml").read_text())
    assert of_recipe("EXPOSE") == [f"{port} {int(port) + 1}"]


def test_no_key_gets_into_an_image() -> None:
    ignored = (SERVICE / "Dockerfile.dockerignore").read_text().splitlines()
    assert {".git", "**/*.key", "**/account*.json", "results"} <= set(ignored)


def test_a_stop_waits_longer_than_a_query_may_take() -> None:
    longest = 600 + DEFAULT_LIMITS.message_seconds  # timeout_seconds of party.toml, and a message
    assert int(unit()["TimeoutStopSec"]) > longest
    assert unit()["KillMode"] == "mixed"
    for service in SERVICES.values():
        assert 60 * int(service["stop_grace_period"].removesuffix("m")) > longest


def test_the_querying_party_does_not_ask_again_by_itself() -> None:
    drop_in = SERVICE / "capc-party@querying.service.d" / "once.conf"
    assert "\nRestart=no\n" in drop_in.read_text()
    assert unit()["Restart"] == "always"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
@pytest.mark.parametrize(
    "words", [("verify",), ("security", "--offline=yes", f"--threshold={_LARGEST_EXPOSURE}")]
)
def test_systemd_takes_the_unit(tmp_path: Path, words: tuple[str, ...]) -> None:
    """With a program that is here in place of the one that `make setup` builds."""
    made = tmp_path / "capc-party@guardian.service"
    made.write_text(UNIT.read_text().replace(unit_command()[0], "/bin/true"))
    checked = subprocess.run(
        ["systemd-analyze", *words, made], check=False, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "Unknown" not in checked.stderr, checked.stderr
