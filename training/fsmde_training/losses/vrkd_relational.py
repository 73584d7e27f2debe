"""View-relational distillation by distance and angle between whole views (RKD, Park et al. 2019, on the ring)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from fsmde_training.losses.checks import check_same
from fsmde_training.losses.relations import cosines, relative_distances


def vrkd_relational(
    student: Tensor, teacher: Tensor, distance_weight: float = 1.0, angle_weight: float = 2.0
) -> Tensor:
    """Maps of V views in ring order, (B, V, C, h, w), C, h and w each network's own -> scalar. V < 2 or B = 0 gives 0.

    A view is the average of its map. Smooth L1 between student and teacher of the distances over the edges (v, v + 1
    mod V), relative to their mean in the sample, and of the cosines of the angles at v between v - 1 and v + 1. Two
    views have neither to compare: 0. Weights as in Park et al.; restriction to the ring is our choice. The teacher gets
    no gradient. FsmdeError where B or V differ.
    """
    check_same(student.shape[:2], teacher.shape[:2], "samples and views (B, V)")
    if student.numel() == 0 or student.shape[1] < 2:
        return student.float().sum() * 0
    distances, angles = _relations(student)
    true_distances, true_angles = _relations(teacher.detach())
    distance, angle = F.smooth_l1_loss(distances, true_distances), F.smooth_l1_loss(angles, true_angles)
    return distance_weight * distance + angle_weight * angle


def _relations(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Relative length of every edge, and cosine at every view: (B, V) each."""
    views = maps.float().mean((3, 4))
    onward = views.roll(-1, 1) - views
    back = -onward.roll(1, 1)
    return relative_distances(onward), cosines(onward[:, :, None], back[:, :, None])[:, :, 0, 0]
