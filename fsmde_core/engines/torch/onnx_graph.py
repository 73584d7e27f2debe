"""Runs an ONNX graph node by node in PyTorch, so that this engine serves the same file as all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from fsmde_core.engines.base import first_line
from fsmde_core.engines.precision import to_half
from fsmde_core.engines.torch.onnx_operators import OPERATORS, Operator
from fsmde_core.errors import FsmdeError


@dataclass(frozen=True, eq=False)
class _Step:
    """Describes how to run one node. finished: tensors that no later node reads."""

    name: str
    operator: Operator
    attributes: dict[str, Any]
    inputs: tuple[str, ...]
    output: str
    finished: tuple[str, ...]


class TorchGraph:
    """Runs the graph of an ONNX file on a torch device; FsmdeError for an operator that `onnx_operators` lacks.

    Weights go to the device, those of convolutions with their channels last, which GPUs multiply fastest; scalars,
    integers (shapes, axes) and the factors of a resize stay on the host, where torch wants to read them.
    half: in float16, as `fsmde_core.engines.precision.to_half` makes it.
    """

    def __init__(self, path: Path, device: torch.device, half: bool = False) -> None:
        model = onnx.load(path)
        if half:
            to_half(model)
        graph = model.graph
        self._device = device
        self._of_resizes = {name for node in graph.node if node.op_type == "Resize" for name in node.input[1:]}
        self._constants = {t.name: self._tensor(t, t.name) for t in graph.initializer}
        self._outputs = [t.name for t in graph.output]
        unknown = sorted({node.op_type for node in graph.node} - set(OPERATORS))
        if unknown:
            raise FsmdeError(
                f"model file {path}: the torch engine has no operator {', '.join(unknown)}; use onnxruntime"
            )
        last_use = {name: i for i, node in enumerate(graph.node) for name in node.input}
        self._steps = []
        for i, node in enumerate(graph.node):
            finished = {n for n in node.input if last_use[n] == i and n not in (*self._constants, *self._outputs, "")}
            self._steps.append(
                _Step(
                    f"{node.op_type} '{node.name}'",
                    OPERATORS[node.op_type],
                    {a.name: self._attribute(a, node.output[0]) for a in node.attribute},
                    tuple(node.input),
                    node.output[0],
                    tuple(finished),
                )
            )

    def _tensor(self, proto: onnx.TensorProto, name: str) -> Tensor:
        """Convert the value that the graph calls `name`."""
        tensor = torch.from_numpy(numpy_helper.to_array(proto).copy())
        if not tensor.is_floating_point() or tensor.ndim == 0 or name in self._of_resizes:
            return tensor
        order = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
        return tensor.to(self._device, memory_format=order)

    def _attribute(self, attribute: onnx.AttributeProto, name: str) -> Any:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            return self._tensor(value, name)
        return value.decode() if isinstance(value, bytes) else value

    @torch.inference_mode()
    def __call__(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """Run the graph; inputs by name, outputs in the file's order, all on the device."""
        values: dict[str, Tensor | None] = {"": None, **self._constants, **inputs}
        for step in self._steps:
            try:
                values[step.output] = step.operator(step.attributes, *(values[name] for name in step.inputs))
            except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
                raise FsmdeError(f"torch engine: {step.name} failed: {first_line(error)}") from error
            for name in step.finished:
                del values[name]
        return [values[name] for name in self._outputs]  # type: ignore[misc]
