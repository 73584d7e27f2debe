"""Describes depth as a distribution over bins, and takes estimates from it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class BinDistribution(NamedTuple):
    """Holds logits (B, h, w, N) and centres (B, 1, 1, N) or (B, h, w, N), increasing along N, of depth's bins.

    Centres are in canonical metres, those of a camera with the canonical focal length. Bins come last: softmax and sums
    then run over contiguous memory, which is what inference time is made of here.
    """

    logits: Tensor
    centres: Tensor

    @property
    def probabilities(self) -> Tensor:
        """(B, h, w, N), sums to one over N."""
        return torch.softmax(self.logits, dim=-1)

    def log_mean(self) -> Tensor:
        """Compute the expectation of log depth, (B, h, w): what training compares with the truth."""
        return (self.probabilities * torch.log(self.centres)).sum(-1)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Compute the estimates that the network gives, depth and sigma: (B, h, w) each, canonical metres.

        Depth is the geometric mean, whose logarithm training compares with the truth. The little probability that is
        left in far-off bins would draw the arithmetic mean away and the harmonic mean near: after a few hundred steps
        the latter is off by half. sigma is the standard deviation of depth, about the arithmetic mean.
        """
        p = self.probabilities
        mean = (p * self.centres).sum(-1, keepdim=True)
        # Deviations first: E[c^2] - E[c]^2 cancels in half precision.
        variance = (p * (self.centres - mean).square()).sum(-1)
        return torch.exp(self.log_mean()), torch.sqrt(variance + 1e-6)

    def at(self, view: Tensor, row: Tensor, column: Tensor) -> BinDistribution:
        """Pick the bins of single cells of the map.

        Args:
            view, row, column: (M,) int64 indices of the cells.

        Returns:
            Logits and centres (M, N).
        """
        return BinDistribution(self.logits[view, row, column], self.centres.expand_as(self.logits)[view, row, column])
