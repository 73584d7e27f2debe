"""From what a user names to a frozen teacher."""

from __future__ import annotations

from pathlib import Path

from fsmde_training.networks.checkpoint import load_network
from fsmde_training.teachers.base import Teacher
from fsmde_training.teachers.project import ProjectTeacher


def load_teacher(spec: str | Path) -> Teacher:
    """spec: a checkpoint (.ckpt) of `fsmde_training.supervised.fit_teacher`, else a folder or hub name -> frozen.

    Nothing is downloaded. Raises FsmdeError where it is not there or not of a kind that can teach.
    """
    if Path(spec).suffix == ".ckpt":
        return load_network(ProjectTeacher, Path(spec), "teacher", "fsmde_training.supervised.fit_teacher").freeze()
    from fsmde_training.teachers.foundation import FoundationTeacher  # transformers takes seconds to import

    return FoundationTeacher.from_pretrained(spec).freeze()
