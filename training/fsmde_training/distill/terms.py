"""Lists the distillation terms by name, and says what each compares, and where in the two networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fsmde_training import losses
from fsmde_training.networks.binning import BinDistribution
from fsmde_training.networks.decoder import Pyramid
from fsmde_training.supervised.module import LabelledPixels
from fsmde_training.teachers import TeacherOutput

LEVELS = {"vrkd_affinity": 3, "fitnets": 2, "rkd": 3}
"""Level of the pyramid, 0 to 3 for strides 4 to 32, at which a term compares features. Our choice."""


@dataclass(frozen=True, eq=False)
class RingComparison:
    """Holds what student and teacher make of the same B rings of V views; maps hold the B * V views in sequence.

    bins: The teacher's, None where no term asks for them.
    hint: The student's map at the level of "fitnets" in the teacher's channels.
    ground: Labelled pixels without sky.
    seen: (B * V, H, W) bool, False where a view shows the own vehicle or nothing: no term compares anything there.
    """

    views: int
    pyramid: Pyramid
    distribution: BinDistribution
    teacher: TeacherOutput
    bins: BinDistribution | None
    hint: Tensor | None
    ground: LabelledPixels
    seen: Tensor
    temperature: float
    levels: Mapping[str, int]

    def seen_cells(self, size: torch.Size) -> Tensor:
        """Tell which cells of smaller maps, of (h, w) `size`, are seen in all their pixels: (B * V, h, w) bool."""
        return F.adaptive_max_pool2d((~self.seen).float(), tuple(size)) == 0

    def maps(self, name: str) -> tuple[Tensor, Tensor]:
        """Give the maps of student and teacher at the level of the term `name`, (B * V, C, h, w), 0 in unseen cells."""
        level = self.levels[name]
        return tuple(
            maps * self.seen_cells(maps.shape[-2:])[:, None]  # type: ignore[return-value]
            for maps in (self.pyramid[level], self.teacher.pyramid[level])
        )

    def rings(self, name: str) -> tuple[Tensor, Tensor]:
        """Give `maps` by ring, (B, V, C, h, w) each."""
        student, teacher = self.maps(name)
        return student.unflatten(0, (-1, self.views)), teacher.unflatten(0, (-1, self.views))

    def teacher_bins(self) -> BinDistribution:
        assert self.bins is not None
        return self.bins


def _ckd_probability(c: RingComparison) -> Tensor:
    """Compare every pixel of stride 4, labelled or not: it takes a twentieth of a step, so no choice is needed."""
    student, teacher = c.distribution.logits, c.teacher_bins().logits
    seen = c.seen_cells(student.shape[1:3])
    return losses.ckd_probability(student[seen], teacher[seen], c.temperature)


def _ckd_centres(c: RingComparison) -> Tensor:
    student, teacher = c.distribution.at(*c.ground.cells), c.teacher_bins().at(*c.ground.cells)
    return losses.ckd_centres(teacher.probabilities, student.centres, c.ground.truth)


def _rkd(c: RingComparison) -> Tensor:
    """Compare the mean vectors of all views of the batch, whichever ring they belong to."""
    student, teacher = (
        maps.sum((2, 3)) / c.seen_cells(maps.shape[-2:]).sum((1, 2))[:, None].clamp_min(1) for maps in c.maps("rkd")
    )
    return losses.rkd(student, teacher)


def _fitnets(c: RingComparison) -> Tensor:
    assert c.hint is not None
    _, teacher = c.maps("fitnets")
    return losses.fitnets(c.hint * c.seen_cells(c.hint.shape[-2:])[:, None], teacher)


def _depth_kd(c: RingComparison) -> Tensor:
    """Compare whole images at once, or where some are seen in part, one by one what is seen of each."""
    student, teacher = c.distribution.log_mean(), c.teacher.relative
    seen = c.seen_cells(student.shape[-2:])
    if seen.all():
        return losses.depth_kd(student, teacher)
    views = [(s[k][None, None], t[k][None, None]) for s, t, k in zip(student, teacher, seen, strict=True) if k.any()]
    return torch.stack([losses.depth_kd(*view) for view in views] or [student.sum() * 0]).mean()


TERMS: dict[str, Callable[[RingComparison], Tensor]] = {
    "ckd_probability": _ckd_probability,
    "ckd_centres": _ckd_centres,
    "vrkd_affinity": lambda c: losses.vrkd_affinity(*c.rings("vrkd_affinity")),
    "depth_kd": _depth_kd,
    "fitnets": _fitnets,
    "rkd": _rkd,
}
BINNED = frozenset({"ckd_probability", "ckd_centres"})
"""Terms that compare bins, for which the teacher needs a binning module (stage 0)."""
