"""Measures how much faster one call is than another: alternating in one process, so both meet the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from fsmde_core.engines.base import Engine
from fsmde_core.errors import FsmdeError

COMPARABLE = ("openvino", "onnxruntime")
"""Engines whose module has `make_runner(path, feeds, threads, precision)`: it returns a call that runs any ONNX file on
fixed inputs, input name -> array, exactly as the engine runs its own.
"""
ROUNDS = 8


def time_in_turns(
    first: Callable[[], object], second: Callable[[], object], rounds: int = ROUNDS
) -> tuple[float, float]:
    """Time two calls by turns, each after an untimed one, as a running node's cache is warm.

    Args:
        first, second: The calls.
        rounds: How often to time each.

    Returns:
        Median milliseconds of each.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, durations in zip((first, second), times, strict=True):
            call()
            start = time.perf_counter()
            call()
            durations.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times[0])), float(np.median(times[1]))


def time_against_copy(call: Callable[[], object], nbytes: int, rounds: int = ROUNDS) -> tuple[float, float]:
    """Time a call and one thread's copy of bytes in memory, by turns.

    Args:
        call: The call.
        nbytes: Bytes that the copy reads; it writes as many.
        rounds: How often to time each.

    Returns:
        Median milliseconds of the call and of the copy.
    """
    source, target = np.ones(nbytes, np.uint8), np.ones(nbytes, np.uint8)
    return time_in_turns(call, lambda: np.copyto(target, source), rounds)


def compare_with_teacher(
    engine: Engine, teacher: Path, pixels: tuple[int, int], cameras: int, threads: int
) -> tuple[float, float]:
    """Time an engine and a teacher in its runtime and precision, by turns.

    Args:
        engine: One of `COMPARABLE`.
        teacher: ONNX file of input `pixel_values`, (cameras, 3, height, width) float32.
        pixels: (height, width) of the teacher's images.
        cameras: Images in a batch.
        threads: CPU threads of the teacher.

    Returns:
        Median milliseconds of the student and of the teacher.

    Raises:
        FsmdeError: The engine cannot run the teacher.
    """
    if engine.name not in COMPARABLE:
        raise FsmdeError(f"engine '{engine.name}' cannot run the teacher for a comparison, choose one of {COMPARABLE}")
    generator = np.random.default_rng(0)
    info = engine.info
    images = generator.integers(0, 256, (cameras, info.height, info.width, 3), dtype=np.uint8)
    focal = np.full(cameras, info.focal_canonical, np.float32)
    feeds = {"pixel_values": generator.standard_normal((cameras, 3, *pixels), dtype=np.float32)}
    module = import_module(f"fsmde_core.engines.{engine.name}")
    run_teacher = module.make_runner(teacher, feeds, threads, engine.precision)
    return time_in_turns(lambda: engine.infer(images, focal), run_teacher)


def percentiles(values: Sequence[float], percents: Sequence[int] = (50, 95, 99)) -> dict[str, float]:
    """Compute percentiles, interpolated between neighbouring values.

    Args:
        values: Milliseconds or any other figures, in any order.
        percents: Which percentiles, 0 to 100.

    Returns:
        `p50` and so on -> the percentile; NaN where there are no values.
    """
    found = np.percentile(values, percents) if len(values) else np.full(len(percents), np.nan)
    return {f"p{percent}": float(value) for percent, value in zip(percents, found, strict=True)}
