"""Stage 0: a binning module fitted to a frozen teacher's features with lidar; the student is distilled from it.

python -m fsmde_training.distill.stage0 fit --config training/configs/distill/stage0.yaml
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from torch import Tensor

from fsmde_core.errors import one_sentence
from fsmde_training.distill.data import RingsDataModule
from fsmde_training.distill.module import PER_VIEW
from fsmde_training.supervised.module import RISE, supervised_terms
from fsmde_training.teachers import load_teacher
from fsmde_training.teachers.binned import BinnedTeacher, save_binned_teacher

WEIGHTS = {"silog": 1.0, "likelihood": 0.5}
FILE = "binned_teacher.pt"


class Stage0Module(L.LightningModule):
    """SILog of the depth and likelihood of the truth under the bins, as in supervised training.

    The teacher is not part of the module: its features come with the batches of `RingsDataModule`, cached or computed.
    When training ends, the result is FILE in trainer.default_root_dir. learning_rate: highest of a one-cycle schedule.
    """

    def __init__(self, binned: BinnedTeacher, learning_rate: float = 3e-3, weight_decay: float = 0.01) -> None:
        super().__init__()
        self.binned = binned
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The terms, unweighted, of a batch of `RingsDataModule` with the teacher's outputs."""
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
        optimizer = torch.optim.AdamW(self.binned.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=steps, pct_start=RISE)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_end(self) -> None:
        if self.trainer.is_global_zero:
            save_binned_teacher(self.binned, Path(self.trainer.default_root_dir) / FILE)


class Stage0CLI(LightningCLI):
    """Keeps last.ckpt (every epoch) in trainer.default_root_dir; takes the teacher's channels from data.teacher."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(ModelCheckpoint, "last")
        parser.set_defaults({"last.filename": "last", "last.enable_version_counter": False})
        parser.link_arguments("trainer.default_root_dir", "last.dirpath")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)
        parser.link_arguments("data.teacher", "model.binned.init_args.channels", compute_fn=_channels)


def _channels(teacher: str) -> tuple[int, ...]:
    return load_teacher(teacher).channels


def main(args: list[str] | None = None) -> LightningCLI:
    """Run LightningCLI; `--ckpt_path last` goes on where the last run stopped."""
    return Stage0CLI(Stage0Module, RingsDataModule, args=args, save_config_kwargs={"overwrite": True})


if __name__ == "__main__":
    with one_sentence("distill.stage0"):
        main()
