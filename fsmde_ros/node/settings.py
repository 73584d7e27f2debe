"""The node's parameters as typed, checked values: what one configuration is built from, and what may change live."""

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
from fsmde_core.sync.synchronizer import SyncSettings

_TOPIC_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class NodeSetup:
    """What takes effect when the node configures. rig: the cameras in use, and the frame of the fused cloud."""

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
        """Raises FsmdeError for files that are not there or do not fit, and for settings that contradict each other."""
        rig = _select(_load_rig(values), values["cameras"])
        fewest, cameras = values["sync.min_cameras"], len(rig.cameras)
        if fewest > cameras:
            raise FsmdeError(
                f"parameter 'sync.min_cameras' is {fewest}, but only {cameras} cameras are in use; lower it"
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
            sync=SyncSettings(
                window_ms=values["sync.window_ms"],
                deadline_ms=values["sync.deadline_ms"],
                min_cameras=values["sync.min_cameras"],
            ),
            check_consistency=values["check.consistency"],
            check_lidar_topic=values["check.lidar_topic"],
        )


@dataclass(frozen=True)
class DynamicSettings:
    """What counts from the next set of images on."""

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
        """Raises FsmdeError for settings that contradict each other."""
        prefix = "cloud."
        clouds = {name[len(prefix) :]: value for name, value in values.items() if name.startswith(prefix)}
        return cls(
            depth=values["publish.depth"],
            depth_color=values["publish.depth_color"],
            cloud=values["publish.cloud"],
            camera_clouds=values["publish.camera_clouds"],
            depth_encoding=values["depth.encoding"],
            depth_gated=values["depth.gated"],
            cloud_settings=CloudSettings(**clouds),
            stale_after_s=values["stale_after_s"],
        )


def rig_path(name: str) -> Path:
    """The rig file that a name or a path stands for; FsmdeError where there is none."""
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
        raise FsmdeError(f"parameter '{parameter}' is '{topic}', which is no name of a topic: {reason}") from error


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
    """The named cameras in the rig's order, all where none is named."""
    wanted = [name for name in names if name]
    for name in wanted:
        rig[name]
    cameras = tuple(camera for camera in rig.cameras if not wanted or camera.name in wanted)
    for camera in cameras:
        if not _TOPIC_NAME.fullmatch(camera.name):
            raise FsmdeError(f"camera '{camera.name}' of the rig: a name of topics takes letters, digits and _ only")
    return replace(rig, cameras=cameras)
