"""Builds foundation models of a few thousand random weights."""

from __future__ import annotations

import torch
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config


def tiny_backbone() -> Dinov2Config:
    return Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=70,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
    )


NECK = {"neck_hidden_sizes": [8, 8, 12, 16], "fusion_hidden_size": 12}


def depth_anything(estimates: str = "relative") -> DepthAnythingForDepthEstimation:
    torch.manual_seed(0)
    return DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=tiny_backbone(),
            reassemble_hidden_size=16,
            depth_estimation_type=estimates,
            max_depth=1 if estimates == "relative" else 80,
            **NECK,
        )
    ).eval()
