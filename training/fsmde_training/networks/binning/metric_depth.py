"""Turns bins into metres, for student and teacher alike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fsmde_training.networks.binning.distribution import BinDistribution
from fsmde_training.networks.decoder import upsample


class MetricDepthNetwork(nn.Module):
    """Is the base of networks whose bins reach from min_depth to max_depth, metres at focal_canonical, pixels."""

    def __init__(self, focal_canonical: float, min_depth: float, max_depth: float, bins: int) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = {
            "focal_canonical": focal_canonical,
            "min_depth": min_depth,
            "max_depth": max_depth,
            "bins": bins,
        }
        """What rebuilds this network; stored in checkpoints."""
        self.focal_canonical, self.min_depth, self.max_depth = focal_canonical, min_depth, max_depth

    def canonical_depth(self, distribution: BinDistribution) -> Tensor:
        """Compute (B, H, W) metres at the canonical focal length, the geometric mean of the bins, for the losses."""
        return upsample(torch.exp(distribution.log_mean()))

    def metric_depth(self, distribution: BinDistribution, focal: Tensor) -> tuple[Tensor, Tensor]:
        """Compute what the model contract asks for.

        Args:
            distribution: Bins at (H/4, W/4), canonical metres.
            focal: (B,) float32 focal lengths, pixels.

        Returns:
            Depth and its standard deviation sigma, (B, H, W) float32 metres each.
        """
        depth, sigma = distribution.moments()
        scale = (focal / self.focal_canonical)[:, None, None]
        return upsample(depth * scale), upsample(sigma * scale)
