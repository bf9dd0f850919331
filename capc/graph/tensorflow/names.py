"""Names of nodes: which a graph has, and which are meant where none was named."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from capc.errors import ModelError

DEFAULT_INPUT = "import/input:0"
DEFAULT_OUTPUT = "import/output/BiasAdd:0"

Nodes = Mapping[str, Any]

_IDLE = {
    *("Const", "NoOp", "Placeholder", "Assert", "Print", "SaveV2", "RestoreV2", "MergeV2"),
    *("ScalarSummary", "HistogramSummary", "ImageSummary", "MergeSummary", "TensorSummaryV2"),
}
_LABELS = {"ArgMax", "ArgMin", "TopKV2", "InTopK", "InTopKV2", "Equal", "OneHot"}
_FLOATS = {1, 2, 14, 19}  # DataType's float32, float64, bfloat16, float16


def plain_name(tensor: str) -> str:
    """A node's name from a tensor's: without a leading ^ and a trailing :0."""
    name = tensor.removeprefix("^")
    return name[:-2] if name.endswith(":0") else name


def data_inputs(node: Any) -> list[str]:
    """The names of the nodes whose values `node` takes, in order."""
    return [plain_name(name) for name in node.input if not name.startswith("^")]


def resolve(nodes: Nodes, wanted: str) -> str | None:
    """The node that a name stands for, with import/ in front or without; else None."""
    name = plain_name(wanted)
    for candidate in (name, name.removeprefix("import/")):
        if candidate in nodes:
            return candidate
    return None


def input_and_output(
    label: str, nodes: Nodes, outer: Collection[str], input_node: str, output_node: str
) -> tuple[str, str]:
    """The nodes that are meant.

    Those named; in place of a default that is not there, the only placeholder and the only node
    that nobody takes. `outer` are the names outside functions. Raises ModelError with the
    candidates.
    """
    first, last = resolve(nodes, input_node), resolve(nodes, output_node)
    if last is None:
        ends = _ends(nodes, outer, first)
        if output_node != DEFAULT_OUTPUT or len(ends) != 1:
            raise ModelError(_missing(label, nodes, output_node, ends))
        last = ends[0]
    if first is None:
        starts = _starts(nodes, last)
        if input_node != DEFAULT_INPUT or len(starts) != 1:
            raise ModelError(_missing(label, nodes, input_node, _ends(nodes, outer, None), starts))
        first = starts[0]
    return first, last


def _ends(nodes: Nodes, outer: Collection[str], first: str | None) -> list[str]:
    """Nodes that nobody takes and that depend on a placeholder; no labels where others are left."""
    used = {name.partition(":")[0] for node in nodes.values() for name in data_inputs(node)}
    idle = [name for name in outer if name not in used and nodes[name].op not in _IDLE]
    ends = [name for name in idle if _depends(nodes, name, first)]
    return [name for name in ends if nodes[name].op not in _LABELS] or ends


def _depends(nodes: Nodes, name: str, first: str | None) -> bool:
    before = _ancestors(nodes, name)
    if first is not None:
        return first in before
    return any(nodes[given].op.startswith("Placeholder") for given in before)


def _starts(nodes: Nodes, last: str) -> list[str]:
    """The placeholders that the output depends on; those that may be images where there are any."""
    before = _ancestors(nodes, last)
    for kind in ("Placeholder", "PlaceholderWithDefault"):
        found = [name for name in nodes if name in before and nodes[name].op == kind]
        if found:
            return [name for name in found if _may_be_images(nodes[name])] or found
    return []


def _may_be_images(node: Any) -> bool:
    shape = node.attr["shape"].shape
    return node.attr["dtype"].type in _FLOATS and (shape.unknown_rank or len(shape.dim) > 1)


def _ancestors(nodes: Nodes, name: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in nodes:
            current = current.partition(":")[0]
        if current in found or current not in nodes:
            continue
        found.add(current)
        waiting.extend(data_inputs(nodes[current]))
    return found


def _missing(
    label: str, nodes: Nodes, wanted: str, ends: list[str], starts: list[str] | None = None
) -> str:
    if starts is None:
        starts = [name for name, node in nodes.items() if node.op == "Placeholder"]
    return (
        f"{label} has no node '{plain_name(wanted)}'; its placeholders are "
        f"{listing(starts)}, its last nodes are {listing(ends)}: "
        "name them with --input_node and --output_node"
    )


def listing(names: Iterable[str], most: int = 8) -> str:
    """The first names, quoted, and how many more there are."""
    shown = list(names)
    if not shown:
        return "(none)"
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(f"'{name}'" for name in shown[:most]) + more
