"""The first words between two parties: who they are, what they agreed on, and which run this is.

Both sides speak before either compares, so that both can name what differs. Nothing else is sent
until the terms are equal.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from capc.errors import ProtocolError
from capc.roles import ANSWERING, role_of
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

VERSION = 6  # of what parties of a federation say to each other, all steps included
NONCE_BYTES = 32
MOST_BYTES = 1 << 17  # of a greeting: the fingerprints of 400 parties, and the constants
_MOST_TOLD = 600
_HEX = re.compile(r"(?:[0-9a-f]{64})?")


@dataclass(frozen=True)
class Greeting:
    """What a party says first.

    `nonce` is fresh in each run; `run` is the run that the guardian has named, empty before that;
    `log` is the last hash of the party's audit log, which the peer writes into its own.
    """

    terms: Mapping[str, Any]
    nonce: str
    run: str
    log: str

    def send(self, channel: Channel) -> None:
        """To a peer whose certificate has been checked."""
        channel.send_json(MessageType.HELLO, {"version": VERSION, **vars(self)})

    @classmethod
    def receive(cls, channel: Channel) -> Greeting:
        """ProtocolError that names the peer for another version or for what is no greeting.

        The guardian may say in its place why there is no run: a ProtocolError with that.
        """
        said = _received(channel)
        if said.get("version") != VERSION:
            raise ProtocolError(
                f"{channel.peer} speaks version {said.get('version')!r:.20} of the federation's "
                f"protocol, and this party version {VERSION}: run the same release on all machines"
            )
        terms = said.get("terms")
        hashes = [said.get(name) for name in ("nonce", "run", "log")]
        if type(terms) is not dict or not all(_is_hash(value) for value in hashes):
            raise ProtocolError(f"{channel.peer} sent an invalid greeting")
        return cls(terms, *map(str, hashes))

    def require_same(self, theirs: Greeting, own: str, peer: str) -> None:
        """ProtocolError that names the first field of the terms, or the run, that differs."""
        for field in sorted({*self.terms, *theirs.terms}):
            ours, other = self.terms.get(field), theirs.terms.get(field)
            if ours != other:
                raise ProtocolError(
                    f"{peer} has {_shown(field)} = {_shown(other)}, and {own} has {_shown(ours)}: "
                    "use the same federation.toml everywhere"
                )
        if self.run != theirs.run:
            raise ProtocolError(f"{peer} takes part in another run than {own}")


def send_run(channel: Channel, nonces: Mapping[str, str]) -> None:
    """The guardian to each party: what each has said, from which the run has its name."""
    channel.send_json(MessageType.HELLO, {"nonces": dict(nonces)})


def send_refusal(channel: Channel, reason: str) -> None:
    """The guardian to a party: why there is no run."""
    channel.send_json(MessageType.HELLO, {"refused": reason[:_MOST_TOLD]})


def send_running(channel: Channel, run: bytes) -> None:
    """The guardian to an answering party that comes late: which run it may join."""
    channel.send_json(MessageType.HELLO, {"running": run.hex()})


@dataclass(frozen=True)
class Named:
    """A run: its name, and who is there (None: nobody says, and it is no concern of this party)."""

    run: bytes
    present: frozenset[str] | None


def receive_run(
    channel: Channel, own: str, greeting: Greeting, parties: set[str], fewest: int | None = None
) -> Named:
    """The name of the run, with this party's own nonce in it: no two runs have the same.

    `fewest` answering parties at least are there, None: all. An answering party may then be told of
    a run that goes on without it, and that it can join: no mask rests on that name alone. Raises
    ProtocolError with the guardian's reason where there is no run.
    """
    said = _received(channel)
    running = said.get("running")
    if fewest is not None and role_of(own) == ANSWERING and _is_hash(running) and running:
        return Named(bytes.fromhex(str(running)), None)
    nonces = said.get("nonces")
    if type(nonces) is not dict or nonces.get(own) != greeting.nonce:
        raise ProtocolError(f"{channel.peer} sent an invalid name of the run")
    missing = parties - set(nonces)
    most = 0 if fewest is None else sum(role_of(name) == ANSWERING for name in parties) - fewest
    spared = all(role_of(name) == ANSWERING for name in missing) and len(missing) <= most
    if not set(nonces) <= parties or not spared:
        raise ProtocolError(f"{channel.peer} sent an invalid name of the run")
    if not all(type(nonce) is str and _is_hash(nonce) for nonce in nonces.values()):
        raise ProtocolError(f"{channel.peer} sent an invalid name of the run")
    return Named(run_of(greeting.terms, nonces), frozenset(nonces))


def run_of(terms: Mapping[str, Any], nonces: Mapping[str, str]) -> bytes:
    """32 bytes that name the run: a hash of its terms and of all parties' nonces."""
    text = json.dumps([VERSION, dict(terms), dict(nonces)], sort_keys=True)
    return hashlib.sha256(text.encode()).digest()


def _received(channel: Channel) -> dict[str, Any]:
    """The next message of a meeting; a refusal is a ProtocolError with the guardian's reason."""
    try:
        said = channel.recv_json(MessageType.HELLO, MOST_BYTES)
    except ProtocolError as error:
        if channel.peer in str(error):
            raise
        raise ProtocolError(f"{channel.peer}: {error}") from None  # frames of another version
    refused = said.get("refused")
    if type(refused) is str:
        raise ProtocolError(f"{channel.peer} begins no run: {_shown(refused, _MOST_TOLD)}")
    return said


def _is_hash(value: object) -> bool:
    return type(value) is str and _HEX.fullmatch(value) is not None


def _shown(value: object, most: int = 90) -> str:
    """What a peer sent, fit for one line of a log."""
    text = value if type(value) is str else json.dumps(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text[:most])
