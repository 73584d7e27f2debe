"""Trains the project's teacher on dense synthetic depth and densified lidar.

python -m fsmde_training.supervised.fit_teacher fit --config training/configs/teacher.yaml
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningCLI
from torch import Tensor
from torchmetrics import MeanMetric

from fsmde_core.errors import exit_on_user_error
from fsmde_training.losses import log_gradient, relative_error, silog
from fsmde_training.supervised.data import ViewsDataModule
from fsmde_training.supervised.fit import TrainingCLI
from fsmde_training.supervised.module import SupervisedModule, abs_rel_per_image, canonical_target, labelled_pixels
from fsmde_training.teachers.base import resize
from fsmde_training.teachers.project import ProjectTeacher

WEIGHTS = {"silog": 1.0, "relative": 5.0, "edges": 1.0}


class TeacherModule(SupervisedModule):
    """Trains with SILog and relative error of the depth, and matching of depth edges; arguments as of `StudentModule`.

    Labels beyond the teacher's range, sky among them, count as the farthest depth for the relative error; sky is left
    out of SILog, where one such pixel would outweigh hundreds of near ones.
    enlarged: Share of training views at half their resolution, enlarged again: as a student's own images reach the
        teacher where nothing larger is at hand.
    """

    teacher: ProjectTeacher

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
        rates = (learning_rate, encoder_rate, weight_decay)
        super().__init__("teacher", teacher, encoder_weights, rates, weights, WEIGHTS)
        self.enlarged = enlarged
        self.abs_rel = MeanMetric()

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute the terms, unweighted, of a batch of `TrainingViews`."""
        depth = self.teacher.canonical_depth(batch["images"])
        labelled = labelled_pixels(self.teacher, batch)
        depth_at, truth, ground = depth[labelled.view, labelled.row, labelled.column], labelled.truth, labelled.ground
        return {
            "silog": silog(depth_at[ground], truth[ground]),
            "relative": relative_error(depth_at, truth),
            "edges": log_gradient(depth, canonical_target(self.teacher, batch)),
        }

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        shown = blurred(batch["images"], torch.rand(len(batch["images"])) < self.enlarged)
        terms = self.losses({**batch, "images": shown})
        self.log_dict({f"train/{name}": value for name, value in terms.items()}, prog_bar=True)
        return torch.stack([weight * terms[name] for name, weight in self.weights.items()]).sum()

    def validation_step(self, batch: dict[str, Tensor], _: int, dataloader_idx: int = 0) -> None:
        # Mean AbsRel over images of all sets: metric depth as it is, 0.1 to 80 m, at the teacher's size.
        scale = (batch["focal"] / self.teacher.focal_canonical)[:, None, None]
        for error in abs_rel_per_image(self.teacher.canonical_depth(batch["images"]) * scale, batch["depth"]):
            self.abs_rel.update(error)

    def on_validation_epoch_end(self) -> None:
        self.log("val/abs_rel", self.abs_rel.compute(), prog_bar=True)
        self.abs_rel.reset()


def blurred(images: Tensor, chosen: Tensor) -> Tensor:
    x = images[chosen].permute(0, 3, 1, 2).float()
    half = resize(x, (x.shape[2] // 2, x.shape[3] // 2))
    out = images.clone()
    out[chosen] = resize(half, (x.shape[2], x.shape[3])).round().to(torch.uint8).permute(0, 2, 3, 1)
    return out


def main(args: list[str] | None = None, callbacks: Sequence[Callback] = ()) -> LightningCLI:
    return TrainingCLI.run(TeacherModule, ViewsDataModule, args, callbacks)


if __name__ == "__main__":
    with exit_on_user_error("supervised.fit_teacher"):
        main()
