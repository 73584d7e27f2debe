"""Runs the experiment: python -m fsmde_training.experiment --config training/configs/experiment/full.yaml."""

from __future__ import annotations

from jsonargparse import ArgumentParser

from fsmde_core.errors import exit_on_user_error
from fsmde_training.experiment.run import run
from fsmde_training.experiment.settings import Settings


def main(args: list[str] | None = None) -> None:
    """Run the experiment; what a user can put right is one sentence and exit code 2, as in `fsmde`."""
    parser = ArgumentParser(prog="python -m fsmde_training.experiment", description=run.__doc__)
    parser.add_argument("--config", action="config", help="settings, one of training/configs/experiment")
    parser.add_class_arguments(Settings)
    chosen = vars(parser.parse_args(args))
    with exit_on_user_error("experiment"):
        run(Settings(**{name: value for name, value in chosen.items() if name != "config"}))


if __name__ == "__main__":
    main()
