"""Turns the node's parameters into typed, checked values: those of a configuration, and those that change in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rclpy.exceptions import NameValidationException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.validate_full_topic_name import validate_full_topic_name

from fsmde_core.clouds.packer import CloudSettings
from fsmde_core.engines.model import default_model_path
from fsmde_core.errors import FsmdeError
from fsmde_core.rig.rig import Rig, load_rig, shipped_rigs
from fsmde_core.sync.groups import SyncSettings

_TOPIC_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class NodeSetup:
    """Holds what takes effect when the node configures; `rig` has the cameras in use and the fused cloud's frame."""

    rig: Rig
    model: Path
    engine: str
    providers: tuple[str, ...]
    threads: int
    compressed: bool
    use_camera_info: bool
    use_tf: bool
    sync: SyncSettings
    check_consistency: bool
    check_lidar_topic: str

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> NodeSetup:
        """Read the parameters; raises FsmdeError for files that are missing or do not fit, and for contradictions."""
        rig = _select(_load_rig(values), values["cameras"])
        needed, cameras = values["sync.min_cameras"], len(rig.cameras)
        if needed > cameras:
            raise FsmdeError(
                f"parameter 'sync.min_cameras' is {needed}, but only {cameras} cameras are in use; lower it"
            )
        if values["check.lidar_topic"]:
            _check_topic("check.lidar_topic", values["check.lidar_topic"])
        return cls(
            rig=rig,
            model=Path(values["model"]).expanduser() if values["model"] else default_model_path(),
            engine=values["engine"],
            providers=tuple(name for name in values["onnxruntime.providers"] if name),
            threads=values["threads"],
            compressed=values["image_transport"] == "compressed",
            use_camera_info=values["intrinsics_source"] == "camera_info",
            use_tf=values["extrinsics_source"] == "tf",
            sync=SyncSettings(**_group(values, "sync.")),
            check_consistency=values["check.consistency"],
            check_lidar_topic=values["check.lidar_topic"],
        )


@dataclass(frozen=True)
class DynamicSettings:
    """Holds what takes effect with the next set of images."""

    depth: bool
    depth_color: bool
    cloud: bool
    camera_clouds: bool
    depth_encoding: str
    depth_gated: bool
    cloud_settings: CloudSettings
    stale_after_s: float

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> DynamicSettings:
        """Read the parameters; raises FsmdeError for settings that contradict each other."""
        return cls(
            **_group(values, "publish."),
            depth_encoding=values["depth.encoding"],
            depth_gated=values["depth.gated"],
            cloud_settings=CloudSettings(**_group(values, "cloud.")),
            stale_after_s=values["stale_after_s"],
        )


def _group(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def rig_path(name: str) -> Path:
    """Return the rig file that a name or a path stands for; raises FsmdeError where there is none."""
    shipped = shipped_rigs()
    path = shipped.get(name, Path(name).expanduser())
    if not path.is_file():
        found = f"'{name}', and no such file exists" if name else "empty"
        raise FsmdeError(
            f"parameter 'rig' is {found}; give the path of your rig file, or a shipped one of {list(shipped)}"
        )
    return path


def _check_topic(parameter: str, topic: str) -> None:
    try:
        validate_full_topic_name(expand_topic_name(topic, "node", "/"))
    except (NameValidationException, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(":")
        raise FsmdeError(f"parameter '{parameter}' is '{topic}', which is not a valid topic name: {reason}") from error


def _load_rig(values: Mapping[str, Any]) -> Rig:
    rig = load_rig(rig_path(values["rig"]))
    base_frame = values["base_frame"] or rig.base_frame
    if base_frame != rig.base_frame and values["extrinsics_source"] != "tf":
        raise FsmdeError(
            f"parameter 'base_frame' is '{base_frame}', but the rig's mounts are in '{rig.base_frame}'; leave it "
            "empty, or take the mounts from /tf with extrinsics_source 'tf'"
        )
    return replace(rig, base_frame=base_frame)


def _select(rig: Rig, names: list[str]) -> Rig:
    """Keep the named cameras in the rig's order, all where none is named."""
    chosen = [name for name in names if name]
    for name in chosen:
        rig[name]
    cameras = tuple(camera for camera in rig.cameras if not chosen or camera.name in chosen)
    for camera in cameras:
        if not _TOPIC_NAME.fullmatch(camera.name):
            raise FsmdeError(
                f"camera '{camera.name}' of the rig names topics: use letters, digits and _ only, a letter first"
            )
    return replace(rig, cameras=cameras)
