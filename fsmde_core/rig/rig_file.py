"""Reads a rig file together with the names that a recording uses for the rig's topics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.rig import Rig, load_rig


@dataclass(frozen=True, eq=False)
class RigFile:
    """Holds a rig, and where a recording has its sensors.

    images, infos: camera -> topic of its images, and of its camera_info, of those that the file names. lidar: topic.
    """

    rig: Rig
    images: Mapping[str, str] = field(default_factory=dict)
    infos: Mapping[str, str] = field(default_factory=dict)
    lidar: str | None = None

    def __post_init__(self) -> None:
        unknown = sorted({*self.images, *self.infos} - set(self.rig.names))
        if unknown:
            raise FsmdeError(
                f"'topics' names {unknown}, which are no cameras of the rig; it has {list(self.rig.names)}"
            )

    @classmethod
    def load(cls, path: str | Path) -> RigFile:
        """Read what `load_rig` reads, and the optional entries `topics` and `lidar`.

        `topics` maps cameras to image topics, or to `{image: TOPIC, camera_info: TOPIC}`; `lidar` is a topic.
        Raises FsmdeError naming the file and the entry that is wrong.
        """
        rig = load_rig(path)
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        entries, lidar = document.get("topics") or {}, document.get("lidar")
        try:
            if not isinstance(entries, dict):
                raise FsmdeError(f"'topics' must map cameras to topics, found {entries!r}")
            if lidar is not None and not isinstance(lidar, str):
                raise FsmdeError(f"'lidar' must be the topic of a point cloud, found {lidar!r}")
            pairs = {str(name): _topics(name, entry) for name, entry in entries.items()}
            images = {name: image for name, (image, _) in pairs.items() if image}
            infos = {name: info for name, (_, info) in pairs.items() if info}
            return cls(rig, images, infos, lidar and _absolute(lidar))
        except FsmdeError as error:
            raise FsmdeError(f"rig file {path}: {error}") from error


def _topics(name: Any, entry: Any) -> tuple[str | None, str | None]:
    """Read the topics of a camera's images and camera_info."""
    entry = {"image": entry} if isinstance(entry, str) else entry
    known = isinstance(entry, dict) and entry and set(entry) <= {"image", "camera_info"}
    if not known or not all(isinstance(topic, str) for topic in entry.values()):
        raise FsmdeError(
            f"'topics' of camera '{name}' must be an image topic or {{image: TOPIC, camera_info: TOPIC}}, "
            f"found {entry!r}"
        )
    image, info = entry.get("image"), entry.get("camera_info")
    return image and _absolute(image), info and _absolute(info)


def _absolute(topic: str) -> str:
    return topic if topic.startswith("/") else f"/{topic}"
