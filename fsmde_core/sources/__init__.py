"""Every recording behind one door: `open_source(kind, root)`; a kind's reader is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsmde_core.errors import FsmdeError
from fsmde_core.sources.locate import find_recording

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


def open_source(kind: str, root: str | Path | None = None, **options: Any) -> Source:
    """The recording of `kind` (one of KINDS) at `root`, with the reader's own options.

    Without a root the sample recording of that kind is taken, from $FSMDE_DATA or ../shared/data; the synthetic
    street has none. FsmdeError when the kind is unknown, or when the root is missing or holds something else.
    """
    if kind not in READERS:
        raise FsmdeError(f"source '{kind}' is unknown; use one of {list(KINDS)}")
    module, name, sample = READERS[kind]
    if kind == "synthetic" and root is not None:
        raise FsmdeError(f"the synthetic street is made on the spot and reads no files; leave out the root {root}")
    where = () if kind == "synthetic" else (_find_root(kind, root, sample),)
    reader = getattr(import_module(f"fsmde_core.sources.{module}"), name)
    return reader(*where, **options)  # type: ignore[no-any-return]


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
    """(kind, root) of what demo and bench play: the PandaSet sample where it is found, else the synthetic street."""
    root = find_recording("pandaset_002")
    return ("pandaset", root) if root else ("synthetic", None)
