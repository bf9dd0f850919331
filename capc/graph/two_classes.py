"""Classifiers with one output, as classifiers of two classes."""

from __future__ import annotations

import logging

import numpy as np

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
