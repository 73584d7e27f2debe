"""Holds distillation as others do it: the baselines of the experiment."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fsmde_training.losses.comparison import SHORTEST, check_same, cosines

FLATTEST = 1e-4
"""Least mean deviation that depth is divided by: the noise of a flat image is not blown up."""


def depth_kd(student_log_depth: Tensor, teacher_relative: Tensor) -> Tensor:
    """Compare inverse depths up to scale and shift, by the loss of MiDaS (Ranftl et al. 2022), untrimmed.

    Each map loses its median and is divided by its mean absolute deviation from it, per image: a positive scale and a
    shift of the teacher change nothing, as long as its mean deviation is over FLATTEST.

    Args:
        student_log_depth: (B, h, w) log depth, of metres.
        teacher_relative: (B, h, w) relative inverse depth, larger is nearer; it gets no gradient.

    Returns:
        A scalar, the mean absolute difference; 0 for B = 0.

    Raises:
        FsmdeError: The shapes differ.
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


def fitnets(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Compare feature maps, the hints of FitNets (Romero et al. 2015).

    The mean squared difference is theirs; to divide it by the teacher's mean square, so that teachers of any feature
    scale weigh alike, is our choice: a student that gives zeros scores 1.

    Args:
        student_map: (B, C, h, w), after the student's adapter.
        teacher_map: (B, C, h, w); it gets no gradient.

    Returns:
        A scalar; 0 for B = 0.

    Raises:
        FsmdeError: The shapes differ.
    """
    check_same(student_map.shape, teacher_map.shape, "feature maps (B, C, h, w)")
    if student_map.numel() == 0:
        return student_map.float().sum() * 0
    teacher = teacher_map.detach().float()
    return F.mse_loss(student_map.float(), teacher) / teacher.square().mean().clamp_min(1e-12)


def rkd(
    student_vectors: Tensor, teacher_vectors: Tensor, distance_weight: float = 1.0, angle_weight: float = 2.0
) -> Tensor:
    """Compare distances and angles between the vectors of a batch: relational distillation (RKD, Park et al. 2019).

    Smooth L1 of the distances of all pairs, relative to their mean, and of the cosines of all angles in triangles;
    means over pairs and over angles. Takes memory in proportion to M^2 (M + C).

    Args:
        student_vectors, teacher_vectors: (M, C) and (M, D), one per image; the teacher's get no gradient.
        distance_weight, angle_weight: Weights of the two parts, by default those of Park et al.

    Returns:
        A scalar; 0 for M < 2.

    Raises:
        FsmdeError: The numbers of vectors differ.
    """
    check_same(student_vectors.shape[:1], teacher_vectors.shape[:1], "vectors (M,)")
    count = len(student_vectors)
    if count < 2:
        return student_vectors.float().sum() * 0
    distances, angles = _relations(student_vectors)
    true_distances, true_angles = _relations(teacher_vectors.detach())
    distance = F.smooth_l1_loss(distances, true_distances)
    # An angle needs three different vectors; the others are the same for both and add nothing to the sum.
    angle = F.smooth_l1_loss(angles, true_angles, reduction="sum") / max(count * (count - 1) * (count - 2), 1)
    return distance_weight * distance + angle_weight * angle


def _relations(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Relative distances (M (M - 1) / 2,), and cosines (M, M, M) at the first index between the other two."""
    differences = vectors.float()[None] - vectors.float()[:, None]
    first, second = torch.triu_indices(len(vectors), len(vectors), 1, device=vectors.device)
    distances = torch.linalg.vector_norm(differences[first, second], dim=-1)
    return distances / distances.mean(-1, keepdim=True).clamp_min(SHORTEST), cosines(differences, differences)
