"""How likely every bin is at every pixel: free logits, or a binomial of two numbers per pixel (ZoeDepth)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGEST_LOG_ODDS = math.log(1e4)
LARGEST_TEMPERATURE = 50.0
"""And its reciprocal the smallest; ZoeDepth's limits. Interpolated geometrically: 1 is the middle. Our choice."""


class SoftmaxHead(nn.Module):
    """A free logit per bin from the finest map."""

    def __init__(self, widths: Sequence[int], bins: int) -> None:
        super().__init__()
        self.logits = nn.Conv2d(widths[0], bins, 1)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Maps, fine to coarse -> logits (B, h, w, N) float32 at the size of the finest."""
        return self.logits(pyramid[0]).permute(0, 2, 3, 1).float()


class LogBinomialHead(nn.Module):
    """Log-odds and temperature of a binomial over the bins from the finest map: one peak per pixel (ZoeDepth).

    log P(k) = (log C(N-1, k) + k log p + (N-1-k) log(1-p)) / t. What is the same for all k does not change a softmax,
    so k times the log-odds of p stands for both logarithms, and nothing can overflow.
    """

    log_combinations: Tensor
    order: Tensor

    def __init__(self, widths: Sequence[int], bins: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(widths[0], widths[0] // 2, 1)
        self.parameters_of_binomial = nn.Conv2d(widths[0] // 2, 2, 1)
        k = torch.arange(bins, dtype=torch.float64)
        n = torch.tensor(bins - 1, dtype=torch.float64)
        log_combinations = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
        self.register_buffer("log_combinations", log_combinations.float(), persistent=False)
        self.register_buffer("order", (k - n / 2).float(), persistent=False)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Maps, fine to coarse -> logits (B, h, w, N) float32 at the size of the finest."""
        odds, heat = self.parameters_of_binomial(F.relu(self.hidden(pyramid[0]))).float().unbind(1)
        return self.logits(
            LARGEST_LOG_ODDS * torch.tanh(odds / LARGEST_LOG_ODDS),
            torch.exp(math.log(LARGEST_TEMPERATURE) * torch.tanh(heat)),
        )

    def logits(self, log_odds: Tensor, temperature: Tensor) -> Tensor:
        """(B, h, w) each -> (B, h, w, N)."""
        return (self.log_combinations + self.order * log_odds[..., None]) / temperature[..., None]
