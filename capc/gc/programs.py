"""The circuit programs argmax_1 and sum_histogram as processes, one per pair and party.

A program keeps one session with its peer's program for all queries. Commands and shares go through
its standard input and results come through its standard output, never through a file, an argument
or an environment variable; the frames are documented in gc-emp-test/programs/frames.hpp. The two
programs connect over TCP on their own, under TLS 1.3 with a pre-shared key that the garbler's side
draws and hands to the evaluator's side over a protected channel.
"""

from __future__ import annotations

import contextlib
import secrets
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from capc.errors import PeerGoneError, ProtocolError, SilentPeerError
from capc.files import BUILD_AGAIN
from capc.fixed_point import VOTE_BITS, Int64
from capc.gc.circuits import (
    MAX_PAYLOAD_BYTES,
    Circuit,
    argmax_circuit,
    as_words,
    noisy_argmax_circuit,
)
from capc.gc.program_files import BackEnd, ProgramName, find_program
from capc.gc.program_process import ProgramProcess
from capc.transport.channel import Channel, Traffic

KEY_BYTES = 32

_SILENT = "the peer was silent until the time ran out"  # these two are of programs/stream.cpp
_GONE = "the peer closed the connection"
_VERSION = 1
_HEADER = struct.Struct("<2sBBI")
_TABLE = struct.Struct("<II")
_TRAFFIC = struct.Struct("<QQQ")
_PORT = struct.Struct("<I")

_KEY, _PREPARE, _EVALUATE, _CLOSE = 1, 2, 3, 4
_LISTENING, _READY, _PREPARED, _RESULT, _CLOSED, _ERROR = 17, 18, 19, 20, 21, 31


@dataclass(frozen=True)
class _Task:
    """What both programs of a pair compute."""

    name: ProgramName
    ring_bits: int | None
    classes: int
    vote_bits: int
    with_threshold: bool
    vote_shift: int = 0

    def __post_init__(self) -> None:
        if self.name not in ("argmax_1", "sum_histogram"):
            raise ValueError(f"there is no circuit program {self.name!r}")
        if self.name == "argmax_1" and (self.ring_bits is None or self.with_threshold):
            raise ValueError("argmax_1 needs ring_bits and knows no threshold")
        if self.name == "sum_histogram" and self.vote_shift:
            raise ValueError("sum_histogram adds votes as they come and knows no vote_shift")

    def circuit(self) -> Circuit:
        if self.name == "argmax_1" and self.ring_bits is not None:
            return argmax_circuit(self.ring_bits, self.classes, self.vote_bits, self.vote_shift)
        return noisy_argmax_circuit(self.vote_bits, self.classes, self.with_threshold)

    def arguments(self) -> list[str]:
        words = [f"--classes={self.classes}", f"--vote-bits={self.vote_bits}"]
        if self.name == "argmax_1":
            words.append(f"--ring-bits={self.ring_bits}")
            if self.vote_shift:
                words.append(f"--vote-shift={self.vote_shift}")
        elif self.with_threshold:
            words.append("--with-threshold")
        return words


@dataclass(frozen=True)
class _Frame:
    type: int
    payload: bytearray = field(repr=False)


class CircuitProgram:
    """One party's program of a pair, in session mode. One thread at a time uses it.

    Another may close it meanwhile: the program then ends, and its user gets a ProtocolError.

    The words of each circuit and their order are those of `GarblerSession` and `EvaluatorSession`
    for `argmax_circuit` and `noisy_argmax_circuit`. Outputs are learnt by the party that
    `evaluate` returns them to and by nobody else: for argmax_1 the evaluator's vote shares; for
    sum_histogram with a threshold whether the query is answered (both parties) and then the label
    (evaluator, 0 where it is not answered), without a threshold the label alone.

    Anything that goes wrong in the program or at its peer is a ProtocolError with the program's
    own last line; the program is dead then.
    """

    def __init__(
        self,
        task: _Task,
        *,
        party: Literal[1, 2],
        host: str,
        port: int,
        key: bytes,
        back_end: BackEnd,
        timeout_seconds: float,
    ) -> None:
        """Use `garbler` or `evaluator`."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self.name = task.name
        self._peer = self._peer_party = ""
        self.port = port
        self.key = key
        self.circuit = task.circuit()
        self._party = party
        self._traffic = Traffic()
        self._ready = False
        self._in_use = threading.RLock()
        self._is_closed = False
        self._prepared: list[int] = []
        command = [str(find_program(task.name, back_end)), str(party), str(port), "--session"]
        command += [*task.arguments(), f"--timeout={timeout_seconds}"]
        if party == 2:
            command.append(f"--host={host}")
        self._process = ProgramProcess(task.name, command)
        self._send(_KEY, key)
        if party == 1:
            payload = self._receive(_LISTENING).payload
            self.port = int(_PORT.unpack(payload)[0])

    @classmethod
    def garbler(
        cls,
        name: ProgramName,
        *,
        ring_bits: int | None = None,
        classes: int,
        vote_bits: int = VOTE_BITS,
        with_threshold: bool = False,
        vote_shift: int = 0,
        backend: BackEnd = "auto",
        timeout_seconds: float = 60.0,
    ) -> CircuitProgram:
        """Start the garbling program; it listens on 127.0.0.1 at `port` for a peer with `key`.

        `key` is fresh and secret: give it to the evaluator's side over a protected channel alone.
        `ring_bits` is needed for argmax_1, whose votes count 2^vote_shift each. `timeout_seconds`
        bounds each wait for the peer. Raises ConfigError where the program is not built.
        """
        return cls(
            _Task(name, ring_bits, classes, vote_bits, with_threshold, vote_shift),
            party=1,
            host="127.0.0.1",
            port=0,
            key=secrets.token_bytes(KEY_BYTES),
            back_end=backend,
            timeout_seconds=timeout_seconds,
        )

    @classmethod
    def evaluator(
        cls,
        name: ProgramName,
        *,
        port: int,
        key: bytes,
        host: str = "127.0.0.1",
        ring_bits: int | None = None,
        classes: int,
        vote_bits: int = VOTE_BITS,
        with_threshold: bool = False,
        vote_shift: int = 0,
        backend: BackEnd = "auto",
        timeout_seconds: float = 60.0,
    ) -> CircuitProgram:
        """Start the evaluating program; it connects to the garbler's at `port` under `key`.

        Everything else has to be as the garbler's side gave it; a difference is a ProtocolError
        at the first use.
        """
        return cls(
            _Task(name, ring_bits, classes, vote_bits, with_threshold, vote_shift),
            party=2,
            host=host,
            port=port,
            key=key,
            back_end=backend,
            timeout_seconds=timeout_seconds,
        )

    def __repr__(self) -> str:
        role = "garbler" if self._party == 1 else "evaluator"
        return f"CircuitProgram({self.name!r}, {role}, port={self.port})"

    @property
    def traffic(self) -> Traffic:
        """Bytes and rounds between the two programs, as of the last answer, encryption excluded."""
        return self._traffic

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._process.pid

    def is_with(self, channel: Channel) -> None:
        """Errors call the other side what this channel's are told to call it."""
        self._peer, self._peer_party = channel.peer, channel.party

    def wait_until_ready(self) -> None:
        """Set-up: return once the link stands and the base transfers are done."""
        with self._in_use:
            if not self._ready:
                self._receive(_READY)
                self._ready = True

    def prepare(self, instances: int, fixed: ArrayLike | None = None) -> None:
        """Offline phase of a batch: transfers and garbled tables, for one `evaluate` later.

        `fixed` is int64[instances, fixed_words]: the garbler's vote shares of argmax_1, in
        [0, 2^vote_bits), fresh and uniform for each batch; nothing in every other case. Several
        batches may be prepared; they are used in order. The peer has to prepare as many instances.
        """
        if instances < 1:
            raise ValueError(f"instances is {instances}; a batch needs at least one")
        words = self.circuit.fixed_words if self._party == 1 else 0
        table = self._table("fixed", fixed, instances, words)
        with self._in_use:
            self.wait_until_ready()
            self._send(_PREPARE, _TABLE.pack(instances, words) + table)
            self._receive(_PREPARED)
            self._prepared.append(instances)

    def evaluate(self, shares: ArrayLike) -> Int64 | None:
        """Online phase of the batch that was prepared first and not used yet.

        `shares` is int64[instances, words], ring elements. Returns int64[instances, out_words] of
        what this party learns, None where the circuit gives it nothing.
        """
        if not self._prepared:
            raise ValueError("nothing is prepared; call prepare first")
        is_garbler = self._party == 1
        words = self.circuit.online_words if is_garbler else self.circuit.evaluator_words
        instances = self._prepared[0]
        table = self._table("shares", shares, instances, words)
        out_words = (
            self.circuit.garbler_out_words if is_garbler else self.circuit.evaluator_out_words
        )
        with self._in_use:
            self._prepared.pop(0)
            self._send(_EVALUATE, _TABLE.pack(instances, words) + table)
            payload = memoryview(self._receive(_RESULT).payload)[_TRAFFIC.size :]
            shape = _TABLE.unpack_from(payload) if len(payload) >= _TABLE.size else (0, 0)
            if shape != (instances, out_words):
                raise self._failure(
                    f"answered {shape} words where {(instances, out_words)} are due"
                )
        if out_words == 0:
            return None
        result = np.frombuffer(payload, dtype="<i8", offset=_TABLE.size)
        return result.astype(np.int64, copy=False).reshape(instances, out_words)

    def close(self) -> None:
        """End the program in order; safe to call twice."""
        with self._alone():
            if self._process.has_ended:
                return
            with contextlib.suppress(ProtocolError):
                if self._ready:
                    self._send(_CLOSE, b"")
                    self._receive(_CLOSED)
            if not self._process.has_ended:
                self._process.end()

    def __enter__(self) -> CircuitProgram:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()

    def abandon(self) -> None:
        """End the program at once, without a word to its peer; safe to call twice."""
        with self._alone():
            if not self._process.has_ended:
                self._process.end()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Once no other thread uses the program; one that does is told by the program's end."""
        self._is_closed = True
        if not self._in_use.acquire(blocking=False):
            self._process.kill()
            self._in_use.acquire()
        try:
            yield
        finally:
            self._in_use.release()

    def _table(self, what: str, values: ArrayLike | None, instances: int, words: int) -> bytes:
        table = as_words(np.zeros((instances, 0)) if values is None else values, words)
        if table.shape != (instances, words):
            raise ValueError(f"{what} has shape {table.shape}; {(instances, words)} is needed")
        return table.astype("<i8", copy=False).tobytes()

    def _send(self, frame_type: int, payload: bytes) -> None:
        if self._process.has_ended:
            raise ProtocolError(f"{self._called} has ended{self._reason()}")
        try:
            self._process.write(_HEADER.pack(b"CG", _VERSION, frame_type, len(payload)) + payload)
        except OSError:
            raise self._failure("ended") from None

    def _receive(self, expected: int) -> _Frame:
        magic, version, frame_type, length = _HEADER.unpack(self._read(_HEADER.size))
        if magic != b"CG" or version != _VERSION or length > MAX_PAYLOAD_BYTES:
            raise self._failure(f"is of another version; build it anew with `{BUILD_AGAIN}`")
        frame = _Frame(frame_type, self._read(length))
        self._process.listen()
        if frame_type == _ERROR:
            self._process.last_line = frame.payload.decode(errors="replace")
            raise self._failure("failed")
        if frame_type != expected:
            raise self._failure(f"answered with frame {frame_type} in place of {expected}")
        if frame_type != _LISTENING:
            self._traffic = Traffic(*_TRAFFIC.unpack_from(frame.payload))
        return frame

    def _read(self, length: int) -> bytearray:
        if self._process.has_ended:
            raise ProtocolError(f"{self._called} has ended{self._reason()}")
        try:
            return self._process.read(length)
        except EOFError:
            raise self._failure("ended") from None

    def _failure(self, what: str) -> ProtocolError:
        """End the program and say what it said last."""
        self._process.end()
        said = f"{self._called} {what}{self._reason()}"
        if self._peer and _SILENT in self._process.last_line:
            return SilentPeerError(self._peer_party, said)
        if self._peer and _GONE in self._process.last_line:
            return PeerGoneError(said)
        return ProtocolError(said)

    @property
    def _called(self) -> str:
        return f"{self.name} with {self._peer}" if self._peer else self.name

    def _reason(self) -> str:
        said = self._process.last_line or ("this party closed it" if self._is_closed else "")
        return f": {said}" if said else ""
