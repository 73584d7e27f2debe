"""Mounts of the cameras from /tf, through tf2_ros where a ROS installation brings it."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.time import Time

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.geometry import rigid, rotation_from_quaternion
from fsmde_ros.node.calibration import Calibration


class TransformMounts:
    """Looks up base <- optical frame of every camera and writes it into the calibration."""

    def __init__(self, node: Node, calibration: Calibration) -> None:
        try:
            import tf2_ros
        except ImportError as error:
            raise FsmdeError(
                f"parameter 'extrinsics_source' is 'tf', but tf2_ros is not here ({error}); install it or use 'rig'"
            ) from error
        self._tf2_ros: Any = tf2_ros
        self._calibration = calibration
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self.missing = {camera.name: "no transform received yet" for camera in calibration.rig.cameras}

    def refresh(self) -> None:
        """Read every mount anew; `missing` then holds a reason for each camera that has none yet."""
        rig = self._calibration.rig
        missing = {}
        for camera in rig.cameras:
            try:
                found = self._buffer.lookup_transform(rig.base_frame, camera.frame_id, Time())
                self._calibration.place(camera.name, matrix(found.transform))
            except (self._tf2_ros.TransformException, FsmdeError) as error:
                if camera.name in self.missing:
                    missing[camera.name] = f"no transform {rig.base_frame} <- {camera.frame_id}: {error}"
        self.missing = missing

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()


def matrix(transform: Any) -> Any:
    """(4, 4) float64 of a geometry_msgs/Transform; FsmdeError for a rotation without a length."""
    q, t = transform.rotation, transform.translation
    return rigid(rotation_from_quaternion(q.w, q.x, q.y, q.z), (t.x, t.y, t.z))
