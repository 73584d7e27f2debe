"""Holds what a run of the experiment found, and summarises it over the seeds of an arm."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fsmde_core.evaluation.measures.consistency import Consistency
from fsmde_core.evaluation.measures.metrics import Metrics
from fsmde_core.evaluation.results.summary import Scores, Summary
from fsmde_training.experiment.arms import SUPERVISED


@dataclass(frozen=True)
class RunResult:
    """Holds the scores by evaluation set of one trained student, or of a reference (seed 0); seconds: of training."""

    arm: str
    seed: int
    seconds: float
    sets: dict[str, Scores]
    consistency: Consistency

    @classmethod
    def of(cls, arm: str, seed: int, seconds: float, found: dict[str, Summary], consistency: Consistency) -> RunResult:
        sets = {name: next(iter(evaluation.scores.values())) for name, evaluation in found.items()}
        return cls(arm, seed, seconds, sets, consistency)


@dataclass(frozen=True)
class Latency:
    """Holds median milliseconds of one ring, both networks alternating in one runtime; parameters are in millions."""

    student_ms: float
    teacher_ms: float
    student_parameters: float
    teacher_parameters: float
    runtime: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Results:
    """Holds all that the report is made of; settings: those of the run, as they were given."""

    settings: dict[str, Any]
    runs: tuple[RunResult, ...]
    latency: Latency


@dataclass(frozen=True)
class SeedSpread:
    """Holds mean and sample standard deviation over seeds; the latter is NaN for one seed."""

    mean: float
    std: float

    @classmethod
    def of(cls, values: Sequence[float]) -> SeedSpread:
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"))


def write_json(content: RunResult | Latency | Results, path: Path) -> None:
    """Write all numbers of `content` to `path`; the file appears at once or not at all.

    Args:
        content: What to write.
        path: The file.
    """
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(content), indent=1, default=str) + "\n")
    part.replace(path)


def read_run(path: Path) -> RunResult:
    """Read what `write_json` wrote of a run."""
    document = json.loads(path.read_text())
    sets = {
        name: Scores({camera: Metrics(**m) for camera, m in scores["cameras"].items()}, Metrics(**scores["mean"]))
        for name, scores in document["sets"].items()
    }
    return RunResult(**{**document, "sets": sets, "consistency": Consistency(**document["consistency"])})


def of_arm(runs: Iterable[RunResult], arm: str) -> list[RunResult]:
    return sorted((run for run in runs if run.arm == arm), key=lambda run: run.seed)


def over_seeds(runs: Iterable[RunResult], arm: str, value: Callable[[RunResult], float]) -> SeedSpread:
    return SeedSpread.of([value(run) for run in of_arm(runs, arm)])


def gains(runs: Sequence[RunResult], arm: str, without: Collection[str] = ()) -> dict[int, float]:
    """Compute by how many percent AbsRel is lower than the supervised student's of the same seed, averaged over sets.

    Every set counts alike: mean over sets of 100 * (1 - AbsRel / AbsRel of supervised). A reference (seed 0) is
    compared with the supervised students one by one.

    Args:
        runs: All runs.
        arm: The arm or reference to compare.
        without: Sets that do not count.

    Returns:
        Gains by seed; positive is better.
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
