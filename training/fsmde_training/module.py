"""Supervised training of the student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torchmetrics import MeanMetric

from fsmde_training.checkpoint import find_weights, load_student
from fsmde_training.losses import bin_negative_log_likelihood, log_gradient, relative_error, silog
from fsmde_training.student import Student

VALIDATION_RANGE = (0.1, 80.0)
WEIGHTS = {"silog": 1.0, "relative": 5.0, "likelihood": 0.5, "edges": 1.0}


class StudentModule(L.LightningModule):
    """SILog and relative error of the depth, likelihood of the truth under the bins, matching of depth edges.

    Labels beyond the bins, sky among them, count as the farthest depth for the likelihood; sky is left out of SILog,
    where one such pixel would outweigh hundreds of near ones.
    encoder_weights: ImageNet weights, an .npz file. start: a checkpoint whose weights to begin with; unlike --ckpt_path
    it brings neither optimizer nor schedule.
    learning_rate: of decoder and bins; the encoder's is `encoder_rate` times that.
    weights: of the terms by name, WEIGHTS unless given; a term without weight is left out.
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
    ) -> None:
        super().__init__()
        self.save_hyperparameters({"architecture": student.architecture})
        self.student = student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learning_rate, self.encoder_rate, self.weight_decay = learning_rate, encoder_rate, weight_decay
        self.weights = WEIGHTS if weights is None else weights
        if encoder_weights is not None:
            self.student.encoder.load_imagenet(find_weights(encoder_weights))
        if start is not None:
            self.student.load_state_dict(load_student(start).state_dict())
        self.abs_rel = MeanMetric()

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms, unweighted, of a batch of `TrainingViews`."""
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
        depth_at, truth_at = depth[view, row, column][ground], truth[ground]
        return {
            "silog": silog(depth_at, truth_at),
            "relative": relative_error(depth_at, truth_at),
            "likelihood": bin_negative_log_likelihood(logits, centres, truth),
            "edges": log_gradient(depth, target),
        }

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        terms = self.losses(batch)
        total = sum((weight * terms[name] for name, weight in self.weights.items()), terms["silog"].new_zeros(()))
        self.log_dict({f"train/{name}": value for name, value in terms.items()}, prog_bar=True)
        return total

    def validation_step(self, batch: dict[str, Tensor], _: int, dataloader_idx: int = 0) -> None:
        """Mean AbsRel over images, per set and over all of them: depth as it is, 0.1 to 80 m, at the network's size."""
        low, high = VALIDATION_RANGE
        name = self.trainer.datamodule.validation[dataloader_idx]  # type: ignore[attr-defined]
        depth, _sigma = self.student(batch["images"], batch["focal"])
        for predicted, truth in zip(depth.clamp(low, high), batch["depth"], strict=True):
            valid = (truth > low) & (truth < high)
            if valid.any():
                abs_rel = ((predicted - truth).abs() / truth)[valid].mean()
                self.log(f"val/{name}", abs_rel, batch_size=1, add_dataloader_idx=False)
                self.abs_rel.update(abs_rel)

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
