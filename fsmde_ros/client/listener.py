"""Listens to the node: whether it is ready, its timings as they arrive, and its output of the last seconds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from threading import Lock, Thread
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.encode import CAMERA_INFO, CLOUD, IMAGE, Message, header_stamp_ns
from fsmde_ros.client.node_process import NODE_NAME, NodeProcess
from fsmde_ros.client.player import Player

DIAGNOSTIC_ERROR = b"\x02"  # diagnostic_msgs/DiagnosticStatus.ERROR
START_SECONDS = 90


@dataclass(frozen=True)
class NodeStatus:
    """Holds the latest status of one part of the node."""

    is_error: bool
    message: str
    values: dict[str, str]


class NodeListener:
    """Receives what the node in the namespace of `node` reports of itself, in a thread of its own from `start` on.

    statuses: of /diagnostics, by part of the node. on_timing: called with what ~/timing reports of a set: its
    stamp_ns, milliseconds, number of cameras.
    """

    def __init__(self, node: Any, on_timing: Callable[[dict[str, float]], None]) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor

        self.statuses: dict[str, NodeStatus] = {}
        self._node, self._on_timing = node, on_timing
        self._node_name = f"{node.get_namespace()}/{NODE_NAME}".lstrip("/")  # as in the names of its statuses
        self._subscriptions = [
            node.create_subscription(DiagnosticArray, f"{NODE_NAME}/timing", self._read_timing, 50),
            node.create_subscription(DiagnosticArray, "/diagnostics", self._read_diagnostics, 10),
        ]
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._thread = Thread(target=self._executor.spin, name="listener", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()

    def _subscribe(self, kind: Any, topic: str, callback: Callable[[Any], None], depth: int, raw: bool = False) -> None:
        from fsmde_ros.middleware.qos import NO_SUBSCRIPTION_EVENTS

        subscription = self._node.create_subscription(
            kind, topic, callback, depth, raw=raw, event_callbacks=NO_SUBSCRIPTION_EVENTS
        )
        self._subscriptions.append(subscription)

    def _read_timing(self, message: Any) -> None:
        values = {entry.key: entry.value for status in message.status for entry in status.values}
        timing: dict[str, float] = {key: float(value) for key, value in values.items() if key.endswith("_ms")}
        stamp_ns = int(values["stamp_ns"])  # more digits than a float holds
        self._on_timing({**timing, "stamp_ns": stamp_ns, "cameras": float(len(values["cameras"].split(",")))})

    def _read_diagnostics(self, message: Any) -> None:
        for status in message.status:
            node, _, part = status.name.partition(": ")
            if node == self._node_name:
                values = {entry.key: entry.value for entry in status.values}
                self.statuses[part] = NodeStatus(status.level == DIAGNOSTIC_ERROR, status.message, values)


def wait_until_ready(player: Player, listener: NodeListener, node: NodeProcess | None) -> None:
    """Wait until a node has subscribed to every image topic.

    Args:
        player: It advertises the image topics.
        listener: It hears the node's diagnostics.
        node: The process that was started; None for a node that runs already.

    Raises:
        FsmdeError: The node cannot start, or none has subscribed after START_SECONDS.
    """
    deadline = time.monotonic() + START_SECONDS
    while player.fewest_subscribers() < 1:
        if node is not None:
            node.check()
        state = listener.statuses.get("node")
        if state is not None and state.is_error:
            raise FsmdeError(f"the node does not start: {state.message}")
        if time.monotonic() > deadline:
            why = "no node listens to an image topic of every camera of the rig"
            if elsewhere := player.heard_elsewhere():
                why += f", but one to {elsewhere[0]}; give --raw or --compressed as its image_transport is"
            if node is not None:
                why = f"the end of its log:\n{node.log_tail()}"
            raise FsmdeError(f"the node was not ready after {START_SECONDS} s; {why}")
        time.sleep(0.1)
    time.sleep(0.5)  # every other topic finds its peer


class OutputCollector(NodeListener):
    """Subscribes to all outputs on `node`; keeps the serialized ones of the last `keep_s`."""

    def __init__(self, node: Any, cameras: Iterable[str], keep_s: float) -> None:
        from sensor_msgs.msg import CameraInfo, Image, PointCloud2

        super().__init__(node, self._add_timing)
        self._keep_ns = int(keep_s * 1e9)
        self._lock = Lock()
        self._outputs: deque[Message] = deque()
        self._timings: list[dict[str, float]] = []
        topics: list[tuple[str, str, Any]] = [("points", CLOUD, PointCloud2)]
        for name in cameras:
            topics += [(f"{name}/depth/image", IMAGE, Image), (f"{name}/depth/camera_info", CAMERA_INFO, CameraInfo)]
        for topic, kind, message_class in topics:
            self._subscribe(message_class, topic, partial(self._keep, topic, kind), 5, raw=True)
        self.start()

    @property
    def outputs(self) -> list[Message]:
        """The serialized outputs that are kept, in order of arrival."""
        with self._lock:
            return list(self._outputs)

    def timings(self) -> list[dict[str, float]]:
        """Return what ~/timing reported, set by set: stamp_ns, milliseconds, number of cameras, and received_s."""
        with self._lock:
            return list(self._timings)

    def _keep(self, topic: str, kind: str, data: bytes) -> None:
        message = Message(topic, kind, header_stamp_ns(data), data)
        with self._lock:
            self._outputs.append(message)
            while self._outputs[0].stamp_ns < message.stamp_ns - self._keep_ns:
                self._outputs.popleft()

    def _add_timing(self, timing: dict[str, float]) -> None:
        with self._lock:
            self._timings.append({**timing, "received_s": time.monotonic()})
