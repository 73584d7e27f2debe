"""Implements `fsmde report`, which shows results as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fsmde_core.errors import FsmdeError
from fsmde_ros.cli.options import EngineOption, RigOption, RootOption, ThreadsOption, check_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fsmde_core.report.documents import LoadedResult
    from fsmde_core.report.gallery import Gallery


def report(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Files that fsmde evaluate --json wrote.")],
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="Write the page to this file.")],
    root: RootOption = None,
    rig: RigOption = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(help="ONNX file that was evaluated; repeat it for several. Default: the shipped student."),
    ] = None,
    engine: EngineOption = "auto",
    threads: ThreadsOption = 0,
    pictures: Annotated[bool, typer.Option(help="Show the best and the worst images, predicted again.")] = True,
) -> None:
    """Show results of `fsmde evaluate` on one self-contained HTML page, and compare two or more."""
    from fsmde_core.report.documents import load_results
    from fsmde_core.report.page import render

    check_output("--html", html)
    documents = load_results(results)
    gallery = _gallery(documents, root, rig, model, engine, threads) if pictures else None
    page = render(documents, gallery).encode()
    html.write_bytes(page)
    typer.echo(f"{html}: {len(page) / 1e6:.1f} MB, open it in a browser")


def _gallery(
    results: Sequence[LoadedResult],
    root: Path | None,
    rig: str | None,
    models: list[Path] | None,
    engine: str,
    threads: int,
) -> Gallery:
    from contextlib import ExitStack, closing

    from fsmde_core.engines import load_engine
    from fsmde_core.engines.model import default_model_path
    from fsmde_core.pipeline.pipeline import CpuPipeline
    from fsmde_core.report.documents import match_models
    from fsmde_core.report.gallery import make_gallery
    from fsmde_core.sources import open_source
    from fsmde_ros.cli.options import find_rig

    options = results[0].at("options") or {}
    if "rig" in options:
        if rig is None:
            raise FsmdeError(f"the recording was read with the rig {options['rig']}; give it again with --rig")
        options = {**options, "rig": find_rig(rig)}
    source = open_source(results[0].at("kind"), root, **options)
    files = match_models(results, models or [default_model_path()])
    with ExitStack() as stack:
        pipelines = {
            sha256: stack.enter_context(closing(CpuPipeline(load_engine(engine, path, threads, 1), threads)))
            for sha256, path in files.items()
        }
        return make_gallery(results, source, pipelines)
