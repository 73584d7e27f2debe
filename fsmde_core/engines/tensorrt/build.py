"""Builds serialised engines of models for this machine's GPU, or takes them from the cache.

TensorRT 10 and 11 go by one path: the types are those of the graph.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from fsmde_core.cuda.driver import Driver
from fsmde_core.engines.model import ModelInfo
from fsmde_core.engines.tensorrt.bindings import LOG, VERSION, ProgressMonitor, check_version, require, run, trt
from fsmde_core.engines.tensorrt.cache import EngineCache, EngineKey, write_atomically
from fsmde_core.engines.tensorrt.network import prepare_graph
from fsmde_core.engines.tensorrt.progress import Progress
from fsmde_core.errors import FsmdeError

MIN_CAMERAS = 6
"""Engines take so many images or more, so that commands that need fewer use the engine of the node."""

log = logging.getLogger(__name__)


def max_cameras(cameras: int) -> int:
    """Return how many images the engine for so many cameras takes at most."""
    return max(cameras, MIN_CAMERAS)


def engine_key(info: ModelInfo, precision: str, cameras: int) -> EngineKey:
    driver = Driver.shared()
    return EngineKey(
        model_sha256=info.sha256,
        gpu=driver.name,
        compute_capability=".".join(map(str, driver.compute_capability)),
        multiprocessors=driver.multiprocessors,
        memory_gib=round(driver.total_memory / 2**30),
        tensorrt=VERSION,
        precision=precision,
        cameras=max_cameras(cameras),
        height=info.height,
        width=info.width,
    )


def load_or_build_plan(
    info: ModelInfo,
    precision: str,
    cameras: int,
    cache: EngineCache,
    progress: Progress,
    workspace: int | None = None,
    refused: bytes | None = None,
) -> bytes:
    """Return the engine of a model for this machine, from the cache or built into it.

    Args:
        info: The model.
        precision: One that `buildable_precisions` has.
        cameras: The engine takes 1 to `max_cameras(cameras)` images.
        cache: Where engines are kept.
        progress: What is called during the build.
        workspace: MiB that a layer may use beside its tensors, None for all of the GPU's memory; an engine that is
            there keeps its own.
        refused: As in `EngineCache.load_or_build`.

    Returns:
        The serialised engine.

    Raises:
        FsmdeError: The file does not give that precision, TensorRT fails, or the folder cannot be written to.
    """
    check_version()
    graph = prepare_graph(info, precision)
    key = engine_key(info, precision, cameras)

    def build() -> bytes:
        with Driver.shared().as_current():
            return build_plan(graph, key, workspace, cache.timing_path(key), progress)

    return cache.load_or_build(info.path.stem, key, build, refused)


def build_plan(graph: bytes, key: EngineKey, workspace: int | None, timing: Path, progress: Progress) -> bytes:
    # `timing` is a file of measured kernel times, read and written: the next build on the GPU is several times faster.
    builder = require(trt.Builder, LOG)
    # TensorRT 11 has strongly typed networks only and ignores the flag.
    network = require(builder.create_network, 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(network, graph)
    config = require(builder.create_builder_config)
    run(config.clear_flag, trt.BuilderFlag.TF32)  # float32 keeps its 24 bits, of which TF32 drops 13
    if workspace is not None:
        run(config.set_memory_pool_limit, trt.MemoryPoolType.WORKSPACE, workspace << 20)
    _add_profile(builder, config, key)
    _read_timing(config, timing)
    monitor = ProgressMonitor(progress)
    config.progress_monitor = monitor
    plan = run(builder.build_serialized_network, network, config)
    if monitor.failure is not None:
        raise monitor.failure
    if plan is None:
        raise FsmdeError(f"TensorRT {VERSION} failed in build_serialized_network: {LOG.error or 'it gave no reason'}")
    _write_timing(config, timing)
    return bytes(plan)


def _parse(network: Any, graph: bytes) -> None:
    parser = require(trt.OnnxParser, network, LOG)
    if run(parser.parse, graph):
        return
    reasons = []
    for index in range(parser.num_errors):
        error = run(parser.get_error, index)
        text = " ".join(error.desc().split())  # it comes in several lines
        reasons.append(f"{text} (node '{error.node_name()}', operator {error.node_operator()})")
    reason = "; ".join(reasons) or LOG.error
    raise FsmdeError(f"TensorRT {VERSION} cannot take this model: {reason}; use another engine for it")


def _add_profile(builder: Any, config: Any, key: EngineKey) -> None:
    """Add one profile of 1 to all cameras, tuned for all: the usual case, and the one that takes longest."""
    profile = require(builder.create_optimization_profile)
    for name, rest in (("images", (key.height, key.width, 3)), ("focal", ())):
        run(profile.set_shape, name, (1, *rest), (key.cameras, *rest), (key.cameras, *rest))
    if run(config.add_optimization_profile, profile) < 0:
        raise FsmdeError(f"TensorRT {VERSION} failed in add_optimization_profile: {LOG.error}")


def _read_timing(config: Any, path: Path) -> None:
    """Start from the kernel times in the file; from none where it is absent, or damaged, or another GPU's."""
    try:
        kept = [path.read_bytes()]
    except OSError:
        kept = []
    for data in (*kept, b""):
        cache = run(config.create_timing_cache, data)
        if cache is not None and run(config.set_timing_cache, cache, False):
            return
    log.warning("TensorRT %s takes no timing cache: %s", VERSION, LOG.error)


def _write_timing(config: Any, path: Path) -> None:
    cache = run(config.get_timing_cache)
    if cache is not None:
        write_atomically(path, bytes(require(cache.serialize)))
