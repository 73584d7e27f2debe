"""Writes the student that is measured beside the shipped one, counts operations, and times the teachers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from fsmde_core.engines.model import ModelInfo
from fsmde_core.engines.torch.onnx_graph import TorchGraph
from fsmde_core.engines.torch.stream import DeviceStream
from fsmde_ros.cli.benchmarks.gpu.floors import median_device_ms

TEACHER_SIZES = ("small", "base", "large")
_RUNS = 20


def write_student(path: Path, width: int, height: int) -> Path:
    from fsmde_training.export import Provenance, export
    from fsmde_training.networks.student import Student

    torch.manual_seed(0)  # the speed of random weights is that of trained ones
    origin = Provenance("none: random weights", "Apache-2.0")
    return export(Student(), path, (height, width), origin=origin).path


def gflop(info: ModelInfo) -> float:
    """Count the floating-point operations of convolutions and matrix products for one image, in billions."""
    inputs = {
        "images": torch.zeros((1, info.height, info.width, 3), dtype=torch.uint8),
        "focal": torch.full((1,), info.focal_canonical),
    }
    with FlopCounterMode(display=False) as counter:
        TorchGraph(info.path, torch.device("cpu"))(inputs)
    return round(counter.get_total_flops() / 1e9, 3)


@torch.inference_mode()
def teacher_ms(
    size: str, cameras: int, pixels: Sequence[tuple[int, int]], device: torch.device
) -> dict[tuple[int, int], float]:
    """Measure one batch of Depth Anything V2 with random weights in float16, as one CUDA graph, at several sizes.

    Args:
        size: One of `TEACHER_SIZES`.
        cameras: Images in the batch.
        pixels: (height, width) of the sizes, multiples of 14.
        device: The GPU.

    Returns:
        (height, width) -> median milliseconds.
    """
    from fsmde_training.teachers.depth_anything import build

    stream = DeviceStream(device)
    with torch.device(device):
        network = build(size).half()
    found = {}
    for height, width in pixels:
        images = torch.zeros((cameras, 3, height, width), dtype=torch.float16, device=device)
        run = stream.capture_graph(partial(network, pixel_values=images))
        found[height, width] = round(median_device_ms(stream, run, _RUNS), 3)
    return found
