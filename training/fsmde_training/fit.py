"""Training from the command line: python -m fsmde_training.fit fit --config training/configs/student.yaml"""

from __future__ import annotations

from collections.abc import Sequence

from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningCLI

from fsmde_training.data import Views
from fsmde_training.module import StudentModule


def main(args: list[str] | None = None, callbacks: Sequence[Callback] = ()) -> LightningCLI:
    """Run LightningCLI; `--ckpt_path last` goes on where the last run stopped. callbacks: besides the configured."""
    trainer = {"callbacks": list(callbacks)}
    return LightningCLI(
        StudentModule,
        Views,
        args=args,
        trainer_defaults=trainer,
        save_config_kwargs={"overwrite": True},
    )


if __name__ == "__main__":
    main()
