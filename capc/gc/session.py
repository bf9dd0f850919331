"""Sessions: one garbler and one evaluator run circuits over a connection.

The garbler learns nothing but its declared outputs, the evaluator nothing but its own. A session
begins with 128 base oblivious transfers (some 10 ms); afterwards a batch costs symmetric
cryptography only. `prepare` runs before the query is known and holds all the heavy work,
`evaluate` is one round trip; `run` does both at once where there is no time in between.
After a ProtocolError a session is dead: open another. Secure against an evaluator that deviates
and a garbler that does not; the connection must be encrypted and authenticated
(docs/garbled-circuits.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from capc.fixed_point import Int64
from capc.gc import _engine
from capc.gc.circuits import Circuit, as_words
from capc.transport.duplex import Duplex
from capc.transport.pipelining import pipelined

_CHOICES_BYTES = 1 << 20  # of choices without tables: their labels are kept, four times as much

SETUP_BYTES = (
    _engine.SETUP_OFFER_BYTES + _engine.SETUP_CHOICE_BYTES + _engine.SETUP_TREES_BYTES
)  # of a session's set-up, both directions together


class GarblerBatch:
    """A prepared batch at the garbler, used once. Its tables are at the evaluator."""

    def __init__(self, circuit: Circuit, batch: _engine.GarblerBatch) -> None:
        self.circuit = circuit
        self._batch = batch

    @property
    def instances(self) -> int:
        """How many instances of the circuit the batch holds; both parties know it."""
        return self._batch.instances


class EvaluatorBatch:
    """A prepared batch at the evaluator, used once: tables, and random words in place of inputs."""

    def __init__(self, circuit: Circuit, batch: _engine.EvaluatorBatch) -> None:
        self.circuit = circuit
        self._batch = batch

    @property
    def instances(self) -> int:
        """How many instances of the circuit the batch holds; both parties know it."""
        return self._batch.instances


class GarblerSession:
    """The garbler's end. `path` forces an AES implementation; leave it empty outside tests."""

    def __init__(self, channel: Duplex, *, path: str = "") -> None:
        self._channel = channel
        self._engine = _engine.GarblerSession(path)
        offer = channel.recv(_engine.SETUP_OFFER_BYTES)
        channel.send(self._engine.setup_choose(offer))
        self._engine.setup_keys()  # while the evaluator computes its half
        self._engine.setup_finish(channel.recv(_engine.SETUP_TREES_BYTES))

    def prepare(self, circuit: Circuit, instances: int, fixed: ArrayLike) -> GarblerBatch:
        """Garble `instances` of the circuit and send the tables.

        `fixed` has shape (instances, circuit.fixed_words). Masks in it must be fresh. Several
        batches may be prepared ahead; they are used in order.
        """
        return self.prepare_all([(circuit, instances, fixed)])[0]

    def prepare_all(
        self, wanted: Sequence[tuple[Circuit, int, ArrayLike]]
    ) -> Sequence[GarblerBatch]:
        """Several batches, in order. The evaluator prepares the same."""
        batches = []
        for circuit, instances, fixed in wanted:
            words = as_words(fixed, circuit.fixed_words)
            batch = self._engine.prepare(circuit.compiled, instances, words)
            self._send_tables(batch)
            batches.append(GarblerBatch(circuit, batch))
        return batches

    def evaluate(self, batch: GarblerBatch, shares: ArrayLike) -> Int64 | None:
        """Give the shares, shape (instances, circuit.online_words), to a prepared batch.

        Returns the garbler's outputs, (instances, circuit.garbler_out_words), None without any.
        RuntimeError where the batch was used already, or after a later one.
        """
        inner = batch._batch
        words = as_words(shares, batch.circuit.online_words)
        inner.take_masked(self._channel.recv(inner.masked_bytes), words)
        for _ in range(inner.chunk_count):
            self._channel.send(inner.label_chunk())
        return self._outputs(inner)

    def run(self, circuit: Circuit, shares: ArrayLike, fixed: ArrayLike) -> Int64 | None:
        """Both phases at once: garbling, sending and evaluating overlap."""
        online = as_words(shares, circuit.online_words)
        words = as_words(fixed, circuit.fixed_words)
        batch = self._engine.run(circuit.compiled, online.shape[0], online, words)
        self._send_tables(batch)
        return self._outputs(batch)

    def _send_tables(self, batch: _engine.GarblerBatch) -> None:
        for chunk in range(batch.chunk_count):
            choice = self._channel.recv(batch.choice_bytes(chunk))
            self._channel.send(batch.garble_chunk(choice))

    def _outputs(self, batch: _engine.GarblerBatch) -> Int64 | None:
        if not batch.has_outputs:
            return None
        return batch.decode(self._channel.recv(batch.return_bytes))


class EvaluatorSession:
    """The evaluator's end, which speaks first. See GarblerSession."""

    def __init__(self, channel: Duplex, *, path: str = "") -> None:
        self._channel = channel
        self._engine = _engine.EvaluatorSession(path)
        channel.send(self._engine.setup_offer())
        choice = channel.recv(_engine.SETUP_CHOICE_BYTES)
        channel.send(self._engine.setup_answer(choice))

    def prepare(self, circuit: Circuit, instances: int) -> EvaluatorBatch:
        """Choose at random in place of the inputs, and take the tables."""
        return self.prepare_all([(circuit, instances)])[0]

    def prepare_all(self, wanted: Sequence[tuple[Circuit, int]]) -> Sequence[EvaluatorBatch]:
        """Several batches, in order: the choices of the next go out before the tables of one."""
        batches = [
            EvaluatorBatch(circuit, self._engine.prepare(circuit.compiled, instances))
            for circuit, instances in wanted
        ]
        self._take_tables([batch._batch for batch in batches])
        return batches

    def evaluate(self, batch: EvaluatorBatch, shares: ArrayLike) -> Int64:
        """Evaluate a prepared batch on shares of shape (instances, circuit.evaluator_words).

        Returns (instances, circuit.evaluator_out_words).
        """
        return self.evaluate_all([batch], [shares])[0]

    def evaluate_all(
        self, batches: Sequence[EvaluatorBatch], shares: Sequence[ArrayLike]
    ) -> Sequence[Int64]:
        """Several batches, in order, which the garbler evaluates in the same order."""
        outputs: list[Int64] = []

        def ask(number: int) -> int:
            batch, words = batches[number], shares[number]
            message = batch._batch.mask_shares(as_words(words, batch.circuit.evaluator_words))
            self._channel.send(message)
            return len(message)

        def take(number: int) -> None:
            inner = batches[number]._batch
            for chunk in range(inner.chunk_count):
                inner.evaluate_chunk(self._channel.recv(inner.labels_bytes(chunk)))
            outputs.append(self._outputs(inner))

        # A batch that returns labels is over once they are out.
        returns = any(batch._batch.returns_labels for batch in batches)
        pipelined(len(batches), ask, take, needs=lambda place: place - 1 if returns else -1)
        return outputs

    def run(self, circuit: Circuit, shares: ArrayLike) -> Int64:
        """Both phases at once."""
        words = as_words(shares, circuit.evaluator_words)
        batch = self._engine.run(circuit.compiled, words.shape[0], words)
        self._take_tables([batch])
        return self._outputs(batch)

    def _take_tables(self, batches: Sequence[_engine.EvaluatorBatch]) -> None:
        chunks = [(batch, chunk) for batch in batches for chunk in range(batch.chunk_count)]

        def ask(number: int) -> int:
            message = chunks[number][0].choose_chunk()
            self._channel.send(message)
            return len(message)

        def take(number: int) -> None:
            batch, chunk = chunks[number]
            batch.take_chunk(self._channel.recv(batch.tables_bytes(chunk)))

        pipelined(len(chunks), ask, take, window_bytes=_CHOICES_BYTES)

    def _outputs(self, batch: _engine.EvaluatorBatch) -> Int64:
        if batch.returns_labels:
            self._channel.send(batch.return_labels())
        return batch.outputs()
