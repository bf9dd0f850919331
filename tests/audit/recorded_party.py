"""Run a real party with everything that it sends, receives and computes from its view recorded.

`python -m recorded_querying` and its siblings are the programs; the folder of the recordings comes
from CAPC_AUDIT_RECORDINGS, the name of a known-bad build from CAPC_AUDIT_BUILD.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from bad_builds import BAD_BUILDS
from he_reference import crt
from patching import replace
from recorded_programs import RecordedLink, replace_programs
from recording import Recorder

from capc.gc.circuits import Circuit
from capc.gc.lookups import ChooserSession
from capc.gc.session import EvaluatorSession
from capc.he import rns
from capc.he.client import HEClient
from capc.transport.channel import Channel


def record_channels(recorder: Recorder) -> None:
    """Write down each message on the parties' own connections."""

    def recorded_send(send: Any) -> Any:
        def send_and_record(channel: Channel, message_type: Any, payload: Any) -> None:
            recorder.message("sent", channel.peer, message_type.name, payload)
            send(channel, message_type, payload)

        return send_and_record

    def recorded_receive(receive: Any) -> Any:
        def receive_and_record(channel: Channel, expected: Any, *limits: Any, **named: Any) -> Any:
            payload = receive(channel, expected, *limits, **named)
            recorder.message("received", channel.peer, expected.name, payload)
            return payload

        return receive_and_record

    replace(Channel, "send", recorded_send)
    replace(Channel, "recv", recorded_receive)


def record_circuits(recorder: Recorder) -> None:
    """Write down what an evaluator learns from each circuit, and a chooser from its look-ups."""

    def note(session: EvaluatorSession, circuit: Circuit, outputs: Any) -> None:
        link: Any = session._channel
        peer = link.peer if isinstance(link, RecordedLink) else link.channel.peer
        recorder.view(peer, circuit.name, outputs)

    def recorded_batches(evaluate_all: Any) -> Any:
        def evaluate_and_record(session: EvaluatorSession, batches: Any, shares: Any) -> Any:
            every = evaluate_all(session, batches, shares)
            for batch, outputs in zip(batches, every, strict=True):
                note(session, batch.circuit, outputs)
            return every

        return evaluate_and_record

    def recorded_run(run: Any) -> Any:
        def run_and_record(session: EvaluatorSession, circuit: Circuit, shares: Any) -> Any:
            outputs = run(session, circuit, shares)
            note(session, circuit, outputs)
            return outputs

        return run_and_record

    replace(EvaluatorSession, "evaluate_all", recorded_batches)
    replace(EvaluatorSession, "run", recorded_run)

    def recorded_lookups(evaluate: Any) -> Any:
        def evaluate_and_record(session: ChooserSession, stages: Any, values: Any) -> Any:
            found = evaluate(session, stages, values)
            link: Any = session._channel
            recorder.view(link.channel.peer, "look-ups", found[len(values) :])
            return found

        return evaluate_and_record

    replace(ChooserSession, "evaluate_stages", recorded_lookups)


def record_products(recorder: Recorder) -> None:
    """Write down each decrypted product: the querying party's share of a linear layer.

    And of one polynomial in ten, where in its cell each coefficient lies.
    """
    polynomials = itertools.count()

    def recorded_share(decrypt: Any) -> Any:
        def decrypt_and_record(client: HEClient, packing: Any, reply: Any) -> Any:
            share = decrypt(client, packing, reply)
            recorder.view("", f"product {client._context.ring_bits}", share)
            return share

        return decrypt_and_record

    def recorded_places(rounded: Any) -> Any:
        def round_and_record(phases: Any, ring_bits: int, primes: Any) -> Any:
            if next(polynomials) % 10 == 0:
                recorder.view("", "cell", cell_places(phases, ring_bits, primes))
            return rounded(phases, ring_bits, primes)

        return round_and_record

    replace(HEClient, "decrypt", recorded_share)
    replace(rns, "rounded_quotients", recorded_places)


def cell_places(phases: Any, ring_bits: int, primes: Sequence[int]) -> list[int]:
    """The sixteenth of its cell in which each phase lies, 0 to 15; (primes, count) residues.

    A cell is what decrypts to one value: an interval of q / t around a multiple of q / t.
    """
    modulus = math.prod(primes)
    return [
        (((phase << ring_bits) + modulus // 2) % modulus * 16) // modulus
        for phase in crt(phases, primes)
    ]


def take_part(party: str, module: ModuleType) -> int:
    """The exit status of the party's program."""
    recorder = Recorder(Path(os.environ["CAPC_AUDIT_RECORDINGS"]) / f"{party}-{os.getpid()}")
    build = os.environ.get("CAPC_AUDIT_BUILD", "")
    if build in BAD_BUILDS:
        BAD_BUILDS[build]()
    record_channels(recorder)
    record_circuits(recorder)
    record_products(recorder)
    replace_programs(recorder, opens_index=build == "index_opened")
    try:
        status: int = module.main()
    finally:
        recorder.close()
    return status
