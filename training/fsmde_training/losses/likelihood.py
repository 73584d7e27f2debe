"""Likelihood of the true depth under the bin distribution: what makes sigma mean something."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def bin_negative_log_likelihood(logits: Tensor, centres: Tensor, target: Tensor, scale: float = 0.05) -> Tensor:
    """Mean negative log density of log depth under a mixture of Laplace kernels, one at each bin centre.

    logits, centres: (M, N), centres in metres; target: (M,) metres; scale: kernel width in log depth, about half a bin.
    Laplace rather than Gauss: a stray lidar point (something hidden from the camera) costs linearly. M = 0 gives 0.
    """
    if target.numel() == 0:
        return logits.sum() * 0
    distance = (torch.log(centres.float()) - torch.log(target.float())[:, None]).abs()
    log_density = torch.log_softmax(logits.float(), dim=1) - distance / scale - math.log(2 * scale)
    return -torch.logsumexp(log_density, dim=1).mean()
