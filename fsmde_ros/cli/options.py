"""Options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from fsmde_core.errors import FsmdeError
from fsmde_core.sources import KINDS


class _Kind(str, Enum):
    """A choice that is a plain string to everything behind the command line."""

    def __str__(self) -> str:
        return str(self.value)


SourceKind = _Kind("SourceKind", {kind: kind for kind in KINDS})  # type: ignore[call-overload, misc]

# Typer reads these annotations at run time, on Python 3.10 too.
SourceOption = Annotated[
    Optional[SourceKind],  # type: ignore[valid-type]  # noqa: UP045
    typer.Option("--source", help="Kind of recording. Default: the PandaSet sample if found, else a synthetic street."),
]
RootOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--root", help="Where the recording lies. Default: its sample under $FSMDE_DATA or ../shared/data."),
]
FramesOption = Annotated[
    str, typer.Option("--frames", metavar="A:B", help="Frames A to B of the recording, counted as Python slices are.")
]

ModelOption = Annotated[Optional[Path], typer.Option("--model", help="ONNX file. Default: the shipped student.")]  # noqa: UP045
EngineOption = Annotated[str, typer.Option("--engine", help="auto, tensorrt, openvino, onnxruntime or torch.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0: the engine's own choice.")]
ProtocolOption = Annotated[str, typer.Option("--protocol", help="surrounddepth or vfdepth.")]
CapOption = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--cap", help="Largest true depth that is measured, metres. Default: 80, on DDAD 200."),
]
ScalingOption = Annotated[str, typer.Option("--scaling", help="none, or median: predictions are scaled to the truth.")]
MasksOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--masks", metavar="DIR", help="<camera>.png each: what is black there is not measured."),
]
BaselinesOption = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Score a constant depth and the ground plane too.")
]


def check_output(option: str, file: Path | None) -> None:
    """Refuse a file that cannot be written before anything is computed for it."""
    if file is None:
        return
    try:
        if file.is_dir() or not file.parent.is_dir():
            raise FsmdeError(f"{option} {file} must name a file in an existing folder")
        if not file.exists():
            file.touch()
            file.unlink()
    except OSError as error:
        raise FsmdeError(f"{option} {file} cannot be written ({error.strerror}); name a file elsewhere") from error
