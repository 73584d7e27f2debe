"""PyTorch: on a GPU in float16, one CUDA graph per number of cameras; on the CPU the engine to debug with."""

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
    """Room for a batch that stays where it is. images: (N, H, W, 3) uint8. focal: (N,) float32.

    depth, sigma: (N, H, W) float32 metres. All on one device.
    """

    images: Tensor
    focal: Tensor
    depth: Tensor
    sigma: Tensor

    @classmethod
    def of(cls, make: Callable[[tuple[int, ...], torch.dtype], Tensor], cameras: int, info: ModelInfo) -> DeviceBatch:
        """make(shape, dtype): where it lies."""
        pixels = (cameras, info.height, info.width)
        return cls(
            make((*pixels, 3), torch.uint8),
            make((cameras,), torch.float32),
            make(pixels, torch.float32),
            make(pixels, torch.float32),
        )

    def first(self, count: int) -> DeviceBatch:
        """The part of the first `count` cameras, in the same memory."""
        return DeviceBatch(self.images[:count], self.focal[:count], self.depth[:count], self.sigma[:count])


class TorchEngine:
    """threads: 0 leaves torch's process-wide number as it is, anything else sets it. cameras: to begin with room for.

    precision: `f32` or `f16`. In float16 the network's weights and activations are short, the bins and all that follows
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
        self.lane = DeviceStream(torch.device(device))
        self.device = torch.cuda.get_device_name(self.lane.device) if self.lane.device.type == "cuda" else device
        with self.lane.current():
            self._graph = TorchGraph(info.path, self.lane.device, half=precision == "f16")
        self.reserve(cameras)

    def reserve(self, cameras: int) -> None:
        """Make room for `cameras`; what has been recorded for fewer is recorded anew when it is next asked for."""
        device = self.lane.device
        with self.lane.current():
            self.batch = DeviceBatch.of(
                lambda shape, dtype: torch.zeros(shape, dtype=dtype, device=device), cameras, self.info
            )
        self._host = self.batch
        if device.type == "cuda":
            self._host = DeviceBatch.of(lambda shape, dtype: pinned_tensor(shape, dtype, device), cameras, self.info)
        self._runs: dict[int, Callable[[], None]] = {}

    def run(self, count: int) -> None:
        """The network on the first `count` images of `batch`; to be called in `lane.current()`."""
        if count not in self._runs:
            self._runs[count] = self.lane.recorded(partial(self._forward, count))
        self._runs[count]()

    def _forward(self, count: int) -> None:
        part = self.batch.first(count)
        # TensorFloat-32, cuDNN's default, has the digits of float16: not what `f32` promises.
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
            depth, sigma = self._graph({"images": part.images, "focal": part.focal})
        part.depth.copy_(depth)
        part.sigma.copy_(sigma)

    def infer(self, images: NDArray[np.uint8], focal: NDArray[np.float32]) -> DepthBatch:
        """See `Engine.infer`; the result lies in the engine's buffers."""
        check_batch(self.info, images, focal)
        count = len(images)
        if count > len(self.batch.focal):
            self.reserve(count)
        host, part = self._host.first(count), self.batch.first(count)
        np.copyto(host.images.numpy(), images)
        np.copyto(host.focal.numpy(), focal)
        with self.lane.current():
            part.images.copy_(host.images, non_blocking=True)
            part.focal.copy_(host.focal, non_blocking=True)
            self.run(count)
            host.depth.copy_(part.depth, non_blocking=True)
            host.sigma.copy_(part.sigma, non_blocking=True)
        self.lane.finish()
        return DepthBatch(host.depth.numpy(), host.sigma.numpy())

    def close(self) -> None:
        """See `Engine.close`."""
        del self._graph, self._runs, self.batch, self._host


def variants(info: ModelInfo, threads: int, cameras: int) -> Iterator[TorchEngine]:
    """The engines this library offers, best first: of the GPU where torch sees one, else of the CPU."""
    if torch.cuda.is_available():
        yield TorchEngine(info, threads, cameras, "cuda", "f16")
        yield TorchEngine(info, threads, cameras, "cuda")
    else:
        yield TorchEngine(info, threads, cameras)


def describe() -> EngineReport:
    """The installed version and its devices; the first GPU serves, where there is one."""
    gpus = tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return EngineReport("torch", torch.__version__, (*gpus, "cpu"))
