"""The networks that are measured: the shipped student, and one of its architecture at 640x384."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from fsmde_core.engines.model import ModelInfo
from fsmde_core.engines.torch.onnx_graph import TorchGraph


def write_student(path: Path, width: int, height: int) -> Path:
    """A student of random weights for another size; its speed is that of a trained one."""
    from fsmde_training.export import Provenance, export_onnx
    from fsmde_training.networks.student import Student

    torch.manual_seed(0)
    return export_onnx(Student(), path, (height, width), Provenance("none: random weights", "Apache-2.0"))


def gflop(info: ModelInfo) -> float:
    """Floating-point operations of convolutions and matrix products for one image, in billions."""
    inputs = {
        "images": torch.zeros((1, info.height, info.width, 3), dtype=torch.uint8),
        "focal": torch.full((1,), info.focal_canonical),
    }
    with FlopCounterMode(display=False) as counter:
        TorchGraph(info.path, torch.device("cpu"))(inputs)
    return round(counter.get_total_flops() / 1e9, 3)
