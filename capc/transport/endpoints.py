"""Opening channels: a listener bound at a free port, and connections to announced peers."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from capc.errors import ConfigError, ProtocolError
from capc.transport.channel import Channel
from capc.transport.framing import MessageType
from capc.transport.handshakes import Doorway, Greeting, first_of, secure
from capc.transport.limits import DEFAULT_LIMITS, Limits
from capc.transport.peer import Peer
from capc.transport.tls import Identity, peer_name

LOOPBACK = "127.0.0.1"
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  of this machine; strangers there are told nothing
_BACKLOG = 512
_PORTS = 1 << 16
RETRY_SECONDS = 0.2  # no event says that a peer listens now, or that a network works again


@dataclass(frozen=True, repr=False)
class Arrival:
    """A channel from a pinned peer, and its first message, which `recv` gives too."""

    channel: Channel
    kind: MessageType
    payload: bytearray


class MissingPeersError(ProtocolError):
    """Peers that did not connect in time: `missing` by name; `arrived` has who did, still open."""

    def __init__(self, missing: Sequence[str], arrived: Mapping[str, Channel]) -> None:
        super().__init__(f"no connection in time from {', '.join(missing)}")
        self.missing = tuple(missing)
        self.arrived = arrived


class Listener:
    """A TCP listener that hands out authenticated channels."""

    def __init__(
        self,
        host: str,
        port: int = 0,
        *,
        exactly: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        on_refusal: Callable[[], None] = lambda: None,
    ) -> None:
        """Bind and listen, at the first free port from `port` on; port 0 takes any free one.

        Several runs may name the same first port. With `exactly` that port is taken or none.
        `limits` are those of strangers and of the channels; `on_refusal` is told of each
        connection that is dropped. Raises ConfigError where no port is free.
        """
        self._limits = limits
        self._on_refusal = on_refusal
        if exactly:
            self._socket = listening(host, port)
            return
        for candidate in range(port, _PORTS if port else 1):
            try:
                self._socket = _listening(host, candidate)
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise ConfigError(
                        f"cannot listen on {host}:{candidate} ({error.strerror}); give another "
                        "--start_port"
                    ) from None
        raise ConfigError(
            f"no port on {host} is free from {port} on; give another --start_port, or leave it "
            "out to take free ones"
        )

    @property
    def port(self) -> int:
        """The bound port."""
        return int(self._socket.getsockname()[1])

    def accept(
        self,
        identity: Identity,
        peers: Mapping[str, str],
        *,
        count: int,
        timeout_seconds: float,
        until: float | None = None,
        most_hello_bytes: int | None = None,
    ) -> dict[str, Channel]:
        """Channels from `count` different peers (party name -> certificate), by name.

        They have `timeout_seconds` to arrive, or until the moment `until` (monotonic). Where
        `most_hello_bytes` is given, a connection has to begin with a HELLO of at most so many.

        Connections are greeted side by side, as `handshakes` says: one that is silent or fails to
        authenticate is dropped and counted, and delays nobody. Raises MissingPeersError when
        the peers do not arrive in time.
        """
        context = identity.server_context(peers)
        deadline = time.monotonic() + timeout_seconds if until is None else until
        channels: dict[str, Channel] = {}

        kinds = None if most_hello_bytes is None else {MessageType.HELLO: most_hello_bytes}

        def greet(connection: socket.socket) -> Greeting[Channel]:
            secured, party, first = yield from _pinned(connection, context, peers, kinds)
            return _channel(secured, party, timeout_seconds, self._limits, first)

        with Doorway(
            self._socket,
            greet,
            expected=count,
            limits=self._limits,
            on_refusal=self._on_refusal,
        ) as doorway:
            while len(channels) < count:
                channel = doorway.next(deadline)
                if channel is None:
                    raise MissingPeersError(sorted(set(peers) - set(channels)), channels)
                if channel.peer in channels:
                    doorway.refuse(f"a second one from {channel.peer}")
                    channel.close()
                else:
                    channels[channel.peer] = channel
        return channels

    def arrivals(
        self,
        identity: Identity,
        peers: Mapping[str, str],
        most_bytes: Mapping[MessageType, int],
        *,
        timeout_seconds: float,
    ) -> Doorway[Arrival]:
        """Who comes, one after the other, once the first message is there.

        `most_bytes` has the types that it may have, each with its longest payload.
        `timeout_seconds` is that of the channels.
        """
        context = identity.server_context(peers)

        def greet(connection: socket.socket) -> Greeting[Arrival]:
            secured, party, first = yield from _pinned(connection, context, peers, most_bytes)
            if first is None:
                raise AssertionError("a first message was waited for")
            return Arrival(_channel(secured, party, timeout_seconds, self._limits, first), *first)

        return Doorway(
            self._socket,
            greet,
            expected=len(peers),
            limits=self._limits,
            on_refusal=self._on_refusal,
        )

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def looked_up(host: str, peer: str) -> str:
    """The IPv4 address of a host; ConfigError that names the peer where there is none."""
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise ConfigError(f"the host of {peer} is not known: {error}") from None


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at just this port, or at any free one for 0; ConfigError for none."""
    try:
        return _listening(host, port)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port} ({error.strerror})") from None


def _listening(host: str, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(_BACKLOG)  # of two that bound one port at once, the second is refused here
    except OSError:
        opened.close()
        raise
    return opened


def connect(
    identity: Identity,
    peer: Peer,
    timeout_seconds: float,
    *,
    until: float | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Channel:
    """An authenticated channel to an announced peer; ProtocolError when there is none.

    A peer that may not listen yet, or that ends in the middle of the handshake, is tried again
    until the moment `until` (monotonic).
    """
    if peer.port is None:
        raise ProtocolError(f"{peer.name} announced no port")
    pinned = {peer.name: peer.certificate}
    context = identity.client_context(pinned)  # first: a listener does not wait long for it
    while True:
        connection = _dialled(peer, peer.port, timeout_seconds, until)
        try:
            secured = context.wrap_socket(connection)
            peer_name(secured, pinned)
        except (OSError, ProtocolError) as error:
            connection.close()
            cut_off = isinstance(error, ConnectionError | ssl.SSLEOFError)
            if cut_off and may_retry(until):
                continue  # it was about to end, and may start again
            raise ProtocolError(f"{peer.name} failed to authenticate ({error})") from None
        return _channel(secured, peer.name, timeout_seconds, limits)


def _dialled(peer: Peer, port: int, timeout_seconds: float, until: float | None) -> socket.socket:
    """A connection to the peer's port, tried again until `until` where that is given."""
    while True:
        left = timeout_seconds if until is None else max(until - time.monotonic(), 0.1)
        try:
            opened = socket.create_connection((peer.host, port), timeout=left)
        except OSError as error:
            if may_retry(until):
                continue
            raise ProtocolError(
                f"{peer.name} does not answer at {peer.host}:{port} ({error})"
            ) from None
        opened.settimeout(timeout_seconds)
        return opened


def may_retry(until: float | None) -> bool:
    """Whether to try again: true after a short while, if that is before the moment `until`."""
    if until is None or time.monotonic() + RETRY_SECONDS >= until:
        return False
    time.sleep(RETRY_SECONDS)
    return True


def _pinned(
    connection: socket.socket,
    context: ssl.SSLContext,
    peers: Mapping[str, str],
    most_bytes: Mapping[MessageType, int] | None,
) -> Greeting[tuple[ssl.SSLSocket, str, tuple[MessageType, bytearray] | None]]:
    """The TLS connection of a pinned peer, its name, and its first message where one is due."""
    secured = yield from secure(connection, context)
    try:
        party = peer_name(secured, peers)
        first = None if most_bytes is None else (yield from first_of(secured, most_bytes))
    except BaseException:  # also where the greeting is ended early
        secured.close()
        raise
    return secured, party, first


def _channel(
    secured: ssl.SSLSocket,
    name: str,
    timeout_seconds: float,
    limits: Limits,
    first: tuple[MessageType, bytearray] | None = None,
) -> Channel:
    with contextlib.suppress(OSError):
        secured.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    secured.settimeout(timeout_seconds)
    return Channel(secured, name, limits=limits, first=first)
