"""`fsmde engine`: TensorRT engines, built before the node needs them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from fsmde_core.engines.model import ModelInfo

engine = typer.Typer(help="TensorRT engines, built before the node needs them.", no_args_is_help=True)


@engine.callback()
def group() -> None:
    """TensorRT engines, built before the node needs them."""  # a callback keeps `build` a command of its own name


@engine.command()
def build(
    model: Annotated[Optional[Path], typer.Argument(help="ONNX file. Default: the shipped student.")] = None,  # noqa: UP045
    precision: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="fp16|fp32|int8", help="Default: the fastest that the file gives, as the node takes it."),
    ] = None,
    cameras: Annotated[int, typer.Option(min=1, help="The engine takes 1 to so many images, 6 at least.")] = 6,
    workspace: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, metavar="MiB", help="Memory for one layer's intermediate results. Default: all there is."),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", help="Default: $FSMDE_ENGINES, else fsmde/engines in the user's cache folder."),
    ] = None,
    build_only: Annotated[
        bool, typer.Option("--build-only", help="Neither load the engine nor compare it with the ONNX reference.")
    ] = False,
) -> None:
    """Build the TensorRT engine of a model for this machine's GPU, or find it built, and check it."""
    from rich.console import Console

    from fsmde_core.engines.model import default_model_path, read_model_info
    from fsmde_core.engines.registry import engine_module

    engine_module("tensorrt")  # says in one sentence what is not installed
    from fsmde_core.engines.tensorrt.cache import EngineCache
    from fsmde_core.engines.tensorrt.network import offered
    from fsmde_core.engines.tensorrt.provide import engine_key, provide

    info = read_model_info(model or default_model_path())
    chosen = precision or offered(info)[0]
    cache = EngineCache(out)
    console = Console(stderr=True)
    with progress_bars(console) as bars:
        plan = provide(info, chosen, cameras, cache, bars, workspace)
    key = engine_key(info, chosen, cameras)
    typer.echo(
        f"{cache.path(info.path.stem, key)}: {chosen}, 1 to {key.cameras} images of {key.width}x{key.height}, "
        f"{key.gpu}, TensorRT {key.tensorrt}, {len(plan) / 1e6:.1f} MB"
    )
    if not build_only:
        typer.echo(check(info, chosen, plan, key.cameras))


def check(info: ModelInfo, precision: str, plan: bytes, cameras: int) -> str:
    """Load the engine and compare it with the ONNX file as the node would; FsmdeError where it deviates too far."""
    from fsmde_core.engines.self_check import deviation, reference, tolerance
    from fsmde_core.engines.tensorrt.engine import TensorRtEngine
    from fsmde_core.errors import FsmdeError

    loaded = TensorRtEngine(info, precision, plan, cameras)
    try:
        found, limit = deviation(loaded, reference(info, cameras)), tolerance(loaded)
    finally:
        loaded.close()
    if not found.within(limit):
        raise FsmdeError(f"the engine deviates from {info.path} by {found} (allowed {limit}); build another precision")
    return f"against the ONNX reference: {found} (allowed {limit})"


class BuildBars:
    """TensorRT's phases as bars, each gone when it ends; see `Progress` of the engine."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A bar for the phase, set in when it is part of another."""
        self._tasks[phase] = self._bars.add_task(f"{'  ' if parent else ''}{phase}", total=steps)

    def step(self, phase: str, done: int) -> None:
        """Move its bar."""
        if phase in self._tasks:
            self._bars.update(self._tasks[phase], completed=done)

    def finish(self, phase: str) -> None:
        """Take its bar away."""
        if phase in self._tasks:
            self._bars.remove_task(self._tasks.pop(phase))


@contextmanager
def progress_bars(console: Console) -> Iterator[BuildBars]:
    """Bars on `console` while inside."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        yield BuildBars(bars)
