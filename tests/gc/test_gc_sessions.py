"""Sessions over a connection in memory: garbled equals plain, batches, tampering, two threads."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading

import numpy as np
import pytest
from gc_parties import both, random_inputs, sessions

from capc.errors import ProtocolError
from capc.fixed_point import uniform_bits
from capc.gc import (
    Circuit,
    EvaluatorSession,
    GarblerSession,
    _engine,
    argmax_circuit,
    noisy_argmax_circuit,
    relu_circuit,
    truncate_circuit,
)
from capc.transport.duplex import MemoryDuplex

CIRCUITS = [
    relu_circuit(47, 0),
    relu_circuit(37, 12),
    truncate_circuit(60, 20),
    argmax_circuit(37, 10, 32),
    noisy_argmax_circuit(32, 10, True),
    noisy_argmax_circuit(32, 4, False),
]


@pytest.mark.parametrize("path", _engine.supported_paths())
def test_garbled_equals_plain_on_every_path(path: str) -> None:
    rng = np.random.default_rng(3)
    garbler, evaluator = sessions(path=path)
    for circuit in CIRCUITS:
        for instances in (1, 7, 40):
            online, fixed, own = random_inputs(circuit, instances, rng)
            expected, expected_garbler = circuit.plain_evaluate(online, fixed, own)
            opened, out = both(
                lambda: garbler.run(circuit, online, fixed),  # noqa: B023
                lambda: evaluator.run(circuit, own),  # noqa: B023
            )
            np.testing.assert_array_equal(out, expected)
            if circuit.garbler_out_words == 0:
                assert opened is None
            else:
                np.testing.assert_array_equal(opened, expected_garbler)


def test_batches_prepared_ahead_are_used_in_order() -> None:
    rng = np.random.default_rng(4)
    garbler, evaluator = sessions()
    prepared = []
    for circuit in CIRCUITS:
        online, fixed, own = random_inputs(circuit, 33, rng)
        batches = both(
            lambda: garbler.prepare(circuit, 33, fixed),  # noqa: B023
            lambda: evaluator.prepare(circuit, 33),  # noqa: B023
        )
        prepared.append((circuit, online, fixed, own, batches))
    for circuit, online, fixed, own, (mine, theirs) in prepared:
        opened, out = both(
            lambda: garbler.evaluate(mine, online),  # noqa: B023
            lambda: evaluator.evaluate(theirs, own),  # noqa: B023
        )
        expected, expected_garbler = circuit.plain_evaluate(online, fixed, own)
        np.testing.assert_array_equal(out, expected)
        assert opened is None or np.array_equal(opened, expected_garbler)


def test_masked_relus_of_a_layer() -> None:
    """As inference uses it: shares in, shares out, 1080 at once, one round trip online."""
    rng = np.random.default_rng(5)
    left, right = MemoryDuplex.pair(20.0)
    garbler, evaluator = sessions(left, right)
    circuit = relu_circuit(41, 12)
    x = rng.integers(-(1 << 38), 1 << 38, 1080)
    share, masks = uniform_bits(41, 1080), uniform_bits(41, 1080)
    batches = both(
        lambda: garbler.prepare(circuit, 1080, masks), lambda: evaluator.prepare(circuit, 1080)
    )
    before = left.bytes_sent, right.bytes_sent, right.messages_sent
    _, out = both(
        lambda: garbler.evaluate(batches[0], share),
        lambda: evaluator.evaluate(batches[1], x - share),
    )
    y = (out[:, 0] + masks) & (2**41 - 1)
    np.testing.assert_array_equal(y, np.maximum(x, 0) >> 12)
    assert (left.bytes_sent - before[0], right.bytes_sent - before[1]) == circuit.online_bytes(1080)
    assert right.messages_sent - before[2] == 1


def test_a_batch_is_used_once() -> None:
    garbler, evaluator = sessions()
    circuit = relu_circuit(20, 0)
    mine, theirs = both(
        lambda: garbler.prepare(circuit, 3, [1, 2, 3]), lambda: evaluator.prepare(circuit, 3)
    )
    both(lambda: garbler.evaluate(mine, [1, 2, 3]), lambda: evaluator.evaluate(theirs, [4, 5, 6]))
    with pytest.raises(RuntimeError, match="used already"):
        evaluator.evaluate(theirs, [4, 5, 6])
    evaluator._channel.send(b"\0" * 48)
    with pytest.raises(RuntimeError, match="used already"):
        garbler.evaluate(mine, [1, 2, 3])


def test_masked_outputs_of_equal_inputs_differ_by_the_masks_only() -> None:
    """Fresh masks make outputs of equal inputs unrelated: no output share repeats."""
    garbler, evaluator = sessions()
    circuit = relu_circuit(60, 0)
    masks = uniform_bits(60, 500)
    _, out = both(
        lambda: garbler.run(circuit, np.full(500, 9), masks),
        lambda: evaluator.run(circuit, np.full(500, 1)),
    )
    assert len(np.unique(out)) == 500
    np.testing.assert_array_equal((out[:, 0] + masks) & (2**60 - 1), 10)


def test_two_circuits_that_differ_are_refused() -> None:
    garbler, evaluator = sessions(*MemoryDuplex.pair(1.0))

    def evaluate() -> None:
        with pytest.raises(ProtocolError, match="in time"):
            evaluator.run(truncate_circuit(20, 1), [[1]])

    with pytest.raises(ProtocolError, match="another circuit"):
        both(lambda: garbler.run(relu_circuit(20, 1), [[1]], [[1]]), evaluate)
    with pytest.raises(RuntimeError, match="open another"):
        garbler.run(relu_circuit(20, 1), [[1]], [[1]])


class Tampering:
    """A connection whose n-th message is changed on its way out."""

    def __init__(self, inner: MemoryDuplex, target: int, cut: bool) -> None:
        self._inner = inner
        self._target = target
        self._cut = cut
        self._sent = 0

    def send(self, payload: bytes | bytearray | memoryview) -> None:
        message = bytearray(payload)
        if self._sent == self._target:
            if self._cut:
                del message[-1:]
            else:
                message[(40 + len(message)) // 2] ^= 1  # the body begins at 40
        self._sent += 1
        self._inner.send(message)

    def recv(self, max_bytes: int = 1 << 30) -> bytes:
        return self._inner.recv(max_bytes)


@pytest.mark.slow
@pytest.mark.parametrize("cut", [True, False], ids=["cut", "flipped"])
@pytest.mark.parametrize(("side", "target"), [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (1, 3)])
def test_tampering_is_an_error_or_a_wrong_output(side: int, target: int, cut: bool) -> None:
    """Whatever the evaluator's side changes, the garbler ends; it may make its own tables wrong."""
    ends: list[MemoryDuplex | Tampering] = list(MemoryDuplex.pair(1.0))
    inner = ends[side]
    assert isinstance(inner, MemoryDuplex)
    ends[side] = Tampering(inner, target, cut)
    circuit = noisy_argmax_circuit(16, 3, True)
    outcome: list[object] = [None, None]

    def garble() -> None:
        try:
            session = GarblerSession(ends[0])
            outcome[0] = session.run(circuit, np.arange(6).reshape(1, 6), np.zeros((1, 0)))
        except ProtocolError as error:
            outcome[0] = error

    thread = threading.Thread(target=garble)
    thread.start()
    try:
        outcome[1] = EvaluatorSession(ends[1]).run(circuit, [[5, 6, 7]])
    except ProtocolError as error:
        outcome[1] = error
    thread.join(timeout=20)
    assert not thread.is_alive()
    if cut:
        assert any(isinstance(part, ProtocolError) for part in outcome)
    if side == 1:
        assert isinstance(outcome[0], ProtocolError)
    for part in outcome:
        assert isinstance(part, ProtocolError) or np.all(np.asarray(part) < 4)


@pytest.mark.parametrize("answered", [True, False])
def test_an_evaluator_cannot_say_another_output_than_it_has(answered: bool) -> None:
    """It returns the label of `answered`; a changed one ends the session."""
    circuit = noisy_argmax_circuit(16, 3, True)
    left, right = MemoryDuplex.pair(20.0)
    last = Tampering(right, target=3, cut=False)  # after the offer, the trees and the choices
    garbler, evaluator = both(lambda: GarblerSession(left), lambda: EvaluatorSession(last))
    shares = np.zeros((1, 6), dtype=np.int64)
    shares[0, 3:] = 0 if answered else -100
    with pytest.raises(ProtocolError, match="a label that no output has"):
        both(
            lambda: garbler.run(circuit, shares, np.zeros((1, 0))),
            lambda: evaluator.run(circuit, [[5, 6, 7]]),
        )
    with pytest.raises(RuntimeError, match="open another"):
        garbler.run(circuit, shares, np.zeros((1, 0)))


@pytest.mark.parametrize("message", [b"", b"\0" * 10, b"\xff" * _engine.SETUP_OFFER_BYTES])
def test_garbage_at_set_up(message: bytes) -> None:
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    inbox.put(message)
    with pytest.raises(ProtocolError):
        GarblerSession(MemoryDuplex(inbox, queue.SimpleQueue(), 1.0))


def test_a_silent_peer_is_an_error_in_time() -> None:
    with pytest.raises(ProtocolError, match="in time"):
        EvaluatorSession(MemoryDuplex.pair(0.05)[0])


def test_two_pairs_in_parallel() -> None:
    circuit = argmax_circuit(30, 5, 32)
    failures: list[BaseException] = []

    def one_pair(seed: int) -> None:
        try:
            rng = np.random.default_rng(seed)
            garbler, evaluator = sessions()
            for _ in range(5):
                online, fixed, own = random_inputs(circuit, 20, rng)
                _, out = both(
                    lambda: garbler.run(circuit, online, fixed),  # noqa: B023
                    lambda: evaluator.run(circuit, own),  # noqa: B023
                )
                np.testing.assert_array_equal(out, circuit.plain_evaluate(online, fixed, own)[0])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one_pair, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_nothing_secret_in_repr() -> None:
    garbler, evaluator = sessions()
    circuit = relu_circuit(20, 0)
    mine, theirs = both(
        lambda: garbler.prepare(circuit, 1, [123456]), lambda: evaluator.prepare(circuit, 1)
    )
    for thing in (garbler, evaluator, mine, theirs, garbler._engine, mine._batch, theirs._batch):
        text = repr(thing)
        assert "123456" not in text
        assert text.endswith(">") and " object at 0x" in text


def test_labels_look_uniform() -> None:
    """Each of the 128 bits of 30,000 rows and labels: the chance of a failure is below 1e-9."""
    garbler, evaluator = sessions()
    circuit = noisy_argmax_circuit(32, 2, False)
    sent: list[bytes] = []
    channel = garbler._channel
    original = channel.send

    def record(payload: bytes | bytearray | memoryview) -> None:
        sent.append(bytes(payload))
        original(payload)

    channel.send = record  # type: ignore[method-assign]
    zeros = np.zeros((1024, 2))
    batches = both(
        lambda: garbler.prepare(circuit, 1024, np.zeros((1024, 0))),
        lambda: evaluator.prepare(circuit, 1024),
    )
    both(lambda: garbler.evaluate(batches[0], zeros), lambda: evaluator.evaluate(batches[1], zeros))
    for kind in (sent[: -batches[0]._batch.chunk_count], sent[-batches[0]._batch.chunk_count :]):
        blocks = [np.frombuffer(m[40 : len(m) - (len(m) - 40) % 16], np.uint8) for m in kind]
        bits = np.unpackbits(np.concatenate(blocks).reshape(-1, 16), axis=1)
        count = len(bits)
        assert count > 30_000
        deviation = np.abs(bits.sum(axis=0) - count / 2) / np.sqrt(count / 4)
        assert deviation.max() < 7.0  # 2 * 128 tails beyond 7 sigma: 7e-10


def test_the_extension_loads_fast() -> None:
    """It must not slow a party's start: 10 ms, a tenth of a second allowed on a busy machine."""
    code = (
        "import numpy, capc.errors, time; t = time.perf_counter(); "
        "import capc.gc._engine; print(time.perf_counter() - t)"
    )
    package_off = "import sys, types; m = types.ModuleType('capc.gc'); " + (
        "import capc, pathlib; m.__path__ = [str(pathlib.Path(capc.__file__).parent / 'gc')]; "
        "sys.modules['capc.gc'] = m; "
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", package_off + code], capture_output=True, text=True, check=True
        )
        seconds.append(float(done.stdout))
    assert min(seconds) < 0.1


def test_circuit_is_described_by_its_name() -> None:
    assert isinstance(CIRCUITS[0], Circuit)
    assert CIRCUITS[0].name == "relu 47 >> 0"
