"""What a graph leaves out: attributes that have the default of their operation.

TensorFlow strips such attributes where it saves a model. Read as protobuf reads them, they would be
zero: a LeakyRelu without alpha would be a Relu.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def fill_defaults(nodes: Iterable[Any]) -> None:
    """Give every NodeDef the attributes that it lacks, as TensorFlow's own registry has them.

    Operations that this TensorFlow does not know stay as they are.
    """
    from tensorflow.python.framework import op_def_registry  # noqa: PLC0415

    for node in nodes:
        definition = op_def_registry.get(node.op)
        for attribute in definition.attr if definition is not None else ():
            if attribute.HasField("default_value") and attribute.name not in node.attr:
                node.attr[attribute.name].CopyFrom(attribute.default_value)
