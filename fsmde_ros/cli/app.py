"""Defines `fsmde`, one command line for recordings, the node and the model; commands import when they run."""

from __future__ import annotations

import typer

from fsmde_core.errors import exit_on_user_error
from fsmde_ros.cli.commands.machine.engine import engine
from fsmde_ros.cli.commands.machine.info import info
from fsmde_ros.cli.commands.measure.bench import bench
from fsmde_ros.cli.commands.measure.evaluate import evaluate
from fsmde_ros.cli.commands.measure.mounts import mounts
from fsmde_ros.cli.commands.measure.replay import replay
from fsmde_ros.cli.commands.run.bag import bag
from fsmde_ros.cli.commands.run.play import play
from fsmde_ros.cli.commands.see.demo import demo
from fsmde_ros.cli.commands.see.report import report
from fsmde_ros.cli.commands.see.view import view
from fsmde_ros.cli.commands.train.export import export

app = typer.Typer(
    name="fsmde",
    help="Full-surround metric depth: six synchronized cameras in, metric depth images and point clouds out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
GROUPS = {
    "See": (demo, view, report),
    "Run": (play, bag),
    "Measure": (evaluate, replay, mounts, bench),
    "Train": (export,),
    "Machine": (info,),
}
for group, commands in GROUPS.items():
    for command in commands:
        app.command(rich_help_panel=group)(command)
app.add_typer(engine, name="engine", rich_help_panel="Machine")


def main() -> None:
    """Run the command line: what a user can put right is one sentence and exit code 2; Ctrl-C is quiet, code 130."""
    with exit_on_user_error("fsmde"):
        app()
