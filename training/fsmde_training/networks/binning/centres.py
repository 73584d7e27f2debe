"""Where the bins lie: one set per image (AdaBins, Bhat et al. 2021) or one per pixel (ZoeDepth, Bhat et al. 2023).

Both papers place bins in depth itself; here it is the logarithm of depth, so that untrained bins are log-uniform.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST_WIDTH = 0.01
"""Of a bin, as a share of the uniform width: centres stay apart whatever the weights are. Our choice."""

ATTRACTORS = (8, 4, 1)
"""Attractors per pixel at strides 16, 8, 4: few where pixels are many. Our choice; ZoeDepth's last three are these."""

SHARPNESS = 300.0
"""1 / sqrt(SHARPNESS) of the log range is how far an attractor reaches; ZoeDepth's default."""

STRENGTH = 0.5
"""Share of the pull that is followed. Below 1 every step keeps the order of the centres. Our choice."""


class LogBins(nn.Module):
    """Bins that divide log depth from min_depth to max_depth, metres, as shifts of their centres from uniform bins.

    A shift is a fraction of the log range. Shifts, not positions, are computed with: small numbers stay exact in half
    precision.
    """

    middles: Tensor

    def __init__(self, bins: int, min_depth: float, max_depth: float) -> None:
        super().__init__()
        self.bins, self.min_depth, self.max_depth = bins, min_depth, max_depth
        self.register_buffer("middles", ((torch.arange(bins) + 0.5) / bins)[:, None, None], persistent=False)

    def shifts(self, logits: Tensor) -> Tensor:
        """Logits of the widths -> shifts, both (B, N, h, w)."""
        widths = torch.softmax(logits.float(), dim=1)
        deviation = (1 - SMALLEST_WIDTH) * (widths - 1 / self.bins)
        return torch.cumsum(deviation, dim=1) - deviation / 2

    def metres(self, shifts: Tensor) -> Tensor:
        """Shifts (B, N, h, w) -> centres (B, h, w, N), canonical metres."""
        log_range = math.log(self.max_depth / self.min_depth)
        uniform = self.min_depth * torch.exp(log_range * self.middles)
        return (uniform * torch.exp(log_range * shifts)).permute(0, 2, 3, 1)


def _seeds(channels: int, bins: int) -> nn.Sequential:
    """Logits of the bins' widths from the coarsest map; uniform widths to begin with."""
    last = nn.Conv2d(channels, bins, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(), last)


class WidthCentres(nn.Module):
    """One set of bins per image: widths from the mean of the coarsest map (AdaBins)."""

    def __init__(self, widths: Sequence[int], bins: int, min_depth: float, max_depth: float) -> None:
        super().__init__()
        self.log_bins = LogBins(bins, min_depth, max_depth)
        self.seeds = _seeds(widths[-1], bins)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Four maps, fine to coarse -> centres (B, 1, 1, N)."""
        context = pyramid[-1].mean((2, 3), keepdim=True)
        return self.log_bins.metres(self.log_bins.shifts(self.seeds(context)))


class AttractorCentres(nn.Module):
    """One set of bins per pixel: seeds from the coarsest map, drawn to attractors at every finer level (ZoeDepth)."""

    def __init__(self, widths: Sequence[int], bins: int, min_depth: float, max_depth: float) -> None:
        super().__init__()
        self.log_bins = LogBins(bins, min_depth, max_depth)
        self.seeds = _seeds(widths[-1], bins)
        finer = reversed(widths[:-1])
        self.attractors = nn.ModuleList(nn.Conv2d(c, n, 1) for c, n in zip(finer, ATTRACTORS, strict=True))

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Four maps, fine to coarse -> centres (B, h, w, N) at the size of the finest."""
        shifts = self.log_bins.shifts(self.seeds(pyramid[-1]))
        for attractors, features in zip(self.attractors, reversed(pyramid[:-1]), strict=True):
            shifts = F.interpolate(shifts, scale_factor=2.0, mode="bilinear", align_corners=False)
            positions = torch.sigmoid(attractors(features).float())
            shifts = shifts + STRENGTH * attract(positions, self.log_bins.middles + shifts)
        return self.log_bins.metres(shifts)


def attract(attractors: Tensor, centres: Tensor) -> Tensor:
    """(B, K, h, w) and (B, N, h, w), fractions of the log range -> mean pull on every centre, (B, N, h, w).

    d / (1 + SHARPNESS d^2) for a distance d (ZoeDepth's inverse attractor): strongest nearby, never past the attractor.
    """
    distances = [attractor - centres for attractor in attractors.split(1, dim=1)]
    first, *others = [distance / (1 + SHARPNESS * distance.square()) for distance in distances]
    return sum(others, first) / len(distances)
