"""Where the network ends and the binning module begins, in an exported graph."""

from __future__ import annotations

import onnx

HEAD = "bins."
"""The student's name of its binning module: how its weights' names begin."""


def network_nodes(model: onnx.ModelProto) -> set[str]:
    """Names of encoder's and decoder's nodes: they lead to a convolution, and follow no weight of the binning module.

    The others, from there to depth and sigma, compute with metres and stay float32 in every precision.
    """
    producer = {name: node for node in model.graph.node for name in node.output}
    head = _head_nodes(model)
    found: set[str] = set()
    pending = [node for node in model.graph.node if node.op_type == "Conv"]
    while pending:
        node = pending.pop()
        if node.name not in found:
            found.add(node.name)
            pending += [producer[name] for name in node.input if name in producer]
    return found - head


def _head_nodes(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes that have a weight of the binning module, and of every node after them."""
    reached: set[str] = set()
    names: set[str] = set()
    for node in model.graph.node:  # in topological order, as ONNX wants it
        if any(name in reached or name.startswith(HEAD) for name in node.input):
            names.add(node.name)
            reached.update(node.output)
    return names
