"""Classifiers with one output, as classifiers of two classes; and models of several labels."""

from __future__ import annotations

import logging

import numpy as np

from capc.errors import ModelError
from capc.fixed_point import Float64
from capc.graph.layers import Dense, Network
from capc.graph.simplify import simplify

log = logging.getLogger(__name__)


def with_two_classes(network: Network) -> Network:
    """A classifier with one output as one with the logits (0, z): class 1 where z > 0.

    So it is where a sigmoid after z passes one half, and where a single logit is meant.
    """
    last = network.output
    if last.shape != (1,):
        return network
    log.info("the model has one output z: classes 0 and 1 get the logits 0 and z")
    names = {layer.name for layer in network.layers}
    name = f"{last.name}/classes"
    while name in names:
        name += "_"
    weight, bias = np.array([[0.0, 1.0]]), np.zeros(2)
    classes = Dense(name, (last.name,), (2,), weight=weight, bias=bias)
    return simplify(Network((*network.layers, classes)))


def as_logits(values: Float64, images: int) -> Float64:
    """What a framework gives as logits (images, classes), as `with_two_classes` has them."""
    logits: Float64 = values.reshape(images, -1)
    if logits.shape[1:] == (1,):
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    return logits


def require_labels(outputs: int, softmax: str | None, before: str) -> None:
    """Raise ModelError unless `outputs` are logits of several labels.

    `softmax` names a node that leaves one label, with the logits `before` it.
    """
    if softmax is not None:
        raise ModelError(
            f"node '{softmax}' (Softmax) leaves an image one label: leave out --task multi-label, "
            f"or name the logits with --output_node {before}"
        )
    if outputs < 2:
        raise ModelError(
            f"the model has {outputs} output: one label is a class of two; leave out --task "
            "multi-label, or name the value with one number a label with --output_node"
        )
