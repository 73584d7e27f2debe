"""Builds the binning module, the same for teacher and student, and lets one start from the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from torch import Tensor, nn

from fsmde_core.errors import FsmdeError
from fsmde_training.networks.binning.centres import BinCentres
from fsmde_training.networks.binning.distribution import BinDistribution

Sharing = Literal["all", "none"]


class ProbabilityHead(nn.Module):
    """Gives a free logit per bin from the finest map."""

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.logits = nn.Conv2d(channels, bins, 1)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Compute logits (B, h, w, N) float32 at the size of the finest map; maps come fine to coarse."""
        return self.logits(pyramid[0]).permute(0, 2, 3, 1).float()


class Binning(nn.Module):
    """Makes bins at stride 4 of four maps (B, widths[l], H/s, W/s), strides s = 4, 8, 16, 32.

    min_depth, max_depth: The range of the bins, metres at the canonical focal length.
    """

    def __init__(self, widths: Sequence[int], bins: int, min_depth: float, max_depth: float) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = {
            "widths": tuple(widths),
            "bins": bins,
            "min_depth": min_depth,
            "max_depth": max_depth,
        }
        self.centres = BinCentres(widths[-1], bins, min_depth, max_depth)
        self.probability_head = ProbabilityHead(widths[0], bins)

    def forward(self, pyramid: Sequence[Tensor]) -> BinDistribution:
        return BinDistribution(self.probability_head(pyramid), self.centres(pyramid))


def share_binning(student: Binning, teacher: Binning, sharing: Sharing) -> None:
    """Start the student's binning from the teacher's weights; they are copied, so the teacher's stay.

    The paper (Hwang et al. 2026) shares a binning module; to share it as a common start is our choice.

    Args:
        student, teacher: The two modules.
        sharing: "all" copies centres and probabilities, "none" nothing.

    Raises:
        FsmdeError: The modules are not built alike, or `sharing` is something else.
    """
    if sharing not in get_args(Sharing):
        raise FsmdeError(f"sharing '{sharing}' is not known; use one of {', '.join(get_args(Sharing))}")
    if sharing == "none":
        return
    for name, ours in student.architecture.items():
        theirs = teacher.architecture[name]
        if ours != theirs:
            raise FsmdeError(f"binning of the student has {name}={ours}, of the teacher {theirs}; make them equal")
    student.load_state_dict(teacher.state_dict())
