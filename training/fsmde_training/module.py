"""Supervised training of the student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torchmetrics import MeanMetric

from fsmde_training.checkpoint import load_student
from fsmde_training.losses import bin_negative_log_likelihood, log_gradient, silog
from fsmde_training.student import Student

VALIDATION_RANGE = (0.1, 80.0)


class StudentModule(L.LightningModule):
    """SILog on the depth, likelihood of the truth under the bins, matching of depth edges.

    Labels beyond the bins, sky among them, count as the farthest depth for the likelihood; sky is left out of SILog,
    where one such pixel would outweigh hundreds of near ones.
    encoder_weights: ImageNet weights (.npz). start: a checkpoint whose weights to begin with; unlike --ckpt_path it
    brings neither optimizer nor schedule.
    learning_rate: of decoder and bins; the encoder's is `encoder_rate` times that.
    weights: of likelihood and edges; SILog has 1.
    """

    def __init__(
        self,
        student: Student,
        encoder_weights: Path | None = None,
        start: Path | None = None,
        learning_rate: float = 1e-3,
        encoder_rate: float = 0.2,
        weight_decay: float = 0.01,
        weights: tuple[float, float] = (0.5, 1.0),
    ) -> None:
        super().__init__()
        self.save_hyperparameters({"architecture": student.architecture})
        self.student = student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learning_rate, self.encoder_rate, self.weight_decay = learning_rate, encoder_rate, weight_decay
        self.weights = weights
        if encoder_weights is not None:
            self.student.encoder.load_imagenet(encoder_weights)
        if start is not None:
            self.student.load_state_dict(load_student(start).state_dict())
        self.abs_rel = MeanMetric()

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The three terms of a batch of `TrainingViews`."""
        focal, size = batch["focal"], batch["depth"].shape
        distribution = self.student.distribution(batch["images"])
        depth = self.student.canonical_depth(distribution)
        target = batch["depth"] * (self.student.focal_canonical / focal)[:, None, None]
        view, pixel = torch.nonzero(batch["pixels"] >= 0, as_tuple=True)
        pixel = batch["pixels"][view, pixel]
        row, column = pixel // size[2], pixel % size[2]
        truth = target[view, row, column].clamp(self.student.min_depth, self.student.max_depth)
        ground = torch.isfinite(target[view, row, column])
        logits = distribution.logits[view, row // 4, column // 4]
        centres = distribution.centres.expand_as(distribution.logits)[view, row // 4, column // 4]
        return {
            "silog": silog(depth[view, row, column][ground], truth[ground]),
            "likelihood": bin_negative_log_likelihood(logits, centres, truth),
            "edges": log_gradient(depth, target),
        }

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        terms = self.losses(batch)
        total = terms["silog"] + self.weights[0] * terms["likelihood"] + self.weights[1] * terms["edges"]
        self.log_dict({f"train/{name}": value for name, value in terms.items()}, prog_bar=True)
        return total

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        depth, _sigma = self.student(batch["images"], batch["focal"])
        low, high = VALIDATION_RANGE
        for predicted, truth in zip(depth.clamp(low, high), batch["depth"], strict=True):
            valid = (truth > low) & (truth < high)
            if valid.any():
                self.abs_rel.update(((predicted - truth).abs() / truth)[valid].mean())

    def on_validation_epoch_end(self) -> None:
        self.log("val/abs_rel", self.abs_rel.compute(), prog_bar=True)
        self.abs_rel.reset()

    def configure_optimizers(self) -> Any:
        encoder = list(self.student.encoder.parameters())
        rest = [*self.student.decoder.parameters(), *self.student.bins.parameters()]
        rates = [self.learning_rate * self.encoder_rate, self.learning_rate]
        groups = [{"params": group, "lr": rate} for group, rate in zip((encoder, rest), rates, strict=True)]
        optimizer = torch.optim.AdamW(groups, weight_decay=self.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps, pct_start=0.1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
