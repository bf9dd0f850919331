"""Hosts in network namespaces of this machine, joined by links with a delay and a rate.

The kernel's own emulator (netem) is missing in many kernels. So each host has a TUN device, whose
other end a process of ours holds: it hands on every packet after it would have left its sender's
line, and half a round trip later.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import multiprocessing
import os
import select
import shutil
import struct
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TUN = Path("/dev/net/tun")
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_MTU = 9000  # of jumbo frames: fewer packets for a program to hand on
_ADDRESS = slice(16, 20)  # the destination, in the header of an IPv4 packet
_HEADER_BYTES = 20
_LONGEST_QUEUE_SECONDS = 1.0  # of a sender's line; what comes beyond it is dropped
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Link:
    """What lies between any two hosts: the round trip in seconds, and each host's rate out."""

    round_trip: float
    bits_per_second: float = 100e6


@dataclass(frozen=True)
class Host:
    """A namespace and its address."""

    namespace: str
    address: str

    def inside(self, command: Sequence[str]) -> list[str]:
        """The command, to be run at this host."""
        return ["ip", "netns", "exec", self.namespace, *command]

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets that this thread opens in the block are this host's, for as long as they live."""
        with (
            Path("/proc/thread-self/ns/net").open("rb") as before,
            Path("/run/netns", self.namespace).open("rb") as inside,
        ):
            _enter(inside.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())


@dataclass
class Line:
    """One host's line: packets leave it one after the other, and arrive later by the delay."""

    link: Link
    free_at: float = 0.0
    under_way: deque[tuple[float, bytes]] = field(default_factory=deque)

    def take(self, packet: bytes, now: float) -> bool:
        """Queue a packet; False where the queue is full, and it is dropped."""
        start = max(now, self.free_at)
        if start - now > _LONGEST_QUEUE_SECONDS:
            return False
        self.free_at = start + 8 * len(packet) / self.link.bits_per_second
        self.under_way.append((self.free_at + self.link.round_trip / 2, packet))
        return True

    def due(self, now: float) -> Iterator[bytes]:
        """The packets that have arrived."""
        while self.under_way and self.under_way[0][0] <= now:
            yield self.under_way.popleft()[1]

    @property
    def next_at(self) -> float:
        """When the next packet arrives."""
        return self.under_way[0][0] if self.under_way else float("inf")


def why_not() -> str | None:
    """Why this machine cannot have such hosts; None where it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "the command ip is missing"
    if not _TUN.exists():
        return f"{_TUN} is missing"
    probe = f"capc-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], check=False, capture_output=True)
    if made.returncode:
        return f"no network namespace can be made: {made.stderr.decode().strip()}"
    _ip("netns", "delete", probe)
    return None


@contextlib.contextmanager
def hosts(count: int, link: Link) -> Iterator[list[Host]]:
    """So many hosts in one network, at most 200; gone when the block ends."""
    subnet = os.getpid() % 200
    made = [Host(f"capc-{os.getpid()}-{place}", f"10.{subnet}.0.{place}") for place in _at(count)]
    with contextlib.ExitStack() as undo:
        ends = {}
        for place, host in zip(_at(count), made, strict=True):
            _ip("netns", "add", host.namespace)
            undo.callback(_ip, "netns", "delete", host.namespace)
            device = f"capc{os.getpid() % 100000}t{place}"
            ends[place] = _open_tun(device)
            undo.callback(os.close, ends[place])
            _ip("link", "set", device, "netns", host.namespace)
            for words in (
                ("address", "add", f"{host.address}/24", "dev", device),
                ("link", "set", device, "mtu", str(_MTU), "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-n", host.namespace, *words)
        process = multiprocessing.get_context("fork").Process(
            target=_hand_on, args=(ends, link), daemon=True
        )
        process.start()
        undo.callback(process.join)
        undo.callback(process.kill)
        yield made


def _at(count: int) -> range:
    return range(1, count + 1)


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _open_tun(device: str) -> int:
    end = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH", device.encode(), _IFF_TUN | _IFF_NO_PI))
    return end


def _hand_on(ends: dict[int, int], link: Link) -> None:
    """The network: for ever, in a process of its own. `ends` are TUN devices by host."""
    lines = {place: Line(link) for place in ends}
    poll = select.poll()
    for end in ends.values():
        poll.register(end, select.POLLIN)
    senders = {end: place for place, end in ends.items()}
    while True:
        now = time.monotonic()
        for line in lines.values():
            for packet in line.due(now):
                receiver = ends.get(packet[_ADDRESS][-1])
                if receiver is not None:
                    with contextlib.suppress(OSError):  # its queue is full: the packet is lost
                        os.write(receiver, packet)
        wait = min(line.next_at for line in lines.values()) - time.monotonic()
        timeout = None if wait == float("inf") else max(0.0, 1000 * wait)
        for end, _ in poll.poll(timeout):
            with contextlib.suppress(BlockingIOError):
                while len(packet := os.read(end, _MTU + _HEADER_BYTES)) >= _HEADER_BYTES:
                    if packet[0] >> 4 == 4:  # not IPv6, by which a host looks for neighbours
                        lines[senders[end]].take(packet, time.monotonic())
