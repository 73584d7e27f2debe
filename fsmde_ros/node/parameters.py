"""Lists every parameter of the node in one table; a test compares it with config/surround_depth.yaml.

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

from fsmde_core.clouds.packer import CloudSettings
from fsmde_core.engines import ENGINES
from fsmde_core.errors import FsmdeError
from fsmde_core.sync.groups import SyncSettings


class TakesEffect(Enum):
    """Says when a changed value takes effect."""

    START = "read once, when the process starts"
    CONFIGURE = "read when the node configures"
    DYNAMIC = "a change takes effect with the next set of images"


@dataclass(frozen=True)
class ParameterSpec:
    """Describes one parameter of its default's type. limits: lowest and highest value. choices: every legal value."""

    name: str
    default: Any
    when: TakesEffect
    description: str
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()

    def descriptor(self) -> ParameterDescriptor:
        descriptor = ParameterDescriptor(
            description=f"{self.description} ({self.when.value})",
            additional_constraints=f"one of {', '.join(self.choices)}" if self.choices else "",
            read_only=self.when is TakesEffect.START,
        )
        if self.limits is None:
            return descriptor
        low, high = self.limits
        if isinstance(self.default, int):
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
        return descriptor

    def check(self, value: Any) -> None:
        """Check what descriptors do not; raises FsmdeError for what is not one of the choices, NaN and infinity."""
        if self.choices and value not in self.choices:
            raise FsmdeError(f"parameter '{self.name}' is '{value}', but must be one of {', '.join(self.choices)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise FsmdeError(f"parameter '{self.name}' is {value}, but must be a finite number")


_SYNC, _CLOUD = SyncSettings(), CloudSettings()
_START, _CONFIGURE, _DYNAMIC = TakesEffect

PARAMETERS = (
    ParameterSpec("autostart", True, _START, "Configure and activate at the start, without being asked."),
    ParameterSpec("rig", "", _CONFIGURE, "Rig file of cameras, intrinsics and mounts, or the name of a shipped one."),
    ParameterSpec("cameras", [""], _CONFIGURE, "Cameras of the rig in use; an empty name stands for all."),
    ParameterSpec(
        "base_frame", "", _CONFIGURE, "Frame of the fused cloud; empty for the rig's. Others need mounts from /tf."
    ),
    ParameterSpec("model", "", _CONFIGURE, "ONNX model file; empty for the shipped student."),
    ParameterSpec("engine", "auto", _CONFIGURE, "Engine that runs the model.", choices=("auto", *ENGINES)),
    ParameterSpec(
        "onnxruntime.providers", [""], _CONFIGURE, "ONNX Runtime's execution providers, best first; empty for the CPU."
    ),
    ParameterSpec(
        "threads", 0, _CONFIGURE, "CPU threads of the engine and of preprocessing; 0 lets each choose.", (0, 256)
    ),
    ParameterSpec(
        "image_transport",
        "raw",
        _CONFIGURE,
        "Subscribe to <camera>/image_raw, or to <camera>/image_raw/compressed.",
        choices=("raw", "compressed"),
    ),
    ParameterSpec(
        "intrinsics_source",
        "camera_info",
        _CONFIGURE,
        "Intrinsics from <camera>/camera_info, or from the rig; also from the rig until the first message arrives.",
        choices=("camera_info", "rig"),
    ),
    ParameterSpec(
        "extrinsics_source",
        "rig",
        _CONFIGURE,
        "Mounts of the cameras from the rig file, or from /tf (needs tf2_ros).",
        choices=("rig", "tf"),
    ),
    ParameterSpec(
        "sync.window_ms", _SYNC.window_ms, _CONFIGURE, "Largest difference between stamps of a set.", (0, 900)
    ),
    ParameterSpec(
        "sync.deadline_ms", _SYNC.deadline_ms, _CONFIGURE, "Longest wait for the last image of a set.", (1, 900)
    ),
    ParameterSpec(
        "sync.jump_ms", _SYNC.jump_ms, _CONFIGURE, "How long an image tells its camera's clock and rate.", (2, 60_000)
    ),
    ParameterSpec("sync.min_cameras", _SYNC.min_cameras, _CONFIGURE, "Least cameras of a set to process.", (1, 64)),
    ParameterSpec("publish.depth", True, _DYNAMIC, "Publish <camera>/depth/image and <camera>/depth/camera_info."),
    ParameterSpec(
        "publish.depth_color", False, _DYNAMIC, "Publish <camera>/depth/color, the depth as a picture for people."
    ),
    ParameterSpec("publish.cloud", True, _DYNAMIC, "Publish the fused cloud on points."),
    ParameterSpec("publish.camera_clouds", True, _DYNAMIC, "Publish organised clouds on <camera>/depth/points."),
    ParameterSpec(
        "depth.encoding",
        "32FC1",
        _DYNAMIC,
        "Metres as float32 with NaN for invalid, or millimetres as uint16 with 0 for invalid (REP-118).",
        choices=("32FC1", "16UC1"),
    ),
    ParameterSpec("depth.gated", False, _DYNAMIC, "Keep only depth that passes the gates of the clouds."),
    ParameterSpec("cloud.min_range", _CLOUD.min_range, _DYNAMIC, "Least depth of a point, metres.", (0, 1000)),
    ParameterSpec("cloud.max_range", _CLOUD.max_range, _DYNAMIC, "Greatest depth of a point, metres.", (0, 1000)),
    ParameterSpec(
        "cloud.max_relative_sigma", _CLOUD.max_relative_sigma, _DYNAMIC, "Largest sigma / depth of a point.", (0, 1000)
    ),
    ParameterSpec(
        "cloud.stride", _CLOUD.stride, _DYNAMIC, "The fused cloud takes every n-th pixel of every n-th row.", (1, 64)
    ),
    ParameterSpec(
        "cloud.voxel_size", _CLOUD.voxel_size, _DYNAMIC, "Voxel edge of the fused cloud, metres; 0 for none.", (0, 10)
    ),
    ParameterSpec("cloud.color", _CLOUD.color, _DYNAMIC, "Give points of the fused cloud the colour of their pixel."),
    ParameterSpec(
        "check.consistency", False, _CONFIGURE, "Name cameras that are turned against the rig, on /diagnostics."
    ),
    ParameterSpec(
        "check.lidar_topic", "", _CONFIGURE, "PointCloud2 of a lidar, for the AbsRel per camera on /diagnostics."
    ),
    ParameterSpec("stale_after_s", 1.0, _DYNAMIC, "Seconds of silence after which diagnostics warn.", (0.1, 3600)),
)

_BY_NAME = {spec.name: spec for spec in PARAMETERS}


def declare(node: Node) -> None:
    """Declare the table on `node`; launch files and `--ros-args` override the defaults.

    Raises FsmdeError or one of rclpy's parameter exceptions for an override that does not fit.
    """
    for spec in PARAMETERS:
        value = node.declare_parameter(spec.name, spec.default, spec.descriptor()).value
        if value is None:
            raise FsmdeError(f"parameter '{spec.name}' has no value; write a list without entries as ['']")
        spec.check(value)


def values(node: Node) -> dict[str, Any]:
    """Return every parameter of the table with its present value."""
    return {spec.name: node.get_parameter(spec.name).value for spec in PARAMETERS}


def check_change(changes: Mapping[str, Any], configured: bool) -> None:
    """Refuse changes of parameters that cannot be made; names that are not in the table pass.

    Args:
        changes: Name -> new value.
        configured: Whether the node is configured, so that some parameters are fixed.

    Raises:
        FsmdeError: A value is invalid, or its parameter takes effect only on configure.
    """
    for name, value in changes.items():
        spec = _BY_NAME.get(name)
        if spec is None:
            continue
        spec.check(value)
        if configured and spec.when is TakesEffect.CONFIGURE:
            raise FsmdeError(f"parameter '{name}' is {spec.when.value}: deactivate and clean up the node, then set it")
