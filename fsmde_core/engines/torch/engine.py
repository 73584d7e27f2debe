"""Runs models in PyTorch: on a GPU in float16, a CUDA graph per number of cameras; on the CPU to debug with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsmde_core.engines.base import DepthBatch, EngineReport, check_batch
from fsmde_core.engines.model import ModelInfo
from fsmde_core.engines.torch.onnx_graph import TorchGraph
from fsmde_core.engines.torch.stream import DeviceStream, pinned_tensor


@dataclass(frozen=True, eq=False)
class DeviceBatch:
    """Holds the tensors of a batch on one device, which stay where they are for CUDA graphs.

    images: (N, H, W, 3) uint8. focal: (N,) float32 pixels. depth, sigma: (N, H, W) float32 metres.
    """

    images: Tensor
    focal: Tensor
    depth: Tensor
    sigma: Tensor

    @classmethod
    def allocate(cls, make: Callable[..., Tensor], cameras: int, info: ModelInfo) -> DeviceBatch:
        pixels = (cameras, info.height, info.width)
        depth, sigma = (make(pixels, dtype=torch.float32) for _ in range(2))
        return cls(make((*pixels, 3), dtype=torch.uint8), make((cameras,), dtype=torch.float32), depth, sigma)

    def first(self, count: int) -> DeviceBatch:
        """Return the part of the first `count` cameras, in the same memory."""
        return DeviceBatch(self.images[:count], self.focal[:count], self.depth[:count], self.sigma[:count])


class TorchEngine:
    """Runs the model's graph in PyTorch; results lie in the engine's buffers.

    threads: 0 leaves torch's process-wide number as it is, anything else sets it.
    cameras: images of a batch to allocate memory for at the start.
    precision: `f32` or `f16`, in which the network's weights and activations are float16, the bins and all that follows
    them float32.
    """

    name = "torch"

    def __init__(
        self, info: ModelInfo, threads: int = 0, cameras: int = 1, device: str = "cpu", precision: str = "f32"
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        self.info = info
        self.precision = precision
        self.stream = DeviceStream(torch.device(device))
        self.device = torch.cuda.get_device_name(self.stream.device) if self.stream.device.type == "cuda" else device
        with self.stream.as_current():
            self._graph = TorchGraph(info.path, self.stream.device, half=precision == "f16")
        self.reserve(cameras)

    def reserve(self, cameras: int) -> None:
        """Allocate buffers for `cameras` images; graphs captured for others are captured anew when next needed."""
        device = self.stream.device
        with self.stream.as_current():
            self.batch = DeviceBatch.allocate(partial(torch.zeros, device=device), cameras, self.info)
        self._host = self.batch
        if device.type == "cuda":
            self._host = DeviceBatch.allocate(partial(pinned_tensor, device=device), cameras, self.info)
        self._runs: dict[int, Callable[[], None]] = {}

    def run(self, count: int) -> None:
        """Run the network on the first `count` images of `batch`; to be called within `stream.as_current()`."""
        if count not in self._runs:
            self._runs[count] = self.stream.capture_graph(partial(self._forward, count))
        self._runs[count]()

    def _forward(self, count: int) -> None:
        part = self.batch.first(count)
        # TensorFloat-32, cuDNN's default, has the digits of float16: not what `f32` promises.
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
            depth, sigma = self._graph({"images": part.images, "focal": part.focal})
        part.depth.copy_(depth)
        part.sigma.copy_(sigma)

    def infer(self, images: NDArray[np.uint8], focal: NDArray[np.float32]) -> DepthBatch:
        check_batch(self.info, images, focal)
        count = len(images)
        if count > len(self.batch.focal):
            self.reserve(count)
        host, part = self._host.first(count), self.batch.first(count)
        np.copyto(host.images.numpy(), images)
        np.copyto(host.focal.numpy(), focal)
        with self.stream.as_current():
            part.images.copy_(host.images, non_blocking=True)
            part.focal.copy_(host.focal, non_blocking=True)
            self.run(count)
            host.depth.copy_(part.depth, non_blocking=True)
            host.sigma.copy_(part.sigma, non_blocking=True)
        self.stream.synchronize()
        return DepthBatch(host.depth.numpy(), host.sigma.numpy())

    def close(self) -> None:
        del self._graph, self._runs, self.batch, self._host


def variants(info: ModelInfo, threads: int, cameras: int) -> Iterator[TorchEngine]:
    if torch.cuda.is_available():
        yield TorchEngine(info, threads, cameras, "cuda", "f16")
        yield TorchEngine(info, threads, cameras, "cuda")
    else:
        yield TorchEngine(info, threads, cameras)


def describe() -> EngineReport:
    gpus = tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return EngineReport("torch", torch.__version__, (*gpus, "cpu"))
