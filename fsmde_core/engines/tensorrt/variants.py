"""TensorRT on an NVIDIA GPU: engines are built once per machine, kept on disk, and run as CUDA graphs."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from fsmde_core.cuda.driver import Driver
from fsmde_core.engines.base import EngineReport
from fsmde_core.engines.model import ModelInfo
from fsmde_core.engines.tensorrt.bindings import VERSION
from fsmde_core.engines.tensorrt.cache import EngineCache
from fsmde_core.engines.tensorrt.engine import RefusedPlanError, TensorRtEngine
from fsmde_core.engines.tensorrt.network import offered
from fsmde_core.engines.tensorrt.progress import LogProgress
from fsmde_core.engines.tensorrt.provide import plan_cameras, provide

log = logging.getLogger(__name__)


def variants(info: ModelInfo, threads: int, cameras: int) -> Iterator[TensorRtEngine]:
    """The engines this library offers, best first: float16, then float32 should that be too coarse.

    Engines that are not on disk yet are built, which takes minutes.
    """
    for precision in offered(info):
        yield _load(info, precision, cameras)


def _load(info: ModelInfo, precision: str, cameras: int) -> TensorRtEngine:
    """From the cache or built; once more where TensorRT refuses what is there, as after a change of the driver."""
    cache, most = EngineCache(), plan_cameras(cameras)
    plan = provide(info, precision, cameras, cache, LogProgress())
    try:
        return TensorRtEngine(info, precision, plan, most)
    except RefusedPlanError as error:
        log.warning("the engine is built anew: %s", error)
    plan = provide(info, precision, cameras, cache, LogProgress(), refused=plan)
    return TensorRtEngine(info, precision, plan, most)


def describe() -> EngineReport:
    """The installed version and the GPU."""
    return EngineReport("tensorrt", VERSION, (Driver.shared().name,))
