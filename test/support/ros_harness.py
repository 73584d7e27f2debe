"""The node under test and a client beside it: one executor, one thread, real DDS in a domain of this process's own."""

from __future__ import annotations

import gc
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Camera, Rig, save_rig
from fsmde_ros.middleware import conversions
from fsmde_ros.middleware.dds import use_shared_memory_profile
from fsmde_ros.middleware.domain import claim_domain
from fsmde_ros.node.node import SurroundDepthNode
from support.tiny_model import WIDTH as NET_WIDTH

DOMAIN = claim_domain()
NAMES = ("front", "front_right", "back_right", "back", "back_left", "front_left")
WIDTH, HEIGHT, FX = 160, 96, 80.0
STAMP = 1_700_000_000_000_000_000
PERIOD = 100_000_000
PATIENCE_S = 8.0  # diagnostics come once a second; the rest is for busy machines
RELIABLE = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)


def ring_rig() -> Rig:
    """Six cameras 60 degrees apart, clockwise from above, each 1.5 m up and 1 m out along its axis."""
    cameras = []
    for index, name in enumerate(NAMES):
        yaw = -np.deg2rad(60 * index)
        forward = np.array([np.cos(yaw), np.sin(yaw), 0])
        right = np.array([np.sin(yaw), -np.cos(yaw), 0])
        rotation = np.stack([right, [0, 0, -1], forward], axis=1)
        K = [[FX, 0, WIDTH / 2 - 0.5], [0, FX, HEIGHT / 2 - 0.5], [0, 0, 1]]
        cameras.append(Camera(name, WIDTH, HEIGHT, np.array(K), rigid(rotation, forward + np.array([0, 0, 1.5]))))
    return Rig(tuple(cameras))


def constant_rgb(value: int) -> NDArray[np.uint8]:
    return np.full((HEIGHT, WIDTH, 3), value, np.uint8)


def expected_depth(grey: float, fx: float = FX) -> float:
    """The tiny model by hand: (1 + grey) * fx at the network's size / 100."""
    return (1 + grey) * fx * NET_WIDTH / WIDTH / 100


def image_message(pixels: NDArray[np.uint8], encoding: str, stamp_ns: int) -> Image:
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=pixels.strides[0])
    message.header = conversions.header(stamp_ns, "driver_frame")
    message.data = pixels.tobytes()
    return message


def camera_info(name: str = "front") -> CameraInfo:
    """What the driver of a camera of `ring_rig` sends."""
    return conversions.camera_info(conversions.header(STAMP, "driver_frame"), ring_rig()[name])


class Client:
    """Publishes camera topics and keeps what the node publishes, per topic, in `received`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.node = rclpy.create_node("client", context=stage.context)
        stage.executor.add_node(self.node)
        self.received: dict[str, list[Any]] = defaultdict(list)
        self._publishers: dict[str, Any] = {}
        self.listen(DiagnosticArray, "/diagnostics")

    def listen(self, kind: Any, topic: str) -> Any:
        return self.node.create_subscription(kind, topic, self.received[topic].append, RELIABLE)

    def listen_to_all(self, names: tuple[str, ...] = NAMES) -> None:
        for name in names:
            self.listen(Image, f"{name}/depth/image")
            self.listen(CameraInfo, f"{name}/depth/camera_info")
        self.listen(PointCloud2, "points")

    def publish(self, topic: str, message: Any) -> None:
        """Send, once the node listens and its publishers have found this client."""
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(type(message), topic, RELIABLE)
        publisher = self._publishers[topic]
        assert self._stage.spin_until(lambda: publisher.get_subscription_count() > 0), f"nobody listens to {topic}"
        assert self._stage.spin_until(self._is_heard_from), "the node does not find its listener"
        publisher.publish(message)

    def _is_heard_from(self) -> bool:
        topics = {self.node.resolve_topic_name(topic) for topic in self.received}
        publishers = [publisher for node in self._stage.nodes for publisher in node.publishers]
        return all(p.get_subscription_count() > 0 for p in publishers if p.topic_name in topics)

    def send_set(self, values: dict[str, int], stamp_ns: int) -> None:
        """One rgb8 image of constant colour per camera, all of the same stamp."""
        for name, value in values.items():
            self.publish(f"{name}/image_raw", image_message(constant_rgb(value), "rgb8", stamp_ns))

    def send_jpeg(self, name: str, data: bytes, stamp_ns: int) -> None:
        message = CompressedImage(header=conversions.header(stamp_ns, ""), format="jpeg")
        message.data = data
        self.publish(f"{name}/image_raw/compressed", message)

    def diagnosis(self, name: str) -> DiagnosticStatus | None:
        """The latest status whose name ends with `name`."""
        for array in reversed(self.received["/diagnostics"]):
            for status in array.status:
                if status.name.endswith(name):
                    return status
        return None

    def said_of(self, name: str) -> str:
        """The message of that status, empty as long as there is none."""
        status = self.diagnosis(name)
        return status.message if status else ""

    def values_of(self, name: str) -> dict[str, str]:
        status = self.diagnosis(name)
        return {entry.key: entry.value for entry in status.values} if status else {}

    def heeds_camera_info(self, name: str = "front") -> bool:
        return self.values_of(f"camera {name}").get("intrinsics") == "camera_info"

    def depth_images(self, name: str = "back") -> int:
        """How many have come of a camera."""
        return len(self.received[f"{name}/depth/image"])


class Stage:
    """Holds the context, the executor and the nodes; all are gone when `stage()` ends."""

    def __init__(self, folder: Path, model: Path) -> None:
        self._folder = folder
        self._model = model
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.client = Client(self)
        self.nodes: list[SurroundDepthNode] = []

    def node(
        self, start: bool = True, namespace: str = "", remaps: Mapping[str, str] | None = None, **parameters: Any
    ) -> SurroundDepthNode:
        """A node on the ring rig and the tiny model; dots in parameter names are written as two underscores."""
        rig = self._folder / "rig.yaml"
        save_rig(ring_rig(), rig)
        values = {"rig": str(rig), "model": str(self._model), "engine": "onnxruntime", "threads": 1}
        values |= {name.replace("__", "."): value for name, value in parameters.items()}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        rules = [word for old, new in (remaps or {}).items() for word in ("-r", f"{old}:={new}")]
        node = SurroundDepthNode(
            context=self.context,
            namespace=namespace,
            parameter_overrides=overrides,
            cli_args=["--ros-args", *rules],
        )
        self.nodes.append(node)
        self.executor.add_node(node)
        if start:
            assert start_node(node), "the node did not become active"
        return node

    def spin_until(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> bool:
        """Serve callbacks until the condition holds; False when it never did."""
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                return False
            self.executor.spin_once(timeout_sec=0.02)
        return True

    def spin_for(self, seconds: float) -> None:
        self.spin_until(lambda: False, seconds)

    def close(self) -> None:
        for node in (*self.nodes, self.client.node):
            self.executor.remove_node(node)
            node.destroy_node()
        self.executor.shutdown()
        self.context.try_shutdown()
        # The state machine of a lifecycle node keeps the DDS participant until nobody refers to the node.
        self.nodes.clear()
        del self.executor
        gc.collect()


@contextmanager
def open_stage(folder: Path, model: Path) -> Iterator[Stage]:
    """A stage whose nodes report ten times a second, which makes the tests quick."""
    with patch("fsmde_ros.node.node.PERIOD_S", 0.1), patch.dict(os.environ):
        use_shared_memory_profile()  # Fast DDS reads it once per process, and later tests play large images
        stage = Stage(folder, model)
        try:
            yield stage
        finally:
            stage.close()


def start_node(node: SurroundDepthNode) -> bool:
    """Configure and activate; False when either failed."""
    return all(step() == TransitionCallbackReturn.SUCCESS for step in (node.trigger_configure, node.trigger_activate))


def state_of(node: SurroundDepthNode) -> str:
    """The lifecycle state's name, as rclpy's state machine holds it."""
    return node._state_machine.current_state[1]
