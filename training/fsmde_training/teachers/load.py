"""From what a user names to a frozen teacher."""

from __future__ import annotations

from pathlib import Path

import torch

from fsmde_core.errors import FsmdeError
from fsmde_training.teachers.base import Teacher
from fsmde_training.teachers.project import ProjectTeacher


def load_teacher(spec: str | Path) -> Teacher:
    """spec: a checkpoint (.ckpt) of `fsmde_training.teach`, else a folder or hub name for transformers -> frozen.

    Nothing is downloaded. Raises FsmdeError where it is not there or not of a kind that can teach.
    """
    if Path(spec).suffix == ".ckpt":
        return _project_teacher(Path(spec)).freeze()
    from fsmde_training.teachers.foundation import FoundationTeacher  # transformers takes seconds to import

    return FoundationTeacher.from_pretrained(spec).freeze()


def _project_teacher(path: Path) -> ProjectTeacher:
    if not path.is_file():
        raise FsmdeError(f"checkpoint {path} does not exist; give a .ckpt file that fsmde_training.teach wrote")
    content = torch.load(path, map_location="cpu", weights_only=True)
    prefix = "teacher."
    weights = {k.removeprefix(prefix): v for k, v in content["state_dict"].items() if k.startswith(prefix)}
    if not weights:
        raise FsmdeError(f"checkpoint {path} holds no teacher; give a .ckpt file that fsmde_training.teach wrote")
    teacher = ProjectTeacher(**content["hyper_parameters"]["architecture"])
    teacher.load_state_dict(weights)
    return teacher
