"""Finds the files that a recording consists of."""

from __future__ import annotations

from pathlib import Path, PurePath

import yaml

from fsmde_core.errors import FsmdeError

STORAGES = (".mcap", ".db3")
METADATA = "metadata.yaml"


def find_files(root: Path) -> tuple[list[Path], list[str]]:
    """Find the storage files of `root`, and describe in sentences what is wrong with them.

    The root is one file (`.mcap` or `.db3`, also with `.zstd` behind), a bag's folder, or a folder of files and bags,
    which together are one recording. Raises FsmdeError when there is none.
    """
    files: list[Path] = [root] if root.is_file() and _is_storage(root) else []
    notes: list[str] = []
    if root.is_dir():
        files, notes = _folder(root)
        for folder in sorted(path for path in root.iterdir() if path.is_dir()):
            more_files, more_notes = _folder(folder)
            files, notes = files + more_files, notes + more_notes
    if files:
        return files, notes
    if root.suffix == ".bag" or any(root.glob("*.bag")):
        raise FsmdeError(f"the bag {root} is of ROS 1; convert it with `rosbags-convert` and give the new folder")
    raise FsmdeError(
        f"{root} is no rosbag2: expected a bag's folder, {' or '.join(STORAGES)}, or a folder of these"
        + "".join(f"; {note}" for note in notes)
    )


def _folder(folder: Path) -> tuple[list[Path], list[str]]:
    """Find the files of a bag's folder: those that its metadata lists, and any others that are there."""
    present = sorted(path for path in folder.iterdir() if path.is_file() and _is_storage(path))
    metadata = folder / METADATA
    if not metadata.exists():
        return present, [f"{folder} has no {METADATA}: its files were taken in order of time"] if present else []
    try:
        listed = yaml.safe_load(metadata.read_text(encoding="utf-8"))["rosbag2_bagfile_information"]
        names = [PurePath(name).name for name in listed["relative_file_paths"]]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        return present, [f"{metadata} cannot be read ({reason}): the files beside it were taken in order of time"]
    by_content = {_unpacked(path.name): path for path in present}  # a file that was unpacked is the same one
    by_name = {path.name: path for path in present}
    chosen = {_unpacked(name): by_name.get(name) or by_content.get(_unpacked(name)) for name in names}
    missing = [folder / name for name in names if chosen[_unpacked(name)] is None]
    unlisted = {content: path for content, path in by_content.items() if content not in chosen}
    end = "it may be a file that is not listed" if unlisted else "its part of the recording was left out"
    notes = [f"{path} is missing, which {metadata} lists: {end}" for path in missing]
    notes += [f"{path} was read, although {metadata} does not list it" for path in unlisted.values()]
    return [path for path in (*chosen.values(), *unlisted.values()) if path is not None], notes


def _unpacked(name: str) -> str:
    return name.removesuffix(".zstd")


def _is_storage(path: Path) -> bool:
    return PurePath(_unpacked(path.name)).suffix in STORAGES
