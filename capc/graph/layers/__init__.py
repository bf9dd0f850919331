"""A network as a short list of linear and non-linear layers, over reals and over integers.

Every class says what its layer means: see `Layer` in base.py. The list is in topological order.

linear.py holds what is linear in its input, movements.py what only moves numbers, activations.py
the rest. interval.py is the arithmetic of the proofs.
"""

from capc.graph.kernels import Shape
from capc.graph.layers.activations import (
    Activation,
    BoundedRelu,
    LeakyRelu,
    MaxPool,
    PiecewiseLinear,
    Relu,
    Rescale,
    Square,
)
from capc.graph.layers.base import KINDS, Layer, Network, QuantizedNetwork, Scales, Weights
from capc.graph.layers.linear import (
    Add,
    AvgPool,
    Bias,
    Conv2D,
    Dense,
    Input,
    Negative,
    WeightedLayer,
)
from capc.graph.layers.movements import Concat, Gather, Movement, Pad, Reshape, Transpose

__all__ = [
    "KINDS",
    "Activation",
    "Add",
    "AvgPool",
    "Bias",
    "BoundedRelu",
    "Concat",
    "Conv2D",
    "Dense",
    "Gather",
    "Input",
    "Layer",
    "LeakyRelu",
    "MaxPool",
    "Movement",
    "Negative",
    "Network",
    "Pad",
    "PiecewiseLinear",
    "QuantizedNetwork",
    "Relu",
    "Rescale",
    "Reshape",
    "Scales",
    "Shape",
    "Square",
    "Transpose",
    "WeightedLayer",
    "Weights",
]
