"""A node of an ONNX graph with the meaning of its attributes, those included that it leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from capc.graph.onnx.loader import load_onnx

STANDARD = ("", "ai.onnx")
LEARNING = "ai.onnx.ml"


@dataclass(frozen=True, eq=False)
class Node:
    """`name` is that of its first output, which no other node has.

    `inputs` and `outputs` are names of values, empty where one is left out. `attributes` are those
    `given` and, where there are more, their operation's defaults. `version` is that of the set of
    operations that defines `op`; operations of other sets than ONNX's carry its name in front.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    given: frozenset[str]
    version: int
    definition: Any = None


def node_of(definition: Any, versions: Mapping[str, int]) -> Node:
    """A NodeProto as a Node; `versions` are those of the sets of operations, by domain."""
    domain = "" if definition.domain in STANDARD else definition.domain
    version = versions.get(domain, 1)
    known = domain in {"", LEARNING}
    given = {one.name: _value(one) for one in definition.attribute}
    outputs = tuple(definition.output)
    return Node(
        name=next((name for name in outputs if name), ""),
        op=definition.op_type if known else f"{domain}.{definition.op_type}",
        inputs=tuple(definition.input),
        outputs=outputs,
        attributes=_defaults(definition.op_type, domain, version) | given,
        given=frozenset(given),
        version=version,
        definition=definition,
    )


def _defaults(op: str, domain: str, version: int) -> dict[str, Any]:
    """What ONNX's own definition of an operation says of attributes left out."""
    onnx = load_onnx()
    try:
        schema = onnx.defs.get_schema(op, version, domain)
    except onnx.defs.SchemaError:
        return {}
    return {
        name: _value(attribute.default_value)
        for name, attribute in schema.attributes.items()
        if attribute.default_value.type
    }


def _value(attribute: Any) -> Any:
    onnx = load_onnx()
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return list(value) if not isinstance(value, int | float | str | onnx.GraphProto) else value
