"""Implements `make bench-check`: has a change made anything slower? It compares ratios with committed ones, not times.

python -m fsmde_ros.cli.benchmarks.regression FILE compares with the ratios in FILE and fails beyond MARGIN times one of
them; with --write it replaces them. Both sides of a ratio take turns in one process on one core, so that a slow
or busy machine, or one with more cores, slows both.
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

from fsmde_core.engines import load_engine
from fsmde_core.engines.model import default_model_path
from fsmde_core.engines.timing import time_against_copy
from fsmde_core.errors import FsmdeError, exit_on_user_error
from fsmde_core.evaluation.results.document import write_document
from fsmde_ros.cli.benchmarks.node import bench_teacher
from fsmde_ros.cli.benchmarks.pipeline_stages import CAMERAS, StageBenchmark
from fsmde_ros.client.live_run import LiveRunSettings

MARGIN = 1.4
"""Largest ratio, as a multiple of the committed one."""
TRIES = 3
"""Measurements of a ratio beyond the margin; the best counts: bad luck does not repeat itself, a loss does."""

Measures = Mapping[str, Callable[[], float]]


@dataclass(frozen=True)
class RatioCheck:
    """Compares one ratio, the best of the tries, with the committed one; the smaller the better."""

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
    if measures.keys() != committed.keys():
        raise FsmdeError(
            f"the committed ratios are {sorted(committed)}, but {sorted(measures)} are measured; "
            "commit new ones with --write"
        )
    for name, measure in measures.items():
        check = RatioCheck(name, measure(), committed[name])
        for _ in range(TRIES - 1):
            if not check.passed:
                check = RatioCheck(name, min(check.found, measure()), committed[name])
        yield check


def ratios(stages: StageBenchmark) -> Measures:
    """Return what measures each stage over a copy of its bytes, and the student over its teacher in one runtime."""

    def over_copy(name: str) -> float:
        ms, copy_ms = time_against_copy(stages.calls[name], stages.min_bytes[name])
        return ms / copy_ms

    found: dict[str, Callable[[], float]] = {f"{name}/copy": partial(over_copy, name) for name in stages.min_bytes}
    found["student/teacher"] = lambda: 1 / float(bench_teacher(LiveRunSettings(), CAMERAS)["ratio"])
    return found


def main() -> int:
    """Compare or write the ratios; return 0 when none is beyond the margin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="JSON file of the committed ratios")
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
        runtime = f"{engine.name} {engine.precision}"
        write_document(options.file, {"device": engine.device, "engine": runtime, "ratios": found})
        return 0
    failed = 0
    for check in compare(measures, json.loads(options.file.read_text())["ratios"]):
        print(check, flush=True)
        failed += not check.passed
    return min(failed, 1)


if __name__ == "__main__":
    with exit_on_user_error("bench-check"):
        sys.exit(main())
