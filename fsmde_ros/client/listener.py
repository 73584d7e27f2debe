"""What the node says: its timings as they come, and the last seconds of its output for bags and pictures."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Any

import numpy as np

from fsmde_core.messages.write import CAMERA_INFO, CLOUD, IMAGE, Message, header_stamp_ns
from fsmde_ros.client.node_process import NODE_NAME

DIAGNOSTIC_ERROR = b"\x02"  # diagnostic_msgs/DiagnosticStatus.ERROR


@dataclass(frozen=True)
class NodeStatus:
    """One part of the node's diagnostics, as last heard."""

    is_error: bool
    message: str
    values: dict[str, str]


class NodeListener:
    """Hears what the node of the same namespace says of itself, on `node`, in a thread of its own from `start` on.

    statuses: of /diagnostics, by part of the node. on_timing: gets what ~/timing tells of a set: its stamp_ns,
    milliseconds, number of cameras.
    """

    def __init__(self, node: Any, on_timing: Callable[[dict[str, float]], None]) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor

        self.statuses: dict[str, NodeStatus] = {}
        self._on_timing = on_timing
        self._heard = f"{node.get_namespace()}/{NODE_NAME}".lstrip("/")  # as in the names of its statuses
        self._subscriptions = [
            node.create_subscription(DiagnosticArray, f"{NODE_NAME}/timing", self._read_timing, 50),
            node.create_subscription(DiagnosticArray, "/diagnostics", self._read_diagnostics, 10),
        ]
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._thread = Thread(target=self._executor.spin, name="listener", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._executor.shutdown()
        self._thread.join()

    def _read_timing(self, message: Any) -> None:
        values = {entry.key: entry.value for status in message.status for entry in status.values}
        timing: dict[str, float] = {key: float(value) for key, value in values.items() if key.endswith("_ms")}
        stamp_ns = int(values["stamp_ns"])  # more digits than a float holds
        self._on_timing({**timing, "stamp_ns": stamp_ns, "cameras": float(len(values["cameras"].split(",")))})

    def _read_diagnostics(self, message: Any) -> None:
        for status in message.status:
            node, _, part = status.name.partition(": ")
            if node == self._heard:
                values = {entry.key: entry.value for entry in status.values}
                self.statuses[part] = NodeStatus(status.level == DIAGNOSTIC_ERROR, status.message, values)


class OutputCollector(NodeListener):
    """Subscribes to all outputs on `node`; keeps the serialized ones of the last `keep_s`."""

    def __init__(self, node: Any, cameras: Iterable[str], keep_s: float) -> None:
        from sensor_msgs.msg import CameraInfo, Image, PointCloud2

        from fsmde_ros.middleware.qos import NO_SUBSCRIPTION_EVENTS

        super().__init__(node, self._note)
        self._keep_ns = int(keep_s * 1e9)
        self._lock = Lock()
        self._outputs: deque[Message] = deque()
        self._timings: list[dict[str, float]] = []
        topics: list[tuple[str, str, Any]] = [("points", CLOUD, PointCloud2)]
        for name in cameras:
            topics += [(f"{name}/depth/image", IMAGE, Image), (f"{name}/depth/camera_info", CAMERA_INFO, CameraInfo)]
        for topic, kind, message_class in topics:
            keep = self._keep(topic, kind)
            self._subscriptions.append(
                node.create_subscription(
                    message_class, topic, keep, 5, raw=True, event_callbacks=NO_SUBSCRIPTION_EVENTS
                )
            )
        self.start()

    @property
    def outputs(self) -> list[Message]:
        """The serialized outputs that are kept, in order of arrival."""
        with self._lock:
            return list(self._outputs)

    def timings(self) -> list[dict[str, float]]:
        """What ~/timing told of each set, in order: its stamp_ns, milliseconds, number of cameras, and received_s."""
        with self._lock:
            return list(self._timings)

    def _keep(self, topic: str, kind: str) -> Callable[[bytes], None]:
        def keep(data: bytes) -> None:
            message = Message(topic, kind, header_stamp_ns(data), data)
            with self._lock:
                self._outputs.append(message)
                while self._outputs[0].stamp_ns < message.stamp_ns - self._keep_ns:
                    self._outputs.popleft()

        return keep

    def _note(self, timing: dict[str, float]) -> None:
        with self._lock:
            self._timings.append({**timing, "received_s": time.monotonic()})


def percentiles(timings: Iterable[dict[str, float]], key: str, shares: tuple[int, ...]) -> dict[str, float]:
    """{'p50': ...} of one value of the timings, NaN without any."""
    values = [timing[key] for timing in timings if key in timing]
    return {f"p{share}": round(float(np.percentile(values, share)), 1) if values else float("nan") for share in shares}
