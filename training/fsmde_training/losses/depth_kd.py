"""Distillation of the teacher's relative depth, a baseline: the scale- and shift-invariant loss of MiDaS."""

from __future__ import annotations

import torch
from torch import Tensor

from fsmde_training.losses.checks import check_same

FLATTEST = 1e-4  # least mean deviation: the noise of a flat image is not blown up


def depth_kd(student_log_depth: Tensor, teacher_relative: Tensor) -> Tensor:
    """Log depth (of metres) and relative inverse depth (larger is nearer), (B, h, w) each -> scalar. B = 0 gives 0.

    Mean absolute difference of the inverse depths after each has lost its median and its mean absolute deviation from
    it, per image (Ranftl et al. 2022, untrimmed): a positive scale and a shift of the teacher change nothing, as long
    as its mean deviation is over FLATTEST. The teacher gets no gradient. FsmdeError where the shapes differ.
    """
    check_same(student_log_depth.shape, teacher_relative.shape, "depth maps (B, h, w)")
    if student_log_depth.numel() == 0:
        return student_log_depth.float().sum() * 0
    inverse = torch.exp(-student_log_depth.float())
    return (_normalise(inverse) - _normalise(teacher_relative.detach().float())).abs().mean()


def _normalise(maps: Tensor) -> Tensor:
    """(B, h, w) -> (B, h * w) with median 0 and mean absolute value 1."""
    flat = maps.flatten(1)
    centred = flat - flat.median(dim=1, keepdim=True).values
    return centred / centred.abs().mean(dim=1, keepdim=True).clamp_min(FLATTEST)
