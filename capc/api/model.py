"""`capc.load_model`: a model of any supported kind, as the protocol computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from capc.api.flags import FlagValue, StrPath, settings_of
from capc.console import plain_console
from capc.data.fitting import Range, fitted, scaled, settled
from capc.fixed_point import Float64, Int64
from capc.graph.float_reference import evaluate_float
from capc.graph.layers import Network, QuantizedNetwork
from capc.graph.ring_choice import to_ring
from capc.harness.models import model_files, prepared_models
from capc.he.parameter_flags import FAST, read_encryption_params
from capc.inference.inspection import cost_table, layer_table
from capc.inference.reference import evaluate


@dataclass(frozen=True)
class LayerInfo:
    """A layer: its name, what it does, the shape of its output, how many weights it has."""

    name: str
    kind: str
    shape: tuple[int, ...]
    weights: int


class Model:
    """A model: its layers, what it says of images, and what it needs in the protocol.

    `file` is where it came from. Pixels lie in `input_range`.
    """

    def __init__(self, file: Path, network: Network, input_range: Range, max_logit: float) -> None:
        self.file = file
        self.input_range = input_range
        self._network = network
        self._max_logit = max_logit

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.input_shape))
        return f"<Model {self.file.name}: {shape} to {self.classes} logits>"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one image (height, width, channels)."""
        return tuple(self._network.input.shape)

    @property
    def classes(self) -> int:
        """How many logits there are."""
        return int(self._network.output.shape[0])

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """The layers in order, the input first."""
        return tuple(
            LayerInfo(layer.name, layer.label(), tuple(layer.shape), layer.weight_count)
            for layer in self._network.layers
        )

    @property
    def ring_bits(self) -> int:
        """The bits of the smallest ring that holds every value of this model.

        A run of several models takes one that holds all. RangeError where none is large enough.
        """
        return self._integers.fixed_point.ring_bits

    @property
    def fraction_bits(self) -> int:
        """The fractional bits of its weights and activations there."""
        return self._integers.fixed_point.fraction_bits

    def logits(self, images: ArrayLike, *, in_protocol: bool = False) -> Float64:
        """Logits (n, C), float64, of images (n, ...) in a shape that fits the input's.

        Bytes are scaled to `input_range`. As the model's framework computes them, but for its
        rounding; `in_protocol`: as the protocol does, in integers, bit for bit. Raises ConfigError
        for images of another shape, and RangeError for the protocol where a pixel lies outside
        `input_range` or no ring holds the values.
        """
        given = settled(np.asarray(images), self.input_shape, "images")
        batch = fitted(scaled(given, self.input_range), self.input_shape, "images")
        if not in_protocol:
            return evaluate_float(self._network, batch)
        return self._integers.model_logits(evaluate(self._integers, batch))

    def labels(self, images: ArrayLike, *, in_protocol: bool = False) -> Int64:
        """The class of the largest logit of each image, int64 (n,); ties go to the lowest."""
        logits = self.logits(images, in_protocol=in_protocol)
        return np.asarray(np.argmax(logits, axis=1), dtype=np.int64)

    def describe(self, encryption_params: str = FAST, batch_size: int = 1) -> str:
        """What `capc graph inspect` prints: layers and ranges, bytes and seconds of a query.

        Raises ModelError or ConfigError, naming the layer, where the model does not run.
        """
        console = plain_console(width=120, color_system=None)
        parameters = read_encryption_params(encryption_params, allow_insecure=True)
        needs = self.fraction_bits, self.input_range
        costs, said = cost_table(self._network, *needs, parameters, batch_size=batch_size)
        with console.capture() as shown:
            console.print(layer_table(str(self.file), self._network, *needs), *costs)
            console.print(said, soft_wrap=True)
        return shown.get()

    @cached_property
    def _integers(self) -> QuantizedNetwork:
        return to_ring(self._network, self.input_range, self._max_logit)


def load_model(
    model_type: StrPath = "cryptonets-relu",
    *,
    input_range: Range | None = None,
    show: Callable[[str], None] | None = None,
    **flags: FlagValue,
) -> Model:
    """The model of a file: .pb, .keras, .h5, .onnx, or a SavedModel's folder; or of a name.

    A name is looked for in `models/`, as `capc run --ignore_parties` does. The file is read, and
    compared with its framework, in a process of its own, once: this one loads neither TensorFlow
    nor onnxruntime. `input_range` are the least and the largest pixel, by default of MNIST, 0 and
    1. `show` gets a line of text where the work takes time. `flags` are those of `capc run` that
    say how a model is read: `input_node`, `output_node`, `calibration`, `task`, `checkpoint_dir`.

    Raises ModelError or ConfigError where the model cannot be read, or means something that the
    protocol has not.
    """
    chosen = {**flags, "model_type": model_type, "input_range": input_range}
    settings = settings_of({**chosen, "ignore_parties": True})
    say = show or _silent
    (file,) = model_files(settings, say)
    (network,) = prepared_models(settings, [file], say).calibrated
    low, high = settings.input_range or (0.0, 1.0)
    return Model(file, network, (low, high), settings.max_logit)


def _silent(_line: str) -> None:
    pass
