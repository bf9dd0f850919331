"""On which machines the parties of a run are: hosts.toml, and how ssh reaches them; or Ray."""

from __future__ import annotations

import argparse
import itertools
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from capc.errors import ConfigError
from capc.files import expanded
from capc.harness.flags import RAY
from capc.parties.federation.tables import Table
from capc.ray_cluster import LOCAL
from capc.roles import GUARDIAN, QUERYING, answering
from capc.transport.endpoints import EVERY_ADDRESS

_FIELDS = ("host", "address", "listen", "python", "folder", "ssh", "parties")
_SSH = "ssh -T -o BatchMode=yes -o ServerAliveInterval=15"


@dataclass(frozen=True)
class Place:
    """The machine of a party: its name, its address for other parties, where parties listen."""

    host: str
    address: str
    listen: str


@dataclass(frozen=True)
class Host(Place):
    """A machine that ssh reaches, by the name `host`, and where capc is there.

    `python` is the interpreter that has capc; below `folder` each run has a folder of its own
    while it lasts. `ssh` are the words before the name of the host.
    """

    python: str
    folder: str
    ssh: tuple[str, ...]


def hosts_of(flags: argparse.Namespace) -> Mapping[str, Host] | None:
    """What --hosts says, None without it.

    ConfigError beside an account whose place on the guardian's host is not clear.
    """
    if flags.hosts is None:
        return None
    if flags.launcher == RAY:
        raise ConfigError("--hosts is refused with --launcher ray, which places the parties")
    if flags.account is not None and not flags.account.startswith("/"):
        raise ConfigError(
            f"--account is {flags.account!r}; with --hosts it is a file on the guardian's host: "
            "name it from / on"
        )
    return read_hosts(expanded(flags.hosts), flags.n_parties)


def ray_address_of(flags: argparse.Namespace) -> str:
    """The Ray of --launcher ray; ConfigError for --ray beside another launcher."""
    if flags.ray is not None and flags.launcher != RAY:
        raise ConfigError("--ray needs --launcher ray")
    return str(flags.ray or LOCAL)


def read_hosts(path: Path, n_parties: int) -> Mapping[str, Host]:
    """The host of each party, by the party's name.

    Parties that no host names go, in turn, to the hosts without `parties`. Raises
    ConfigError, naming file and field.
    """
    table = Table.read(path)
    table.require_known(("host", "ssh"))
    ssh = table.get("ssh", str, _SSH)
    names = [*map(answering, range(n_parties)), GUARDIAN, QUERYING]
    found: dict[str, Host] = {}
    free: list[Host] = []
    for entry in table.tables("host"):
        entry.require_known(_FIELDS)
        host = _host(entry, ssh)
        if not entry.has("parties"):
            free.append(host)
            continue
        for name in entry.names("parties"):
            if name not in names:
                raise entry.error("parties", f"has {name!r}; the run has {', '.join(names)}")
            if name in found:
                raise entry.error("parties", f"has {name}, which is on {found[name].host} already")
            found[name] = host
    left = [name for name in names if name not in found]
    if left and not free:
        raise ConfigError(f"{path}: no host is left for {', '.join(left)}")
    return found | dict(zip(left, itertools.cycle(free), strict=False))


def _host(table: Table, ssh: str) -> Host:
    name = table.get("host", str)
    if not name or name.startswith("-"):
        raise table.error("host", f"is {name!r}; allowed is the name of a machine")
    words = tuple(shlex.split(table.get("ssh", str, ssh)))
    if not words:
        raise table.error("ssh", "is empty; leave it out to take the default")
    return Host(
        host=name,
        address=table.get("address", str, name.rpartition("@")[2]),
        listen=table.get("listen", str, EVERY_ADDRESS),
        python=table.get("python", str),
        folder=table.get("folder", str),
        ssh=words,
    )
