"""The binning module, the same for teacher and student, and how one starts from the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from torch import Tensor, nn

from fsmde_core.errors import FsmdeError
from fsmde_training.networks.binning.centres import AttractorCentres, WidthCentres
from fsmde_training.networks.binning.distribution import BinDistribution
from fsmde_training.networks.binning.probabilities import LogBinomialHead, SoftmaxHead

Centres = Literal["widths", "attractor"]
Probabilities = Literal["softmax", "log_binomial"]
Sharing = Literal["all", "probability_head", "none"]


class Binning(nn.Module):
    """Four maps (B, widths[l], H/s, W/s), strides s = 4, 8, 16, 32 -> BinDistribution at stride 4.

    min_depth, max_depth: metres at the canonical focal length. centres: one set per image ("widths") or per pixel
    ("attractor"). probabilities: free ("softmax") or one peak ("log_binomial"). FsmdeError for other names.
    """

    def __init__(
        self,
        widths: Sequence[int],
        bins: int,
        min_depth: float,
        max_depth: float,
        centres: Centres,
        probabilities: Probabilities,
    ) -> None:
        super().__init__()
        _check("centres", centres, get_args(Centres))
        _check("probabilities", probabilities, get_args(Probabilities))
        self.architecture: dict[str, Any] = {
            "widths": tuple(widths),
            "bins": bins,
            "min_depth": min_depth,
            "max_depth": max_depth,
            "centres": centres,
            "probabilities": probabilities,
        }
        centre_class = WidthCentres if centres == "widths" else AttractorCentres
        head_class = SoftmaxHead if probabilities == "softmax" else LogBinomialHead
        self.centres = centre_class(widths, bins, min_depth, max_depth)
        self.probability_head = head_class(widths, bins)

    def forward(self, pyramid: Sequence[Tensor]) -> BinDistribution:
        return BinDistribution(self.probability_head(pyramid), self.centres(pyramid))


def share_binning(student: Binning, teacher: Binning, what: Sharing) -> None:
    """Start `what` of the student's binning from the teacher's weights; they are copied, so the teacher's stay.

    "all": centres and probabilities; "probability_head": only the latter. The paper says that the module is shared, not
    how: this reading is our choice. FsmdeError where the parts are not built alike.
    """
    _check("sharing", what, get_args(Sharing))
    if what == "none":
        return
    must_match = ("widths", "bins", "probabilities") if what == "probability_head" else tuple(student.architecture)
    for name in must_match:
        ours, theirs = student.architecture[name], teacher.architecture[name]
        if ours != theirs:
            raise FsmdeError(f"binning of the student has {name}={ours}, of the teacher {theirs}; make them equal")
    part = "" if what == "all" else "probability_head"
    student.get_submodule(part).load_state_dict(teacher.get_submodule(part).state_dict())


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise FsmdeError(f"{name} '{value}' is not known; use one of {', '.join(allowed)}")
