"""Who answers a batch of queries, where a query can do without some: what the parties say of it.

A run that needs every answering party sends none of this.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from capc.errors import ProtocolError
from capc.parties.config import PartyConfig
from capc.parties.messages import Batch
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

TOKEN_BYTES = 16
_MOST_BYTES = 1 << 16  # the names and tokens of 400 parties
_TOKEN = re.compile(f"[0-9a-f]{{{2 * TOKEN_BYTES}}}")


def send_voters(
    channel: Channel, batch: Batch, names: Collection[str], joined: Collection[str] = ()
) -> None:
    """The querying party and the guardian to each other: who takes part in a batch.

    Before a batch these are all whom the guardian has told of it, of whom some have just `joined`;
    then those with whom the querying party has come to the end of step 1c; then those whose shares
    are added up.
    """
    fields = {"parties": sorted(names), "joined": sorted(joined)}
    _send(channel, MessageType.VOTERS, batch, fields)


def receive_members(
    channel: Channel, batch: Batch, among: Collection[str]
) -> tuple[set[str], set[str]]:
    """What the other said: all, and of them those who have just joined.

    ProtocolError where it names a party that is not `among` these.
    """
    said = _receive(channel, MessageType.VOTERS, batch)
    names, joined = said.get("parties"), said.get("joined")
    if type(names) is not list or not all(type(name) is str and name in among for name in names):
        raise ProtocolError(f"{channel.peer} named parties that cannot answer {batch}")
    if type(joined) is not list or not all(name in names for name in joined):
        raise ProtocolError(f"{channel.peer} named parties that cannot have joined")
    return set(names), set(joined)


def receive_voters(channel: Channel, batch: Batch, among: Collection[str]) -> set[str]:
    """The same where nobody can have joined."""
    return receive_members(channel, batch, among)[0]


def new_token() -> str:
    """What makes an answering party's masks of one batch its own: fresh, and used once."""
    return secrets.token_hex(TOKEN_BYTES)


def send_present(channel: Channel, batch: Batch, token: str) -> None:
    """An answering party to the guardian: its vote is cast, its share can follow."""
    _send(channel, MessageType.PRESENT, batch, {"token": token})


def receive_present(channel: Channel, batch: Batch) -> str:
    """The token of an answering party that is there."""
    token = _receive(channel, MessageType.PRESENT, batch).get("token")
    if not _is_token(token):
        raise ProtocolError(f"{channel.peer} sent an invalid token")
    return str(token)


@dataclass(frozen=True)
class MaskedFor:
    """The parties whose masks are to cancel, with their tokens, as the guardian names them.

    Where one of them sends no share, the guardian names fewer, as another `attempt`. No tokens: the
    batch is settled.
    """

    attempt: int
    tokens: Mapping[str, str]

    @property
    def context(self) -> bytes:
        """32 bytes that name this attempt of this set, and that come once.

        Each party's token is in them, and it is of this batch alone.
        """
        text = json.dumps([self.attempt, sorted(self.tokens.items())])
        return hashlib.sha256(text.encode()).digest()

    def send(self, channel: Channel, batch: Batch) -> None:
        """The guardian to an answering party."""
        fields = {"attempt": self.attempt, "tokens": dict(self.tokens)}
        _send(channel, MessageType.VOTERS, batch, fields)

    @classmethod
    def receive(cls, channel: Channel, batch: Batch) -> MaskedFor:
        """What the guardian said; ProtocolError where that is no set of parties."""
        said = _receive(channel, MessageType.VOTERS, batch)
        attempt, tokens = said.get("attempt"), said.get("tokens")
        if type(attempt) is not int or type(tokens) is not dict:
            raise ProtocolError(f"{channel.peer} sent an invalid set of parties")
        if not all(_is_token(token) for token in tokens.values()):
            raise ProtocolError(f"{channel.peer} sent an invalid token")
        return cls(attempt, tokens)


def require_enough(left: int, config: PartyConfig, reason: str) -> None:
    """ProtocolError where fewer answering parties are left than a query needs."""
    if left < config.fewest:
        raise ProtocolError(
            f"{left} of {config.n_parties} answering parties are left, and a query needs "
            f"{config.fewest} (min_parties); the last one was left out: {reason}"
        )


def _is_token(value: object) -> bool:
    return type(value) is str and _TOKEN.fullmatch(value) is not None


def _send(channel: Channel, kind: MessageType, batch: Batch, fields: Mapping[str, Any]) -> None:
    channel.send_json(kind, {"first": batch.first, "count": batch.count, **fields})


def _receive(channel: Channel, kind: MessageType, batch: Batch) -> dict[str, Any]:
    said = channel.recv_json(kind, _MOST_BYTES)
    if (said.get("first"), said.get("count")) != (batch.first, batch.count):
        raise ProtocolError(f"{channel.peer} spoke of other queries than {batch}")
    return said
