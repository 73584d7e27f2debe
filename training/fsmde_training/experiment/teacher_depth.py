"""The teacher with its binning module as a model of the package's contract, to be measured like a student."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from fsmde_training.networks.decoder import upsample
from fsmde_training.teachers import Teacher, load_teacher
from fsmde_training.teachers.binned import BinnedTeacher, load_binned_teacher


class TeacherDepth(nn.Module):
    """images (B, H, W, 3) uint8, focal (B,) float32 pixels -> depth, sigma (B, H, W) float32 metres, as of Student."""

    def __init__(self, teacher: Teacher, binned: BinnedTeacher) -> None:
        super().__init__()
        self.teacher, self.binned = teacher, binned

    def forward(self, images: Tensor, focal: Tensor) -> tuple[Tensor, Tensor]:
        depth, sigma = self.binned.distribution(self.teacher(images).pyramid).moments()
        scale = (focal / self.binned.focal_canonical)[:, None, None]
        return upsample(depth * scale), upsample(sigma * scale)


def load_teacher_depth(teacher: Path, bins: Path) -> TeacherDepth:
    """teacher: its checkpoint; bins: what stage 0 wrote."""
    network = TeacherDepth(load_teacher(teacher), load_binned_teacher(bins))
    return network.requires_grad_(False).eval()


def export_teacher(network: TeacherDepth, path: Path, size: tuple[int, int]) -> Path:
    """Write an ONNX file for images of (width, height) = `size`."""
    width, height = size
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8), torch.ones(2)
    cameras = torch.export.Dim("cameras", min=1, max=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            example,
            input_names=["images", "focal"],
            output_names=["depth", "sigma"],
            dynamic_shapes={"images": {0: cameras}, "focal": {0: cameras}},
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # a path-less dynamo export returns the program
    model = program.model_proto
    binning = network.binned.binning.architecture
    metadata = {
        "width": str(width),
        "height": str(height),
        "focal_canonical": str(network.binned.focal_canonical),
        "min_depth": str(binning["min_depth"]),
        "max_depth": str(binning["max_depth"]),
        "training_data": "see docs/experiments.md",
        "git_revision": "unknown",
        "licence": "Apache-2.0",
    }
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path
