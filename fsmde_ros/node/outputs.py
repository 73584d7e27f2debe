"""The node's publishers. Whatever nobody listens to is neither computed nor sent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from fsmde_core.clouds.packer import CloudPacker
from fsmde_core.images.colormap import depth_rgb
from fsmde_core.pipeline.pipeline import AnyPipeline, DepthSet
from fsmde_core.rig.rig import Rig
from fsmde_ros.middleware import qos
from fsmde_ros.middleware.conversions import camera_info, depth_image, header, point_cloud, rgb_image
from fsmde_ros.node.settings import DynamicSettings


@dataclass(frozen=True)
class RequestedOutputs:
    """Who listens. depth, color and clouds: names of cameras."""

    depth: frozenset[str]
    color: frozenset[str]
    clouds: frozenset[str]
    fused: bool
    timing: bool

    def __bool__(self) -> bool:
        return bool(self.depth or self.color or self.clouds or self.fused or self.timing)


class Outputs:
    """Publishers of one configuration; the lifecycle node opens and closes them with its state."""

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

    def wanted(self, live: DynamicSettings) -> RequestedOutputs:
        """What has listeners and is switched on."""
        depth = {n for n in self._depth if _heard(self._depth[n]) or _heard(self._infos[n])} if live.depth else ()
        color = _heard_of(self._color) if live.depth_color else frozenset()
        clouds = _heard_of(self._clouds) if live.camera_clouds else frozenset()
        return RequestedOutputs(
            frozenset(depth), color, clouds, live.cloud and _heard(self._fused), _heard(self._timing)
        )

    def publish(
        self,
        result: DepthSet,
        stamps_ns: dict[str, int],
        wanted: RequestedOutputs,
        pipeline: AnyPipeline[Any],
        live: DynamicSettings,
    ) -> dict[str, float]:
        """Send what is wanted; returns milliseconds of the stages `cloud` and `publish`.

        result: the last of `pipeline`. stamps_ns: of each camera's own image; the fused cloud carries the newest.
        """
        begin = time.perf_counter()
        packer = pipeline.packer(live.cloud_settings)
        depth = _gated(result, packer) if live.depth_gated else result.depth
        for index, (name, camera) in enumerate(zip(result.names, result.cameras, strict=True)):
            if name in wanted.depth:
                head = header(stamps_ns[name], camera.frame_id)
                self._depth[name].publish(depth_image(head, depth[index], live.depth_encoding))
                self._infos[name].publish(camera_info(head, camera))
            if name in wanted.color:
                picture = rgb_image(header(stamps_ns[name], camera.frame_id), depth_rgb(depth[index]))
                self._color[name].publish(picture)
        packing = 0.0
        for index, (name, camera) in enumerate(zip(result.names, result.cameras, strict=True)):
            if name in wanted.clouds:
                start = time.perf_counter()
                cloud = packer.pack_organised(camera, result.rgb[index], result.depth[index], result.sigma[index])
                packing += time.perf_counter() - start
                self._clouds[name].publish(point_cloud(header(stamps_ns[name], camera.frame_id), cloud))
        if wanted.fused:
            start = time.perf_counter()
            cloud = pipeline.pack(result, live.cloud_settings)
            packing += time.perf_counter() - start
            newest = max(stamps_ns[name] for name in result.names)
            self._fused.publish(point_cloud(header(newest, self._base_frame), cloud))
        whole = time.perf_counter() - begin
        return {"cloud": 1e3 * packing, "publish": 1e3 * (whole - packing)}

    def mismatches(self) -> dict[str, str]:
        """Topic -> why a listener of it gets nothing, where there is such a listener."""
        found = {publisher.topic_name: qos.mismatches(self._node, publisher) for publisher in self._publishers}
        return {topic: reasons[0] for topic, reasons in found.items() if reasons}

    def publish_timing(self, message: DiagnosticArray) -> None:
        self._timing.publish(message)

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)

    def _create(self, kind: Any, topic: str) -> Any:
        publisher = qos.lifecycle_publisher(self._node, kind, topic)
        self._publishers.append(publisher)
        return publisher


def _heard(publisher: Any) -> bool:
    return publisher.get_subscription_count() > 0


def _heard_of(publishers: dict[str, Any]) -> frozenset[str]:
    return frozenset(name for name, publisher in publishers.items() if _heard(publisher))


def _gated(result: DepthSet, packer: CloudPacker) -> NDArray[np.float32]:
    return np.where(packer.keep(result.depth, result.sigma), result.depth, np.float32("nan"))
