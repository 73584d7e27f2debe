"""Gives teachers one interface: features at four strides and relative inverse depth of single images."""

from pathlib import Path

from fsmde_training.networks.checkpoint import load_network
from fsmde_training.teachers.base import Teacher, TeacherOutput
from fsmde_training.teachers.cache import CachedOutputs, cached_outputs, fingerprint
from fsmde_training.teachers.project import ProjectTeacher

__all__ = [
    "CachedOutputs",
    "ProjectTeacher",
    "Teacher",
    "TeacherOutput",
    "cached_outputs",
    "fingerprint",
    "load_teacher",
]


def load_teacher(spec: str | Path) -> Teacher:
    """Load a checkpoint (.ckpt) of `fsmde_training.supervised.fit_teacher`, else a folder or hub name, and freeze it.

    Nothing is downloaded. Raises FsmdeError where it is not there or not of a kind that can teach.
    """
    if Path(spec).suffix == ".ckpt":
        return load_network(ProjectTeacher, Path(spec), "teacher", "fsmde_training.supervised.fit_teacher").freeze()
    from fsmde_training.teachers.foundation import FoundationTeacher  # transformers takes seconds to import

    return FoundationTeacher.from_pretrained(spec).freeze()
