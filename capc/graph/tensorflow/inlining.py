"""Calls of graph functions, replaced by the nodes of the function; what nodes leave out, put in.

Freezing inlines most calls; those marked for compilation stay, Keras's grouped convolutions among
them.
"""

from __future__ import annotations

from typing import Any

from capc.errors import ModelError
from capc.graph.tensorflow.defaults import fill_defaults

_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_DEEPEST = 64


def inlined_nodes(graph: Any) -> dict[str, Any]:
    """The nodes of a GraphDef by name, with every call replaced and every attribute present.

    Inner nodes are named `call/node`; output k > 0 of a call is a node named `call:k`. Raises
    ModelError for calls that are nested without end or name a function that is not there.
    """
    nodes = {node.name: node for node in graph.node}
    functions = {function.signature.name: function for function in graph.library.function}
    waiting = [(node, 0) for node in graph.node if node.op in _CALLS]
    while waiting:
        call, depth = waiting.pop()
        function = functions.get(call.attr["f"].func.name)
        if function is None or depth > _DEEPEST:
            raise ModelError(
                f"node '{call.name}' calls a function that cannot be inlined; export the model as "
                "a frozen graph without recursion"
            )
        body = _body(call, function)
        nodes.update(body)
        waiting.extend((node, depth + 1) for node in body.values() if node.op in _CALLS)
    fill_defaults(nodes.values())
    return nodes


def _body(call: Any, function: Any) -> dict[str, Any]:
    """The function's nodes under the call's name, and identities for its outputs."""
    data = [name for name in call.input if not name.startswith("^")]
    arguments = {
        argument.name: given
        for argument, given in zip(function.signature.input_arg, data, strict=True)
    }

    first_outputs = {node.name: _first_output(node.op) for node in function.node_def}

    def outer(name: str) -> str:
        """`argument`, `node:output:index` or `^node` as the enclosing graph calls it."""
        node, *output = name.removeprefix("^").split(":")  # node, output's name, place in it
        if not output and node in arguments and not name.startswith("^"):
            return str(arguments[node])
        inner = f"{call.name}/{node}"
        if name.startswith("^"):
            return f"^{inner}"
        if not output:
            return inner
        place = output[1] if output[0] == first_outputs[node] else output[0]
        return inner if place == "0" else f"{inner}:{place}"

    made = {}
    for node in function.node_def:
        copy = _copied(node, f"{call.name}/{node.name}", [outer(name) for name in node.input])
        made[copy.name] = copy
    for place, result in enumerate(function.signature.output_arg):
        name = call.name if place == 0 else f"{call.name}:{place}"
        identity = _copied(call, name, [outer(function.ret[result.name])])
        identity.op = "Identity"
        kind = result.type or call.attr[result.type_attr].type
        identity.attr.clear()
        identity.attr["T"].type = kind
        made[name] = identity
    return made


def _first_output(operation: str) -> str:
    """The name of an operation's first output; empty where TensorFlow does not know it."""
    from tensorflow.python.framework import op_def_registry  # noqa: PLC0415

    definition = op_def_registry.get(operation)
    return str(definition.output_arg[0].name) if definition and definition.output_arg else ""


def _copied(node: Any, name: str, inputs: list[str]) -> Any:
    copy = type(node)()
    copy.CopyFrom(node)
    copy.name = name
    del copy.input[:]
    copy.input.extend(inputs)
    return copy
