"""Defines the options that several commands have."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

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
    SourceKind | None,  # type: ignore[valid-type]
    typer.Option("--source", help="Kind of recording. Default: the PandaSet sample if found, else a synthetic street."),
]
RootOption = Annotated[
    Path | None,
    typer.Option("--root", help="Place of the recording. Default: its sample under $FSMDE_DATA or ../shared/data."),
]
FramesOption = Annotated[
    str, typer.Option("--frames", metavar="A:B", help="Frames from A up to B, counted as in a Python slice.")
]

ModelOption = Annotated[Path | None, typer.Option("--model", help="ONNX file. Default: the shipped student.")]
EngineOption = Annotated[str, typer.Option("--engine", help="Engine: auto, tensorrt, openvino, onnxruntime or torch.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0 is the engine's own choice.")]


def check_output(option: str, file: Path | None) -> None:
    """Refuse an output file that cannot be written, before anything is computed for it.

    Args:
        option: The option that names it, as typed.
        file: Where the output will be; None passes.

    Raises:
        FsmdeError: It is a folder, its folder is not there, or it cannot be written.
    """
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
