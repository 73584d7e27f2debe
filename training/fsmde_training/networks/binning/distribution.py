"""Depth as a distribution over bins, and the estimates taken from it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class BinDistribution(NamedTuple):
    """logits: (B, h, w, N). centres: (B, 1, 1, N) or (B, h, w, N), canonical metres, increasing along N.

    Canonical metres are those of a camera with the canonical focal length. Bins come last: softmax and sums then run
    over contiguous memory, which is what inference time is made of here.
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

    def moments(self) -> tuple[Tensor, Tensor]:
        """The estimates given out, depth and sigma: (B, h, w) each, canonical metres.

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
        """The bins of single cells of the map, indices (M,) each: logits and centres (M, N)."""
        return BinDistribution(self.logits[view, row, column], self.centres.expand_as(self.logits)[view, row, column])
