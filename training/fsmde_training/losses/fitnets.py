"""Distillation of feature maps, a baseline: hints of FitNets (Romero et al. 2015)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from fsmde_training.losses.checks import check_same


def fitnets(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Maps of the same shape, (B, C, h, w); the student's has gone through its adapter -> scalar. B = 0 gives 0.

    Mean squared difference over the teacher's mean square, so that teachers of any feature scale weigh alike (our
    choice): a student that gives zeros scores 1. The teacher gets no gradient. FsmdeError where the shapes differ.
    """
    check_same(student_map.shape, teacher_map.shape, "feature maps (B, C, h, w)")
    if student_map.numel() == 0:
        return student_map.float().sum() * 0
    teacher = teacher_map.detach().float()
    return F.mse_loss(student_map.float(), teacher) / teacher.square().mean().clamp_min(1e-12)
