"""TensorRT on an NVIDIA GPU: engines are built once per machine, kept on disk, and run as CUDA graphs."""

from __future__ import annotations

from collections.abc import Iterator

from fsmde_core.cuda.driver import Driver
from fsmde_core.engines.base import EngineReport
from fsmde_core.model import ModelInfo
from fsmde_core.tensorrt.bindings import VERSION
from fsmde_core.tensorrt.cache import EngineCache
from fsmde_core.tensorrt.engine import TensorRtEngine
from fsmde_core.tensorrt.network import offered
from fsmde_core.tensorrt.progress import LogProgress
from fsmde_core.tensorrt.provide import plan_cameras, provide


def variants(info: ModelInfo, threads: int, cameras: int) -> Iterator[TensorRtEngine]:
    """The engines this library offers, best first: float16, then float32 should that be too coarse.

    Engines that are not on disk yet are built, which takes minutes.
    """
    for precision in offered(info):
        plan = provide(info, precision, cameras, EngineCache(), LogProgress())
        yield TensorRtEngine(info, precision, plan, plan_cameras(cameras))


def describe() -> EngineReport:
    """The installed version and the GPU."""
    return EngineReport("tensorrt", VERSION, (Driver.shared().name,))
