"""Selects a recording and the frames of it; a kind's reader is imported when it is asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsmde_core.errors import FsmdeError

if TYPE_CHECKING:
    from fsmde_core.sources.source import Source

# kind: module, class, and the sample recording that is looked for where no root is given
READERS = {
    "pandaset": ("datasets.pandaset", "PandaSetSource", "pandaset_002"),
    "nuscenes": ("datasets.nuscenes", "NuScenesSource", "nuscenes_keyframe"),
    "ddad": ("datasets.ddad", "DdadSource", "ddad_dgp"),
    "rosbag": ("rosbag", "RosbagSource", None),
    "synthetic": ("synthetic", "SyntheticStreet", None),
}
KINDS = tuple(READERS)

FLAGS = {
    "rig": "--rig",
    "cameras": "--cameras",
    "lidar": "--lidar",
    "base_frame": "--base-frame",
    "version": "--data-version",
    "split": "--split",
    "jump_ms": "--jump-ms",
}
"""Options of readers, and how commands call them; each kind takes some of them."""

FrameRange = tuple[int, "int | None"]
"""First frame and the one after the last; None means to the end."""


def open_source(kind: str, root: str | Path | None = None, **options: Any) -> Source:
    """Open a recording.

    Args:
        kind: One of KINDS.
        root: Folder or file; None for the sample in $FSMDE_DATA or ../shared/data, and for the synthetic street.
        **options: Those of the kind's reader, see FLAGS.

    Returns:
        The recording.

    Raises:
        FsmdeError: The kind is unknown or does not take an option, or the root is missing or holds something else.
    """
    if kind not in READERS:
        raise FsmdeError(f"source '{kind}' is unknown; use one of {list(KINDS)}")
    module, name, sample = READERS[kind]
    if kind == "synthetic" and root is not None:
        raise FsmdeError(f"the synthetic street is made on the spot and reads no files; leave out the root {root}")
    roots = () if kind == "synthetic" else (_find_root(kind, root, sample),)
    reader = getattr(import_module(f"fsmde_core.sources.{module}"), name)
    _check_options(kind, reader, options)
    return reader(*roots, **options)  # type: ignore[no-any-return]


def _check_options(kind: str, reader: type[Source], options: Iterable[str]) -> None:
    taken = signature(reader).parameters
    for option in options:
        if option not in taken:
            found = ", ".join(flag for name, flag in FLAGS.items() if name in taken)
            raise FsmdeError(f"a recording of kind '{kind}' takes no {FLAGS.get(option, option)}, only {found}")


def _find_root(kind: str, root: str | Path | None, sample: str | None) -> Path:
    if root is None:
        found = find_recording(sample) if sample else None
        if found is None:
            hint = f"; {sample} is neither in $FSMDE_DATA nor in ../shared/data" if sample else ""
            raise FsmdeError(f"source '{kind}' needs the place of a recording{hint}; give it with --root")
        return found
    if not Path(root).exists():
        raise FsmdeError(f"the recording {root} does not exist; give an existing {kind} recording with --root")
    return Path(root)


def default_recording() -> tuple[str, Path | None]:
    """Return (kind, root) of what demo and bench play: the PandaSet sample where found, else the synthetic street."""
    root = find_recording("pandaset_002")
    return ("pandaset", root) if root else ("synthetic", None)


def find_recording(name: str) -> Path | None:
    """Find folder `name` under $FSMDE_DATA, else under ../shared/data beside the working folder or the source tree."""
    roots = [Path(os.environ["FSMDE_DATA"])] if os.environ.get("FSMDE_DATA") else []
    source_tree = Path(__file__).resolve().parents[2]
    roots += [Path("../shared/data"), source_tree.parent / "shared" / "data"]
    for root in roots:
        if (root / name).is_dir():
            return root / name
    return None


def open_recording(kind: str | None, root: Path | None, **options: Any) -> Source:
    """Open what was asked for: without kind and root the default recording, with a root alone a rosbag.

    Args:
        kind, root, **options: As for `open_source`.

    Returns:
        The recording.

    Raises:
        FsmdeError: The recording cannot be opened.
    """
    if kind is None:
        kind, root = default_recording() if root is None else ("rosbag", root)
    return open_source(kind, root, **options)


def recording_place(kind: str | None, source: Source) -> tuple[str, Path | None]:
    root = getattr(source, "root", None) or getattr(source, "path", None)
    return kind or ("rosbag" if hasattr(source, "path") else source.name), root


def parse_names(text: str) -> list[str]:
    """Read names that commas separate, such as 'front,back'; FsmdeError where there is none."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise FsmdeError(f"'{text}' names no camera; write names with commas between them, such as front,back")
    return names


def parse_frames(text: str) -> FrameRange:
    """Read 'A:B', 'A:', ':B' or ':'; FsmdeError where the text is anything else."""
    match = re.fullmatch(r"(-?\d*):(-?\d*)", text)
    if not match or "-" in match.groups():
        raise FsmdeError(f"frames '{text}' must look like 0:50, 10: or :20")
    start, stop = match.groups()
    return int(start or 0), int(stop) if stop else None


def frame_count(source: Source, frames: FrameRange) -> int:
    """Count the frames of a range.

    Args:
        source: The recording.
        frames: The range, by the rules of Python's slices.

    Returns:
        Their number, at least 1.

    Raises:
        FsmdeError: The range has none.
    """
    count = len(range(*slice(*frames).indices(len(source))))
    if not count:
        raise FsmdeError(f"the recording {source.name} has no frames in the range {frames}, of {len(source)}")
    return count
