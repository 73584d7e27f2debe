"""Receives camera images and camera_info and passes sets of images on, as a message filter does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage

from fsmde_core.errors import FsmdeError
from fsmde_core.images.rectify import lens_warning
from fsmde_core.messages.encode import COMPRESSED, IMAGE
from fsmde_core.messages.read import checked_stamp, encoded_image, raw_image, stamp_ns
from fsmde_core.sync.counts import SyncStats
from fsmde_core.sync.groups import ImageSet
from fsmde_core.sync.synchronizer import Synchronizer
from fsmde_ros.middleware import qos
from fsmde_ros.middleware.compat import SimpleFilter
from fsmde_ros.middleware.image_type import image_type
from fsmde_ros.node.calibration import Calibration
from fsmde_ros.node.health import Health
from fsmde_ros.node.rectification_queue import PendingImage, RectificationQueue
from fsmde_ros.node.settings import NodeSetup

# From Iron on a callback may ask for the time at which the middleware received the message.
_HAS_MESSAGE_INFO = hasattr(Subscription, "CallbackType")


@dataclass(frozen=True, eq=False)
class ReceivedImage:
    """Holds one image on its way to the network, and the monotonic time at which the middleware had it."""

    pending: PendingImage
    arrived_ns: int


class SurroundSubscriber(SimpleFilter):
    """Subscribes to the cameras of a rig; registered callbacks get each `ImageSet[ReceivedImage]`.

    Works like message_filters.ApproximateTimeSynchronizer on the executor's thread; nothing in here raises, whatever
    the cameras send. Unusable messages are counted in `health`, intrinsics go into `calibration` as they come.
    """

    def __init__(
        self, node: Node, setup: NodeSetup, calibration: Calibration, health: Health, rectifier: RectificationQueue
    ) -> None:
        super().__init__()
        self._node = node
        self._calibration = calibration
        self._health = health
        self._rectifier = rectifier
        self._read = encoded_image if setup.compressed else raw_image
        names = calibration.rig.names
        self._synchronizer: Synchronizer[ReceivedImage] = Synchronizer(names, setup.sync)
        self._lag_ns = 0
        self._warned: set[str] = set()
        for name in names:
            self._warn_of_lens(name)
        kind, suffix = (CompressedImage, "/compressed") if setup.compressed else (image_type(), "")
        self._kind = COMPRESSED if setup.compressed else IMAGE
        self._subscriptions: list[Any] = []
        self._images: dict[str, Any] = {}
        for name in names:
            topic = f"{name}/image_raw{suffix}"
            self._images[name] = self._subscribe(kind, topic, partial(self._on_image, name), name, "image")
            if setup.use_camera_info:
                self._subscribe(
                    CameraInfo, f"{name}/camera_info", partial(self._on_camera_info, name), name, "camera_info"
                )
        self.topics: dict[str, str] = {name: image.topic_name for name, image in self._images.items()}
        # Steady, so that deadlines also hold when a simulated clock stands still. Each call costs the executor a turn
        # through all that it waits for, some 0.5 ms.
        period_s = min(max(setup.sync.deadline_ms / 4, 5), 50) / 1e3
        self._timer = node.create_timer(period_s, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def silence_reason(self, name: str) -> str:
        """Say what keeps images of camera `name` away, as far as the ROS graph shows."""
        topic = self.topics[name]
        publishers = self._node.count_publishers(topic)
        if not publishers:
            return self._absence_reason(topic)
        # By the name that the subscription was made with, since rclpy remaps it here as it did there.
        kinds = {peer.topic_type for peer in self._node.get_publishers_info_by_topic(self._images[name].topic)}
        if kinds and self._kind not in kinds:
            return f"its publishers send {' and '.join(sorted(kinds))}, not {self._kind}"
        reasons = qos.mismatches(self._node, self._images[name])
        if reasons:
            return (
                f"{len(reasons)} of {publishers} publishers do not fit its QoS ({reasons[0]}); "
                f"set qos_overrides.{topic}.subscription"
            )
        return f"{publishers} publishers; check the camera and the network"

    def _absence_reason(self, topic: str) -> str:
        """Look for publishers on the topic of the other kind of images, where nobody publishes on this one."""
        is_raw = self._kind == IMAGE
        other = f"{topic}/compressed" if is_raw else topic.removesuffix("/compressed")
        publishers = self._node.count_publishers(other)
        if not publishers:
            return "nobody publishes there"
        transport = "compressed" if is_raw else "raw"
        return (
            f"nobody publishes there, but {publishers} on {other}; set the parameter image_transport to '{transport}'"
        )

    @property
    def stats(self) -> SyncStats:
        return self._synchronizer.stats

    def close(self) -> None:
        self._node.destroy_timer(self._timer)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _subscribe(self, kind: Any, topic: str, handle: Callable[[Any, int], None], name: str, what: str) -> Any:
        """Call `handle(message, nanoseconds in the queue)`; an exception there is a counted fault of that camera."""

        def guarded(message: Any, info: Mapping[str, Any]) -> None:
            try:
                handle(message, _queued_ns(info.get("received_timestamp", 0)))
            except FsmdeError as error:
                self._health.count_fault(name, what, str(error))
            except Exception as error:  # the executor, and with it the node, must survive whatever a message holds
                self._health.count_fault(name, "internal", f"{type(error).__name__}: {error}")

        callback = guarded if _HAS_MESSAGE_INFO else lambda message: guarded(message, {})
        subscription = qos.subscription(self._node, kind, topic, callback)
        self._subscriptions.append(subscription)
        return subscription

    def _on_image(self, name: str, message: Any, queued_ns: int) -> None:
        arrived_ns = time.monotonic_ns() - queued_ns
        self._lag_ns = queued_ns
        self._health.count_image(name)
        stamp = checked_stamp(stamp_ns(message.header.stamp))
        image = self._read(message)  # checks a raw one, so that a broken image does not take a place in a set
        received = ReceivedImage(self._rectifier.submit(name, image), arrived_ns)
        self._pass_on(self._synchronizer.add(name, stamp, arrived_ns, received), arrived_ns)

    def _on_camera_info(self, name: str, message: CameraInfo, queued_ns: int) -> None:
        if self._calibration.update(name, message):
            self._node.get_logger().info(f"camera '{name}': its intrinsics are now those of camera_info")
            if fault := self._calibration.unused_mask(name):
                self._node.get_logger().warning(f"camera '{name}': {fault}")
            self._warn_of_lens(name)

    def _warn_of_lens(self, name: str) -> None:
        """Log once what is wrong with the lens in force."""
        warning = lens_warning(self._calibration.rig[name])
        if warning and warning not in self._warned:
            self._warned.add(warning)
            self._node.get_logger().warning(warning)

    def _on_timer(self) -> None:
        # While this thread is behind, images of the set may wait in the middleware: arrived, not missing.
        lag_ns, self._lag_ns = self._lag_ns, 0
        now_ns = time.monotonic_ns() - lag_ns
        self._pass_on(self._synchronizer.poll(now_ns), now_ns)

    def _pass_on(self, images: ImageSet[ReceivedImage] | None, now_ns: int) -> None:
        while images is not None:
            self.signalMessage(images)
            images = self._synchronizer.poll(now_ns)


def _queued_ns(received_ns: int) -> int:
    """Return how long a message lay in the middleware; 0 where that is not known."""
    queued = time.time_ns() - received_ns
    return queued if received_ns and 0 < queued < 1_000_000_000 else 0
