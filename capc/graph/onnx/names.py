"""Names of values: which a model has, and which are meant where none was named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from capc.errors import ModelError
from capc.graph.onnx.nodes import Node
from capc.graph.tensorflow.names import DEFAULT_INPUT, DEFAULT_OUTPUT, listing, plain_name

LABELS = {"ArgMax", "ArgMin", "TopK", "Hardmax", "ArrayFeatureExtractor", "LabelEncoder"}
_FLOATS = {1, 10, 11, 16}  # TensorProto's float32, float16, float64, bfloat16


def input_and_output(
    label: str, graph: Any, nodes: Sequence[Node], input_node: str, output_node: str
) -> tuple[Any, str]:
    """The ValueInfoProto of the input that is meant, and the name of the output.

    The default names stand for the only input, and for the only output that is not a label. An
    output may be any value of the graph, or the name of a node. Raises ModelError with the
    candidates.
    """
    constants = {one.name for one in graph.initializer}
    inputs = {one.name: one for one in graph.input if one.name not in constants}
    first = _one_of(inputs, input_node, DEFAULT_INPUT)
    if first is None:
        raise ModelError(
            f"{label} has no one input '{plain_name(input_node)}'; its inputs are "
            f"{listing(inputs)}: a classifier has one input; name it with --input_node, and make "
            "the others constants"
        )
    makers = {name: node for node in nodes for name in node.outputs}
    ends = _ends(graph, makers)
    values = {**dict.fromkeys(makers), **{one.name: None for one in graph.output}}
    named = {node.definition.name: node.name for node in nodes if node.definition.name}
    last = ends[0] if len(ends) == 1 else None
    if output_node != DEFAULT_OUTPUT:
        spelled = _spellings(output_node)
        last = next((name for name in spelled if name in values), None)
        last = last or next((named[name] for name in spelled if name in named), None)
    if last is None:
        raise ModelError(
            f"{label} has no one output '{plain_name(output_node)}'; its outputs are "
            f"{listing(one.name for one in graph.output)}: name the logits with --output_node"
        )
    return inputs[first], last


def _one_of(found: Mapping[str, Any], wanted: str, default: str) -> str | None:
    if wanted == default:
        return next(iter(found)) if len(found) == 1 else None
    return next((name for name in _spellings(wanted) if name in found), None)


def _spellings(wanted: str) -> tuple[str, ...]:
    """A name as it stands, and as TensorFlow's tensors are named."""
    return wanted, plain_name(wanted), plain_name(wanted).removeprefix("import/")


def _ends(graph: Any, makers: Mapping[str, Node]) -> list[str]:
    """The outputs; of several, those that are not labels."""
    ends = [one.name for one in graph.output]
    kept = [
        one.name
        for one in graph.output
        if not (one.type.HasField("tensor_type") and one.type.tensor_type.elem_type not in _FLOATS)
        and (one.name not in makers or makers[one.name].op not in LABELS)
    ]
    return kept or ends
