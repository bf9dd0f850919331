"""Both parties of steps 1a and 1b in two threads over a socket."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from capc.errors import ProtocolError
from capc.fixed_point import Float64, Int64
from capc.graph.layers import QuantizedNetwork
from capc.he.parameters import EncryptionParameters
from capc.inference.choice import GARBLED, NonlinearChoice
from capc.inference.client import InferenceClient, KeyRing
from capc.inference.reference import evaluate
from capc.inference.server import InferenceServer
from capc.transport.channel import Channel, Traffic

# Small and without security: for tests of exactness alone.
TINY = EncryptionParameters("HE_SEAL", 2048, 0, (60, 60, 60, 60))


def run(
    network: QuantizedNetwork,
    images: Float64,
    parameters: EncryptionParameters = TINY,
    traffic: list[Traffic] | None = None,
    choice: NonlinearChoice = GARBLED,
) -> tuple[Int64, Int64]:
    """The (querying, answering) shares of the logits of one batch.

    `traffic` gets the querying side's counts after set-up, offline and online phase.
    """
    counts: list[Traffic] = [] if traffic is None else traffic
    insecure = parameters.security_level == 0
    left, right = socket.socketpair()
    for end in (left, right):
        end.settimeout(120)
        # A local socket counts as full at a quarter of its buffer, before 64 KiB of choices.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    querying, answering = Channel(left, "answering-0"), Channel(right, "querying")

    def answer() -> Int64:
        with answering:
            server = InferenceServer(
                answering, network, parameters, allow_insecure=insecure, choice=choice
            )
            prepared = server.prepare(len(images))
            server.evaluate_hidden(prepared)
            return server.evaluate_logits(prepared)

    def ask() -> Int64:
        with querying:
            keys = KeyRing(parameters, allow_insecure=insecure)
            client = InferenceClient(querying, keys, choice)
            counts.append(querying.traffic)
            prepared = client.prepare(len(images))
            counts.append(querying.traffic)
            encoded = client.plan.fixed_point.encode(images)
            share = client.evaluate_logits(prepared, client.evaluate_hidden(prepared, encoded))
            counts.append(querying.traffic)
            return share

    with ThreadPoolExecutor(2) as pool:
        asked, answered = pool.submit(ask), pool.submit(answer)
        return asked.result(), answered.result()


def assert_bit_for_bit(
    network: QuantizedNetwork,
    images: Float64,
    parameters: EncryptionParameters = TINY,
    choice: NonlinearChoice = GARBLED,
) -> None:
    """The shares add up to the plain reference."""
    ring = network.fixed_point
    first, second = run(network, images, parameters, choice=choice)
    np.testing.assert_array_equal(
        ring.signed(ring.reduce(first + second)), evaluate(network, images)
    )


def assert_disagreement(
    network: QuantizedNetwork, served: NonlinearChoice, agreed: NonlinearChoice, message: str
) -> None:
    """The querying side, for whom `agreed` holds, ends a session by `served`; so both end."""
    left, right = socket.socketpair()

    def serve() -> None:
        with Channel(right, "querying") as channel, pytest.raises(ProtocolError):
            InferenceServer(channel, network, TINY, allow_insecure=True, choice=served)

    thread = threading.Thread(target=serve)
    thread.start()
    with (
        Channel(left, "answering-0") as channel,
        pytest.raises(ProtocolError, match=message),
    ):
        InferenceClient(channel, KeyRing(TINY, allow_insecure=True), agreed)
    thread.join()
