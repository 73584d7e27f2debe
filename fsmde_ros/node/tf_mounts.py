"""Reads mounts of the cameras from /tf, through tf2_ros where a ROS installation brings it."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.time import Time

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.read import pose_from_transform
from fsmde_core.rig.geometry import Matrix
from fsmde_ros.node.calibration import Calibration


class TransformLookup:
    """Listens to /tf on `node`; raises ImportError where there is no tf2_ros."""

    def __init__(self, node: Node) -> None:
        import tf2_ros

        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def newest(self, target: str, source: str) -> Matrix:
        """Look up the newest transform target <- source.

        Args:
            target, source: Frame ids.

        Returns:
            (4, 4) float64, metres.

        Raises:
            FsmdeError: /tf has no such transform yet, or one that is no rotation and translation.
        """
        try:
            return pose_from_transform(self._buffer.lookup_transform(target, source, Time()).transform)
        except Exception as error:  # tf2's exceptions share no base that every distribution exports
            raise FsmdeError(f"no transform {target} <- {source}: {error}") from error

    def close(self) -> None:
        self._listener.unregister()


class TransformMounts:
    """Looks up base <- optical frame of every camera and writes it into the calibration."""

    def __init__(self, node: Node, calibration: Calibration) -> None:
        try:
            self._transforms = TransformLookup(node)
        except ImportError as error:
            raise FsmdeError(
                f"parameter 'extrinsics_source' is 'tf', but tf2_ros is not here ({error}); install it or use 'rig'"
            ) from error
        self._calibration = calibration
        self.missing = {camera.name: "no transform received yet" for camera in calibration.rig.cameras}

    def refresh(self) -> None:
        """Read every mount anew; `missing` then holds a reason for each camera that has none yet."""
        rig = self._calibration.rig
        missing = {}
        for camera in rig.cameras:
            try:
                self._calibration.set_mount(camera.name, self._transforms.newest(rig.base_frame, camera.frame_id))
            except FsmdeError as error:
                if camera.name in self.missing:
                    missing[camera.name] = str(error)
        self.missing = missing

    def close(self) -> None:
        self._transforms.close()
