"""End to end: six raw images in host memory to depth, sigma and the packed coloured cloud in host memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fsmde_core.clouds.packer import CloudSettings
from fsmde_core.images.encodings import RawImage
from fsmde_core.pipeline.pipeline import AnyPipeline
from fsmde_core.rig.rig import Rig

EVERY_PIXEL = CloudSettings(min_range=0.0, max_range=1e6, max_relative_sigma=1e6)
"""The most that a cloud can cost."""
WARM_UP = 30
"""Frames that are not counted: memory is taken and work recorded in the first ones."""


def percentiles(milliseconds: list[float]) -> dict[str, float]:
    """p50, p95, p99 and the largest."""
    shares = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    return {name: round(float(np.percentile(milliseconds, share)), 3) for name, share in shares.items()}


def measure_frames(
    pipeline: AnyPipeline[Any], rig: Rig, sets: Iterator[Mapping[str, RawImage]], frames: int
) -> dict[str, Any]:
    """Percentiles of the whole way and of each stage over `frames`, one after the other; milliseconds.

    The stages `gpu_*` are the GPU's own times, `preprocess`, `infer` and `pack` those of the caller: they add up to the
    whole. host_cpu_ms: processor time of all threads per frame, the waiting for the GPU included.
    """
    whole: list[float] = []
    stages: dict[str, list[float]] = {}
    busy = points = 0.0
    for index in range(WARM_UP + frames):
        images = next(sets)
        busy_before, start = time.process_time(), time.perf_counter()
        result = pipeline.run(images, rig)
        inferred = time.perf_counter()
        cloud = pipeline.pack(result, EVERY_PIXEL)
        end = time.perf_counter()
        if index >= WARM_UP:
            whole.append(1e3 * (end - start))
            busy += 1e3 * (time.process_time() - busy_before)
            points += cloud.count
            for stage, milliseconds in {**result.stage_ms, "pack": 1e3 * (end - inferred)}.items():
                stages.setdefault(stage, []).append(milliseconds)
    return {
        "frames": frames,
        "points": round(points / frames),
        "end_to_end_ms": percentiles(whole),
        "stages_ms": {stage: percentiles(values) for stage, values in stages.items()},
        "host_cpu_ms": round(busy / frames, 2),
    }
