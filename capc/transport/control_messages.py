"""The messages between the driver and each party, as JSON lines.

They carry what the experimenter may see: addresses, certificates, progress, times, labels and the
budget spent. A line is one JSON object of at most 1 MiB with a `type`; everything else is refused.
Nothing secret is among them, except when a run is started with --verify, which opens the shares.

    party -> driver: hello, announce, plan, ready, hold, progress, timing, answer, spent, refused,
                     left_out, opened, log, error, done
    driver -> party: peers, proceed, stop
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from capc.errors import ProtocolError
from capc.roles import PARTY_NAME, PHASES, STEPS
from capc.transport.peer import Peer

CONTROL_VERSION = 5
MAX_LINE_BYTES = 1 << 20
MAX_PARTIES = 400  # certificates of this many parties fit in one line


@dataclass(frozen=True)
class Hello:
    """The first word of a party: which version it speaks, and who it is."""

    kind: ClassVar[str] = "hello"
    version: int
    party: str
    pid: int


@dataclass(frozen=True)
class Announce:
    """Where the party listens (port None: it does not) and the certificate it will show, PEM."""

    kind: ClassVar[str] = "announce"
    host: str
    port: int | None
    certificate: str


@dataclass(frozen=True)
class Plan:
    """The public arithmetic of one answering party: Z_{2^ring_bits}, fractional bits."""

    kind: ClassVar[str] = "plan"
    ring_bits: int
    fraction_bits: int


@dataclass(frozen=True)
class Ready:
    """The party's set-up is over."""

    kind: ClassVar[str] = "ready"


@dataclass(frozen=True)
class Progress:
    """A step of a query begins; `query` None for set-up."""

    kind: ClassVar[str] = "progress"
    query: int | None
    step: str
    phase: str


@dataclass(frozen=True)
class Hold:
    """Under --step: the party waits for `proceed` before it begins; fields as of Progress."""

    kind: ClassVar[str] = "hold"
    query: int | None
    step: str
    phase: str


@dataclass(frozen=True)
class Timing:
    """What one step took; `query` None for set-up; `count` queries from `query` on share it."""

    kind: ClassVar[str] = "timing"
    query: int | None
    step: str
    phase: str
    seconds: float
    bytes_sent: int
    bytes_received: int
    rounds: int
    count: int


@dataclass(frozen=True)
class Answer:
    """What the querying party learned: the label, or None when the query was not answered.

    `voters` are the answering parties whose votes it counts, None for all.
    """

    kind: ClassVar[str] = "answer"
    query: int
    answered: bool
    label: int | None
    voters: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Spent:
    """What the guardian's account has spent after a query; `epsilon` may be infinite."""

    kind: ClassVar[str] = "spent"
    query: int
    epsilon: float
    delta: float
    conversion: str
    answered: bool


@dataclass(frozen=True)
class Refused:
    """The guardian refuses this query and all later ones: they would exceed the budget."""

    kind: ClassVar[str] = "refused"
    query: int
    reason: str


@dataclass(frozen=True)
class LeftOut:
    """The answering party `peer` takes no part in queries any more, and why (--min_parties)."""

    kind: ClassVar[str] = "left_out"
    peer: str
    reason: str


@dataclass(frozen=True)
class Opened:
    """A share or noise opened for --verify; `peer` is the answering party it is shared with.

    `name` is logit_share (ring elements), vote_share (mod 2^32), noise or threshold_noise.
    """

    kind: ClassVar[str] = "opened"
    query: int
    name: str
    peer: str | None
    values: tuple[int, ...]


@dataclass(frozen=True)
class Log:
    """A line for the screen."""

    kind: ClassVar[str] = "log"
    message: str


@dataclass(frozen=True)
class Error:
    """Why the party is about to fail; `of_a_peer`: because a peer's connection has ended.

    `waits_for`: the peer that sent nothing in time.
    """

    kind: ClassVar[str] = "error"
    message: str
    of_a_peer: bool = False
    waits_for: str | None = None


@dataclass(frozen=True)
class Done:
    """The party has done its part: from here on it may exit with status 0."""

    kind: ClassVar[str] = "done"


@dataclass(frozen=True)
class Peers:
    """Where every party listens, once all have announced themselves."""

    kind: ClassVar[str] = "peers"
    peers: tuple[Peer, ...]


@dataclass(frozen=True)
class Proceed:
    """The answer to `hold`: begin."""

    kind: ClassVar[str] = "proceed"


@dataclass(frozen=True)
class Stop:
    """End now."""

    kind: ClassVar[str] = "stop"


PartyMessage: TypeAlias = (
    Hello
    | Announce
    | Plan
    | Ready
    | Hold
    | Progress
    | Timing
    | Answer
    | Spent
    | Refused
    | LeftOut
    | Opened
    | Log
    | Error
    | Done
)
DriverMessage: TypeAlias = Peers | Proceed | Stop
Message: TypeAlias = PartyMessage | DriverMessage

_MESSAGES: dict[str, type[Any]] = {
    message.kind: message
    for message in (
        *(Hello, Announce, Plan, Ready, Hold, Progress, Timing, Answer, Spent, Refused),
        *(LeftOut, Opened, Log, Error, Done, Peers, Proceed, Stop),
    )
}


class _Invalid(ValueError):
    """A field that is not what the protocol allows."""


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise _Invalid
        return value

    return check


def _number(value: Any) -> float:
    if value == "inf":
        return math.inf
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise _Invalid
    return float(value)


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise _Invalid
    return value


def _text(limit: int) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if type(value) is not str or len(value) > limit:
            raise _Invalid
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise _Invalid  # half a character, which no file can hold
        return value

    return check


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if type(value) is not str or value not in allowed:
            raise _Invalid
        return value

    return check


def _name(value: Any) -> str:
    if type(value) is not str or not PARTY_NAME.fullmatch(value):
        raise _Invalid
    return value


def _names(value: Any) -> tuple[str, ...]:
    if type(value) is not list or len(value) > MAX_PARTIES:
        raise _Invalid
    return tuple(_name(entry) for entry in value)


def _optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


def _integers(value: Any) -> tuple[int, ...]:
    check = _integer(-(1 << 63), (1 << 63) - 1)
    if type(value) is not list:
        raise _Invalid
    return tuple(check(entry) for entry in value)


def _peers(value: Any) -> tuple[Peer, ...]:
    if type(value) is not list or len(value) > MAX_PARTIES + 2:
        raise _Invalid
    return tuple(Peer(**_checked(Peer, entry)) for entry in value)


_COUNT = _integer(0, (1 << 63) - 1)
_CHECKS: dict[str, Callable[[Any], Any]] = {
    "version": _integer(0, 1 << 31),
    "pid": _integer(1, 1 << 31),
    "party": _name,
    "host": _text(255),
    "port": _optional(_integer(1, 65535)),
    "certificate": _text(16384),
    "ring_bits": _integer(1, 64),
    "fraction_bits": _integer(0, 64),
    "query": _COUNT,
    "step": _one_of(*STEPS),
    "phase": _one_of(*PHASES),
    "seconds": _number,
    "bytes_sent": _COUNT,
    "bytes_received": _COUNT,
    "rounds": _COUNT,
    "count": _integer(1, 1 << 31),
    "answered": _boolean,
    "label": _optional(_COUNT),
    "epsilon": _number,
    "delta": _number,
    "conversion": _text(64),
    "reason": _text(4096),
    "message": _text(65536),
    "of_a_peer": _boolean,
    "peer": _optional(_name),
    "values": _integers,
    "waits_for": _optional(_name),
    "voters": _optional(_names),
    "peers": _peers,
}
_SPECIAL: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("Hold", "query"): _optional(_COUNT),
    ("Progress", "query"): _optional(_COUNT),
    ("Timing", "query"): _optional(_COUNT),
    ("LeftOut", "peer"): _name,
    ("Opened", "name"): _one_of("logit_share", "vote_share", "noise", "threshold_noise"),
    ("Peer", "name"): _name,
}


def _checked(message: type[Any], fields: Any) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(message)]
    if type(fields) is not dict or set(fields) != set(names):
        raise ProtocolError(f"a control message needs exactly the fields {', '.join(names)}")
    checked = {}
    for name in names:
        check = _SPECIAL.get((message.__name__, name)) or _CHECKS[name]
        try:
            checked[name] = check(fields[name])
        except _Invalid:
            raise ProtocolError(f"the control message has an invalid field: {name}") from None
    return checked


def encode(message: Message) -> bytes:
    """One message as one line; the fields are checked as the other end will check them."""
    fields = json.loads(json.dumps(vars(message), default=_plain))
    for name, value in fields.items():
        if value == math.inf:
            fields[name] = "inf"
    _checked(type(message), fields)
    line = json.dumps({"type": message.kind, **fields}, separators=(",", ":"), allow_nan=False)
    if len(line) >= MAX_LINE_BYTES:
        raise ProtocolError(f"a control message has {len(line)} bytes; at most {MAX_LINE_BYTES}")
    return line.encode() + b"\n"


def _plain(value: Any) -> Any:
    """A nested Peer by its fields, NumPy's integers as Python's."""
    return vars(value) if dataclasses.is_dataclass(value) else int(value)


def decode(line: bytes) -> Message:
    """The message of one line; anything malformed is a ProtocolError."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("a control message is not JSON") from None
    kind = fields.pop("type", None) if type(fields) is dict else None
    message = _MESSAGES.get(kind) if type(kind) is str else None
    if message is None:
        raise ProtocolError("a control message has an unknown type")
    result: Message = message(**_checked(message, fields))
    return result
