"""Lists the distillation terms by name, and says what each compares, and where in the two networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

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
    """

    views: int
    pyramid: Pyramid
    distribution: BinDistribution
    teacher: TeacherOutput
    bins: BinDistribution | None
    hint: Tensor | None
    ground: LabelledPixels
    temperature: float
    levels: Mapping[str, int]

    def rings(self, name: str) -> tuple[Tensor, Tensor]:
        """Give the maps of student and teacher at the level of the term `name`, (B, V, C, h, w) each."""
        level = self.levels[name]
        student, teacher = self.pyramid[level], self.teacher.pyramid[level]
        return student.unflatten(0, (-1, self.views)), teacher.unflatten(0, (-1, self.views))

    def teacher_bins(self) -> BinDistribution:
        assert self.bins is not None
        return self.bins


def _ckd_probability(c: RingComparison) -> Tensor:
    """Compare every pixel of stride 4, labelled or not: it takes a twentieth of a step, so no choice is needed."""
    return losses.ckd_probability(
        c.distribution.logits.flatten(0, 2), c.teacher_bins().logits.flatten(0, 2), c.temperature
    )


def _ckd_centres(c: RingComparison) -> Tensor:
    student, teacher = c.distribution.at(*c.ground.cells), c.teacher_bins().at(*c.ground.cells)
    return losses.ckd_centres(teacher.probabilities, student.centres, c.ground.truth)


def _rkd(c: RingComparison) -> Tensor:
    """Compare the mean vectors of all views of the batch, whichever ring they belong to."""
    student, teacher = (maps.flatten(0, 1).mean((2, 3)) for maps in c.rings("rkd"))
    return losses.rkd(student, teacher)


def _fitnets(c: RingComparison) -> Tensor:
    assert c.hint is not None
    return losses.fitnets(c.hint, c.teacher.pyramid[c.levels["fitnets"]])


TERMS: dict[str, Callable[[RingComparison], Tensor]] = {
    "ckd_probability": _ckd_probability,
    "ckd_centres": _ckd_centres,
    "vrkd_affinity": lambda c: losses.vrkd_affinity(*c.rings("vrkd_affinity")),
    "depth_kd": lambda c: losses.depth_kd(c.distribution.log_mean(), c.teacher.relative),
    "fitnets": _fitnets,
    "rkd": _rkd,
}
BINNED = frozenset({"ckd_probability", "ckd_centres"})
"""Terms that compare bins, for which the teacher needs a binning module (stage 0)."""
