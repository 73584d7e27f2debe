"""Runs distillation from the command line; training/README.md explains it.

python -m fsmde_training.distill.fit fit --config training/configs/distill.yaml
torchrun --nnodes 2 --nproc_per_node 8 ... -m fsmde_training.distill.fit fit --config ... --trainer.num_nodes 2
"""

from __future__ import annotations

from collections.abc import Sequence

from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from fsmde_core.errors import exit_on_user_error
from fsmde_training.distill.data import RingsDataModule
from fsmde_training.distill.module import DistillationModule
from fsmde_training.supervised.fit import TrainingCLI


class DistillationCLI(TrainingCLI):
    """Takes the seed of the data from seed_everything: one number decides everything that is random."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)


def main(args: list[str] | None = None, callbacks: Sequence[Callback] = ()) -> LightningCLI:
    """Run LightningCLI.

    `--ckpt_path last` goes on where the last epoch ended, to the same weights bit for bit as without the stop, on the
    same machine and number of processes.

    Args:
        args: The command line; None for that of the process.
        callbacks: What comes on top of the configured ones.

    Returns:
        The command line interface, with trainer, model and data.
    """
    return DistillationCLI.run(DistillationModule, RingsDataModule, args, callbacks)


if __name__ == "__main__":
    with exit_on_user_error("distill.fit"):
        main()
