"""What is recorded as a CUDA graph neither waits for the device nor moves data between it and the host.

Shown without a GPU: on torch's device `meta`, whose tensors have no values, every look at one is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsmde_core.clouds.packer import CloudSettings
from fsmde_core.engines.model import default_model_path, read_model_info
from fsmde_core.images.encodings import ENCODINGS
from fsmde_core.images.rectify import rectify_maps
from fsmde_core.pipeline.gpu.sampling import sampling_from_maps

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode

from fsmde_core.engines.torch.engine import DeviceBatch
from fsmde_core.engines.torch.onnx_graph import TorchGraph
from fsmde_core.engines.torch.stream import DeviceStream
from fsmde_core.pipeline.gpu.torch.packing import TorchPacker
from fsmde_core.pipeline.gpu.torch.sampling import TorchSampler
from support.gpu_cases import camera

pytestmark = pytest.mark.torch

META = torch.device("meta")


class NothingMoves(TorchDispatchMode):
    """Refuses operations that meet tensors of host and device, but for single numbers, and those that move data."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        flat = [*torch.utils._pytree.tree_leaves((args, kwargs))]
        tensors = [value for value in flat if isinstance(value, torch.Tensor)]
        places = {tensor.device.type for tensor in tensors if tensor.ndim or tensor.device.type != "cpu"}
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.ndim and tensors:
            places.add(result.device.type)
        assert len(places) <= 1, f"{func} moves data between {places}"
        return result


def recordable(work: Callable[[], object]) -> None:
    with NothingMoves():
        work()


def test_the_check_finds_what_it_looks_for() -> None:
    there = torch.zeros(4, device=META)
    for wrong in (
        lambda: there.sum().item(),
        lambda: there.tolist(),
        lambda: there[there > 0],
        lambda: there.copy_(torch.ones(4)),
        lambda: torch.ones(4).to(META),
    ):
        with pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
            recordable(wrong)
    recordable(lambda: (there * torch.tensor(2.0)).clamp_(0, 6))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("count", [1, 6])
def test_the_shipped_model(half: bool, count: int) -> None:
    info = read_model_info(default_model_path())
    graph = TorchGraph(info.path, META, half)
    images = torch.zeros((count, info.height, info.width, 3), dtype=torch.uint8, device=META)
    recordable(partial(graph, {"images": images, "focal": torch.zeros(count, device=META)}))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_sampling_of_any_encoding(encoding: str) -> None:
    seen = camera("any", 640, 400, "plumb_bob")
    look_up = sampling_from_maps(rectify_maps(seen, seen.rectified(112, 64)), 640, 400, False)
    step = 640 * ENCODINGS[encoding].channels + 5
    sampler = TorchSampler(look_up, 640, 400, step, encoding, META)
    raw = torch.zeros(sampler.nbytes, dtype=torch.uint8, device=META)
    recordable(lambda: sampler.sample(raw, torch.empty((64, 112, 3), dtype=torch.uint8, device=META)))


@pytest.mark.parametrize("wanted", [CloudSettings(), CloudSettings(stride=3, color=False)])
def test_packing(wanted: CloudSettings) -> None:
    shape = (2, 64, 112)
    images = torch.zeros((*shape, 3), dtype=torch.uint8, device=META)
    depth, sigma = torch.zeros(shape, device=META), torch.zeros(shape, device=META)
    packer = TorchPacker(DeviceStream(META), DeviceBatch(images, torch.zeros(2, device=META), depth, sigma), wanted)
    recordable(packer._write_records)


def test_a_graph_that_looks_at_values_is_found(tmp_path: Path) -> None:
    """A resize by computed factors has to read them: no graph can be recorded of it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Mul", ["ones", "x"], ["factors"]),
        helper.make_node("Resize", ["image", "", "factors"], ["y"], mode="linear"),
    ]
    ones = numpy_helper.from_array(np.ones(4, np.float32), "ones")
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "image")]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    onnx.save(
        helper.make_model(
            helper.make_graph(nodes, "one", inputs, [output], [ones]),
            opset_imports=[helper.make_opsetid("", 20)],
            ir_version=10,
        ),
        tmp_path / "one.onnx",
    )
    graph = TorchGraph(tmp_path / "one.onnx", META)
    feeds = {"x": torch.ones(4, device=META), "image": torch.zeros((1, 1, 4, 4), device=META)}
    with pytest.raises(Exception, match=r"Resize|moves data|meta"):
        recordable(lambda: graph(feeds))
