"""Training of the project's teacher on dense synthetic depth and densified lidar.

python -m fsmde_training.supervised.fit_teacher fit --config training/configs/teacher.yaml
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningCLI
from torch import Tensor
from torchmetrics import MeanMetric

from fsmde_core.errors import one_sentence
from fsmde_training.losses import log_gradient, relative_error, silog
from fsmde_training.networks.checkpoint import find_weights
from fsmde_training.supervised.data import ViewsDataModule
from fsmde_training.supervised.fit import TrainingCLI
from fsmde_training.supervised.module import RISE, VALIDATION_RANGE, weighted_terms
from fsmde_training.teachers.base import resize
from fsmde_training.teachers.project import ProjectTeacher

WEIGHTS = {"silog": 1.0, "relative": 5.0, "edges": 1.0}


class TeacherModule(L.LightningModule):
    """SILog and relative error of the depth, matching of depth edges; arguments as of `StudentModule`.

    Labels beyond the teacher's range, sky among them, count as the farthest depth for the relative error; sky is left
    out of SILog, where one such pixel would outweigh hundreds of near ones.
    enlarged: share of training views at half their resolution, enlarged again: as a student's own images reach the
    teacher where nothing larger is at hand.
    """

    def __init__(
        self,
        teacher: ProjectTeacher,
        encoder_weights: Path | None = None,
        learning_rate: float = 1e-3,
        encoder_rate: float = 0.2,
        weight_decay: float = 0.01,
        weights: dict[str, float] | None = None,
        enlarged: float = 0.5,
    ) -> None:
        super().__init__()
        self.save_hyperparameters({"architecture": teacher.architecture})
        self.teacher = teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learning_rate, self.encoder_rate, self.weight_decay = learning_rate, encoder_rate, weight_decay
        self.weights = weighted_terms(WEIGHTS if weights is None else weights, WEIGHTS)
        self.enlarged = enlarged
        if encoder_weights is not None:
            self.teacher.encoder.load_imagenet(find_weights(encoder_weights))
        self.abs_rel = MeanMetric()

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms, unweighted, of a batch of `TrainingViews`."""
        teacher = self.teacher
        depth = teacher.canonical_depth(batch["images"])
        target = batch["depth"] * (teacher.focal_canonical / batch["focal"])[:, None, None]
        view, pixel = torch.nonzero(batch["pixels"] >= 0, as_tuple=True)
        pixel = batch["pixels"][view, pixel]
        depth_at, truth = depth.flatten(1)[view, pixel], target.flatten(1)[view, pixel]
        ground, truth = torch.isfinite(truth), truth.clamp(teacher.min_depth, teacher.max_depth)
        return {
            "silog": silog(depth_at[ground], truth[ground]),
            "relative": relative_error(depth_at, truth),
            "edges": log_gradient(depth, target),
        }

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        shown = blurred(batch["images"], torch.rand(len(batch["images"])) < self.enlarged)
        terms = self.losses({**batch, "images": shown})
        self.log_dict({f"train/{name}": value for name, value in terms.items()}, prog_bar=True)
        return torch.stack([weight * terms[name] for name, weight in self.weights.items()]).sum()

    def validation_step(self, batch: dict[str, Tensor], _: int, dataloader_idx: int = 0) -> None:
        """Mean AbsRel over images of all sets: metric depth as it is, 0.1 to 80 m, at the teacher's size."""
        scale = (batch["focal"] / self.teacher.focal_canonical)[:, None, None]
        depth = (self.teacher.canonical_depth(batch["images"]) * scale).clamp(*VALIDATION_RANGE)
        for predicted, truth in zip(depth, batch["depth"], strict=True):
            valid = (truth > VALIDATION_RANGE[0]) & (truth < VALIDATION_RANGE[1])
            if valid.any():
                self.abs_rel.update(relative_error(predicted[valid], truth[valid]))

    def on_validation_epoch_end(self) -> None:
        self.log("val/abs_rel", self.abs_rel.compute(), prog_bar=True)
        self.abs_rel.reset()

    def configure_optimizers(self) -> Any:
        encoder = list(self.teacher.encoder.parameters())
        known = set(encoder)
        rest = [parameter for parameter in self.teacher.parameters() if parameter not in known]
        rates = [self.learning_rate * self.encoder_rate, self.learning_rate]
        groups = [{"params": group, "lr": rate} for group, rate in zip((encoder, rest), rates, strict=True)]
        optimizer = torch.optim.AdamW(groups, weight_decay=self.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps, pct_start=RISE)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def blurred(images: Tensor, chosen: Tensor) -> Tensor:
    """images: (B, H, W, 3) uint8, even sizes -> the same, the `chosen` (B,) bool ones halved and enlarged again."""
    x = images[chosen].permute(0, 3, 1, 2).float()
    half = resize(x, (x.shape[2] // 2, x.shape[3] // 2))
    out = images.clone()
    out[chosen] = resize(half, (x.shape[2], x.shape[3])).round().to(torch.uint8).permute(0, 2, 3, 1)
    return out


def main(args: list[str] | None = None, callbacks: Sequence[Callback] = ()) -> LightningCLI:
    """Run LightningCLI as `supervised.fit` does; `--ckpt_path last` goes on where the last run stopped."""
    trainer = {"callbacks": list(callbacks)}
    return TrainingCLI(
        TeacherModule, ViewsDataModule, args=args, trainer_defaults=trainer, save_config_kwargs={"overwrite": True}
    )


if __name__ == "__main__":
    with one_sentence("supervised.fit_teacher"):
        main()
