"""Defines the options that several commands have."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fsmde_core.errors import FsmdeError
from fsmde_core.sources import KINDS

if TYPE_CHECKING:
    from fsmde_core.sources.source import Source


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
READING = "How the recording is read"
FramesOption = Annotated[
    str, typer.Option("--frames", metavar="A:B", help="Frames from A up to B, counted as in a Python slice.")
]

ModelOption = Annotated[Path | None, typer.Option("--model", help="ONNX file. Default: the shipped student.")]
EngineOption = Annotated[str, typer.Option("--engine", help="Engine: auto, tensorrt, openvino, onnxruntime or torch.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0 is the engine's own choice.")]


def _reading(flag: str, metavar: str, text: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=text, rich_help_panel=READING)


RigOption = Annotated[
    str | None,
    _reading(
        "--rig", "FILE", "Rig file, or name of a shipped rig: calibration of a data set's cameras, or what a bag lacks."
    ),
]


def find_rig(name: str) -> Path:
    """Return the file of a shipped rig of that name, else the file of that path."""
    from fsmde_core.rig.rig import shipped_rigs

    return shipped_rigs().get(name, Path(name).expanduser())


@dataclass(frozen=True)
class RecordingOptions:
    """Holds the options with which every command opens a recording; `recording_options` gives them to a command."""

    source: SourceOption = None
    root: RootOption = None
    rig: RigOption = None
    cameras: Annotated[str | None, _reading("--cameras", "A,B", "Cameras that are read. Default: all.")] = None
    lidar: Annotated[
        str | None, _reading("--lidar", "NAME", "Topic of a bag's point clouds; of PandaSet pandar64 or pandargt.")
    ] = None
    base_frame: Annotated[
        str | None, _reading("--base-frame", "FRAME", "The vehicle's frame in a bag. Default: base_link.")
    ] = None
    data_version: Annotated[
        str | None, _reading("--data-version", "VERSION", "Tables of nuScenes, such as v1.0-mini.")
    ] = None
    split: Annotated[str | None, _reading("--split", "NAME", "Part of DDAD: train, val or test.")] = None
    jump_ms: Annotated[
        float | None, _reading("--jump-ms", "MS", "sync.jump_ms for a bag's images, as of the node. Default: 1000.")
    ] = None

    @property
    def reading(self) -> dict[str, Any]:
        """The options for `open_source`, without those that were not given."""
        from fsmde_core.sources.registry import parse_names

        options = {
            "rig": self.rig and find_rig(self.rig),
            "cameras": self.cameras and parse_names(self.cameras),
            "lidar": self.lidar,
            "base_frame": self.base_frame,
            "version": self.data_version,
            "split": self.split,
            "jump_ms": self.jump_ms,
        }
        return {name: value for name, value in options.items() if value or value == 0}

    def open(self) -> Source:
        """Open the recording; FsmdeError where that is not possible."""
        from fsmde_core.sources.registry import open_recording

        return open_recording(self.source, self.root, **self.reading)

    def at(self, root: Path | None) -> RecordingOptions:
        """Return the same options for a recording elsewhere; None leaves the place."""
        return self if root is None else replace(self, root=root)


def recording_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option per field of RecordingOptions, in place of its parameter `recording`."""
    fields = inspect.signature(RecordingOptions, eval_str=True).parameters
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        parameters += fields.values() if parameter.name == "recording" else [parameter]

    @wraps(command)
    def run(**values: Any) -> None:
        recording = RecordingOptions(**{name: values.pop(name) for name in fields})
        command(recording=recording, **values)

    # Typer reads either of these, depending on its version.
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    )
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


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
