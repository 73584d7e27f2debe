"""The engine of a model for this machine's GPU: from the cache, or built into it."""

from __future__ import annotations

from fsmde_core.cuda.driver import Driver
from fsmde_core.engines.model import ModelInfo
from fsmde_core.engines.tensorrt.bindings import VERSION, check_version
from fsmde_core.engines.tensorrt.build import BuildLimits, build_plan
from fsmde_core.engines.tensorrt.cache import EngineCache, EngineKey
from fsmde_core.engines.tensorrt.network import prepare
from fsmde_core.engines.tensorrt.progress import Progress

LEAST_CAMERAS = 6
"""Engines take so many images or more, so that commands that need fewer share the engine of the node."""


def plan_cameras(cameras: int) -> int:
    """How many images the engine for so many cameras takes at most."""
    return max(cameras, LEAST_CAMERAS)


def engine_key(info: ModelInfo, precision: str, cameras: int) -> EngineKey:
    """What an engine must be to serve this model on this machine. Raises FsmdeError without a GPU."""
    driver = Driver.shared()
    return EngineKey(
        model_sha256=info.sha256,
        gpu=driver.name,
        compute_capability=".".join(map(str, driver.compute_capability)),
        multiprocessors=driver.multiprocessors,
        memory_gib=round(driver.total_memory / 2**30),
        tensorrt=VERSION,
        precision=precision,
        cameras=plan_cameras(cameras),
        height=info.height,
        width=info.width,
    )


def provide(
    info: ModelInfo,
    precision: str,
    cameras: int,
    cache: EngineCache,
    progress: Progress,
    workspace: int | None = None,
    refused: bytes | None = None,
) -> bytes:
    """The serialised engine for 1 to `plan_cameras(cameras)` images. workspace: as in `BuildLimits`; a built engine
    keeps its own.
    refused: see `EngineCache.fetch`.

    Raises FsmdeError where the file does not give that precision, TensorRT fails, or the folder cannot be written to.
    """
    check_version()
    graph = prepare(info, precision)
    key = engine_key(info, precision, cameras)
    limits = BuildLimits(key.cameras, key.height, key.width, workspace)

    def build() -> bytes:
        with Driver.shared().current():
            return build_plan(graph, limits, cache.timing(key), progress)

    return cache.fetch(info.path.stem, key, build, refused)
