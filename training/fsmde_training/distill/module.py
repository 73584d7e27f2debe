"""Trains the student on rings: supervised terms where there are labels, distillation terms everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fsmde_core.errors import FsmdeError
from fsmde_training.distill.terms import BINNED, LEVELS, TERMS, RingComparison
from fsmde_training.networks.binning import BinDistribution, Sharing, share_binning
from fsmde_training.networks.decoder import WIDTHS, Pyramid
from fsmde_training.networks.student import Student
from fsmde_training.supervised.module import StudentModule, labelled_pixels, supervised_terms, weighted_terms
from fsmde_training.teachers import TeacherOutput
from fsmde_training.teachers.binned import load_binned_teacher

PER_VIEW = ("images", "depth", "focal", "pixels")
COMMON = ("focal_canonical", "min_depth", "max_depth", "bins")
"""Where these are equal, bin i means the same to student and teacher."""


class DistillationModule(StudentModule):
    """Adds distillation terms to `StudentModule`, on batches of `RingsDataModule`. Nothing of the teacher is exported.

    All losses are float32, whatever the trainer's precision.
    weights: Of the supervised terms, as in StudentModule.
    distillation: Weights of the terms in `terms.TERMS`; a term without weight is not computed.
    binned_teacher: The teacher's binning module and adapters, a .pt file of stage 0; needed by terms that compare bins,
        by `sharing`, and by "fitnets": its adapter, a 1x1 convolution, gives as many channels as the teacher has.
    sharing: Whether the student's binning starts from the teacher's ("all").
    warmup: Optimizer steps over which the weights of the distillation terms rise linearly from 0.
    temperature: Of CKD (a).
    levels: Levels of the pyramid by term, in place of those in `terms.LEVELS`.
    norms_every: Batches of an epoch between the logs of `gradient_norms`, of the terms as weighted at that step.
    """

    def __init__(
        self,
        student: Student,
        encoder_weights: Path | None = None,
        start: Path | None = None,
        learning_rate: float = 1e-3,
        encoder_rate: float = 0.2,
        weight_decay: float = 0.01,
        weights: dict[str, float] | None = None,
        distillation: dict[str, float] | None = None,
        binned_teacher: Path | None = None,
        sharing: Sharing = "none",
        warmup: int = 0,
        temperature: float = 1.0,
        levels: dict[str, int] | None = None,
        norms_every: int = 50,
    ) -> None:
        super().__init__(student, encoder_weights, start, learning_rate, encoder_rate, weight_decay, weights)
        self.distillation = weighted_terms(distillation or {}, TERMS)
        self.warmup, self.temperature, self.norms_every = warmup, temperature, norms_every
        self.levels = LEVELS | (levels or {})
        self.teacher = None if binned_teacher is None else load_binned_teacher(binned_teacher)
        self._check_teacher(sharing)
        if self.teacher is not None and start is None:
            share_binning(self.student.bins, self.teacher.binning, sharing)
        self.adapter: nn.Conv2d | None = None
        if self.teacher is not None and "fitnets" in self.distillation:
            level = self.levels["fitnets"]
            self.adapter = nn.Conv2d(WIDTHS[level], self.teacher.channels[level], 1)

    def _check_teacher(self, sharing: Sharing) -> None:
        needing = sorted({*BINNED, "fitnets"} & set(self.distillation))
        if self.teacher is None and (needing or sharing != "none"):
            raise FsmdeError(
                f"model.binned_teacher is not given, expected a .pt file of stage 0 for {needing} and sharing={sharing}"
            )
        if self.teacher is None or (sharing == "none" and not BINNED & set(self.distillation)):
            return
        for name in COMMON:
            ours, theirs = self.student.architecture[name], self.teacher.architecture[name]
            if ours != theirs:
                raise FsmdeError(f"the student has {name}={ours}, the binned teacher {theirs}; make them equal")

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Compute the terms that have a weight, unweighted, of a batch of `RingsDataModule`."""
        views = {name: batch[name].flatten(0, 1) for name in PER_VIEW}
        pyramid = self.student.pyramid(views["images"])
        distribution = self.student.bins(pyramid)
        # Products inside the losses would be taken in half precision, and SILog would lose its digits.
        with torch.autocast(self.device.type, enabled=False):
            terms = supervised_terms(self.student, distribution, views, self.weights)
            if self.distillation:
                compared = self._compare(batch, views, pyramid, distribution)
                terms |= {name: TERMS[name](compared) for name in self.distillation}
        return terms

    def _compare(
        self, batch: dict[str, Any], views: dict[str, Tensor], pyramid: Pyramid, distribution: BinDistribution
    ) -> RingComparison:
        if "teacher" not in batch:
            raise FsmdeError(f"no teacher for the terms {sorted(self.distillation)}; give data.teacher")
        maps, relative = batch["teacher"]
        teacher = TeacherOutput(tuple(level.flatten(0, 1) for level in maps), relative.flatten(0, 1))
        bins = None
        if self.teacher is not None and BINNED & set(self.distillation):
            with torch.no_grad():
                bins = self.teacher.distribution(teacher.pyramid)
        return RingComparison(
            views=batch["images"].shape[1],
            pyramid=tuple(level.float() for level in pyramid),
            distribution=distribution,
            teacher=teacher,
            bins=bins,
            hint=None if self.adapter is None else self.adapter(pyramid[self.levels["fitnets"]].float()),
            ground=labelled_pixels(self.student, views).on_ground(),
            seen=batch["seen"].flatten(0, 1),
            temperature=self.temperature,
            levels=self.levels,
        )

    def weighted(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Multiply terms by their weights at the present step."""
        rise = min(1.0, (self.global_step + 1) / self.warmup) if self.warmup else 1.0
        weights = self.weights | {name: rise * weight for name, weight in self.distillation.items()}
        return {name: weights[name] * value for name, value in terms.items()}

    def training_step(self, batch: dict[str, Any], index: int) -> Tensor:
        terms = self.losses(batch)
        weighted = self.weighted(terms)
        self.log_dict({f"train/{name}": value for name, value in terms.items()}, prog_bar=True)
        if index % self.norms_every == 0 and self.logger is not None:
            norms = gradient_norms(weighted, list(self.student.decoder.parameters()))
            self.logger.log_metrics(
                {f"gradient/{name}": value.item() for name, value in norms.items()}, self.global_step
            )
        return torch.stack(list(weighted.values())).sum()


def gradient_norms(terms: Mapping[str, Tensor], parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
    """Compute the L2 norm of every term's gradient; .grad stays as it is.

    With the decoder's parameters, the last that all terms share, it says how hard each term pulls; a backward pass
    through the decoder per term is its price.

    Args:
        terms: Weighted terms by name.
        parameters: What the gradients are of.

    Returns:
        Scalars by name.
    """
    norms = {}
    for name, value in terms.items():
        gradients = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
        reached = [gradient.float().norm() for gradient in gradients if gradient is not None]
        norms[name] = torch.stack([value.new_zeros(()), *reached]).norm()
    return norms
