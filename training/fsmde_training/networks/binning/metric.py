"""What student and teacher have in common where their bins become metres."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fsmde_training.networks.binning.binning import Centres, Probabilities
from fsmde_training.networks.binning.distribution import BinDistribution
from fsmde_training.networks.decoder import upsample


class MetricNetwork(nn.Module):
    """Base of networks whose bins reach from min_depth to max_depth, metres at focal_canonical, pixels.

    bins, centres, probabilities: see `Binning`.
    """

    def __init__(
        self,
        focal_canonical: float,
        min_depth: float,
        max_depth: float,
        bins: int,
        centres: Centres,
        probabilities: Probabilities,
    ) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = {
            "focal_canonical": focal_canonical,
            "min_depth": min_depth,
            "max_depth": max_depth,
            "bins": bins,
            "centres": centres,
            "probabilities": probabilities,
        }
        """What rebuilds this network; stored in checkpoints."""
        self.focal_canonical, self.min_depth, self.max_depth = focal_canonical, min_depth, max_depth

    def canonical_depth(self, distribution: BinDistribution) -> Tensor:
        """(B, H, W) metres at the canonical focal length: the geometric mean of the bins, for the losses on depth."""
        return upsample(torch.exp(distribution.log_mean()))
