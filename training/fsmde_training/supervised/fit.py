"""Training from the command line; see training/README.md.

python -m fsmde_training.supervised.fit fit --config training/configs/student.yaml \\
    --config training/configs/stages/1_real.yaml
"""

from __future__ import annotations

from collections.abc import Sequence

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from fsmde_core.errors import one_sentence
from fsmde_training.supervised.data import ViewsDataModule
from fsmde_training.supervised.module import StudentModule


class TrainingCLI(LightningCLI):
    """Keeps best.ckpt (by validation) and last.ckpt (every epoch) in trainer.default_root_dir."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for name in ("best", "last"):
            parser.add_lightning_class_args(ModelCheckpoint, name)
            parser.set_defaults({f"{name}.filename": name, f"{name}.enable_version_counter": False})
            parser.link_arguments("trainer.default_root_dir", f"{name}.dirpath")
        parser.set_defaults({"best.monitor": "val/abs_rel"})


def main(args: list[str] | None = None, callbacks: Sequence[Callback] = ()) -> LightningCLI:
    """Run LightningCLI; `--ckpt_path last` goes on where the last run stopped. callbacks: besides the configured."""
    trainer = {"callbacks": list(callbacks)}
    return TrainingCLI(
        StudentModule, ViewsDataModule, args=args, trainer_defaults=trainer, save_config_kwargs={"overwrite": True}
    )


if __name__ == "__main__":
    with one_sentence("supervised.fit"):
        main()
