"""What every layer of a network has, and the networks that layers form.

Shapes are those of one image, without the batch axis, channels last. Arrays have the batch axis
first. A layer's repr leaves its weights out: they are a party's secret.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capc.fixed_point import FixedPoint, Float64, Int64
from capc.graph.kernels import Shape
from capc.graph.layers.interval import Interval

__all__ = [
    "KINDS",
    "Layer",
    "Layers",
    "Network",
    "QuantizedNetwork",
    "Scales",
    "Shape",
    "Weights",
]

Weights = NDArray[Any]

KINDS: dict[str, type[Layer]] = {}
"""Every class of layer that a network can hold, by its name: what files and plans call it."""


@dataclass(frozen=True)
class Scales:
    """The fractional bits around one integer layer.

    `inputs` and `output` are those of its inputs and of its output, `fraction_bits` is the
    network's f: that of weights and of activations.
    """

    inputs: tuple[int, ...]
    output: int
    fraction_bits: int

    @property
    def shift(self) -> int:
        """The fractional bits that the layer drops from its first input."""
        return self.inputs[0] - self.output


@dataclass(frozen=True, eq=False)
class Layer(ABC):
    """One node: `name` is unique in its network, `shape` is the shape of its output.

    `inputs` name earlier layers. A class says all that a layer means: `real`, `integer`,
    `interval`, `output_bits`, `rounded` and `label`. A class that lacks one of them is a TypeError
    where it is defined. A class between this one and the layers says `abstract=True`.
    """

    name: str
    inputs: tuple[str, ...]
    shape: Shape

    def __init_subclass__(cls, *, abstract: bool = False, **others: Any) -> None:
        super().__init_subclass__(**others)
        if abstract:
            return
        lacking = [
            name
            for name in dir(cls)
            if getattr(getattr(cls, name, None), "__isabstractmethod__", False)
        ]
        if lacking:
            raise TypeError(f"the layer {cls.__name__} lacks {', '.join(lacking)}")
        KINDS[cls.__name__] = cls

    @abstractmethod
    def real(self, inputs: Sequence[Float64]) -> Float64:
        """The output over reals: inputs (n, *input shape), output (n, *shape), float64."""

    @abstractmethod
    def integer(self, inputs: Sequence[Int64], scales: Scales) -> Int64:
        """The exact output over signed integers, modulo 2^64: int64, shapes as in `real`.

        This is the definition that every protocol has to meet bit for bit, once reduced to the
        ring. Inputs are signed ring elements.
        """

    @abstractmethod
    def interval(self, inputs: Sequence[Interval], scales: Scales) -> Interval:
        """Ends between which `integer` stays for all inputs between those of `inputs`.

        The proof that no value leaves the ring rests on it. All of `inputs` are exact, or none is.
        """

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the output for inputs of these shapes, found without computing anything.

        That of its one input, where a class does not say otherwise. Raises ValueError, or
        ModelError, for shapes that the layer does not take.
        """
        (shape,) = inputs
        return shape

    @abstractmethod
    def output_bits(self, input_bits: Sequence[int], fraction_bits: int) -> int:
        """The fractional bits of the output, from those of the inputs and the network's f."""

    @abstractmethod
    def rounded(self, fraction_bits: int, output_bits: int) -> Layer:
        """The layer with integers in place of its real parameters.

        Raises ModelError for one that is not finite, RangeError for one that no ring holds.
        """

    @abstractmethod
    def label(self) -> str:
        """What a table calls the layer: its class, and what tells it from others of its class."""

    @property
    def weight_count(self) -> int:
        """How many weights the layer has: a party's secret numbers."""
        return 0


class Layers:
    """A tuple `layers` in topological order: first the Input, last the logits of shape (C,)."""

    layers: tuple[Layer, ...]

    @property
    def input(self) -> Layer:
        """The layer that is the query."""
        return self.layers[0]

    @property
    def output(self) -> Layer:
        """The layer whose output is the logits."""
        return self.layers[-1]

    def layer(self, name: str) -> Layer:
        """The layer of that name. Raises KeyError where there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)


@dataclass(frozen=True, eq=False)
class Network(Layers):
    """Layers over reals; weights are float64."""

    layers: tuple[Layer, ...]


@dataclass(frozen=True, eq=False)
class QuantizedNetwork(Layers):
    """The same layers over integers: int64 weights (fraction_bits) and biases (2 * fraction_bits).

    Weights are centred integers, not yet reduced modulo t. `bounds` holds, per layer name, the
    closed interval of the signed integers that its output can take for any input in
    `input_range`; `fraction_bits` the number of fractional bits of that output. The logits are
    `logit_scale` times the model's, a power of two that only the owner of the weights knows.
    Weights of a layer are below 2^weight_bits in absolute value, by its name.
    """

    fixed_point: FixedPoint
    input_range: tuple[float, float]
    layers: tuple[Layer, ...]
    bounds: Mapping[str, tuple[int, int]]
    fraction_bits: Mapping[str, int]
    logit_scale: float = 1.0
    weight_bits: Mapping[str, int] = field(default_factory=dict)

    def model_logits(self, logits: Int64) -> Float64:
        """The model's logits, as reals, that signed integer logits stand for."""
        reals = np.ldexp(logits.astype(np.float64), -self.fraction_bits[self.output.name])
        return np.asarray(reals / self.logit_scale)

    def scales(self, layer: Layer) -> Scales:
        """The fractional bits around one of the layers."""
        return Scales(
            tuple(self.fraction_bits[name] for name in layer.inputs),
            self.fraction_bits[layer.name],
            self.fixed_point.fraction_bits,
        )
