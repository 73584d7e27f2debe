"""Publishes the node's outputs. What nobody listens to is neither computed nor sent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from fsmde_core.images.colormap import depth_rgb
from fsmde_core.pipeline.pipeline import DepthPipeline, DepthSet
from fsmde_core.rig.rig import Rig
from fsmde_ros.middleware import qos
from fsmde_ros.middleware.conversions import camera_info, depth_image, header, point_cloud, rgb_image
from fsmde_ros.node.settings import DynamicSettings


@dataclass(frozen=True)
class RequestedOutputs:
    """Says which outputs have listeners; depth, color and clouds hold names of cameras."""

    depth: frozenset[str]
    color: frozenset[str]
    clouds: frozenset[str]
    fused: bool
    timing: bool

    def __bool__(self) -> bool:
        return bool(self.depth or self.color or self.clouds or self.fused or self.timing)


class Outputs:
    """Holds the publishers of one configuration; the lifecycle node opens and closes them with its state."""

    def __init__(self, node: LifecycleNode, rig: Rig) -> None:
        self._node = node
        self._base_frame = rig.base_frame
        self._publishers: list[Any] = []
        self._depth = {name: self._create(Image, f"{name}/depth/image") for name in rig.names}
        self._infos = {name: self._create(CameraInfo, f"{name}/depth/camera_info") for name in rig.names}
        self._color = {name: self._create(Image, f"{name}/depth/color") for name in rig.names}
        self._clouds = {name: self._create(PointCloud2, f"{name}/depth/points") for name in rig.names}
        self._fused = self._create(PointCloud2, "points")
        self._timing = self._create(DiagnosticArray, "~/timing")

    def requested(self, settings: DynamicSettings) -> RequestedOutputs:
        """Return the outputs that have listeners and are switched on."""
        depth = _with_listeners(self._depth) | _with_listeners(self._infos) if settings.depth else frozenset()
        color = _with_listeners(self._color) if settings.depth_color else frozenset()
        clouds = _with_listeners(self._clouds) if settings.camera_clouds else frozenset()
        fused = settings.cloud and _has_listeners(self._fused)
        return RequestedOutputs(depth, color, clouds, fused, _has_listeners(self._timing))

    def publish(
        self,
        result: DepthSet,
        stamps_ns: dict[str, int],
        requested: RequestedOutputs,
        pipeline: DepthPipeline[Any],
        settings: DynamicSettings,
    ) -> dict[str, float]:
        """Publish what is requested; the fused cloud carries the newest stamp.

        Args:
            result: The last result of `pipeline`.
            stamps_ns: Name -> stamp of the camera's own image.
            requested: What to publish.
            pipeline: It packs the fused cloud.
            settings: Encoding and gates of depth, and those of clouds.

        Returns:
            Milliseconds of the stages `cloud` and `publish`.
        """
        begin = time.perf_counter()
        packer = pipeline.packer(settings.cloud_settings)
        depth = result.depth
        if settings.depth_gated:
            depth = np.where(packer.keep(depth, result.sigma), depth, np.float32("nan"))
        for index, (name, camera) in enumerate(zip(result.names, result.cameras, strict=True)):
            if name in requested.depth:
                head = header(stamps_ns[name], camera.frame_id)
                self._depth[name].publish(depth_image(head, depth[index], settings.depth_encoding))
                self._infos[name].publish(camera_info(head, camera))
            if name in requested.color:
                picture = rgb_image(header(stamps_ns[name], camera.frame_id), depth_rgb(depth[index]))
                self._color[name].publish(picture)
        packing = 0.0
        for index, (name, camera) in enumerate(zip(result.names, result.cameras, strict=True)):
            if name in requested.clouds:
                start = time.perf_counter()
                cloud = packer.pack_organised(camera, result.rgb[index], result.depth[index], result.sigma[index])
                packing += time.perf_counter() - start
                self._clouds[name].publish(point_cloud(header(stamps_ns[name], camera.frame_id), cloud))
        if requested.fused:
            start = time.perf_counter()
            cloud = pipeline.pack(result, settings.cloud_settings)
            packing += time.perf_counter() - start
            newest = max(stamps_ns[name] for name in result.names)
            self._fused.publish(point_cloud(header(newest, self._base_frame), cloud))
        whole = time.perf_counter() - begin
        return {"cloud": 1e3 * packing, "publish": 1e3 * (whole - packing)}

    def mismatches(self) -> dict[str, str]:
        """Return topic -> why a listener of it gets nothing, where there is such a listener."""
        found = {publisher.topic_name: qos.mismatches(self._node, publisher) for publisher in self._publishers}
        return {topic: reasons[0] for topic, reasons in found.items() if reasons}

    def publish_timing(self, message: DiagnosticArray) -> None:
        self._timing.publish(message)

    def close(self) -> None:
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)

    def _create(self, kind: Any, topic: str) -> Any:
        publisher = qos.lifecycle_publisher(self._node, kind, topic)
        self._publishers.append(publisher)
        return publisher


def _has_listeners(publisher: Any) -> bool:
    return publisher.get_subscription_count() > 0


def _with_listeners(publishers: dict[str, Any]) -> frozenset[str]:
    return frozenset(name for name, publisher in publishers.items() if _has_listeners(publisher))
