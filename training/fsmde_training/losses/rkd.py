"""Relational knowledge distillation (RKD, Park et al. 2019), a baseline: distances and angles of a batch's vectors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fsmde_training.losses.checks import check_same
from fsmde_training.losses.relations import cosines, relative_distances


def rkd(
    student_vectors: Tensor, teacher_vectors: Tensor, distance_weight: float = 1.0, angle_weight: float = 2.0
) -> Tensor:
    """(M, C) and (M, D), one vector per image -> scalar. M < 2 gives 0.

    Smooth L1 between student and teacher of the distances of all pairs, relative to their mean, and of the cosines of
    all angles in triangles; means over pairs and over angles. Takes memory in proportion to M^2 (M + C). The teacher
    gets no gradient. FsmdeError where M differs.
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
    return relative_distances(differences[first, second]), cosines(differences, differences)
