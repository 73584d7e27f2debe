"""Holds the losses against the truth: SILog, relative error, likelihood of the bins, matching of edges."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SMOOTHING = 1e-3
"""RMS of g below which the root of SILog becomes a parabola, so that its gradient stays finite."""


def silog(depth: Tensor, target: Tensor, balance: float = 0.85, weight: float = 10.0) -> Tensor:
    """Compute the scale-invariant logarithmic loss of Eigen et al. (2014), weighted as in AdaBins (Bhat et al. 2021).

    It is weight * sqrt(E[g^2] - balance * E[g]^2), g the logarithm of the ratio of depths. That the root is smoothed at
    0 and shifted down, so that equality gives 0, is our choice.

    Args:
        depth, target: (M,) positive depths in the same unit.
        balance: 1 ignores a common scale, 0 gives the plain RMS of g.
        weight: Scales the loss.

    Returns:
        A scalar; 0 for M = 0.
    """
    if target.numel() == 0:
        return depth.sum() * 0
    g = torch.log(depth.float()) - torch.log(target.float())
    return weight * (torch.sqrt(g.square().mean() - balance * g.mean().square() + SMOOTHING**2) - SMOOTHING)


def relative_error(depth: Tensor, target: Tensor) -> Tensor:
    """Compute the relative error that evaluation measures (AbsRel), as a loss.

    Too far costs without bound, too near at most 1: where the truth is uncertain the estimate leans to the near side.

    Args:
        depth, target: (M,) positive depths in the same unit.

    Returns:
        A scalar, mean |depth - target| / target; 0 for M = 0.
    """
    if target.numel() == 0:
        return depth.sum() * 0
    return ((depth.float() - target.float()).abs() / target.float()).mean()


def bin_negative_log_likelihood(logits: Tensor, centres: Tensor, target: Tensor, scale: float = 0.05) -> Tensor:
    """Compute the negative log density of the true log depth under the bins: what makes sigma mean something.

    The density is a mixture of Laplace kernels, one at each bin centre; our choice. Laplace rather than Gauss: a stray
    lidar point (something hidden from the camera) costs linearly.

    Args:
        logits, centres: (M, N) of the bins, centres in metres.
        target: (M,) metres.
        scale: The kernels' width in log depth, about half a bin.

    Returns:
        A scalar, the mean over pixels; 0 for M = 0.
    """
    if target.numel() == 0:
        return logits.sum() * 0
    distance = (torch.log(centres.float()) - torch.log(target.float())[:, None]).abs()
    log_density = torch.log_softmax(logits.float(), dim=1) - distance / scale - math.log(2 * scale)
    return -torch.logsumexp(log_density, dim=1).mean()


def log_gradient(depth: Tensor, target: Tensor, limit: float = 1.0) -> Tensor:
    """Compare the steps of log depth between neighbouring pixels, to match edges where the truth is dense; our choice.

    Args:
        depth, target: (B, H, W) in the same unit; the target is invalid where it is not finite.
        limit: Steps are clipped to it: an edge must be there, its height is the other losses' business.

    Returns:
        A scalar, the mean absolute difference over horizontal and vertical pairs of valid pixels; 0 without any.
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
