"""Loads what training begins with or has made: ImageNet weights, and networks from checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from torch import nn

from fsmde_core.errors import FsmdeError
from fsmde_core.sources.registry import find_recording
from fsmde_training.networks.student import Student

DEFAULT_SIZE = (256, 448)
"""(height, width) of the shipped student, and of checkpoints that do not say theirs."""

REMOVED = {"centres": ("widths", "attractor bins"), "probabilities": ("softmax", "log-binomial bins")}
"""Switches of older versions that their checkpoints name: the kind there still is, and what the other was."""

N = TypeVar("N", bound=nn.Module)


def load_student(checkpoint: str | Path) -> Student:
    """Load the student of a Lightning checkpoint in evaluation mode; its weights are averaged where training did so."""
    return load_network(Student, Path(checkpoint), "student", "fsmde_training.supervised.fit").eval()


def trained_size(checkpoint: str | Path) -> tuple[int, int]:
    """Read the (height, width) of the input that a checkpoint's student was trained for."""
    settings = read_checkpoint(Path(checkpoint), "fsmde_training.supervised.fit").get("hyper_parameters", {})
    height, width = settings.get("size", DEFAULT_SIZE)
    return height, width


def load_network(build: Callable[..., N], path: Path, name: str, writer: str) -> N:
    """Rebuild the network of a checkpoint from the architecture that is stored beside its weights.

    Args:
        build: Makes the network of its architecture.
        path: The checkpoint.
        name: What the weights' keys begin with.
        writer: The module that writes such files, for messages.

    Returns:
        The network with its weights.

    Raises:
        FsmdeError: The checkpoint holds no such network, or one of another version.
    """
    content, prefix = read_checkpoint(path, writer), f"{name}."
    stored, settings = content.get("state_dict", {}), content.get("hyper_parameters", {})
    weights = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
    if not weights or "architecture" not in settings:
        raise FsmdeError(f"checkpoint {path} holds no {name}; give one that {writer} of this version wrote")
    try:
        network = build(**_current_architecture(settings["architecture"], path))
        network.load_state_dict(weights)
    except (RuntimeError, TypeError) as error:
        raise FsmdeError(f"checkpoint {path} holds another {name} than this version's; train it anew") from error
    return network


def _current_architecture(stored: dict[str, Any], path: Path) -> dict[str, Any]:
    """Drop the options that were removed; FsmdeError where one has a value that is no longer supported."""
    for switch, (current, removed) in REMOVED.items():
        if stored.get(switch, current) != current:
            raise FsmdeError(
                f"checkpoint {path} was written with {removed}, which this version no longer has; train it anew"
            )
    return {name: value for name, value in stored.items() if name not in REMOVED}


def read_checkpoint(path: Path, writer: str) -> dict[str, Any]:
    """Read all that is in a checkpoint.

    Args:
        path: The checkpoint.
        writer: The module that writes such files, for messages.

    Returns:
        Weights and settings, as they were stored.

    Raises:
        FsmdeError: The file is missing, damaged or something else.
    """
    if not path.is_file():
        raise FsmdeError(f"checkpoint {path} does not exist; make it with 'python -m {writer}'")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, LookupError, RuntimeError, UnpicklingError, ValueError) as error:
        raise FsmdeError(f"{path} is damaged or not a checkpoint; give one that {writer} wrote") from error
    if not isinstance(content, dict):
        raise FsmdeError(f"{path} is not a checkpoint; give one that {writer} wrote")
    return content


def find_weights(path: str | Path) -> Path:
    """Find weights: `path` where it exists, else the file of that name in the folder `weights` beside recordings."""
    path = Path(path)
    folder = find_recording("weights")
    return folder / path.name if not path.is_file() and folder is not None else path
