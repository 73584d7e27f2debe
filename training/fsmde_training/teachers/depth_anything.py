"""Builds the architecture of Depth Anything V2 through transformers, for measuring its speed.

Architecture of the published checkpoints: DINOv2 backbone, DPT neck and head (Yang et al., Depth Anything V2, 2024).
Speed does not depend on the weights, so random ones do: no download, no licence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

PATCH = 14

# size: hidden width, heads, layers, backbone taps, neck widths, fusion width
ARCHITECTURES = {
    "small": (384, 6, 12, [3, 6, 9, 12], [48, 96, 192, 384], 64),
    "base": (768, 12, 12, [3, 6, 9, 12], [96, 192, 384, 768], 128),
    "large": (1024, 16, 24, [5, 12, 18, 24], [256, 512, 1024, 1024], 256),
}


def build(size: str = "small") -> DepthAnythingForDepthEstimation:
    """Build Depth Anything V2 `size` (small, base, large) with random weights, in evaluation mode."""
    hidden, heads, layers, taps, neck, fusion = ARCHITECTURES[size]
    backbone: dict[str, Any] = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "image_size": 518,
        "patch_size": PATCH,
        "out_indices": taps,
        "apply_layernorm": True,
        "reshape_hidden_states": False,
    }
    config = DepthAnythingConfig(
        backbone_config=Dinov2Config(**backbone),
        patch_size=PATCH,
        reassemble_hidden_size=hidden,
        neck_hidden_sizes=neck,
        fusion_hidden_size=fusion,
    )
    return DepthAnythingForDepthEstimation(config).eval()


def input_size(height: int, width: int) -> tuple[int, int]:
    """Round the sides of an image down to whole patches: never more pixels than asked for.

    Args:
        height, width: Pixels.

    Returns:
        The network's (height, width), multiples of PATCH.
    """
    return height // PATCH * PATCH, width // PATCH * PATCH


class _DepthOnly(nn.Module):
    def __init__(self, network: DepthAnythingForDepthEstimation) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.network(pixel_values=pixel_values).predicted_depth


def export_onnx(path: Path, height: int, width: int, size: str = "small") -> Path:
    # `pixel_values` (N, 3, height, width) float32 -> `predicted_depth`, for any N; the sides are multiples of PATCH
    example = torch.zeros(2, 3, height, width)
    with torch.no_grad():
        torch.onnx.export(
            _DepthOnly(build(size)).eval(),
            (example,),
            path,
            input_names=["pixel_values"],
            output_names=["predicted_depth"],
            dynamic_shapes={"pixel_values": {0: torch.export.Dim("images", min=1, max=64)}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return path
