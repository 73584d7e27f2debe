"""Holds the settings of the experiment; the files in training/configs/experiment are complete sets of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_training.experiment.arms import ARMS, SUPERVISED
from fsmde_training.experiment.sets import TITLES

Overrides = dict[str, Any]
CHANGEABLE = ("folder", "report", "arms", "seeds")
"""What may change between two starts in one folder: nothing that a finished step depends on."""


@dataclass(frozen=True)
class Settings:
    """Holds all settings of one experiment.

    folder, report: Folders of all that is made on the way, and of experiments.md, experiments/ and images/.
    size, teacher_size: (width, height) of the students' images and of the teacher's, pixels.
    recording_size: (width, height) of the real images that the teacher's are cropped from.
    recording, streets: Whether to train on PandaSet as well, and the number of synthetic streets to train on.
    evaluation, evaluation_streets: Sets to measure on, the first also for cross-view consistency, and the number of
        synthetic streets among them.
    weights: Of the distillation terms by name; an arm takes those of its own terms.
    sharing: Of the binning module in the arms that share it.
    teacher, bins, student: What differs from teacher.yaml, distill/stage0.yaml and distill.yaml in training/configs, in
        these files' layout.
    """

    folder: Path
    report: Path
    size: tuple[int, int]
    teacher_size: tuple[int, int]
    recording_size: tuple[int, int]
    recording: bool
    streets: int
    evaluation: list[str]
    evaluation_streets: int
    arms: list[str]
    seeds: list[int]
    weights: dict[str, float]
    sharing: str
    teacher: Overrides
    bins: Overrides
    student: Overrides

    def __post_init__(self) -> None:
        if SUPERVISED not in self.arms or (unknown := set(self.arms) - set(ARMS)):
            raise FsmdeError(f"arms are {self.arms}, expected some of {list(ARMS)}, '{SUPERVISED}' among them")
        if not self.evaluation or (unknown := set(self.evaluation) - set(TITLES)):
            raise FsmdeError(f"evaluation is {self.evaluation}, expected at least one of {list(TITLES)}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise FsmdeError(f"seeds are {self.seeds}, expected one or more, all different")
        if unknown := {term for arm in self.arms for term in ARMS[arm].terms} - set(self.weights):
            raise FsmdeError(f"weights lack {sorted(unknown)}, which the arms {self.arms} need; add them to weights")

    def as_json(self) -> dict[str, Any]:
        """Convert all settings to JSON's types."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return document


def claim_folder(settings: Settings) -> None:
    """Make the folder and note the settings; FsmdeError when it holds steps of other settings."""
    kept = {name: value for name, value in settings.as_json().items() if name not in CHANGEABLE}
    note = settings.folder / "settings.json"
    if note.is_file() and (found := json.loads(note.read_text())) != kept:
        changed = sorted(name for name in kept if kept[name] != found.get(name))
        raise FsmdeError(
            f"{settings.folder} was begun with other settings of {', '.join(changed)}; remove it, or choose another "
            "with --folder"
        )
    settings.folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(kept, indent=1) + "\n")
