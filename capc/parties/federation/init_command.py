"""`capc party init`: a key pair and party.toml for this machine, and what to send to the others."""

from __future__ import annotations

import sys
from pathlib import Path

from capc.command_line import ExitStatus, Parser, whole_number
from capc.errors import ConfigError
from capc.files import write_whole
from capc.roles import ANSWERING, GUARDIAN, PARTY_NAME, QUERYING, role_of
from capc.transport.identity_file import LIFETIME, save_identity
from capc.transport.limits import DEFAULT_LIMITS
from capc.transport.tls import Identity, fingerprint

_OWN = """\
# {party}, on this machine. Paths are relative to this file. Nothing here is for the others to see.
party = "{party}"

# What all parties have agreed on, the same file everywhere.
federation = "federation.toml"

# The key pair. party.key never leaves this machine.
key = "party.key"
certificate = "party.crt"

# The log of what this party was asked and what it cost: capc party log verify audit.jsonl
log = "audit.jsonl"

# How long to wait for the other parties at the start, and for each of their messages, in seconds.
meet_seconds = 300
timeout_seconds = 600

# Lines of the log on standard error: "text", or "json" for a collector of logs.
# log_format = "json"

# Health and figures for Prometheus, at this port of 127.0.0.1.
# metrics_port = 9100
"""
_LISTENING = """
# The address at which to listen. The ports are that of federation.toml, and the next one for the
# circuit program.
listen = "0.0.0.0"
"""
_OF_ROLE = {
    QUERYING: """
# The queries: a folder or a file of samples, or without `queries` the test images of `dataset`.
dataset = "mnist"
# queries = "samples.npy"

# Where the labels go.
labels = "labels.csv"
""",
    ANSWERING: """
# The model, as `capc graph prepare` has written it.
model = "model.npz"
""",
    GUARDIAN: """
# The privacy account, which goes on from run to run.
account = "account.json"
""",
}
_MEANINGS = {
    "strangers": "connections at a time that have not authenticated",
    "handshake_seconds": "for each of them",
    "program_connections": "at a time, at the port of the circuit program",
    "message_seconds": "for a whole message of a party, from its first byte on",
    "bytes_per_second": "and a second more for so many bytes of it",
    "message_mib": "the largest message that a party may announce",
}
_LIMITS = """
# What strangers and the other parties may take, with the defaults. It stays the last of the file.
# [limits]
""" + "".join(
    f"# {name} = {getattr(DEFAULT_LIMITS, name):g}".ljust(32) + f"# {meaning}\n"
    for name, meaning in _MEANINGS.items()
)


def main(argv: list[str]) -> int:
    """Write the files and print the fingerprint; the exit status."""
    parser = Parser(
        "capc party init",
        description="Make a key pair and party.toml for a party on this machine, and member.toml, "
        "its part of federation.toml, to send to the others.",
        examples=["capc party init answering-0 --host hospital-b.example --port 7000"],
    )
    parser.add_argument("party", help="querying, guardian, or answering-0 and so on")
    parser.add_argument("--folder", default=".", help="where the files go (default: here)")
    parser.add_argument("--host", required=True, help="the name of this machine for the others")
    parser.add_argument(
        "--port",
        type=whole_number(1, 65534),
        default=7000,
        help="where the party listens, and at the next one too (default 7000; not querying)",
    )
    flags = parser.parse_args(argv)
    if not PARTY_NAME.fullmatch(flags.party):
        raise ConfigError(
            f"{flags.party} is not the name of a party; use querying, guardian, or answering-0, "
            "answering-1 and so on"
        )
    if any(not letter.isprintable() or letter in '"\\' for letter in flags.host):
        raise ConfigError(f"--host {flags.host!r} is no name of a machine")
    _write(flags.party, Path(flags.folder), flags.host, flags.port)
    return ExitStatus.OK


def _write(party: str, folder: Path, host: str, port: int) -> None:
    own, member = folder / "party.toml", folder / "member.toml"
    for path in (own, member):
        if path.exists():
            raise ConfigError(f"{path} is there already; name another --folder")
    identity = Identity.create(party, LIFETIME)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    save_identity(identity, folder / "party.key", folder / "party.crt")
    listens = party != QUERYING
    text = (
        _OWN.format(party=party)
        + (_LISTENING if listens else "")
        + _OF_ROLE[role_of(party)]
        + _LIMITS
    )
    write_whole(own, text)
    found = fingerprint(identity.certificate)
    body = "".join(identity.certificate.splitlines()[1:-1])
    lines = ["[[party]]", f'name = "{party}"', f'host = "{host}"']
    lines += [f"port = {port}"] if listens else []
    lines += [f'fingerprint = "{found}"', f'certificate = "{body}"']
    write_whole(member, "\n".join(["", *lines, ""]))
    sys.stdout.write(
        f"{party} has a key pair and {own}\n"
        f"send {member} to the other parties, and let them compare by telephone:\n"
        f"{found}\n"
    )
