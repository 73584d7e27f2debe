"""Measures the GPU pipeline on this machine, writes JSON, prints tables: `python -m fsmde_ros.cli.benchmarks.gpu`."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

from fsmde_core.engines.model import default_model_path
from fsmde_core.errors import FsmdeError, exit_on_user_error


def _main(
    out: Annotated[Path, typer.Option(help="Folder of the JSON file, which is named after the GPU.")] = Path(
        "docs/benchmarks"
    ),
    network: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Student at 640x384. Default: one with random weights is exported (training extra)."),
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames per engine and network.")] = 1000,
    teachers: Annotated[bool, typer.Option(help="Also Depth Anything V2 at equal pixels (training extra).")] = True,
) -> None:
    """Measure the GPU pipeline from six raw images to depth and cloud, all in host memory, stage by stage."""
    import torch

    from fsmde_ros.cli.benchmarks.gpu.document import measure
    from fsmde_ros.cli.benchmarks.gpu.networks import write_student
    from fsmde_ros.cli.benchmarks.gpu.table import tables

    console = Console(highlight=False, stderr=True, log_path=False)
    if not torch.cuda.is_available():
        raise FsmdeError("torch sees no GPU here; run this on a machine with an NVIDIA GPU and a CUDA build of torch")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        student = network or write_student(Path(folder) / "student_640x384.onnx", 640, 384)
        models = [student, default_model_path()]
        for document in measure(models, frames, teachers, torch.device("cuda"), console.log):
            name = re.sub(r"\W+", "_", document["machine"]["gpu"]).strip("_").lower()
            (out / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    for table in tables(document):
        Console(highlight=False, width=120).print(table)


if __name__ == "__main__":
    with exit_on_user_error("bench-gpu"):
        typer.run(_main)
