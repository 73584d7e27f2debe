"""Weights to begin with: ImageNet's, and networks out of checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from torch import nn

from fsmde_core.errors import FsmdeError
from fsmde_core.sources.selection import find_recording
from fsmde_training.networks.student import Student

DEFAULT_SIZE = (256, 448)
"""(height, width) of the shipped student, and of checkpoints that do not say theirs."""

N = TypeVar("N", bound=nn.Module)


def load_student(checkpoint: str | Path) -> Student:
    """The student of a Lightning checkpoint (averaged weights where training averaged them), in evaluation mode."""
    return load_network(Student, Path(checkpoint), "student", "fsmde_training.supervised.fit").eval()


def trained_size(checkpoint: str | Path) -> tuple[int, int]:
    """(height, width) of the network's input that a checkpoint of a student was trained for."""
    settings = read_checkpoint(Path(checkpoint), "fsmde_training.supervised.fit").get("hyper_parameters", {})
    height, width = settings.get("size", DEFAULT_SIZE)
    return height, width


def load_network(build: Callable[..., N], path: Path, name: str, writer: str) -> N:
    """The network `name` of a checkpoint, rebuilt by `build` from the architecture that is stored beside the weights.

    writer: the module that writes such files. FsmdeError where there is none of it, or of another version.
    """
    content, prefix = read_checkpoint(path, writer), f"{name}."
    stored, settings = content.get("state_dict", {}), content.get("hyper_parameters", {})
    weights = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
    if not weights or "architecture" not in settings:
        raise FsmdeError(f"checkpoint {path} holds no {name}; give one that {writer} of this version wrote")
    try:
        network = build(**settings["architecture"])
        network.load_state_dict(weights)
    except (RuntimeError, TypeError) as error:
        raise FsmdeError(f"checkpoint {path} holds another {name} than this version's; train it anew") from error
    return network


def read_checkpoint(path: Path, writer: str) -> dict[str, Any]:
    """What is in a checkpoint; FsmdeError where it is missing, damaged or something else. writer: as above."""
    if not path.is_file():
        raise FsmdeError(f"checkpoint {path} does not exist; make it with 'python -m {writer}'")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, LookupError, RuntimeError, UnpicklingError, ValueError) as error:
        raise FsmdeError(f"{path} is damaged or no checkpoint; give one that {writer} wrote") from error
    if not isinstance(content, dict):
        raise FsmdeError(f"{path} is no checkpoint; give one that {writer} wrote")
    return content


def find_weights(path: str | Path) -> Path:
    """`path` where such a file exists, else the file of that name in the folder `weights` beside the recordings."""
    path = Path(path)
    folder = find_recording("weights")
    return folder / path.name if not path.is_file() and folder is not None else path
