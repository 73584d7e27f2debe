"""Collects the benchmark's figures in one document."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from fsmde_core.engines import load_engine
from fsmde_core.engines.base import Engine
from fsmde_core.engines.model import ModelInfo, read_model_info
from fsmde_core.engines.self_check import deviation, reference
from fsmde_core.errors import FsmdeError
from fsmde_core.pipeline.gpu_pipeline import GpuPipeline, open_pipeline
from fsmde_ros.cli.benchmarks.gpu.floors import copies_ms, device_floors
from fsmde_ros.cli.benchmarks.gpu.frames import measure_frames
from fsmde_ros.cli.benchmarks.gpu.networks import TEACHER_SIZES, gflop, teacher_ms
from fsmde_ros.cli.benchmarks.gpu.scene import HEIGHT, NAMES, WIDTH, endless_sets, surround_rig

Log = Callable[[str], None]
CAMERAS = len(NAMES)


def measure(
    models: Sequence[Path], frames: int, teachers: bool, device: torch.device, log: Log
) -> Iterator[dict[str, Any]]:
    """Measure the floors, every engine on every model, and the teachers at the models' sizes.

    Args:
        models: ONNX files of students.
        frames: Frames per engine and model.
        teachers: Whether to measure the teachers.
        device: The GPU.
        log: Receives what is being done.

    Yields:
        The document so far, after each model and each size of teacher.
    """
    log("floors of the device")
    floors = device_floors(device)
    networks: list[dict[str, Any]] = []
    document: dict[str, Any] = {
        "machine": _machine(device),
        "input": f"{CAMERAS} x {WIDTH}x{HEIGHT} rgb8, distorted, in ordinary host memory; a cloud of all pixels",
        "floors": floors,
        "networks": networks,
        "teachers": [],
    }
    for path in models:
        networks.append(_network(read_model_info(path), frames, floors, device, log))
        yield document
    if teachers:
        for rows in _teachers(networks, device, log):
            document["teachers"] += rows
            yield document


def _machine(device: torch.device) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(device)
    return {
        "gpu": properties.name,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
    }


def _network(info: ModelInfo, frames: int, floors: dict[str, float], device: torch.device, log: Log) -> dict[str, Any]:
    operations = CAMERAS * gflop(info)
    row: dict[str, Any] = {
        "model": info.path.name,
        "input": f"{info.width}x{info.height}",
        "gflop": round(operations, 2),
        "arithmetic_floor_ms": round(operations / floors["matmul_f16_tflop_s"], 4),
        "engines": [],
    }
    expected = reference(info, CAMERAS)
    for name in ("torch", "tensorrt"):
        try:
            engine = load_engine(name, info.path, cameras=CAMERAS)
            found = deviation(engine, expected)
            log(f"{info.width}x{info.height}, {engine.name} {engine.precision}: {found}")
            figures = {"engine": engine.name, "precision": engine.precision, "deviation": str(found)}
            row["engines"].append({**figures, **_measure_engine(engine, frames, device)})
        except FsmdeError as error:
            row["engines"].append({"engine": name, "skipped": str(error)})
    return row


def _measure_engine(engine: Engine, frames: int, device: torch.device) -> dict[str, Any]:
    """Measure frames end to end with `engine`, which is closed after it, and the frame's copies alone."""
    start = time.perf_counter()
    with closing(open_pipeline(engine, CAMERAS)) as pipeline:
        if not isinstance(pipeline, GpuPipeline):
            raise FsmdeError(f"engine {engine.name} runs, but sampling and packing do not run on this GPU")
        pipeline.warm_up(CAMERAS)
        warm_up_s = time.perf_counter() - start
        figures = measure_frames(pipeline, surround_rig(), endless_sets(), frames)
    pixels = CAMERAS * engine.info.width * engine.info.height
    depth_sigma_rgb, cloud = pixels * (4 + 4 + 3), 20 * figures["points"]
    copies = copies_ms(device, [3 * WIDTH * HEIGHT] * CAMERAS, depth_sigma_rgb, cloud)
    engine_ms = figures["stages_ms"]["gpu_infer"]["p50"]
    return {
        "warm_up_s": round(warm_up_s, 1),
        "bytes": {"up": 3 * WIDTH * HEIGHT * CAMERAS, "down": depth_sigma_rgb, "cloud": cloud},
        **figures,
        "copies_alone_ms": copies,
        "engine_and_copies_share": round((engine_ms + copies) / figures["end_to_end_ms"]["p50"], 3),
    }


def _teachers(networks: Sequence[dict[str, Any]], device: torch.device, log: Log) -> Iterator[list[dict[str, Any]]]:
    """Compare Depth Anything V2 at no more pixels than each network with the best engine, size after size."""
    try:
        from fsmde_training.teachers.depth_anything import input_size
    except ImportError as error:
        raise FsmdeError(
            f"the teachers need transformers ({error}); pip install 'fsmde_ros[train]', or say --no-teachers"
        ) from error
    sizes = {}
    for network in networks:
        width, height = (int(side) for side in network["input"].split("x"))
        sizes[network["input"]] = input_size(height, width)
    measured = [one for one in networks if any("skipped" not in engine for engine in one["engines"])]
    if not measured:
        raise FsmdeError("no engine served a student, so that there is nothing to hold the teachers against")
    for size in TEACHER_SIZES:
        log(f"Depth Anything V2 {size}")
        times = teacher_ms(size, CAMERAS, list(sizes.values()), device)
        yield [_compare(size, network, sizes[network["input"]], times) for network in measured]


def _compare(
    size: str, network: dict[str, Any], pixels: tuple[int, int], times: Mapping[tuple[int, int], float]
) -> dict[str, Any]:
    """Compare the best engine with the teacher of that size, whose images are of `pixels` = (height, width)."""
    student = min(one["stages_ms"]["gpu_infer"]["p50"] for one in network["engines"] if "skipped" not in one)
    teacher = times[pixels]
    return {
        "teacher": f"Depth Anything V2 {size.capitalize()}",
        "teacher_input": f"{pixels[1]}x{pixels[0]}",
        "student_input": network["input"],
        "teacher_ms": teacher,
        "student_ms": student,
        "ratio": round(teacher / student, 1),
    }
