"""How a he-transformer client and server meet: who listens where, TLS, and the first two messages.

The interface knows no certificates. Without any, the link stays on this machine. With
CAPC_HE_SERVER_KEY (server: a PEM file with certificate and private key) and
CAPC_HE_SERVER_CERTIFICATE (client: the same certificate, PEM) the link is TLS 1.3, and the client
knows which server it speaks to; the server knows of its client nothing, as it always did.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from capc.errors import ConfigError, ProtocolError
from capc.files import open_bounded, read_bounded
from capc.fixed_point import Float64
from capc.transport.channel import Channel, Traffic, json_object
from capc.transport.framing import HEADER, MessageType
from capc.transport.handshakes import Doorway, Greeting, first_message, secure

SERVER_KEY = "CAPC_HE_SERVER_KEY"
SERVER_CERTIFICATE = "CAPC_HE_SERVER_CERTIFICATE"
INSECURE = "CAPC_INSECURE"
MIXED_BATCH = 64  # images a batch of the mixed protocol
MAX_VALUES = 1 << 24  # of all tensors of a batch, and of its results
MAX_REACH = 2.0**64
# Of all messages: 3 sent encrypted masks in another order, 2 knew no `doublings`, and 1 did not
# say what it was.
VERSION = 4
REFUSALS = {
    "names": "it takes tensors of other names: ask its operator which",
    "sizes": "the data do not fit its tensors in this batch size",
    "activations": (
        "its network has activations that CKKS would show to the client, and its settings allow "
        "no circuits; its operator has to set enable_gc to True"
    ),
    "network": "it cannot evaluate its network on such data; its own log says why",
}

_MAX_HELLO_BYTES = 1 << 16
_MAX_TENSORS = 256
_MAX_FINISHES = 16
_MAX_DOUBLINGS = 1000
_SILENCE_SECONDS = 3600.0
_CONNECT_SECONDS = 60.0
_RETRY_SECONDS = 0.1
_FLOAT = np.dtype("<f8")
_HELLO = MessageType.HELLO
_UNREADABLE = (ConfigError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError)


class RefusedError(ConfigError):
    """A client's request that the server refuses for one of the reasons of REFUSALS.

    The client is told the fixed text alone; the message is for the server's own log.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class OfferedTensor:
    """What a client says of one tensor before it sends it: public, and rounded for that.

    Its values lie in [low, high]: `high` is a power of two from 1 to MAX_REACH, `low` is 0 or
    -high. Finer ranges would tell, by what fits the server's ring, how large its weights are.
    """

    count: int
    is_encrypted: bool
    low: float
    high: float


@dataclass(frozen=True)
class Hello:
    """The client's first message; tensors by name, without a trailing ":0"."""

    batch_size: int
    tensors: Mapping[str, OfferedTensor]

    def send(self, channel: Channel) -> None:
        """Send it to the server, which learns all of it."""
        channel.send_json(MessageType.HELLO, {"version": VERSION, **asdict(self)})

    @classmethod
    def parse(cls, payload: bytes | bytearray) -> Hello:
        """ProtocolError where it is no such message, or of another version."""
        value = json_object(payload, MessageType.HELLO, "the client")
        _require_version(value, "the client")
        try:
            entries = value["tensors"]
            if len(entries) > _MAX_TENSORS:
                raise ValueError(f"{len(entries)} tensors")
            hello = cls(
                _count(value["batch_size"]),
                {str(name): _offered(entry) for name, entry in entries.items()},
            )
            require_size([offer.count for offer in hello.tensors.values()])
        except _UNREADABLE as error:
            raise ProtocolError(f"the client's first message is not readable ({error})") from None
        return hello


@dataclass(frozen=True)
class Welcome:
    """The server's answer: how it will compute, or why not.

    `mode` is homomorphic, mixed, plain or refused; `reason` is a key of REFUSALS. `finish` names
    what the client still applies to the results (Softmax, ...), `shapes` the tensors' shapes,
    `parameters` those of `mixed`, as JSON. There `layout` says what an image is: a row of the one
    tensor ("image"), a row of all tensors side by side in the order of their names ("rows"), all
    of them ("whole"). `result` is the shape of the results. The second answer of `mixed` says by
    `doublings` how often the results are doubled beside those of the graph.
    """

    mode: str
    reason: str = ""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    finish: tuple[str, ...] = ()
    parameters: str = ""
    layout: str = "image"
    result: tuple[int, ...] = ()
    doublings: int = 0

    def send(self, channel: Channel) -> None:
        """Send it to the client, which learns all of it."""
        channel.send_json(MessageType.HELLO, {"version": VERSION, **asdict(self)})

    @classmethod
    def receive(cls, channel: Channel) -> Welcome:
        """ProtocolError where the server refuses, with its reason, or speaks otherwise."""
        value = channel.recv_json(MessageType.HELLO, _MAX_HELLO_BYTES)
        _require_version(value, "the server")
        try:
            if len(value["finish"]) > _MAX_FINISHES:
                raise ValueError(f"{len(value['finish'])} functions of the results")
            welcome = cls(
                str(value["mode"]),
                str(value["reason"]),
                {str(k): tuple(int(n) for n in v) for k, v in value["shapes"].items()},
                tuple(str(name) for name in value["finish"]),
                str(value["parameters"]),
                str(value["layout"]),
                tuple(int(n) for n in value["result"]),
                int(value["doublings"]),
            )
            if not 0 <= welcome.doublings <= _MAX_DOUBLINGS:
                raise ValueError(f"{welcome.doublings} doublings")
        except _UNREADABLE as error:
            raise ProtocolError(f"the server's first message is not readable ({error})") from None
        if welcome.mode == "refused":
            # Its words are ours: nothing that a server writes reaches the screen.
            reason = REFUSALS.get(welcome.reason, REFUSALS["network"])
            raise ProtocolError(f"the server refuses: {reason}")
        if welcome.mode not in {"homomorphic", "mixed", "plain"}:
            raise ProtocolError(f"the server wants to compute in the unknown way {welcome.mode!r}")
        return welcome


def insecure_allowed() -> bool:
    """Whether the user has set CAPC_INSECURE=1."""
    return os.environ.get(INSECURE) == "1"


def offered(values: Float64, is_encrypted: bool) -> OfferedTensor:
    """The range, widened to a power of two, or to 0 at one end: no more is said of the data."""
    if not values.size or not np.all(np.isfinite(values)):
        raise ConfigError("the data must be one or more finite numbers")
    require_size([values.size])
    largest = float(np.abs(values).max())
    if largest > MAX_REACH:
        raise ConfigError(f"the data reach to {largest:.3g}; allowed is {MAX_REACH:.3g}")
    reach = 1.0 if largest <= 1 else float(2.0 ** np.ceil(np.log2(largest)))
    return OfferedTensor(values.size, is_encrypted, -reach if values.min() < 0 else 0.0, reach)


def accept(port: int) -> tuple[Channel, Hello]:
    """Wait for one client, and its first message, at a port.

    Any free address with TLS, this machine without. Connections are greeted side by side, so that
    one that says nothing keeps nobody waiting; what is no client of this version is dropped.
    """
    context = _server_context()
    host = "127.0.0.1" if context is None and not insecure_allowed() else ""
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise ConfigError(
            f"cannot listen on port {port} ({error.strerror}): choose another port"
        ) from None

    def greet(connection: socket.socket) -> Greeting[tuple[socket.socket, bytearray]]:
        secured = connection if context is None else (yield from secure(connection, context))
        try:
            return secured, (yield from first_message(secured, _HELLO, _MAX_HELLO_BYTES))
        except BaseException:  # also where the greeting is ended early
            secured.close()
            raise

    with listener, Doorway(listener, greet) as doorway:
        while (found := doorway.next()) is not None:
            connection, payload = found
            connection.settimeout(_SILENCE_SECONDS)
            received = Traffic(bytes_received=HEADER.size + len(payload))
            channel = _channel(connection, "the client", received)
            try:
                return channel, Hello.parse(payload)
            except ProtocolError as error:
                doorway.refuse(str(error))
                with channel, contextlib.suppress(ProtocolError):
                    Welcome("refused").send(channel)  # it shows the version
    raise ProtocolError("no client came")


def connect(host: str, port: int) -> Channel:
    """Connect to a server, which may still be starting: tried again for a minute."""
    context = _client_context()
    if context is None and not insecure_allowed():
        _require_loopback(host)
    connection = _connect(host, port)
    if context is not None:
        try:
            connection = context.wrap_socket(connection)
        except OSError as error:
            connection.close()
            raise ProtocolError(
                f"{host}:{port} does not hold the certificate of {SERVER_CERTIFICATE} ({error})"
            ) from None
    return _channel(connection, f"{host}:{port}")


def send_values(channel: Channel, message_type: MessageType, values: Float64) -> None:
    """float64 values, in the clear."""
    channel.send(message_type, values.astype(_FLOAT).tobytes())


def receive_values(channel: Channel, message_type: MessageType, shape: tuple[int, ...]) -> Float64:
    """float64 values of a known shape; ProtocolError for another number of them, or no numbers."""
    length = _FLOAT.itemsize * int(np.prod(shape, dtype=np.int64))
    payload = channel.recv(message_type, length)
    if len(payload) != length:
        raise ProtocolError(f"{channel.peer} sent {len(payload)} bytes where {length} are due")
    values = np.frombuffer(payload, dtype=_FLOAT).astype(np.float64).reshape(shape)
    if not np.all(np.isfinite(values)):
        raise ProtocolError(f"{channel.peer} sent values that are no numbers")
    return values


def require_size(counts: Sequence[int]) -> None:
    """ConfigError where tensors of so many values are more than one batch may hold."""
    if sum(counts) > MAX_VALUES:
        raise ConfigError(f"{sum(counts)} values; a batch may hold {MAX_VALUES} in all")


def _require_version(value: Mapping[str, Any], peer: str) -> None:
    version = value.get("version", 1)
    if version != VERSION:
        raise ProtocolError(
            f"{peer} speaks version {str(version)[:20]} of he-transformer's link and this program "
            f"version {VERSION}; run the same release on both sides"
        )


def _offered(entry: Mapping[str, Any]) -> OfferedTensor:
    low, high = float(entry["low"]), float(entry["high"])
    if not 1 <= high <= MAX_REACH or math.frexp(high)[0] != 0.5 or low not in (0.0, -high):
        raise ValueError(f"[{low}, {high}] is no range of a power of two")
    return OfferedTensor(_count(entry["count"]), entry["is_encrypted"] is True, low, high)


def _count(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_VALUES:
        raise ValueError(f"{value!r} is no count")
    return value


def _server_context() -> ssl.SSLContext | None:
    path = os.environ.get(SERVER_KEY)
    if not path:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        with open_bounded(path, 1 << 20):
            context.load_cert_chain(path)
    except OSError as error:
        raise ConfigError(
            f"{SERVER_KEY} names {path}, which holds no certificate and key in PEM ({error})"
        ) from None
    return context


def _client_context() -> ssl.SSLContext | None:
    path = os.environ.get(SERVER_CERTIFICATE)
    if not path:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the pinned certificate says more than a name
    try:
        context.load_verify_locations(cadata=read_bounded(path, 1 << 20).decode("ascii"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{SERVER_CERTIFICATE} names {path}, which is no certificate in PEM ({error})"
        ) from None
    return context


def _require_loopback(host: str) -> None:
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise ConfigError(f"the host {host!r} has no address ({error.strerror})") from None
    if not all(ipaddress.ip_address(address).is_loopback for address in found):
        raise ConfigError(
            f"{host} is another machine and the link has no TLS: set {SERVER_CERTIFICATE} to the "
            f"server's certificate (and {SERVER_KEY} on the server), or {INSECURE}=1"
        )


def _connect(host: str, port: int) -> socket.socket:
    deadline = time.monotonic() + _CONNECT_SECONDS
    pause = threading.Event()
    while True:
        try:
            connection = socket.create_connection((host, port), timeout=_CONNECT_SECONDS)
        except ConnectionRefusedError:
            # Nobody can tell this process when the other has begun to listen: ask again.
            if time.monotonic() > deadline:
                raise ProtocolError(
                    f"nobody listens at {host}:{port}: start the server first, or see there why it "
                    "stopped"
                ) from None
            pause.wait(_RETRY_SECONDS)
        except OSError as error:
            raise ProtocolError(f"{host}:{port} cannot be reached ({error})") from None
        else:
            connection.settimeout(_SILENCE_SECONDS)
            return connection


def _channel(connection: socket.socket, peer: str, traffic: Traffic | None = None) -> Channel:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Channel(connection, peer, traffic)
