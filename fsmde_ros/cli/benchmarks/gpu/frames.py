"""Measures a frame end to end: raw images in host memory to depth, sigma and the packed cloud in host memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from fsmde_core.clouds.packer import CloudSettings
from fsmde_core.engines.timing import percentiles
from fsmde_core.images.encodings import RawImage
from fsmde_core.pipeline.pipeline import DepthPipeline
from fsmde_core.rig.rig import Rig

EVERY_PIXEL = CloudSettings(min_range=0.0, max_range=1e6, max_relative_sigma=1e6)
"""The most that a cloud can cost."""
WARM_UP = 30
"""Frames that are not counted: memory is allocated and work recorded in the first ones."""


def summary(milliseconds: list[float]) -> dict[str, float]:
    """Compute `p50`, `p95`, `p99` and `max`, to microseconds."""
    figures = {**percentiles(milliseconds), "max": max(milliseconds)}
    return {name: round(float(value), 3) for name, value in figures.items()}


def measure_frames(
    pipeline: DepthPipeline[Any], rig: Rig, sets: Iterator[Mapping[str, RawImage]], frames: int
) -> dict[str, Any]:
    """Measure frames one after the other, end to end and by stage.

    Args:
        pipeline: Warmed up.
        rig: The cameras.
        sets: Images by the name of the camera, without end.
        frames: How many are measured.

    Returns:
        Percentiles in milliseconds: stages `gpu_*` are the GPU's own times, `preprocess`, `infer` and `pack` those of
        the caller, which add up to the whole. `host_cpu_ms`: processor time of all threads per frame, waiting included.
    """
    end_to_end: list[float] = []
    stages: dict[str, list[float]] = {}
    cpu_ms = points = 0.0
    for index in range(WARM_UP + frames):
        images = next(sets)
        cpu_start, start = time.process_time(), time.perf_counter()
        result = pipeline.run(images, rig)
        inferred = time.perf_counter()
        cloud = pipeline.pack(result, EVERY_PIXEL)
        end = time.perf_counter()
        if index >= WARM_UP:
            end_to_end.append(1e3 * (end - start))
            cpu_ms += 1e3 * (time.process_time() - cpu_start)
            points += cloud.count
            for stage, milliseconds in {**result.stage_ms, "pack": 1e3 * (end - inferred)}.items():
                stages.setdefault(stage, []).append(milliseconds)
    return {
        "frames": frames,
        "points": round(points / frames),
        "end_to_end_ms": summary(end_to_end),
        "stages_ms": {stage: summary(values) for stage, values in stages.items()},
        "host_cpu_ms": round(cpu_ms / frames, 2),
    }
