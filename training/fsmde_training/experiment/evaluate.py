"""Students and the teacher measured alike: as ONNX files, through the package's own evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch import nn

from fsmde_core.engines.base import Engine
from fsmde_core.engines.onnxruntime import OnnxRuntimeEngine, runner
from fsmde_core.engines.registry import load_engine
from fsmde_core.engines.timing import time_in_turns
from fsmde_core.evaluation.measures.consistency import cross_view_consistency
from fsmde_core.evaluation.predictors.predictors import ModelPredictor, Predictor
from fsmde_core.evaluation.run import evaluate
from fsmde_core.pipeline.pipeline import Pipeline
from fsmde_training.experiment.results import Latency, RunResult
from fsmde_training.experiment.sets import HeldOutSet

ENGINE = OnnxRuntimeEngine.name
"""In 32 bit on the CPU: the reference that all engines are compared with."""
CAMERAS = 6


@contextmanager
def model_predictor(model: Path) -> Iterator[ModelPredictor]:
    """The ONNX file `model` as the node runs it."""
    pipeline = Pipeline(load_engine(ENGINE, model, cameras=CAMERAS))
    try:
        yield ModelPredictor(pipeline)
    finally:
        pipeline.close()


def measure(arm: str, seed: int, seconds: float, predictor: Predictor, held_out: Mapping[str, HeldOutSet]) -> RunResult:
    """Scores on every set, cross-view consistency on the first. seconds: of the student's training."""
    found = {name: evaluate(s.source, [predictor], s.protocol, s.span) for name, s in held_out.items()}
    first = next(iter(held_out.values()))
    consistency = cross_view_consistency(first.source, predictor, first.span)
    return RunResult.of(arm, seed, seconds, found, consistency)


def compare_speed(student: Path, teacher: Path, parameters: tuple[int, int]) -> Latency:
    """Six random images through the ONNX files of student and teacher, alternating. parameters: of both."""
    engine: Engine = load_engine(ENGINE, student, cameras=CAMERAS)
    info, rng = engine.info, np.random.default_rng(0)
    images = rng.integers(0, 256, (CAMERAS, info.height, info.width, 3), dtype=np.uint8)
    focal = np.full(CAMERAS, info.focal_canonical, np.float32)
    run_teacher = runner(teacher, {"images": images, "focal": focal}, threads=0, precision=engine.precision)
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
    """Learnt numbers of the modules together."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())
