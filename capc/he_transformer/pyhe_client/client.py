"""HESealClient: one batch of data to a server, one list of results back."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from capc.ckks.session import HomomorphicClient, SessionPlan
from capc.errors import CapcError, ConfigError, ProtocolError
from capc.fixed_point import Float64
from capc.he.parameters import EncryptionParameters
from capc.he_transformer.link import (
    MAX_VALUES,
    MIXED_BATCH,
    Hello,
    Welcome,
    connect,
    insecure_allowed,
    offered,
    receive_values,
    require_size,
    send_values,
)
from capc.inference.client import InferenceClient, KeyRing
from capc.inference.words import receive_words
from capc.transport.channel import Channel
from capc.transport.framing import MessageType

_MAX_SHAPE_BYTES = 1 << 12


class HESealClient:
    """Connects at once and works in a thread of its own; get_results() waits for it.

    It learns the results, all of them, and the shape of the server's network. The server learns
    the batch size, each tensor's range (to a power of two), and of "plain" tensors everything.
    """

    def __init__(
        self,
        hostname: str,
        port: int,
        batch_size: int,
        tensor_config: Mapping[str, tuple[str, ArrayLike]],
    ) -> None:
        """`tensor_config`: tensor name -> ("encrypt" or "plain", flat data, row by row)."""
        self._batch = int(batch_size)
        if self._batch < 1:
            raise ConfigError(f"batch_size is {batch_size}; it must be 1 or more")
        self._values: dict[str, Float64] = {}
        self._encrypted: dict[str, bool] = {}
        for name, (kind, data) in tensor_config.items():
            if kind not in {"encrypt", "plain"}:
                raise ConfigError(f"tensor '{name}' is {kind!r}; allowed are 'encrypt', 'plain'")
            plain_name = name.removesuffix(":0")
            self._values[plain_name] = np.asarray(data, dtype=np.float64).ravel()
            self._encrypted[plain_name] = kind == "encrypt"
        self._results: list[float] = []
        self._error: CapcError | None = None
        self._channel = connect(hostname, int(port))
        self._thread = threading.Thread(target=self._work, name="pyhe_client", daemon=True)
        self._thread.start()

    def get_results(self) -> list[float]:
        """The results of the whole batch, flat, row by row; waits for them.

        Raises CapcError with the reason where the server refuses or is gone.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        return list(self._results)

    def is_done(self) -> bool:
        """Whether get_results() would return at once."""
        return not self._thread.is_alive()

    def close_connection(self) -> None:
        """Give up; safe to call twice."""
        self._channel.close()

    def _work(self) -> None:
        try:
            with self._channel:
                self._results = self._exchange(self._channel).ravel().tolist()
        except CapcError as error:
            self._error = error
        except Exception as error:  # a thread's only way to tell whoever waits
            self._error = ProtocolError(f"the client failed ({type(error).__name__}: {error})")

    def _exchange(self, channel: Channel) -> Float64:
        tensors = {
            name: offered(values, self._encrypted[name]) for name, values in self._values.items()
        }
        require_size([values.size for values in self._values.values()])
        Hello(self._batch, tensors).send(channel)
        welcome = Welcome.receive(channel)
        values = {name: self._shaped(name, welcome.shapes) for name in self._values}
        for name, is_encrypted in self._encrypted.items():
            if not is_encrypted:
                send_values(channel, MessageType.UNENCRYPTED_QUERY, values[name])
        secret = {name: values[name] for name, given in self._encrypted.items() if given}
        if welcome.mode == "plain":
            results = _receive_plain(channel)
        elif welcome.mode == "mixed":
            results = self._mixed(channel, welcome, secret)
        else:
            client = HomomorphicClient(channel, allow_insecure=insecure_allowed())
            results = client.query(_arranged(client.plan, secret))
        if math.prod(welcome.result) != results.size:
            raise ProtocolError(f"the server announces results of the shape {welcome.result}")
        results = results.reshape(welcome.result)
        for name in welcome.finish:
            results = finish(name)(results)
        return results

    def _shaped(self, name: str, shapes: Mapping[str, tuple[int, ...]]) -> Float64:
        shape = shapes.get(name)
        if shape is None or int(np.prod(shape)) != self._values[name].size:
            raise ProtocolError(f"the server gives tensor '{name}' the shape {shape}")
        return self._values[name].reshape(shape)

    def _mixed(self, channel: Channel, welcome: Welcome, secret: Mapping[str, Float64]) -> Float64:
        """Linear layers encrypted, the others in garbled circuits, the logits opened here."""
        images = _as_images(secret, welcome.layout)
        doublings = Welcome.receive(channel).doublings  # or a reason why not
        try:
            parameters = EncryptionParameters.from_text(welcome.parameters)
        except ConfigError as error:
            raise ProtocolError(f"the server names unusable parameters ({error})") from None
        keys = KeyRing(parameters, allow_insecure=insecure_allowed())
        client = InferenceClient(channel, keys)
        plan, ring = client.plan, client.plan.fixed_point
        low, high = plan.input_range
        if images.shape[1:] != plan.input.shape or images.min() < low or images.max() > high:
            raise ProtocolError("the server's plan fits neither the data's shape nor its range")
        results = []
        for start in range(0, len(images), MIXED_BATCH):
            batch = images[start : start + MIXED_BATCH]
            prepared = client.prepare(len(batch))
            hidden = client.evaluate_hidden(prepared, ring.encode(batch))
            share = client.evaluate_logits(prepared, hidden)
            other = receive_words(channel, MessageType.LOGIT_SHARE, ring, share.shape)
            bits = plan.fraction_bits[plan.output.name]
            results.append(ring.decode(ring.reduce(share + other), fraction_bits=bits))
        return np.ldexp(np.concatenate(results), -doublings)


def _as_images(values: Mapping[str, Float64], layout: str) -> Float64:
    """What the mixed protocol takes as its images, the first axis counting them."""
    tensors = [values[name] for name in sorted(values)]
    if layout == "image" and len(tensors) == 1 and tensors[0].ndim:
        return tensors[0]
    if layout == "whole":
        return np.concatenate([tensor.ravel() for tensor in tensors])[None]
    if layout != "rows" or len({tensor.shape[:1] for tensor in tensors}) != 1:
        raise ProtocolError(f"the server takes the data in the unknown order {layout!r}")
    return np.concatenate([tensor.reshape(len(tensor), -1) for tensor in tensors], axis=1)


def _arranged(plan: SessionPlan, values: Mapping[str, Float64]) -> dict[str, Float64]:
    """The same numbers in the plan's shapes, the batch first where it lies in the slots."""
    arranged = {}
    for name, expected in plan.inputs.items():
        shape = (plan.batch, *expected.shape) if plan.is_packed else expected.shape
        if name not in values or int(np.prod(shape)) != values[name].size:
            raise ProtocolError(f"the server plans for a tensor '{name}' of shape {shape}")
        arranged[name] = values[name].reshape(shape)
    return arranged


def _receive_plain(channel: Channel) -> Float64:
    shape = channel.recv_json(MessageType.PLAN, _MAX_SHAPE_BYTES).get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape):
        raise ProtocolError(f"the server announces results of the shape {shape}")
    if math.prod(shape) > MAX_VALUES:
        raise ProtocolError(f"the server announces results of the shape {shape}")
    return receive_values(channel, MessageType.LOGIT_SHARE, tuple(shape))


def finish(name: str) -> Callable[[Float64], Float64]:
    """What the server's graph applies to the results, which only their owner can."""
    finishes: dict[str, Callable[[Any], Any]] = {
        "Exp": np.exp,
        "Softmax": softmax,
        "LogSoftmax": lambda values: np.log(softmax(values)),
        "Sigmoid": lambda values: 1 / (1 + np.exp(-values)),
    }
    if name not in finishes:
        raise ProtocolError(f"the server asks for the unknown function {name!r} on the results")
    return finishes[name]


def softmax(values: Float64) -> Float64:
    """Over the last axis."""
    raised = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))
