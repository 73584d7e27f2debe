"""Teachers behind one interface: features at four strides and relative inverse depth of single images."""

from fsmde_training.teachers.base import Teacher, TeacherOutput
from fsmde_training.teachers.cache import CachedOutputs, cached_outputs, fingerprint
from fsmde_training.teachers.load import load_teacher
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
