"""Parties on other machines: an own sshd where there is one, and a stand-in for ssh always."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("capc.gc._engine", reason="the circuit extension is not built")

from test_party_config import GUARDIAN
from test_real_run import N_QUERIES, Bench

from capc.errors import ConfigError
from capc.harness.hosts import read_hosts
from capc.harness.settings import parse_settings
from capc.privacy.accountant import Accountant

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("answering-0", "answering-1", "answering-2", "guardian", "querying")
# Runs the command here, and keeps what is sent to each host.
STAND_IN = """#!/bin/bash
echo "Welcome to $1"
exec sh -c "$2" < <(exec tee -a "{folder}/sent-$1")
"""
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def hosts_file(folder: Path, ssh: str, *, entries: str | None = None, **fields: str) -> Path:
    """One host for each party, all of them this machine by names of their own."""
    path = folder / "hosts.toml"
    text = [f'ssh = "{ssh}"']
    for name in NAMES:
        own = {"host": f"host-of-{name}", "address": "127.0.0.1", "listen": "0.0.0.0"}
        own |= {"python": sys.executable, "folder": str(folder / "remote"), **fields}
        text += ["[[host]]", f'parties = ["{name}"]']
        text += [f'{field} = "{value}"' for field, value in own.items()]
    path.write_text(entries if entries is not None else "\n".join(text))
    return path


@pytest.fixture
def stand_in(tmp_path: Path) -> str:
    script = tmp_path / "ssh"
    script.write_text(STAND_IN.format(folder=tmp_path))
    script.chmod(0o755)
    return str(script)


def test_each_model_goes_to_the_host_of_its_party_and_nothing_stays(
    tmp_path: Path, stand_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    bench = Bench(tmp_path)
    hosts = hosts_file(tmp_path, stand_in)
    account = tmp_path / "far" / "account.json"
    account.parent.mkdir()
    assert bench.run("--sigma=0.01", f"--hosts={hosts}", f"--account={account}") == 0
    assert sum(Accountant.load(account).counts.values()) == N_QUERIES
    assert len(bench.rows("queries.csv")) == N_QUERIES
    sent = {name: (tmp_path / f"sent-host-of-{name}").read_bytes() for name in NAMES}
    for index, model in enumerate(bench.models):
        holders = [name for name, said in sent.items() if model.read_bytes() in said]
        assert holders == [f"answering-{index}"]
    assert [name for name, said in sent.items() if b"queries.npy" in said] == ["querying"]
    assert list((tmp_path / "remote").iterdir()) == []
    logs = tmp_path / "latest" / "logs"
    for name in NAMES:
        assert re.search(f"{name} query 0 step", (logs / f"{name}.log").read_text()), name


def test_a_driver_that_dies_leaves_no_process_and_no_folder(
    tmp_path: Path, stand_in: str, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "remote"
    reader, writer = socket.socketpair()
    words = [sys.executable, "-m", "capc.harness.launchers.remote_agent", str(folder)]
    agent = subprocess.Popen(
        [stand_in, "host", " ".join([*words, "capc.parties.privacy_guardian"])],
        stdin=reader.fileno(),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    reader.close()
    request.addfinalizer(agent.kill)
    request.addfinalizer(writer.close)
    assert agent.stdout is not None
    while agent.stdout.readline() != b"capc-remote-1\n":
        pass
    config = json.dumps(GUARDIAN.to_json()).encode()
    writer.sendall(json.dumps({"config.json": len(config)}).encode() + b"\n" + config)
    said = agent.stdout.readline()
    assert b'"hello"' in said.lower()
    assert b'"announce"' in agent.stdout.readline().lower()  # it waits for its peers now
    (pid,) = re.findall(rb'"pid": ?(\d+)', said)
    assert len(list(folder.iterdir())) == 1
    writer.close()
    agent.communicate(timeout=20)
    assert not Path(f"/proc/{int(pid)}").exists()
    assert list(folder.iterdir()) == []


def test_a_host_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    script = tmp_path / "ssh"
    script.write_text("#!/bin/sh\necho $1: Connection refused >&2; exit 255\n")
    script.chmod(0o755)
    bench = Bench(tmp_path)
    assert bench.run(f"--hosts={hosts_file(tmp_path, str(script))}") == 1
    logs = [(tmp_path / "latest" / "logs" / f"{name}.log").read_text() for name in NAMES]
    for name, said in zip(NAMES, logs, strict=True):
        if said:  # the others were ended meanwhile
            assert f"host-of-{name}: Connection refused" in said
    failed = "the connection to host-of-[a-z0-9-]+ has failed \\(ssh ended with 255\\)"
    assert re.search(failed, "".join(logs))


ENTRY = '[[host]]\nhost = "{}"\npython = "p"\nfolder = "f"\n'


def test_hosts_take_their_turns_in_what_none_names(tmp_path: Path) -> None:
    entries = "".join(map(ENTRY.format, ("a", "me@b", "c"))) + 'parties = ["guardian"]'
    found = read_hosts(hosts_file(tmp_path, "", entries=entries), 2)
    assert {name: host.address for name, host in found.items()} == {
        **{"answering-0": "a", "answering-1": "b"},
        **{"querying": "a", "guardian": "c"},
    }
    assert found["answering-1"].host == "me@b"
    assert found["guardian"].ssh[0] == "ssh"


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ("", "host is no list of tables"),
        (ENTRY.format("-oProxyCommand=x"), "host is '-oProxyCommand=x'"),
        (ENTRY.format("a") + 'parties = "guardian"', "parties is 'guardian'; allowed is a list"),
        (ENTRY.format("a") + 'parties = ["answering-9"]', "parties has 'answering-9'"),
        (ENTRY.format("a") + 'parties = ["guardian", "guardian"]', "guardian, which is on a alre"),
        (ENTRY.format("a") + 'parties = ["guardian"]', "no host is left for answering-0, querying"),
        (ENTRY.format("a") + "prt = 1", "prt is unknown"),
        (ENTRY.format("a") + 'ssh = " "', "ssh is empty"),
    ],
)
def test_what_is_wrong_with_hosts_is_named(tmp_path: Path, entries: str, said: str) -> None:
    path = hosts_file(tmp_path, "", entries=entries)
    with pytest.raises(ConfigError, match=r"hosts\.toml") as caught:
        read_hosts(path, 1)
    assert said in str(caught.value)


def test_the_place_of_an_account_on_another_host_has_to_be_clear(tmp_path: Path) -> None:
    path = hosts_file(tmp_path, "", entries=ENTRY.format("a"))
    with pytest.raises(ConfigError, match=r"--account is 'x\.json'; with --hosts .* from / on"):
        parse_settings([f"--hosts={path}", "--account=x.json"])
    settings = parse_settings([f"--hosts={path}", "--account=/far/x.json"])
    assert (settings.privacy.account, settings.account_here) == ("/far/x.json", None)


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[str]:
    """An sshd of this user on loopback, with keys of its own; the words that reach it."""
    if SSHD is None or shutil.which("ssh-keygen") is None:
        pytest.skip("there is no sshd here (package openssh-server)")
    if os.geteuid() == 0 and not Path("/run/sshd").is_dir():
        pytest.skip("sshd of root needs the folder /run/sshd")
    for name in ("host", "own"):
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(made, check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        **{"Port": port, "ListenAddress": "127.0.0.1", "PidFile": "none", "UsePAM": "no"},
        **{"HostKey": tmp_path / "host", "AuthorizedKeysFile": tmp_path / "own.pub"},
        **{"StrictModes": "no", "PasswordAuthentication": "no", "MaxStartups": "100"},
    }
    config = tmp_path / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    known = (tmp_path / "host.pub").read_text().split()[:2]
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {' '.join(known)}\n")
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    while "listening" not in (line := server.stderr.readline()):
        assert line, "sshd does not start"
    options = ["BatchMode=yes", f"UserKnownHostsFile={tmp_path}/known", "IdentitiesOnly=yes"]
    yield " ".join(
        [f"ssh -T -F none -p {port} -i {tmp_path}/own", *(f"-o {option}" for option in options)]
    )
    server.terminate()
    server.communicate()


def test_a_run_by_ssh_and_a_host_with_another_key(tmp_path: Path, sshd: str) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    bench = Bench(tmp_path)
    hosts = hosts_file(tmp_path, sshd, host="127.0.0.1", python=str(python), listen="127.0.0.1")
    assert bench.run("--sigma=0.01", f"--hosts={hosts}") == 0
    assert len(bench.rows("queries.csv")) == N_QUERIES
    assert list((tmp_path / "remote").iterdir()) == []
    known = tmp_path / "known"
    other = (tmp_path / "own.pub").read_text().split()[1]
    known.write_text(" ".join([*known.read_text().split()[:2], other]) + "\n")
    assert bench.run("--sigma=0.01", f"--hosts={hosts}") == 1
    logs = (tmp_path / "latest" / "logs").glob("*.log")
    assert "Host key verification failed" in "".join(log.read_text() for log in logs)
