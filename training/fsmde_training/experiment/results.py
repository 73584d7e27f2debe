"""What a run of the experiment found, and the same over all seeds of an arm."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fsmde_core.evaluation.measures.consistency import Consistency
from fsmde_core.evaluation.measures.metrics import Metrics
from fsmde_core.evaluation.results.summary import Scores
from fsmde_core.evaluation.run import Evaluation
from fsmde_training.experiment.arms import SUPERVISED


@dataclass(frozen=True)
class RunResult:
    """One trained student, or a reference (seed 0). sets: scores by evaluation set. seconds: of training."""

    arm: str
    seed: int
    seconds: float
    sets: dict[str, Scores]
    consistency: Consistency

    @classmethod
    def of(
        cls, arm: str, seed: int, seconds: float, found: dict[str, Evaluation], consistency: Consistency
    ) -> RunResult:
        """From evaluations of one predictor each."""
        sets = {name: next(iter(evaluation.scores.values())) for name, evaluation in found.items()}
        return cls(arm, seed, seconds, sets, consistency)


@dataclass(frozen=True)
class Latency:
    """Median milliseconds of one ring, both networks alternating in one runtime; parameters in millions."""

    student_ms: float
    teacher_ms: float
    student_parameters: float
    teacher_parameters: float
    runtime: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Results:
    """All that the report is made of. settings: those of the run, as they were given."""

    settings: dict[str, Any]
    runs: tuple[RunResult, ...]
    latency: Latency


@dataclass(frozen=True)
class SeedSpread:
    """Mean and sample standard deviation over seeds; NaN for one seed."""

    mean: float
    std: float

    @classmethod
    def of(cls, values: Sequence[float]) -> SeedSpread:
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"))


def write_json(content: RunResult | Latency | Results, path: Path) -> None:
    """Write all numbers; the file appears at once or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(content), indent=1, default=str) + "\n")
    part.replace(path)


def read_run(path: Path) -> RunResult:
    """What `write_json` wrote."""
    return _run(json.loads(path.read_text()))


def read_results(path: Path) -> Results:
    """What `write_json` wrote: the report can be made again without the run."""
    document = json.loads(path.read_text())
    latency = Latency(**{**document["latency"], "size": tuple(document["latency"]["size"])})
    return Results(document["settings"], tuple(map(_run, document["runs"])), latency)


def _run(document: dict[str, Any]) -> RunResult:
    sets = {
        name: Scores({camera: Metrics(**m) for camera, m in scores["cameras"].items()}, Metrics(**scores["mean"]))
        for name, scores in document["sets"].items()
    }
    return RunResult(**{**document, "sets": sets, "consistency": Consistency(**document["consistency"])})


def of_arm(runs: Iterable[RunResult], arm: str) -> list[RunResult]:
    """The runs of an arm, by seed."""
    return sorted((run for run in runs if run.arm == arm), key=lambda run: run.seed)


def over_seeds(runs: Iterable[RunResult], arm: str, value: Callable[[RunResult], float]) -> SeedSpread:
    """Spread of a number over the seeds of an arm."""
    return SeedSpread.of([value(run) for run in of_arm(runs, arm)])


def gains(runs: Sequence[RunResult], arm: str, without: Collection[str] = ()) -> dict[int, float]:
    """By seed: by how many percent AbsRel is lower than the supervised student's of the same seed, averaged over sets.

    Every set counts alike, those in `without` not at all: mean over sets of 100 * (1 - AbsRel / AbsRel of supervised).
    A reference (seed 0) is compared with the supervised students one by one. Positive is better.
    """
    found = of_arm(runs, arm)
    pairs = {base.seed: (base, run) for base in of_arm(runs, SUPERVISED) for run in found if run.seed in (0, base.seed)}
    return {
        seed: float(
            np.mean(
                [
                    100 * (1 - run.sets[name].mean.abs_rel / base.sets[name].mean.abs_rel)
                    for name in base.sets
                    if name not in without
                ]
            )
        )
        for seed, (base, run) in pairs.items()
    }
