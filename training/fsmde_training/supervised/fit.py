r"""Trains the student from the command line; training/README.md explains the stages.

python -m fsmde_training.supervised.fit fit --config training/configs/student.yaml \
    --config training/configs/stages/1_real.yaml
"""

from __future__ import annotations

from collections.abc import Sequence

import lightning as L
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from fsmde_core.errors import exit_on_user_error
from fsmde_training.supervised.data import ViewsDataModule
from fsmde_training.supervised.duration import DurationEstimate
from fsmde_training.supervised.module import StudentModule


class TrainingCLI(LightningCLI):
    """Keeps best.ckpt (by validation) and last.ckpt (every epoch, for --ckpt_path last) in trainer.default_root_dir."""

    checkpoints: tuple[str, ...] = ("best", "last")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for name in self.checkpoints:
            parser.add_lightning_class_args(ModelCheckpoint, name)
            parser.set_defaults({f"{name}.filename": name, f"{name}.enable_version_counter": False})
            parser.link_arguments("trainer.default_root_dir", f"{name}.dirpath")
        if "best" in self.checkpoints:
            parser.set_defaults({"best.monitor": "val/abs_rel"})

    @classmethod
    def run(
        cls,
        model: type[L.LightningModule],
        data: type[L.LightningDataModule],
        args: list[str] | None,  # the command line, None for that of the process
        callbacks: Sequence[Callback] = (),  # come on top of the configured ones
    ) -> LightningCLI:
        trainer = {"callbacks": [*callbacks, DurationEstimate()]}
        return cls(model, data, args=args, trainer_defaults=trainer, save_config_kwargs={"overwrite": True})


def main(args: list[str] | None = None, callbacks: Sequence[Callback] = ()) -> LightningCLI:
    return TrainingCLI.run(StudentModule, ViewsDataModule, args, callbacks)


if __name__ == "__main__":
    with exit_on_user_error("supervised.fit"):
        main()
