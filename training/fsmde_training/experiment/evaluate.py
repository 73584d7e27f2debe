"""Measures students and the teacher alike: as ONNX files, by the package's own evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch import nn

from fsmde_core.engines.base import Engine
from fsmde_core.engines.onnxruntime import OnnxRuntimeEngine, make_runner
from fsmde_core.engines.registry import load_engine
from fsmde_core.engines.timing import time_in_turns
from fsmde_core.evaluation.evaluate import score_predictors
from fsmde_core.evaluation.measures.consistency import cross_view_consistency
from fsmde_core.evaluation.predictors.predictors import ModelPredictor, Predictor
from fsmde_core.pipeline.pipeline import CpuPipeline
from fsmde_training.experiment.results import Latency, RunResult
from fsmde_training.experiment.sets import HeldOutSet

ENGINE = OnnxRuntimeEngine.name
"""In 32 bit on the CPU: the reference that all engines are compared with."""
CAMERAS = 6


@contextmanager
def model_predictor(model: Path) -> Iterator[ModelPredictor]:
    """Run the ONNX file `model` as the node does."""
    pipeline = CpuPipeline(load_engine(ENGINE, model, cameras=CAMERAS))
    try:
        yield ModelPredictor(pipeline)
    finally:
        pipeline.close()


def measure(arm: str, seed: int, seconds: float, predictor: Predictor, held_out: Mapping[str, HeldOutSet]) -> RunResult:
    """Score a predictor on every set, and its cross-view consistency on the first.

    Args:
        arm, seed: Name the run.
        seconds: What the student's training took.
        predictor: What is measured.
        held_out: The sets by name.

    Returns:
        All scores.
    """
    found = {name: score_predictors(s.source, [predictor], s.protocol, s.span) for name, s in held_out.items()}
    first = next(iter(held_out.values()))
    consistency = cross_view_consistency(first.source, predictor, first.span)
    return RunResult.of(arm, seed, seconds, found, consistency)


def compare_speed(student: Path, teacher: Path, parameters: tuple[int, int]) -> Latency:
    """Time student and teacher on six random images, alternating.

    Args:
        student, teacher: ONNX files.
        parameters: The numbers of parameters of both.

    Returns:
        Milliseconds of both.
    """
    engine: Engine = load_engine(ENGINE, student, cameras=CAMERAS)
    info, rng = engine.info, np.random.default_rng(0)
    images = rng.integers(0, 256, (CAMERAS, info.height, info.width, 3), dtype=np.uint8)
    focal = np.full(CAMERAS, info.focal_canonical, np.float32)
    run_teacher = make_runner(teacher, {"images": images, "focal": focal}, threads=0, precision=engine.precision)
    student_ms, teacher_ms = time_in_turns(lambda: engine.infer(images, focal), run_teacher)
    engine.close()
    return Latency(
        student_ms=student_ms,
        teacher_ms=teacher_ms,
        student_parameters=parameters[0] / 1e6,
        teacher_parameters=parameters[1] / 1e6,
        runtime=f"{ENGINE} {engine.precision}",
        size=(info.width, info.height),
    )


def parameter_count(*modules: nn.Module) -> int:
    """Count the learnt numbers of all modules together."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())
