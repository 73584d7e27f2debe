"""Implements `fsmde engine`, which builds TensorRT engines before the node needs them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fsmde_core.engines.model import ModelInfo

engine = typer.Typer(no_args_is_help=True)


@engine.callback()
def group() -> None:
    """Build TensorRT engines before the node needs them."""  # a callback keeps `build` a command of its own name


@engine.command()
def build(
    model: Annotated[Path | None, typer.Argument(help="ONNX file. Default: the shipped student.")] = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="fp16|fp32|int8", help="Default: the fastest that the file allows, as for the node."),
    ] = None,
    cameras: Annotated[int, typer.Option(min=1, help="Most images at once; an engine takes 6 at least.")] = 6,
    workspace: Annotated[
        int | None,
        typer.Option(min=1, metavar="MiB", help="Memory for one layer's intermediate results. Default: all there is."),
    ] = None,
    out: Annotated[
        Path | None,
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
    from fsmde_ros.cli.progress import build_bars

    engine_module("tensorrt")  # raises one sentence where something is not installed
    from fsmde_core.engines.tensorrt.build import engine_key, load_or_build_plan
    from fsmde_core.engines.tensorrt.cache import EngineCache
    from fsmde_core.engines.tensorrt.network import buildable_precisions

    info = read_model_info(model or default_model_path())
    chosen = precision or buildable_precisions(info)[0]
    cache = EngineCache(out)
    with build_bars(Console(stderr=True)) as bars:
        plan = load_or_build_plan(info, chosen, cameras, cache, bars, workspace)
    key = engine_key(info, chosen, cameras)
    typer.echo(
        f"{cache.path(info.path.stem, key)}: {chosen}, 1 to {key.cameras} images of {key.width}x{key.height}, "
        f"{key.gpu}, TensorRT {key.tensorrt}, {len(plan) / 1e6:.1f} MB"
    )
    if not build_only:
        typer.echo(_check(info, chosen, plan, key.cameras))


def _check(info: ModelInfo, precision: str, plan: bytes, cameras: int) -> str:
    """Load the engine and compare it with the ONNX file as the node would; FsmdeError where it deviates too far."""
    from contextlib import closing

    from fsmde_core.engines.self_check import deviation, reference, tolerance
    from fsmde_core.engines.tensorrt.engine import TensorRtEngine
    from fsmde_core.errors import FsmdeError

    with closing(TensorRtEngine(info, precision, plan, cameras)) as loaded:
        found, limit = deviation(loaded, reference(info, cameras)), tolerance(loaded)
    if not found.within(limit):
        raise FsmdeError(f"the engine deviates from {info.path} by {found} (allowed {limit}); build another precision")
    return f"against the ONNX reference: {found} (allowed {limit})"
