"""Answering parties as forks of one process: statuses, signals, logs, and nothing left behind."""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from capc.errors import ConfigError, ProgramError
from capc.harness.launchers.fork_client import FORK_FROM, ForkedProcess, Forks, Starter, can_fork
from capc.harness.launchers.fork_server import RINGS_MADE, make_contexts
from capc.harness.launchers.processes import UNKNOWN_STATUS, ChildProcess, PartySpec, status_text
from capc.he.context import context
from capc.he.parameters import EncryptionParameters
from capc.parties.config import PartyConfig

MODULE = "capc.parties.answering_party"
SECONDS = 60.0


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.close()


def spec(folder: Path, *arguments: str) -> PartySpec:
    command = (sys.executable, "-m", MODULE, *arguments)
    return PartySpec("answering-0", command, folder, folder / "party.log")


def ended(process: ForkedProcess) -> int | None:
    for descriptor in process.exit_events():
        assert select.select([descriptor], [], [], SECONDS)[0], "no news of the end"
    return process.poll()


def test_status_and_log_of_a_party_that_only_says_its_usage(forks: Forks, tmp_path: Path) -> None:
    process = forks.start(spec(tmp_path))
    assert ended(process) == 2
    assert process.poll() == 2  # asked again
    assert "usage: capc party answering" in (tmp_path / "party.log").read_text()
    process.close()


def test_an_error_is_status_1_in_the_party_s_own_folder(forks: Forks, tmp_path: Path) -> None:
    process = forks.start(spec(tmp_path, "--config", "missing.json", "--control", "none"))
    assert ended(process) == 1
    assert "missing.json" in (tmp_path / "party.log").read_text()
    process.close()


def waiting_for_its_log(folder: Path, fifo: str, control: str = "none") -> PartySpec:
    """A party whose log is a pipe: it waits until somebody reads there."""
    os.mkfifo(folder / fifo)
    config = PartyConfig(
        party="answering-0", index=0, n_parties=8, num_classes=10, n_queries=1, batch_size=1,
        encryption_parameters=EncryptionParameters("HE_SEAL", 8192, 128, (60, 60, 30)),
        input_range=(0.0, 1.0), with_threshold=False, model="no such file",
        log_file=str(folder / fifo),
    )  # fmt: skip
    config.write(folder / f"{fifo}.json")
    return spec(folder, "--config", f"{fifo}.json", "--control", control)


@pytest.fixture
def busy_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A control socket whose queue is full: who connects waits."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as opened:
        server = opened.enter_context(socket.socket(socket.AF_UNIX))
        server.bind("control")
        server.listen(0)
        with suppress(BlockingIOError):
            while True:
                client = opened.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect("control")
        yield


def test_a_killed_party_leads_its_own_group(forks: Forks, tmp_path: Path) -> None:
    process = forks.start(waiting_for_its_log(tmp_path, "fifo"))
    assert process.poll() is None
    assert os.getpgid(process.pid) == process.pid
    other = forks.start(spec(tmp_path))
    process.signal(signal.SIGKILL)
    assert ended(process) == -signal.SIGKILL
    assert ended(other) == 2
    process.signal(signal.SIGTERM)  # gone already: nothing happens
    process.close()
    other.close()


def test_a_party_holds_nothing_of_the_others(
    forks: Forks, tmp_path: Path, busy_socket: None
) -> None:
    waiting, readers, names = [], [], []
    for index in range(3):
        party = waiting_for_its_log(tmp_path, f"fifo{index}", control="control")
        waiting.append(forks.start(party))
        readers.append((tmp_path / f"fifo{index}").open("rb"))  # waits until the party writes
    for process in waiting:
        entries = Path(f"/proc/{process.pid}/fd").iterdir()
        names.append({str(entry.readlink()) for entry in entries})
    assert not [name for opened in names for name in opened if name.startswith("pipe:")]
    sockets = [name for opened in names for name in opened if name.startswith("socket:")]
    assert len(sockets) == len(set(sockets)) <= 3  # its own control channel, and no other's
    for process in waiting:
        process.signal(signal.SIGKILL)
        assert ended(process) == -signal.SIGKILL
        process.close()
    for writer in readers:
        writer.close()


def test_closing_ends_the_nursery_and_a_dead_one_is_an_error(tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    forks = Forks()
    assert ended(forks.start(spec(tmp_path))) == 2
    (nursery,) = (one for one in psutil.Process().children() if one.pid not in before)
    nursery.kill()
    nursery.wait(SECONDS)
    with pytest.raises(ConfigError, match="cannot start answering-0"):
        forks.start(spec(tmp_path))
    forks.close()
    forks.close()
    assert {child.pid for child in psutil.Process().children()} <= before


def test_a_status_that_never_comes_is_unknown() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    process = ForkedProcess(1 << 22, read_end)
    assert process.poll() is None
    os.close(write_end)
    assert process.poll() == UNKNOWN_STATUS
    assert status_text(UNKNOWN_STATUS).startswith("exit status unknown: its pane was closed")
    assert (status_text(3), status_text(-9)) == ("exit status 3", "killed by SIGKILL")
    process.close()


def test_only_many_plain_answering_parties_are_forked(tmp_path: Path) -> None:
    plain = spec(tmp_path)
    assert can_fork(plain)
    other = dataclasses.replace(plain, command=(sys.executable, "-c", "pass"))
    assert not can_fork(other)
    few, many = Starter(FORK_FROM - 1), Starter(FORK_FROM)
    for starter, what, kind in (
        (few, plain, ChildProcess),
        (many, other, ChildProcess),
        (many, plain, ForkedProcess),
    ):
        process = starter.start(what)
        assert isinstance(process, kind)
        assert select.select(process.exit_events(), [], [], SECONDS)[0]
        assert process.poll() == (0 if what is other else 2)
        process.close()
        starter.close()


_LATE = """
import importlib, socket, sys, zipfile
from capc.harness.launchers.fork_server import LATE_IMPORTS
from capc.parties import answering_party
from capc.transport.tls import Identity

late = [name for name in LATE_IMPORTS if name not in sys.modules]
for name in LATE_IMPORTS:
    importlib.import_module(name)
before = set(sys.modules)
identity = Identity.create("answering-0")
identity.server_context({"querying": identity.certificate})
with zipfile.ZipFile(sys.argv[1]) as archive:
    archive.read("a.npy")
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
print(late == list(LATE_IMPORTS), sorted(set(sys.modules) - before))
"""


def test_the_nursery_imports_what_each_party_would_import_late(tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", a=np.arange(3))
    command = [sys.executable, "-c", _LATE, str(tmp_path / "model.npz")]
    assert subprocess.check_output(command, text=True) == "True []\n"


_DRAWS = """
import os, secrets
import numpy as np
from capc.fixed_point import FixedPoint
from capc.gc import _engine
from capc.he.client import HEClient
from capc.he.server import HEServer, new_key_seed
from capc.he.parameters import EncryptionParameters
from capc.transport.tls import Identity

ring = FixedPoint(41, 12)
parameters = EncryptionParameters("HE_SEAL", 1024, 0, (60, 60, 30))

def draws():
    garbler = _engine.GarblerSession("")
    offer = _engine.EvaluatorSession("").setup_offer()
    keys = HEClient(parameters, ring, allow_insecure=True)
    seed = new_key_seed()
    key = keys.public_key(seed)
    server = HEServer(parameters, ring, seed, key, allow_insecure=True)
    zero = server._zeros.encrypt_zeros(1)[0]
    return [
        ring.uniform(4).tobytes().hex(),
        secrets.token_hex(16),
        offer.hex(),
        garbler.setup_choose(offer).hex(),
        Identity.create("a").certificate.encode().hex(),
        seed.hex(),
        key[:64].hex(),
        keys._zeros.encrypt(np.zeros((1, 2, 1024), dtype=np.uint64))[1].tobytes()[:64].hex(),
        zero[1][0, :8].tobytes().hex(),
        server._zeros.errors(64).tobytes().hex(),
    ]

draws()  # every generator is warm before the forks
for _ in range(3):
    if os.fork() == 0:
        os.write(1, (" ".join(draws()) + chr(10)).encode())
        os._exit(0)
for _ in range(3):
    os.wait()
"""


def test_the_nursery_makes_public_contexts_before_it_forks(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    parameters = EncryptionParameters("HE_SEAL", 1024, 0, (60, 60, 30))
    config = PartyConfig(
        party="answering-0", index=0, n_parties=8, num_classes=10, n_queries=1, batch_size=1,
        encryption_parameters=parameters, input_range=(0.0, 1.0),
        with_threshold=False, model="no such file",
    )  # fmt: skip
    config.write(path)
    context.cache_clear()
    make_contexts(["--config", str(path), "--control", "none"])
    assert context.cache_info().currsize == RINGS_MADE
    context(parameters, 41)
    assert context.cache_info().misses == RINGS_MADE
    context.cache_clear()
    dataclasses.replace(config, unencrypted=True).write(path)
    for arguments in (["--config", str(path)], ["--config", str(tmp_path / "none")], []):
        make_contexts(arguments)
    path.write_text("no JSON")
    make_contexts(["--config", str(path)])
    assert context.cache_info().currsize == 0


def test_forks_draw_unrelated_secrets() -> None:
    result = subprocess.run(
        [sys.executable, "-c", _DRAWS], capture_output=True, text=True, check=True, timeout=SECONDS
    )
    words = [word for line in result.stdout.splitlines() for word in line.split()]
    assert len(words) == 30
    assert len(set(words)) == 30


def test_a_fork_that_the_system_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nursery lives on, and the driver hears which limit it was."""
    (tmp_path / "sitecustomize.py").write_text(
        "import errno, os\n"
        "def fork(): raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))\n"
        "os.fork = fork\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    forks = Forks()
    for _ in range(2):
        with pytest.raises(ProgramError, match="ulimit -u"):
            forks.start(spec(tmp_path))
    forks.close()
