"""`make bench-check`: has a change made anything slower? Ratios against committed ones, never times.

python -m fsmde_ros.cli.benchmarks.regression FILE compares with the ratios in FILE and fails beyond MARGIN; with
--write it puts today's there. Both sides of a ratio take turns in one process on one core, so that a slow or busy
machine, or one with more cores, slows both.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fsmde_core.engines import load_engine
from fsmde_core.engines.model import default_model_path
from fsmde_core.engines.timing import time_against_copy
from fsmde_core.errors import FsmdeError, one_sentence
from fsmde_core.evaluation.results.document import write_document
from fsmde_ros.cli.benchmarks.node import bench_teacher
from fsmde_ros.cli.benchmarks.pipeline_stages import CAMERAS, StageBenchmark
from fsmde_ros.client.live_run import LiveRunSettings

MARGIN = 1.4
"""A ratio may be so many times the committed one."""
TRIES = 3
"""One beyond the margin is measured so often, and the best counts: bad luck does not repeat itself, a loss does."""

Measures = Mapping[str, Callable[[], float]]


@dataclass(frozen=True)
class RatioCheck:
    """One ratio, the smaller the better: the best of the tries beside the committed one."""

    name: str
    found: float
    committed: float

    @property
    def passed(self) -> bool:
        return self.found <= MARGIN * self.committed

    def __str__(self) -> str:
        limit = f"committed {self.committed:.3g}, limit {MARGIN * self.committed:.3g}"
        return f"{'ok  ' if self.passed else 'SLOW'} {self.name:16} {self.found:.3g} ({limit})"


def compare(measures: Measures, committed: Mapping[str, float]) -> Iterator[RatioCheck]:
    """One by one; FsmdeError when the committed ratios are others than the measured ones."""
    if measures.keys() != committed.keys():
        raise FsmdeError(
            f"the committed ratios are {sorted(committed)}, measured are {sorted(measures)}; "
            "commit new ones with --write"
        )
    for name, measure in measures.items():
        verdict = RatioCheck(name, measure(), committed[name])
        for _ in range(TRIES - 1):
            if not verdict.passed:
                verdict = RatioCheck(name, min(verdict.found, measure()), committed[name])
        yield verdict


def ratios(stages: StageBenchmark) -> Measures:
    """Each stage over a copy of its bytes, and the student over its teacher in the same runtime."""

    def over_copy(name: str) -> float:
        ms, copy_ms = time_against_copy(stages.calls[name], stages.floors[name])
        return ms / copy_ms

    found: dict[str, Callable[[], float]] = {f"{name}/copy": partial(over_copy, name) for name in stages.floors}
    found["student/teacher"] = lambda: 1 / float(bench_teacher(LiveRunSettings(), CAMERAS)["ratio"])
    return found


def main() -> int:
    """0 when no ratio is beyond the margin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--write", action="store_true", help="measure and write the file instead of comparing with it")
    options = parser.parse_args()
    if not options.write and not options.file.is_file():
        raise FsmdeError(f"the committed ratios {options.file} do not exist; measure them with --write")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    engine = load_engine("auto", default_model_path(), cameras=CAMERAS)
    stages = StageBenchmark(engine)
    measures = ratios(stages)
    if options.write:
        found = {name: round(min(measure() for _ in range(TRIES)), 4) for name, measure in measures.items()}
        document: dict[str, Any] = {"device": engine.device, "engine": f"{engine.name} {engine.precision}"}
        write_document(options.file, {**document, "ratios": found})
        return 0
    failed = 0
    for verdict in compare(measures, json.loads(options.file.read_text())["ratios"]):
        print(verdict, flush=True)
        failed += not verdict.passed
    return min(failed, 1)


if __name__ == "__main__":
    with one_sentence("bench-check"):
        sys.exit(main())
