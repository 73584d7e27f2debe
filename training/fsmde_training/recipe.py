"""The shipped student, from recording to checkpoints, in a given time: python -m fsmde_training.recipe --minutes 5

Streets are rendered while the first stage runs, and the teacher is trained beside the second; then the student is
finished twice, distilled and without a teacher, to be compared. One GPU and many CPU cores are best used so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import auto_cli

from fsmde_core.errors import FsmdeError
from fsmde_core.sources import open_source
from fsmde_training import cache
from fsmde_training.densify import densify_set
from fsmde_training.drives import TRAIN_ALL
from fsmde_training.prepare import FIRST_VALIDATION_FRAME, pandaset_sets, recording_set, street_sets

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
SETS = Path("runs/cache")
SIZE, NETWORK_SIZE = (672, 384), (448, 256)
"""Width and height of the recording's images for crops, and of all others."""
ENDS = {"real": 0.27, "mixed": 0.58, "teacher": 0.54, "stage0": 0.64, "supervised": 0.97, "distilled": 0.97}
"""When each stage ends, as a share of the whole time. Our choice."""
LEAST = 0.05
"""What a stage gets at least, as a share of the whole time."""
MODULES = {"teacher": "teach", "stage0": "stage0", "distilled": "distill.fit"}
"""Command lines of the stages; the others' is `fit`."""
BASES = {"teacher": "teacher.yaml", "stage0": "distill/stage0.yaml", "distilled": "distill.yaml"}
"""What the files in configs/recipe stand on; the others' is student.yaml."""


@dataclass(frozen=True)
class Clock:
    """begin: time.monotonic() then. seconds: the whole time. start: seconds from a process to its first step."""

    begin: float
    seconds: float
    start: float

    def left_for(self, stage: str) -> int:
        """Seconds of training for a stage that is started now; some even when it is late."""
        left = self.begin + ENDS[stage] * self.seconds - time.monotonic() - self.start
        return round(max(left, LEAST * self.seconds))


def make_recording_sets() -> None:
    """Real images for crops, validation, rings, and with denser labels; sets that are there already stay."""
    if not all(cache.is_complete(SETS / name) for name in ("pandaset_train", "pandaset_val")):
        pandaset_sets(SETS, SIZE, NETWORK_SIZE)
    if not cache.is_complete(SETS / "rings_train"):
        source = open_source("pandaset")
        recording_set(SETS / "rings_train", source, (0, FIRST_VALIDATION_FRAME), TRAIN_ALL, NETWORK_SIZE)
    if not cache.is_complete(SETS / "pandaset_dense"):
        densify_set(SETS / "pandaset_train", SETS / "pandaset_dense", processes=len(os.sched_getaffinity(0)))


class Stage:
    """One training as a process of its own; what it prints goes to runs/NAME.log."""

    def __init__(self, name: str, clock: Clock, settings: Sequence[str]) -> None:
        minutes, seconds = divmod(clock.left_for(name), 60)
        base, module = BASES.get(name, "student.yaml"), MODULES.get(name, "fit")
        configs = [f"--config={CONFIGS / base}", f"--config={CONFIGS / 'recipe' / f'{name}.yaml'}"]
        ended = [f"--trainer.max_time=00:{minutes // 60:02}:{minutes % 60:02}:{seconds:02}", "--trainer.max_epochs=-1"]
        # One device: each process of several would follow a clock of its own.
        quiet = ["--trainer.enable_progress_bar=false", "--trainer.benchmark=true", "--trainer.devices=1"]
        self.name = name
        self._process = _started(f"fsmde_training.{module}", ["fit", *configs, *ended, *quiet, *settings], name)

    def wait(self) -> None:
        """Until it has ended; FsmdeError when it failed."""
        _finished(self._process, self.name)


def run(
    minutes: float = 90.0,
    streets: int = 200,
    workers: int = 1,
    start: float = 12.0,
    imitations: int = 25600,
    settings: list[str] | None = None,
) -> None:
    """Train everything into runs/; the recording `pandaset_002` is looked for as everywhere.

    minutes: for all of it. streets: synthetic ones to render. workers: that load data, per training; two run at a time.
    start: seconds from the start of a training to its first step on this machine. imitations: images of
    `fsmde_training.slim`. settings: more of every training's, such as --trainer.devices=1.
    """
    clock = Clock(time.monotonic(), 60 * minutes, start)
    common = [f"--data.workers={workers}", *(settings or [])]
    make_recording_sets()
    rendering = ThreadPoolExecutor(1).submit(street_sets, SETS, streets, NETWORK_SIZE)
    slim = ["{pandaset_train: 1.0}", f"--samples={imitations}", f"--workers={workers}"]
    _finished(_started("fsmde_training.slim", slim, "slim"), "slim")
    Stage("real", clock, [*common, "--data.validation=[pandaset_val]"]).wait()
    rendering.result()
    mixed, teacher = Stage("mixed", clock, common), Stage("teacher", clock, common)

    def distil() -> None:
        teacher.wait()
        Stage("stage0", clock, common).wait()
        mixed.wait()
        Stage("distilled", clock, common).wait()

    distilling = ThreadPoolExecutor(1).submit(distil)
    mixed.wait()
    Stage("supervised", clock, common).wait()
    distilling.result()


def _started(module: str, arguments: Sequence[str], name: str) -> subprocess.Popen[bytes]:
    log = Path("runs") / f"{name}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=file, stderr=subprocess.STDOUT)


def _finished(process: subprocess.Popen[bytes], name: str) -> None:
    if process.wait():
        raise FsmdeError(f"'{name}' ended with exit code {process.returncode}; runs/{name}.log tells why")
    print(f"{name}: done", flush=True)


if __name__ == "__main__":
    auto_cli(run)
