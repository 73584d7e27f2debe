"""How much faster one call is than another: alternating in one process, so that both meet the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np

from fsmde_core.engines.base import Engine
from fsmde_core.errors import FsmdeError

COMPARABLE = ("openvino", "onnxruntime")
ROUNDS = 8


def time_in_turns(
    first: Callable[[], object], second: Callable[[], object], rounds: int = ROUNDS
) -> tuple[float, float]:
    """Median milliseconds of both calls. Each turn begins with an untimed call, as a running node's cache is warm."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, taken in zip((first, second), times, strict=True):
            call()
            start = time.perf_counter()
            call()
            taken.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times[0])), float(np.median(times[1]))


def median_ms(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median milliseconds of a call by itself, after an untimed one."""
    return time_in_turns(call, lambda: None, rounds)[0]


def time_against_copy(call: Callable[[], object], nbytes: int, rounds: int = ROUNDS) -> tuple[float, float]:
    """Median milliseconds of `call` and of one thread's copy of `nbytes` bytes in memory, taking turns."""
    source, target = np.ones(nbytes, np.uint8), np.ones(nbytes, np.uint8)
    return time_in_turns(call, lambda: np.copyto(target, source), rounds)


def compare_with_teacher(
    engine: Engine, teacher: Path, pixels: tuple[int, int], cameras: int, threads: int
) -> tuple[float, float]:
    """(student_ms, teacher_ms) of `cameras` images in the engine's runtime, precision and threads.

    teacher: an ONNX file of input `pixel_values` (cameras, 3, height, width) float32, pixels = (height, width).
    """
    if engine.name not in COMPARABLE:
        raise FsmdeError(f"engine '{engine.name}' cannot run the teacher for a comparison, choose one of {COMPARABLE}")
    generator = np.random.default_rng(0)
    info = engine.info
    images = generator.integers(0, 256, (cameras, info.height, info.width, 3), dtype=np.uint8)
    focal = np.full(cameras, info.focal_canonical, np.float32)
    feeds = {"pixel_values": generator.standard_normal((cameras, 3, *pixels), dtype=np.float32)}
    module = import_module(f"fsmde_core.engines.{engine.name}")
    run_teacher = module.runner(teacher, feeds, threads, engine.precision)
    return time_in_turns(lambda: engine.infer(images, focal), run_teacher)
