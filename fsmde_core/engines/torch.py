"""PyTorch: the engine to debug with, and to compare others with, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from fsmde_core.engines.base import DepthBatch, EngineReport, check_batch
from fsmde_core.engines.torch_graph import TorchGraph
from fsmde_core.model import ModelInfo


class TorchEngine:
    """threads: 0 leaves torch's process-wide number as it is, anything else sets it."""

    name = "torch"
    precision = "f32"

    def __init__(self, info: ModelInfo, threads: int = 0, device: str = "cpu") -> None:
        if threads:
            torch.set_num_threads(threads)
        self.info = info
        self.device = device
        self._graph = TorchGraph(info.path, torch.device(device))

    def infer(self, images: NDArray[np.uint8], focal: NDArray[np.float32]) -> DepthBatch:
        """See `Engine.infer`; every call returns new arrays."""
        check_batch(self.info, images, focal)
        inputs = {"images": images, "focal": focal}
        depth, sigma = self._graph({name: torch.from_numpy(array).to(self.device) for name, array in inputs.items()})
        return DepthBatch(depth.cpu().numpy(), sigma.cpu().numpy())

    def close(self) -> None:
        """See `Engine.close`."""
        del self._graph


def variants(info: ModelInfo, threads: int, cameras: int) -> Iterator[TorchEngine]:
    """The engines this library offers, best first."""
    yield TorchEngine(info, threads)


def describe() -> EngineReport:
    """The installed version and its devices; the engine uses the CPU."""
    gpus = tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return EngineReport("torch", torch.__version__, ("cpu", *gpus))
