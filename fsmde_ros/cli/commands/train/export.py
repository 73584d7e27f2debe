"""Implements `fsmde export`, which turns a trained checkpoint into the ONNX file that the node loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fsmde_training.export.compare import AccuracyCost

LARGEST_COST = 0.01
"""Relative increase of AbsRel beyond which, or where it is unknown, the command warns on stderr."""


def export(
    checkpoint: Annotated[Path, typer.Argument(help="A .ckpt file that training wrote.")],
    out: Annotated[Path, typer.Option(help="The new ONNX file.")] = Path("fsmde_student.onnx"),
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH", help="Input size, multiples of 32 pixels; default: what the model was trained for."
        ),
    ] = None,
    precision: Annotated[str, typer.Option(metavar="fp32|fp16|int8", help="Of weights and arithmetic.")] = "fp32",
    calibration: Annotated[
        str, typer.Option(metavar="SET|KIND[:ROOT]", help="For int8: a training set's folder, or a recording.")
    ] = "pandaset",
    training_data: Annotated[str, typer.Option(help="What the model was trained on, for its metadata.")] = "not stated",
    licence: Annotated[str, typer.Option(help="Licence of the model, for its metadata.")] = "not stated",
) -> None:
    """Export a trained student to ONNX, and compare the file with PyTorch before it is trusted."""
    from rich.console import Console

    from fsmde_core.engines.model import read_model_info
    from fsmde_core.errors import FsmdeError
    from fsmde_training.networks.sizes import parse_size

    chosen = None if size is None else parse_size(size)[::-1]
    try:
        from fsmde_training import export as exporting
    except ImportError as error:
        raise FsmdeError(f"export needs PyTorch ({error}); install it with `pip install 'fsmde_ros[train]'`") from error
    console = Console(stderr=True)
    with console.status(f"Exporting {checkpoint}"):
        report = exporting.export(
            checkpoint, out, chosen, precision, calibration, exporting.Provenance(training_data, licence)
        )
    model = read_model_info(report.path)
    megabytes = report.path.stat().st_size / 1e6
    typer.echo(f"{report.path}: {model.width}x{model.height}, {megabytes:.1f} MB, sha256 {model.sha256[:16]}")
    typer.echo(
        f"float32 against PyTorch: relative difference at most {report.difference:.1e} ({exporting.TOLERANCE} allowed)"
    )
    if report.deviation is not None:
        typer.echo(f"{precision} against float32, relative to depth + sigma: {report.deviation}")
    if precision == "int8":
        print_cost(report.cost)


def print_cost(cost: AccuracyCost | None) -> None:
    if cost is None:
        typer.echo("warning: the calibration recording has no held-out depth; what int8 costs is not known", err=True)
        return
    typer.echo(
        f"AbsRel on {cost.images} held-out images: float32 {cost.float32:.4f}, int8 {cost.reduced:.4f} "
        f"({cost.relative:+.1%})"
    )
    if cost.relative > LARGEST_COST:
        typer.echo(
            f"warning: int8 raises AbsRel by {cost.relative:.1%}, more than {LARGEST_COST:.0%}; calibrate with more "
            "varied images, or export fp16",
            err=True,
        )
