"""Every parameter of the node in one table; config/surround_depth.yaml lists the same, and a test compares the two.

`qos_overrides.*` (see qos.py) and `use_sim_time` are rclpy's own parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from fsmde_core.clouds.packer import CloudSettings
from fsmde_core.engines import ENGINES
from fsmde_core.errors import FsmdeError
from fsmde_core.sync.synchronizer import SyncSettings


class TakesEffect(Enum):
    """From when on a changed value counts."""

    START = "read once, when the process starts"
    CONFIGURE = "read when the node configures"
    LIVE = "a change counts from the next set of images on"


_TYPES = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
    list: Parameter.Type.STRING_ARRAY,
}


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter; its type is that of the default. limits: lowest and highest value. choices: every legal value."""

    name: str
    default: Any
    when: TakesEffect
    description: str
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()

    @property
    def type(self) -> Parameter.Type:
        return _TYPES[type(self.default)]

    def descriptor(self) -> ParameterDescriptor:
        descriptor = ParameterDescriptor(
            name=self.name,
            type=self.type.value,
            description=f"{self.description} ({self.when.value})",
            additional_constraints=f"one of {', '.join(self.choices)}" if self.choices else "",
            read_only=self.when is TakesEffect.START,
        )
        if self.limits and isinstance(self.default, int):
            low, high = self.limits
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
        elif self.limits:
            low, high = self.limits
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
        return descriptor

    def check(self, value: Any) -> None:
        """What descriptors do not check: choices, and numbers that are none. Raises FsmdeError."""
        if self.choices and value not in self.choices:
            raise FsmdeError(f"parameter '{self.name}' is '{value}', it must be one of {', '.join(self.choices)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise FsmdeError(f"parameter '{self.name}' is {value}, it must be a finite number")


_SYNC, _CLOUD = SyncSettings(), CloudSettings()
_START, _CONFIGURE, _LIVE = TakesEffect

PARAMETERS = (
    ParameterSpec("autostart", True, _START, "Configure and activate without being asked."),
    ParameterSpec("rig", "", _CONFIGURE, "Rig file with cameras, intrinsics and mounts, or the name of a shipped one."),
    ParameterSpec("cameras", [""], _CONFIGURE, "Cameras of the rig in use; an empty name stands for all."),
    ParameterSpec(
        "base_frame", "", _CONFIGURE, "Frame of the fused cloud; empty for the rig's. Another needs mounts from /tf."
    ),
    ParameterSpec("model", "", _CONFIGURE, "ONNX model file; empty for the shipped student."),
    ParameterSpec("engine", "auto", _CONFIGURE, "What runs the model.", choices=("auto", *ENGINES)),
    ParameterSpec(
        "onnxruntime.providers",
        [""],
        _CONFIGURE,
        "Execution providers of engine onnxruntime, best first, e.g. CUDAExecutionProvider; empty for the CPU.",
    ),
    ParameterSpec(
        "threads", 0, _CONFIGURE, "CPU threads of engine, preprocessing, decoding; 0 for their own choice.", (0, 256)
    ),
    ParameterSpec(
        "image_transport",
        "raw",
        _CONFIGURE,
        "Images come on <camera>/image_raw, or on <camera>/image_raw/compressed.",
        choices=("raw", "compressed"),
    ),
    ParameterSpec(
        "intrinsics_source",
        "camera_info",
        _CONFIGURE,
        "Intrinsics from <camera>/camera_info, the rig's until a message came; or always the rig's.",
        choices=("camera_info", "rig"),
    ),
    ParameterSpec(
        "extrinsics_source",
        "rig",
        _CONFIGURE,
        "Mounts of the cameras from the rig file, or from /tf (needs tf2_ros).",
        choices=("rig", "tf"),
    ),
    ParameterSpec("sync.window_ms", _SYNC.window_ms, _CONFIGURE, "Most that stamps within a set may differ.", (0, 900)),
    ParameterSpec(
        "sync.deadline_ms", _SYNC.deadline_ms, _CONFIGURE, "Longest wait for the missing cameras of a set.", (1, 900)
    ),
    ParameterSpec(
        "sync.min_cameras", _SYNC.min_cameras, _CONFIGURE, "Fewest cameras of a set that is processed.", (1, 64)
    ),
    ParameterSpec("publish.depth", True, _LIVE, "Serve <camera>/depth/image and <camera>/depth/camera_info."),
    ParameterSpec(
        "publish.depth_color", False, _LIVE, "Serve <camera>/depth/color, the depth as a picture for people."
    ),
    ParameterSpec("publish.cloud", True, _LIVE, "Serve the fused cloud on points."),
    ParameterSpec("publish.camera_clouds", True, _LIVE, "Serve organised clouds on <camera>/depth/points."),
    ParameterSpec(
        "depth.encoding",
        "32FC1",
        _LIVE,
        "Metres as float32 with NaN for invalid, or millimetres as uint16 with 0 for invalid (REP-118).",
        choices=("32FC1", "16UC1"),
    ),
    ParameterSpec("depth.gated", False, _LIVE, "Depth images hold only what passes the gates of the clouds."),
    ParameterSpec("cloud.min_range", _CLOUD.min_range, _LIVE, "Nearest points of the clouds, metres.", (0, 1000)),
    ParameterSpec("cloud.max_range", _CLOUD.max_range, _LIVE, "Farthest points of the clouds, metres.", (0, 1000)),
    ParameterSpec(
        "cloud.max_relative_sigma",
        _CLOUD.max_relative_sigma,
        _LIVE,
        "Largest standard deviation of a point as a fraction of its depth.",
        (0, 1000),
    ),
    ParameterSpec(
        "cloud.stride", _CLOUD.stride, _LIVE, "The fused cloud takes every n-th pixel of every n-th row.", (1, 64)
    ),
    ParameterSpec(
        "cloud.voxel_size", _CLOUD.voxel_size, _LIVE, "Voxel edge of the fused cloud, metres; 0 for none.", (0, 10)
    ),
    ParameterSpec("cloud.color", _CLOUD.color, _LIVE, "Points of the fused cloud carry the colour of their pixel."),
    ParameterSpec(
        "check.consistency",
        False,
        _CONFIGURE,
        "Compare neighbouring views on /diagnostics; a camera that is turned against the rig is named.",
    ),
    ParameterSpec(
        "check.lidar_topic", "", _CONFIGURE, "PointCloud2 of a lidar: running AbsRel per camera on /diagnostics."
    ),
    ParameterSpec("stale_after_s", 1.0, _LIVE, "Silence after which diagnostics warn, seconds.", (0.1, 3600)),
)

_BY_NAME = {spec.name: spec for spec in PARAMETERS}


def declare(node: Node) -> None:
    """Declare the table on `node`; launch files and `--ros-args` override the defaults.

    Raises FsmdeError or one of rclpy's parameter exceptions for an override that does not fit.
    """
    for spec in PARAMETERS:
        value = node.declare_parameter(spec.name, spec.default, spec.descriptor()).value
        if value is None:
            raise FsmdeError(f"parameter '{spec.name}' has no value; a list without entries is written ['']")
        spec.check(value)


def values(node: Node) -> dict[str, Any]:
    """Every parameter of the table with its present value."""
    return {spec.name: node.get_parameter(spec.name).value for spec in PARAMETERS}


def check_change(changes: Mapping[str, Any], configured: bool) -> None:
    """Raises FsmdeError saying why a change cannot be made; names that are not in the table pass."""
    for name, value in changes.items():
        spec = _BY_NAME.get(name)
        if spec is None:
            continue
        spec.check(value)
        if configured and spec.when is TakesEffect.CONFIGURE:
            raise FsmdeError(f"parameter '{name}' is {spec.when.value}: deactivate and clean up the node, then set it")
