"""`fsmde`: one command line for recordings, the node and the model. Command files import when they run."""

from __future__ import annotations

import sys

import typer

from fsmde_core.errors import FsmdeError
from fsmde_ros.cli.commands.bag import bag
from fsmde_ros.cli.commands.bench import bench
from fsmde_ros.cli.commands.demo import demo
from fsmde_ros.cli.commands.engine import engine
from fsmde_ros.cli.commands.evaluate import evaluate
from fsmde_ros.cli.commands.export import export
from fsmde_ros.cli.commands.info import info
from fsmde_ros.cli.commands.mounts import mounts
from fsmde_ros.cli.commands.play import play
from fsmde_ros.cli.commands.replay import replay
from fsmde_ros.cli.commands.report import report
from fsmde_ros.cli.commands.view import view

app = typer.Typer(
    name="fsmde",
    help="Full-surround metric depth: six synchronized cameras in, metric depth images and point clouds out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo, play, view, bag, evaluate, replay, report, mounts, bench, export, info):
    app.command()(command)
app.add_typer(engine, name="engine")


def main() -> None:
    """Entry point: what a user can put right is one sentence and exit code 2; Ctrl-C is quiet, exit code 130."""
    try:
        app()
    except FsmdeError as error:
        print(f"fsmde: {error}", file=sys.stderr)
        sys.exit(2)
