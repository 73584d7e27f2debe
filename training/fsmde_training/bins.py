"""Depth as a distribution over bins whose metric centres the network chooses per image (AdaBins, Bhat et al. 2021).

Centres live in canonical metres: those of a camera with the canonical focal length. AdaBins divides depth itself; here
the logarithm of depth is divided, so that untrained bins are log-uniform.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn


class BinDistribution(NamedTuple):
    """logits: (B, h, w, N). centres: (B, 1, 1, N) or (B, h, w, N), canonical metres, increasing along N.

    Bins come last: softmax and sums then run over contiguous memory, which is what inference time is made of here.
    """

    logits: Tensor
    centres: Tensor

    @property
    def probabilities(self) -> Tensor:
        """(B, h, w, N), sums to one over N."""
        return torch.softmax(self.logits, dim=-1)

    def log_mean(self) -> Tensor:
        """Expectation of log depth, (B, h, w): what training compares with the truth."""
        return (self.probabilities * torch.log(self.centres)).sum(-1)

    def moments(self) -> Tensor:
        """The estimates given out, depth and sigma: (B, 2, h, w), canonical metres.

        Depth is the harmonic mean, the expectation of inverse depth. Where the network is sure it equals the other
        means; where it is not, at edges and in unfamiliar scenes, it leans to the near side: the safer one, and errors
        relative to the true depth are smaller. sigma is the standard deviation of depth, about the arithmetic mean.
        """
        p = self.probabilities
        depth = 1 / (p / self.centres).sum(-1)
        mean = (p * self.centres).sum(-1, keepdim=True)
        # Deviations first: E[c^2] - E[c]^2 cancels in half precision.
        variance = (p * (self.centres - mean).square()).sum(-1)
        return torch.stack([depth, torch.sqrt(variance + 1e-6)], dim=1)


class AdaptiveBins(nn.Module):
    """features (B, C, h, w) and context (B, K) -> BinDistribution of `bins` bins from min_depth to max_depth."""

    base: Tensor

    def __init__(self, features: int, context: int, bins: int, min_depth: float, max_depth: float) -> None:
        super().__init__()
        self.bins = bins
        self.log_range = math.log(max_depth / min_depth)
        self.widths = nn.Linear(context, bins)
        self.logits = nn.Conv2d(features, bins, 1)
        nn.init.zeros_(self.widths.weight)
        nn.init.zeros_(self.widths.bias)
        middles = (torch.arange(bins) + 0.5) / bins
        self.register_buffer("base", min_depth * torch.exp(self.log_range * middles), persistent=False)

    def centres(self, context: Tensor) -> Tensor:
        """(B, N) canonical metres, increasing: the middles, in log depth, of bins whose widths sum to the range."""
        # Deviations from uniform widths are summed, not the widths: small numbers stay exact in half precision.
        deviation = torch.softmax(self.widths(context).float(), dim=1) - 1 / self.bins
        shift = torch.cumsum(deviation, dim=1) - deviation / 2
        return self.base * torch.exp(self.log_range * shift)

    def forward(self, features: Tensor, context: Tensor) -> BinDistribution:
        logits = self.logits(features).permute(0, 2, 3, 1)
        return BinDistribution(logits.float(), self.centres(context)[:, None, None, :])
