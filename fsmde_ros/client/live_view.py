"""Shows the topics around a running node as they arrive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.encode import LIDAR_TOPIC
from fsmde_core.messages.point_cloud import read_points, read_xyz, stack_xyz
from fsmde_core.messages.read import camera_from_info, compressed_image, raw_image, stamp_ns
from fsmde_core.rig.rig import Camera, Rig
from fsmde_core.views.rerun import Scene
from fsmde_ros.client.depth_images import depth_metres
from fsmde_ros.middleware import qos
from fsmde_ros.node.calibration import Calibration


class LiveView:
    """Subscribes on `node` to the cameras of `rig`, to the outputs of the node behind them and to the lidar.

    Mounts are the rig's; the vehicle stands still, since /tf is not read. A message that cannot be shown is
    left out, with one line per topic in the log. `received` counts shown images, depth images, clouds and sweeps.
    """

    def __init__(self, node: Node, rig: Rig, scene: Scene, compressed: bool) -> None:
        self.received: Counter[str] = Counter()
        self._node, self._scene = node, scene
        self._calibration = Calibration(rig)
        self._depth_cameras: dict[str, Camera] = {}
        self._waiting: dict[str, Image] = {}  # depth whose camera_info is on the way
        self._warned: set[str] = set()
        self._read_image = compressed_image if compressed else raw_image
        kind, suffix = (CompressedImage, "/compressed") if compressed else (Image, "")
        for name in rig.names:
            self._subscribe(CameraInfo, f"{name}/camera_info", partial(self._calibration.update, name))
            self._subscribe(kind, f"{name}/image_raw{suffix}", partial(self._on_image, name))
            self._subscribe(CameraInfo, f"{name}/depth/camera_info", partial(self._on_depth_info, name))
            self._subscribe(Image, f"{name}/depth/image", partial(self._on_depth, name))
        self._subscribe(PointCloud2, "points", self._on_cloud)
        self._subscribe(PointCloud2, LIDAR_TOPIC, self._on_lidar)

    def spin(self, is_running: Callable[[], bool]) -> None:
        """Show what arrives as long as `is_running()`, which is called ten times a second or more often."""
        executor = SingleThreadedExecutor(context=self._node.context)
        executor.add_node(self._node)
        try:
            while is_running():
                executor.spin_once(timeout_sec=0.1)
        finally:
            executor.remove_node(self._node)
            executor.shutdown()

    def _subscribe(self, kind: Any, topic: str, handle: Callable[[Any], object]) -> None:
        def guarded(message: Any) -> None:
            try:
                handle(message)
            except FsmdeError as error:
                self._warn(topic, str(error))
            except Exception as error:  # the view must survive whatever a message holds
                self._warn(topic, f"{type(error).__name__}: {error}")

        self._node.create_subscription(kind, topic, guarded, qos.sensor())

    def _warn(self, topic: str, reason: str) -> None:
        if topic not in self._warned:
            self._node.get_logger().warning(f"{topic}: {reason}")
        self._warned.add(topic)

    def _on_image(self, name: str, message: Any) -> None:
        image = self._read_image(message)
        self._scene.set_time(stamp_ns(message.header.stamp))
        self._scene.log_image(self._calibration.rig[name], image)
        self.received["images"] += 1

    def _on_depth_info(self, name: str, message: CameraInfo) -> None:
        self._depth_cameras[name] = camera_from_info(message, name, self._calibration.rig[name].T_base_camera)
        if name in self._waiting:
            self._on_depth(name, self._waiting.pop(name))

    def _on_depth(self, name: str, message: Image) -> None:
        camera = self._depth_cameras.get(name)
        if camera is None or (camera.width, camera.height) != (message.width, message.height):
            self._waiting[name] = message
            return
        self._scene.set_time(stamp_ns(message.header.stamp))
        self._scene.log_depth(camera, depth_metres(message))
        self.received["depth images"] += 1

    def _on_cloud(self, message: PointCloud2) -> None:
        points = read_points(message)
        names = points.dtype.names or ()
        sigma = points["sigma"] if "sigma" in names else np.full(len(points), np.nan, np.float32)
        self._scene.set_time(stamp_ns(message.header.stamp))
        self._scene.log_cloud(stack_xyz(points), points["rgb"] if "rgb" in names else None, sigma)
        self.received["clouds"] += 1

    def _on_lidar(self, message: PointCloud2) -> None:
        base = self._calibration.rig.base_frame
        if message.header.frame_id != base:
            raise FsmdeError(f"the sweep is in frame '{message.header.frame_id}', only sweeps in '{base}' are shown")
        self._scene.set_time(stamp_ns(message.header.stamp))
        self._scene.log_lidar(read_xyz(message), np.eye(4))
        self.received["sweeps"] += 1
