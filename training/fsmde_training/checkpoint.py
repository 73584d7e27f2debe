"""Weights to begin with: ImageNet's, and students out of Lightning checkpoints."""

from __future__ import annotations

from pathlib import Path

import torch

from fsmde_core.errors import FsmdeError
from fsmde_core.sources.locate import find_recording
from fsmde_training.student import Student


def load_student(checkpoint: str | Path) -> Student:
    """The student of a Lightning checkpoint (averaged weights where training averaged them), in evaluation mode."""
    path = Path(checkpoint)
    if not path.is_file():
        raise FsmdeError(f"checkpoint {path} does not exist; give a .ckpt file that fsmde_training.fit wrote")
    content = torch.load(path, map_location="cpu", weights_only=True)
    prefix = "student."
    weights = {k.removeprefix(prefix): v for k, v in content["state_dict"].items() if k.startswith(prefix)}
    if not weights:
        raise FsmdeError(f"checkpoint {path} holds no student; give a .ckpt file that fsmde_training.fit wrote")
    student = Student(**content["hyper_parameters"]["architecture"])
    try:
        student.load_state_dict(weights)
    except RuntimeError as error:
        raise FsmdeError(f"checkpoint {path} holds another student than this version's; train it anew") from error
    return student.eval()


def find_weights(path: str | Path) -> Path:
    """`path` where such a file exists, else the file of that name in the folder `weights` beside the recordings."""
    path = Path(path)
    folder = find_recording("weights")
    return folder / path.name if not path.is_file() and folder is not None else path
