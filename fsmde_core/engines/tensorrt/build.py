"""An ONNX graph to a serialised engine, by one path for TensorRT 10 and 11: the types are those of the graph."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsmde_core.engines.tensorrt.bindings import LOG, VERSION, ProgressMonitor, require, run, trt
from fsmde_core.engines.tensorrt.files import write_whole
from fsmde_core.engines.tensorrt.progress import Progress
from fsmde_core.errors import FsmdeError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildLimits:
    """cameras: the engine takes 1 to so many, and is tuned for all of them. height, width: of the images, pixels.
    workspace: MiB that a layer may use beside its tensors, None for all of the GPU's memory.
    """

    cameras: int
    height: int
    width: int
    workspace: int | None = None


def build_plan(graph: bytes, limits: BuildLimits, timing: Path, progress: Progress) -> bytes:
    """Build the engine of an ONNX graph of the model contract; takes from seconds to minutes.

    timing: a file of measured kernel times, read and written: a second build on the same GPU is several times faster.
    Raises FsmdeError that names the call that failed, or what `progress` raised.
    """
    builder = require(trt.Builder, LOG)
    # TensorRT 11 has strongly typed networks only and ignores the flag.
    network = require(builder.create_network, 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(network, graph)
    config = require(builder.create_builder_config)
    run(config.clear_flag, trt.BuilderFlag.TF32)  # float32 keeps its 24 bits, of which TF32 drops 13
    if limits.workspace is not None:
        run(config.set_memory_pool_limit, trt.MemoryPoolType.WORKSPACE, limits.workspace << 20)
    _add_profile(builder, config, limits)
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


def _add_profile(builder: Any, config: Any, limits: BuildLimits) -> None:
    """One profile of 1 to all cameras, tuned for all: the usual case, and the one that takes longest."""
    profile = require(builder.create_optimization_profile)
    for name, rest in (("images", (limits.height, limits.width, 3)), ("focal", ())):
        run(profile.set_shape, name, (1, *rest), (limits.cameras, *rest), (limits.cameras, *rest))
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
        write_whole(path, bytes(require(cache.serialize)))
