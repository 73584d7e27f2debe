"""Trains all networks of the experiment by the project's command lines, each with settings of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fsmde_training.distill import fit, stage0
from fsmde_training.experiment.arms import ARMS
from fsmde_training.experiment.settings import Overrides, Settings
from fsmde_training.sets.cache import is_complete
from fsmde_training.sets.densify import densify_set
from fsmde_training.sets.prepare import pandaset_sets, street_sets
from fsmde_training.supervised import fit_teacher

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@dataclass(frozen=True)
class TrainedStudent:
    """Names one student of the experiment and its files in `folder`."""

    arm: str
    seed: int
    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / "last.ckpt"

    @property
    def model(self) -> Path:
        return self.folder / "student.onnx"

    @property
    def result(self) -> Path:
        return self.folder / "result.json"


class Training:
    """Trains all that is needed, in the folder of the settings. What is done already is left as it is."""

    def __init__(self, settings: Settings) -> None:
        self._settings, folder = settings, settings.folder
        self._sets = folder / "sets"
        self._teacher_sets = folder / "teacher_sets"
        self._outputs = folder / "outputs"
        self.teacher = folder / "teacher" / "last.ckpt"
        self.bins = folder / "bins" / "binned_teacher.pt"
        self.teacher_model = folder / "teacher.onnx"

    def student(self, arm: str, seed: int) -> TrainedStudent:
        return TrainedStudent(arm, seed, self._settings.folder / "students" / f"{arm}_{seed}")

    def prepare(self) -> None:
        """Make training sets at the students' size and at the teacher's, the latter with densified lidar."""
        chosen = self._settings
        for root, size, recording in (
            (self._sets, chosen.size, chosen.size),
            (self._teacher_sets, chosen.teacher_size, chosen.recording_size),
        ):
            street_sets(root, chosen.streets, size)
            if chosen.recording:
                pandaset_sets(root, recording, size)
        dense = self._teacher_sets / "pandaset_dense"
        if chosen.recording and not is_complete(dense):
            densify_set(self._teacher_sets / "pandaset_train", dense)

    def train_teacher(self) -> None:
        data = {"root": str(self._teacher_sets)}
        run_once(fit_teacher.main, "teacher.yaml", self.teacher.parent, [self._settings.teacher, {"data": data}])

    def fit_bins(self) -> None:
        """Fit the teacher's bins to the labelled rings, stage 0."""
        own = {"data": self._data()}
        run_once(stage0.main, "distill/stage0.yaml", self.bins.parent, [self._settings.bins, own])

    def train_student(self, student: TrainedStudent) -> float:
        """Train a student; returns the seconds it took, of the last start where it was interrupted."""
        chosen, arm = self._settings, ARMS[student.arm]
        data = self._data()
        model: Overrides = {"distillation": {term: chosen.weights[term] for term in arm.terms}}
        if arm.terms:
            model |= {"binned_teacher": str(self.bins), "sharing": chosen.sharing if arm.shares_binning else "none"}
        else:
            model |= {"binned_teacher": None, "sharing": "none"}
            data |= {"teacher": None, "outputs": None}
        own = {"seed_everything": student.seed, "model": model, "data": data}
        return run_once(fit.main, "distill.yaml", student.folder, [chosen.student, own])

    def _data(self) -> Overrides:
        return {"root": str(self._sets), "teacher": str(self.teacher), "outputs": str(self._outputs)}


def run_once(main: Callable[[list[str]], Any], base: str, folder: Path, overrides: Sequence[Overrides]) -> float:
    """Run a LightningCLI, unless that is done; it goes on at a checkpoint.

    Args:
        main: Takes the command line.
        base: The configuration, a file in training/configs.
        folder: For all that the run writes.
        overrides: What differs from the configuration, the later above the earlier.

    Returns:
        The seconds that the run took, of the last start where it was interrupted.
    """
    finished = folder / "seconds.json"
    if finished.is_file():
        return float(json.loads(finished.read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ["fit", f"--config={CONFIGS / base}"]
    for number, content in enumerate([*overrides, {"trainer": {"default_root_dir": str(folder)}}]):
        path = folder / f"overrides_{number}.yaml"
        path.write_text(yaml.safe_dump(content))
        arguments.append(f"--config={path}")
    if (folder / "last.ckpt").is_file():
        arguments.append("--ckpt_path=last")
    start = time.perf_counter()
    main(arguments)
    seconds = time.perf_counter() - start
    finished.write_text(json.dumps(seconds))
    return seconds
