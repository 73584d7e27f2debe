"""The scale-invariant logarithmic loss of Eigen et al. (2014), weighted as in AdaBins."""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTHING = 1e-3
"""RMS of g below which the root becomes a parabola, so that its gradient stays finite."""


def silog(depth: Tensor, target: Tensor, balance: float = 0.85, weight: float = 10.0) -> Tensor:
    """depth, target: (M,) positive depths in the same unit -> scalar.

    weight * sqrt(E[g^2] - balance * E[g]^2), g the logarithm of their ratio. balance 1 ignores a common scale, 0 is the
    plain RMS of g. No pixels (M = 0) give 0, and so does equality: the root is smoothed there, then shifted down.
    """
    if target.numel() == 0:
        return depth.sum() * 0
    g = torch.log(depth.float()) - torch.log(target.float())
    return weight * (torch.sqrt(g.square().mean() - balance * g.mean().square() + SMOOTHING**2) - SMOOTHING)
