"""Settings of the experiment; the files in training/configs/experiment are complete sets of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_training.experiment.arms import ARMS, SUPERVISED
from fsmde_training.experiment.sets import TITLES

Overrides = dict[str, Any]
FREE = ("folder", "report", "arms", "seeds")
"""What may change between two starts in one folder: nothing that a finished step depends on."""


@dataclass(frozen=True)
class Settings:
    """folder: of everything that is made on the way. report: folder of experiments.md, experiments/ and images/.

    size: (width, height) of the students' images; teacher_size: of the teacher's, and recording_size: of the real
    images it is cropped from. recording: train on PandaSet as well as on streets. streets: synthetic ones to train on.
    evaluation: sets to measure on, the first also for cross-view consistency; evaluation_streets: how many of them.
    weights: of the distillation terms by name; an arm takes those of its own terms. sharing: of the binning module in
    the arms that share it. teacher, bins, student: what differs from teacher.yaml, distill/stage0.yaml and
    distill.yaml in training/configs, in these files' layout.
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
        """All settings in JSON's types."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return document


def claim_folder(settings: Settings) -> None:
    """Make the folder and note the settings; FsmdeError when it holds steps of other settings."""
    kept = {name: value for name, value in settings.as_json().items() if name not in FREE}
    note = settings.folder / "settings.json"
    if note.is_file() and (found := json.loads(note.read_text())) != kept:
        changed = sorted(name for name in kept if kept[name] != found.get(name))
        raise FsmdeError(
            f"{settings.folder} was begun with other settings of {', '.join(changed)}; remove it, or choose another "
            "with --folder"
        )
    settings.folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(kept, indent=1) + "\n")
