"""Places the bins: one set per image, as in AdaBins (Bhat et al. 2021).

The paper places bins in depth itself; here it is the logarithm of depth, so that untrained bins are log-uniform.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

SMALLEST_WIDTH = 0.01
"""Of a bin, in parts of the uniform width: centres stay apart whatever the weights are. Our choice."""


class BinCentres(nn.Module):
    """Places one set of bins per image: widths from the mean of the coarsest map divide log depth.

    min_depth, max_depth: Metres at the canonical focal length, the ends of the first and the last bin.
    Centres are computed as shifts from uniform bins, in parts of the log range: small numbers stay exact in half
    precision.
    """

    middles: Tensor

    def __init__(self, channels: int, bins: int, min_depth: float, max_depth: float) -> None:
        super().__init__()
        self.bins, self.min_depth, self.max_depth = bins, min_depth, max_depth
        self.register_buffer("middles", ((torch.arange(bins) + 0.5) / bins)[:, None, None], persistent=False)
        last = nn.Conv2d(channels, bins, 1)
        nn.init.zeros_(last.weight)  # uniform widths to begin with
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.seeds = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(), last)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Compute centres (B, 1, 1, N), canonical metres; maps come fine to coarse."""
        logits = self.seeds(pyramid[-1].mean((2, 3), keepdim=True))
        deviation = (1 - SMALLEST_WIDTH) * (torch.softmax(logits.float(), dim=1) - 1 / self.bins)
        shifts = torch.cumsum(deviation, dim=1) - deviation / 2
        log_range = math.log(self.max_depth / self.min_depth)
        uniform = self.min_depth * torch.exp(log_range * self.middles)
        return (uniform * torch.exp(log_range * shifts)).permute(0, 2, 3, 1)
