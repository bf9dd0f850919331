"""The circuit programs of an audited party: the same engine in this process, so that it is seen.

A real program talks to its peer's under a key that no third party has. Here both ends run the
engine's sessions over a plain socket, and each message is written down as the engine made it.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from typing import Any

from patching import replace
from recording import Recorder

from capc.errors import ProtocolError
from capc.fixed_point import Int64
from capc.gc.circuits import noisy_argmax_circuit
from capc.gc.programs import CircuitProgram
from capc.gc.session import EvaluatorSession, GarblerSession
from capc.transport.channel import Channel, Traffic

_LENGTH = struct.Struct("<Q")


class RecordedLink:
    """Whole messages over a socket, each of them recorded."""

    def __init__(self, connection: socket.socket, recorder: Recorder, program: str) -> None:
        self.peer = program
        self._socket = connection
        self._file = connection.makefile("rb")
        self._recorder = recorder

    def send(self, payload: Any) -> None:
        """Send one message."""
        content = bytes(payload)
        self._recorder.message("sent", self.peer, "CIRCUIT", content)
        self._socket.sendall(_LENGTH.pack(len(content)) + content)

    def recv(self, max_bytes: int = 1 << 30) -> bytes:
        """Receive one message."""
        head = self._file.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            raise ProtocolError("the peer's program has ended")
        content = self._file.read(_LENGTH.unpack(head)[0])
        self._recorder.message("received", self.peer, "CIRCUIT", content)
        return content

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()


class RecordedProgram:
    """One end of a pair of circuit programs, as capc.gc.programs.CircuitProgram is used."""

    def __init__(
        self,
        task: Any,
        recorder: Recorder,
        *,
        place: str,
        garbles: bool,
        port: int,
        key: bytes,
        opens_index: bool,
    ) -> None:
        self.name = task.name
        self._place = place
        self.key = key
        self.circuit = task.circuit()
        self.traffic = Traffic()
        self.port = port
        self._recorder = recorder
        self._garbles = garbles
        self._link: RecordedLink | None = None
        self._batches: list[Any] = []
        self._index = None
        if opens_index and task.name == "argmax_1":
            self._index = noisy_argmax_circuit(task.ring_bits, task.classes, False)
        if self._garbles:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = self._listener.getsockname()[1]

    def is_with(self, channel: Channel) -> None:
        """What errors call the other side: here none names it."""

    def wait_until_ready(self) -> None:
        """Connect, and run the session's set-up."""
        if self._link is not None:
            return
        if self._garbles:
            connection, _ = self._listener.accept()
            self._listener.close()
        else:
            connection = socket.create_connection(("127.0.0.1", self.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._link = RecordedLink(connection, self._recorder, self._place)
        self._session: Any = (GarblerSession if self._garbles else EvaluatorSession)(self._link)

    def prepare(self, instances: int, fixed: Any = None) -> None:
        """Offline phase of a batch."""
        self.wait_until_ready()
        if not self._garbles:
            self._batches.append(self._session.prepare(self.circuit, instances))
            return
        words = [[] for _ in range(instances)] if fixed is None else fixed
        self._batches.append(self._session.prepare(self.circuit, instances, words))

    def evaluate(self, shares: Any) -> Int64 | None:
        """Online phase of the batch prepared first."""
        batch = self._batches.pop(0)
        outputs: Int64 | None = self._session.evaluate(batch, shares)
        if self._index is not None:  # the known-bad build: the querying party learns the vote
            fixed: list[list[int]] = [[] for _ in range(batch.instances)]
            both = (shares, fixed) if self._garbles else (shares,)
            self._session.run(self._index, *both)
        if self.circuit.evaluator_out_words == 0 or (
            self._garbles and self.circuit.garbler_out_words == 0
        ):
            return None
        return outputs

    def close(self) -> None:
        """End the session."""
        if self._link is not None:
            self._link.close()

    def __enter__(self) -> RecordedProgram:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def replace_programs(recorder: Recorder, *, opens_index: bool) -> None:
    """Have this process use recorded programs wherever it would start a circuit program."""
    places: Counter[str] = Counter()

    def make(cls: type, task: Any, *, party: int, port: int, key: bytes, **_: Any) -> Any:
        place = f"{task.name} {places[task.name]}"  # the querying party has one for each peer
        places[task.name] += 1
        return RecordedProgram(
            task,
            recorder,
            place=place,
            garbles=party == 1,
            port=port,
            key=key,
            opens_index=opens_index,
        )

    replace(CircuitProgram, "__new__", lambda _: make)
