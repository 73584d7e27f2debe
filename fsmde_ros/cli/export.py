"""`fsmde export`: a trained checkpoint as the ONNX file that the node loads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(help="A .ckpt file that training wrote.")],
    out: Annotated[Path, typer.Option(help="The new ONNX file.")] = Path("fsmde_student.onnx"),
    size: Annotated[str, typer.Option(metavar="WxH", help="Input size, multiples of 32 pixels.")] = "448x256",
) -> None:
    """Export a trained student to ONNX; the file is compared with PyTorch before it is trusted."""
    from rich.console import Console

    from fsmde_core.errors import FsmdeError
    from fsmde_core.model import read_model_info

    match = re.fullmatch(r"(\d+)x(\d+)", size)
    if not match:
        raise FsmdeError(f"size '{size}' must be width x height in pixels, such as 448x256")
    width, height = (int(number) for number in match.groups())
    try:
        from fsmde_training.export import export_onnx
    except ImportError as error:
        raise FsmdeError(f"export needs PyTorch ({error}); install it with `pip install 'fsmde_ros[train]'`") from error
    console = Console(stderr=True)
    with console.status(f"Exporting {checkpoint}"):
        path = export_onnx(checkpoint, out, (height, width))
    model = read_model_info(path)
    typer.echo(f"{path}: {model.width}x{model.height}, {path.stat().st_size / 1e6:.1f} MB, sha256 {model.sha256[:16]}")
