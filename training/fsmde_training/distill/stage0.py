"""Fits a binning module to a frozen teacher's features with lidar, stage 0; the student is distilled from it.

python -m fsmde_training.distill.stage0 fit --config training/configs/distill/stage0.yaml
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from torch import Tensor

from fsmde_core.errors import exit_on_user_error
from fsmde_training.distill.data import RingsDataModule
from fsmde_training.distill.fit import DistillationCLI
from fsmde_training.distill.module import PER_VIEW
from fsmde_training.supervised.module import adamw_one_cycle, supervised_terms
from fsmde_training.teachers import load_teacher
from fsmde_training.teachers.binned import BinnedTeacher, save_binned_teacher

WEIGHTS = {"silog": 1.0, "likelihood": 0.5}
FILE = "binned_teacher.pt"


class Stage0Module(L.LightningModule):
    """Trains with SILog of the depth and likelihood of the truth under the bins, as supervised training does.

    The teacher is not part of the module: its features come with the batches of `RingsDataModule`, cached or computed.
    When training ends, the result is FILE in trainer.default_root_dir.
    learning_rate: The highest of a one-cycle schedule.
    """

    def __init__(self, binned: BinnedTeacher, learning_rate: float = 3e-3, weight_decay: float = 0.01) -> None:
        super().__init__()
        self.binned = binned
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Compute the terms, unweighted, of a batch of `RingsDataModule` with the teacher's outputs."""
        views = {name: batch[name].flatten(0, 1) for name in PER_VIEW}
        maps, _relative = batch["teacher"]
        distribution = self.binned.distribution(tuple(level.flatten(0, 1) for level in maps))
        with torch.autocast(self.device.type, enabled=False):
            return supervised_terms(self.binned, distribution, views, WEIGHTS)

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        terms = self.losses(batch)
        self.log_dict({f"train/{name}": value for name, value in terms.items()}, prog_bar=True)
        return torch.stack([weight * terms[name] for name, weight in WEIGHTS.items()]).sum()

    def configure_optimizers(self) -> Any:
        return adamw_one_cycle(self, [self.binned.parameters()], [self.learning_rate], self.weight_decay)

    def on_train_end(self) -> None:
        if self.trainer.is_global_zero:
            save_binned_teacher(self.binned, Path(self.trainer.default_root_dir) / FILE)


class Stage0CLI(DistillationCLI):
    """Keeps last.ckpt (every epoch) in trainer.default_root_dir; takes the teacher's channels from data.teacher."""

    checkpoints = ("last",)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.link_arguments("data.teacher", "model.binned.init_args.channels", compute_fn=_channels)


def _channels(teacher: str) -> tuple[int, ...]:
    return load_teacher(teacher).channels


def main(args: list[str] | None = None) -> LightningCLI:
    """Run LightningCLI; `--ckpt_path last` goes on where the last run stopped."""
    return Stage0CLI.run(Stage0Module, RingsDataModule, args)


if __name__ == "__main__":
    with exit_on_user_error("distill.stage0"):
        main()
