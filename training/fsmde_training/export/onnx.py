"""Writes a student as a float32 ONNX file of the model contract (fsmde_core.engines.model), and checks it."""

from __future__ import annotations

import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from fsmde_core.engines.model import ModelInfo, read_model_info
from fsmde_core.errors import FsmdeError
from fsmde_training.networks.sizes import check_size
from fsmde_training.networks.student import Student

OPSET, IR_VERSION = 20, 10
"""Of every file: what onnxruntime from 1.17, OpenVINO and TensorRT read, whatever the installed onnx writes unasked."""
TOLERANCE = 1e-3
"""Largest relative difference of depth and sigma allowed between PyTorch and ONNX Runtime, both in float32."""


@dataclass(frozen=True)
class Provenance:
    """States where a file's weights come from; whoever trained them knows."""

    training_data: str = "not stated"
    licence: str = "not stated"


def write_onnx(student: Student, path: Path, size: tuple[int, int], origin: Provenance) -> float:
    check_size(size, "input size")
    write_graph(student, path, size, _metadata(student, size, origin))
    return check_export(student, path)


def write_graph(network: nn.Module, path: Path, size: tuple[int, int], metadata: dict[str, str]) -> None:
    """Write any network of the model contract, for 1 to 64 cameras, unchecked.

    Args:
        network: Maps images and focal lengths to depth and sigma, as `Student` does.
        path: The ONNX file.
        size: (height, width) of the images, pixels.
        metadata: For the file, by name.
    """
    images, focal = _example(2, size)
    cameras = torch.export.Dim("cameras", min=1, max=64)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (torch.from_numpy(images), torch.from_numpy(focal)),
            input_names=["images", "focal"],
            output_names=["depth", "sigma"],
            dynamic_shapes={"images": {0: cameras}, "focal": {0: cameras}},
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None  # a path-less dynamo export returns the program
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # the exporter's stack traces: paths of this machine
    model.ir_version = IR_VERSION
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)


def check_export(student: Student, path: Path) -> float:
    info: ModelInfo = read_model_info(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for cameras in (1, 6):
        images, focal = _example(cameras, (info.height, info.width))
        with torch.no_grad():
            expected = student(torch.from_numpy(images), torch.from_numpy(focal))
        for name, ours, theirs in zip(
            ("depth", "sigma"), session.run(None, {"images": images, "focal": focal}), expected, strict=True
        ):
            difference = float(np.max(np.abs(ours - theirs.numpy()) / theirs.numpy()))
            worst = max(worst, difference)
            if not difference <= TOLERANCE:
                raise FsmdeError(
                    f"{path.name}: {name} differs from PyTorch by {difference:.1e}, at most {TOLERANCE} expected"
                )
    return worst


def _example(cameras: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Make smooth random images, (cameras, H, W, 3) uint8, and focal lengths (cameras,) float32."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (cameras, 3, size[0] // 32, size[1] // 32)))
    smooth = torch.nn.functional.interpolate(coarse, scale_factor=32.0, mode="bilinear")
    focal = rng.uniform(200, 500, cameras).astype(np.float32)
    return smooth.permute(0, 2, 3, 1).contiguous().to(torch.uint8).numpy(), focal


def _metadata(student: Student, size: tuple[int, int], origin: Provenance) -> dict[str, str]:
    height, width = size
    return {
        "width": str(width),
        "height": str(height),
        "focal_canonical": str(student.focal_canonical),
        "min_depth": str(student.min_depth),
        "max_depth": str(student.max_depth),
        "training_data": origin.training_data,
        "git_revision": _git_revision(),
        "licence": origin.licence,
        "precision": "fp32",
    }


def _git_revision() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def set_metadata(model: onnx.ModelProto, values: dict[str, str]) -> None:
    # Entries of other names stay.
    kept = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, kept | values)
