"""Run a real party with everything that it sends, receives and computes from its view recorded.

`python -m recorded_querying` and its siblings are the programs; the folder of the recordings comes
from CAPC_AUDIT_RECORDINGS, the name of a known-bad build from CAPC_AUDIT_BUILD.
"""

from __future__ import annotations

import itertools
import math
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from bad_builds import BAD_BUILDS
from he_reference import noise, secret_polynomial
from patching import replace
from recorded_programs import RecordedLink, replace_programs
from recording import Recorder

from capc.gc.circuits import Circuit
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
    """Write down what an evaluator learns from each circuit."""

    def recorded(evaluate: Any) -> Any:
        def evaluate_and_record(session: EvaluatorSession, of: Any, shares: Any) -> Any:
            outputs = evaluate(session, of, shares)
            link: Any = session._channel
            peer = link.peer if isinstance(link, RecordedLink) else link.channel.peer
            circuit = of if isinstance(of, Circuit) else of.circuit
            recorder.view(peer, circuit.name, outputs)
            return outputs

        return evaluate_and_record

    replace(EvaluatorSession, "evaluate", recorded)
    replace(EvaluatorSession, "run", recorded)


def record_products(recorder: Recorder) -> None:
    """Write down each decrypted product: the querying party's share of a linear layer.

    And of one reply in ten, where in its cell each coefficient lies.
    """
    replies = itertools.count()

    def recorded(decrypt: Any) -> Any:
        def decrypt_and_record(client: HEClient, packing: Any, reply: Any) -> Any:
            share = decrypt(client, packing, reply)
            recorder.view("", f"product {client._context.ring_bits}", share)
            if next(replies) % 10 == 0:
                recorder.view("", "cell", cell_places(client, packing, reply))
            return share

        return decrypt_and_record

    replace(HEClient, "decrypt", recorded)


def cell_places(client: HEClient, packing: Any, reply: Any) -> Any:
    """The sixteenth of its cell in which the phase of each sent coefficient lies, 0 to 15.

    A cell is what decrypts to one value: an interval of q / t around a multiple of q / t.
    """
    context, view = client._context, memoryview(reply)
    primes = context.primes[: client._level.primes]
    modulus = math.prod(primes)
    secret = secret_polynomial(client)
    places, start = [], 0
    for used in packing.output_positions:
        residues = np.zeros((2, len(primes), context.degree), dtype=np.uint64)
        for part, (columns, count) in enumerate(((used, used.size), (slice(None), context.degree))):
            stop = start + rns.packed_size(primes, count)
            residues[part][:, columns] = rns.unpack(view[start:stop], primes, count)
            start = stop
        found = noise(residues, secret, primes, context.ring_bits)[used]
        in_cell = found * (1 << context.ring_bits) / float(modulus)  # -1/2 to 1/2
        places.append(np.clip(np.floor((in_cell + 0.5) * 16), 0, 15).astype(np.int64))
    return np.concatenate(places)


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
