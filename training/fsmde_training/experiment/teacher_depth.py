"""Wraps a teacher and its binning module as a model with a student's inputs and outputs, to be measured alike."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from fsmde_training.export.onnx import write_graph
from fsmde_training.teachers import Teacher, load_teacher
from fsmde_training.teachers.binned import BinnedTeacher, load_binned_teacher


class TeacherDepth(nn.Module):
    """Joins a teacher and its binning module to one network that takes and gives what `Student` does."""

    def __init__(self, teacher: Teacher, binned: BinnedTeacher) -> None:
        super().__init__()
        self.teacher, self.binned = teacher, binned

    def forward(self, images: Tensor, focal: Tensor) -> tuple[Tensor, Tensor]:
        return self.binned.metric_depth(self.binned.distribution(self.teacher(images).pyramid), focal)


def load_teacher_depth(teacher: Path, bins: Path) -> TeacherDepth:
    """Load the teacher and its binning module.

    Args:
        teacher: The teacher's checkpoint.
        bins: The file that stage 0 wrote.

    Returns:
        The network, frozen, in evaluation mode.
    """
    network = TeacherDepth(load_teacher(teacher), load_binned_teacher(bins))
    return network.requires_grad_(False).eval()


def export_teacher(network: TeacherDepth, path: Path, size: tuple[int, int]) -> None:
    """Write an ONNX file.

    Args:
        network: What `load_teacher_depth` gives.
        path: The file.
        size: (width, height) of the images, pixels.
    """
    width, height = size
    metadata = {
        "width": str(width),
        "height": str(height),
        "focal_canonical": str(network.binned.focal_canonical),
        "min_depth": str(network.binned.min_depth),
        "max_depth": str(network.binned.max_depth),
        "training_data": "see docs/experiments.md",
        "git_revision": "unknown",
        "licence": "Apache-2.0",
    }
    write_graph(network, path, (height, width), metadata)
