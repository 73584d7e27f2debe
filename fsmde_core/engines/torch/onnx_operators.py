"""Implements the ONNX operators of our networks in PyTorch: a function each, `op(attributes, *inputs) -> tensor(s)`.

Covers what torch.onnx exports for convolutional networks, opset 18 and later. Tensors of shapes, axes and other
integers stay on the host (see `onnx_graph`), so no operator waits for the GPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Attributes = dict[str, Any]
Operator = Callable[..., Any]

# onnx.TensorProto data types
DTYPES = {1: torch.float32, 2: torch.uint8, 6: torch.int32, 7: torch.int64, 9: torch.bool, 10: torch.float16}


def _ints(values: Tensor | None) -> list[int] | None:
    return None if values is None else values.flatten().tolist()


def _conv(attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rank = weight.ndim - 2
    before, after = _pads(attributes, rank)
    if before != after:
        x, before = F.pad(x, _torch_pads(before, after)), [0] * rank
    convolve = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    return convolve(x, weight, bias, strides, before, dilations, attributes.get("group", 1))


def _pads(attributes: Attributes, rank: int) -> tuple[list[int], list[int]]:
    """Return the padding before and after each spatial axis."""
    if attributes.get("auto_pad", "NOTSET") != "NOTSET":
        raise ValueError(f"auto_pad {attributes['auto_pad']} is not supported, only explicit pads")
    pads = list(attributes.get("pads", [0] * 2 * rank))
    return pads[:rank], pads[rank:]


def _torch_pads(before: list[int], after: list[int]) -> list[int]:
    """Order pads as torch.nn.functional.pad takes them: (before, after) pairs, last axis first."""
    return [p for pair in zip(before[::-1], after[::-1], strict=True) for p in pair]


def _pad(attributes: Attributes, x: Tensor, pads: Tensor, value: Tensor | None = None) -> Tensor:
    if attributes.get("mode", "constant") != "constant":
        raise ValueError(f"padding mode {attributes['mode']} is not supported, only constant")
    before, after = pads[: x.ndim].tolist(), pads[x.ndim :].tolist()
    return F.pad(x, _torch_pads(before, after), value=0.0 if value is None else float(value))


def _max_pool(attributes: Attributes, x: Tensor) -> Tensor:
    kernel = attributes["kernel_shape"]
    before, after = _pads(attributes, len(kernel))
    x = F.pad(x, _torch_pads(before, after), value=-math.inf)
    return F.max_pool2d(x, kernel, attributes.get("strides", [1] * len(kernel)))


def _batch_norm(attributes: Attributes, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return F.batch_norm(x, mean, var, scale, bias, eps=attributes.get("epsilon", 1e-5))


def _gemm(attributes: Attributes, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.mT if attributes.get("transA") else a
    b = b.mT if attributes.get("transB") else b
    product = attributes.get("alpha", 1.0) * (a @ b)
    return product if c is None else product + attributes.get("beta", 1.0) * c


def _resize(
    attributes: Attributes, x: Tensor, _roi: Tensor | None, scales: Tensor | None = None, sizes: Tensor | None = None
) -> Tensor:
    mode, grid = attributes.get("mode", "nearest"), attributes.get("coordinate_transformation_mode", "half_pixel")
    rounding = attributes.get("nearest_mode", "round_prefer_floor")
    nearest = mode == "nearest" and grid == "asymmetric" and rounding == "floor"
    bilinear = mode == "linear" and grid in ("half_pixel", "pytorch_half_pixel", "align_corners") and x.ndim == 4
    if attributes.get("antialias") or not (nearest or bilinear):
        raise ValueError(f"resize of {x.ndim} axes with mode {mode}, {grid}, {rounding} is not supported")
    target: dict[str, Any] = {"mode": "nearest" if nearest else "bilinear"}
    if bilinear:
        target["align_corners"] = grid == "align_corners"
    if sizes is not None:
        return F.interpolate(x, size=sizes.tolist()[2:], **target)
    return F.interpolate(x, scale_factor=scales.tolist()[2:], **target)  # type: ignore[union-attr]


def _reduce(function: Operator) -> Operator:
    def reduce(attributes: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
        if axes is None and attributes.get("noop_with_empty_axes"):
            return x
        return function(x, dim=_ints(axes) or list(range(x.ndim)), keepdim=bool(attributes.get("keepdims", 1)))

    return reduce


def _slice(
    _: Attributes, x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
) -> Tensor:
    index = [slice(None)] * x.ndim
    dims = _ints(axes) or range(starts.numel())
    strides = _ints(steps) or [1] * starts.numel()
    for axis, start, end, step in zip(dims, starts.tolist(), ends.tolist(), strides, strict=True):
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


def _gather(attributes: Attributes, x: Tensor, indices: Tensor) -> Tensor:
    axis = attributes.get("axis", 0) % x.ndim
    if indices.ndim == 0:
        return x.select(axis, int(indices))
    # One by one: positions on the host would have to be copied to the device, which a CUDA graph cannot.
    chosen = torch.stack([x.select(axis, index) for index in indices.flatten().tolist()], axis)
    return chosen.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _unsqueeze(_: Attributes, x: Tensor, axes: Tensor) -> Tensor:
    rank = x.ndim + axes.numel()
    for axis in sorted(a % rank for a in axes.tolist()):
        x = x.unsqueeze(axis)
    return x


def _cumsum(attributes: Attributes, x: Tensor, axis: Tensor) -> Tensor:
    if attributes.get("exclusive") or attributes.get("reverse"):
        raise ValueError("CumSum is supported forward and inclusive only")
    return torch.cumsum(x, int(axis))


def _clip(_: Attributes, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    return torch.clamp(x, None if low is None else low.item(), None if high is None else high.item())


OPERATORS: dict[str, Operator] = {
    "Add": lambda _, a, b: a + b,
    "BatchNormalization": _batch_norm,
    "Cast": lambda at, x: x.to(DTYPES[at["to"]]),
    "Clip": _clip,
    "Concat": lambda at, *xs: torch.cat(xs, at["axis"]),
    "Constant": lambda at: at["value"],
    "Conv": _conv,
    "CumSum": _cumsum,
    "Div": lambda _, a, b: a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc"),
    "Exp": lambda _, x: torch.exp(x),
    "Expand": lambda _, x, shape: x.expand(torch.broadcast_shapes(x.shape, shape.tolist())),
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda _, x: x.mean(tuple(range(2, x.ndim)), keepdim=True),
    "HardSigmoid": lambda at, x: torch.clamp(at.get("alpha", 0.2) * x + at.get("beta", 0.5), 0, 1),
    "HardSwish": lambda _, x: F.hardswish(x),
    "Identity": lambda _, x: x,
    "Log": lambda _, x: torch.log(x),
    "MatMul": lambda _, a, b: a @ b,
    "MaxPool": _max_pool,
    "Mul": lambda _, a, b: a * b,
    "Pad": _pad,
    "Pow": lambda _, a, b: torch.pow(a, b).to(a.dtype),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": lambda _, x: F.relu(x),
    "Reshape": lambda _, x, shape: x.reshape(
        [x.shape[i] if size == 0 else size for i, size in enumerate(shape.tolist())]
    ),
    "Resize": _resize,
    "Shape": lambda at, x: torch.tensor(x.shape[at.get("start", 0) : at.get("end")], dtype=torch.int64),
    "Sigmoid": lambda _, x: torch.sigmoid(x),
    "Slice": _slice,
    "Softmax": lambda at, x: torch.softmax(x, at.get("axis", -1)),
    "Softplus": lambda _, x: F.softplus(x),
    "Reciprocal": lambda _, x: torch.reciprocal(x),
    "Sqrt": lambda _, x: torch.sqrt(x),
    "Squeeze": lambda _, x, axes=None: x.squeeze() if axes is None else x.squeeze(tuple(axes.tolist())),
    "Sub": lambda _, a, b: a - b,
    "Transpose": lambda at, x: x.permute(at["perm"]),
    "Unsqueeze": _unsqueeze,
}
