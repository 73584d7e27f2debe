"""Matching of depth edges where the truth is dense."""

from __future__ import annotations

import torch
from torch import Tensor


def log_gradient(depth: Tensor, target: Tensor, limit: float = 1.0) -> Tensor:
    """depth, target: (B, H, W); target invalid where not finite -> scalar.

    Mean absolute difference of neighbouring log-depth steps, horizontal and vertical, where both neighbours are valid.
    Steps are clipped to `limit`: an edge must be there, its height is the other losses' business. No pairs give 0.
    """
    valid = torch.isfinite(target)
    log_target = torch.log(torch.where(valid, target, 1.0).float())
    log_depth = torch.log(depth.float())
    total, count = depth.new_zeros(()), 0
    for axis in (1, 2):
        both = valid.narrow(axis, 1, valid.shape[axis] - 1) & valid.narrow(axis, 0, valid.shape[axis] - 1)
        step = torch.diff(log_depth, dim=axis)[both].clamp(-limit, limit)
        total = total + (step - torch.diff(log_target, dim=axis)[both].clamp(-limit, limit)).abs().sum()
        count += step.numel()
    return total / max(count, 1)
