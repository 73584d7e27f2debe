"""Receives depth images with their intrinsics from a running node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmde_core.messages.read import stamp_ns
from fsmde_core.rig.geometry import Matrix
from fsmde_ros.client.listener import NodeListener
from fsmde_ros.client.replay_tracker import TIMING, ReplayTracker


@dataclass(frozen=True, eq=False)
class PublishedDepth:
    """Holds (h, w) float32 metres of depth, NaN where there is none, and (3, 3) intrinsics K."""

    depth: NDArray[np.float32]
    K: Matrix


class DepthListener(NodeListener):
    """Subscribes to every camera's depth/image and depth/camera_info, and records pairs of equal stamp in `tracker`.

    A camera is answered with PublishedDepth, TIMING with the milliseconds from a set's last image to its last output.
    """

    def __init__(self, node: Any, cameras: Iterable[str], tracker: ReplayTracker) -> None:
        from sensor_msgs.msg import CameraInfo, Image

        super().__init__(node, self._record_timing)
        self._tracker = tracker
        self._unpaired: dict[str, dict[int, Any]] = {name: {} for name in cameras}
        for name in self._unpaired:
            for kind, topic in ((Image, "image"), (CameraInfo, "camera_info")):
                self._subscribe(kind, f"{name}/depth/{topic}", partial(self._on_message, name), 10)
        self.start()

    def _on_message(self, name: str, message: Any) -> None:
        from fsmde_ros.client.depth_images import depth_metres

        unpaired, stamp = self._unpaired[name], stamp_ns(message.header.stamp)
        other = unpaired.pop(stamp, None)
        if other is None:
            unpaired[stamp] = message
            return
        image, info = (message, other) if hasattr(message, "encoding") else (other, message)
        for older in [key for key in unpaired if key < stamp]:  # their counterparts were lost
            del unpaired[older]
        self._tracker.record_answer(name, stamp, PublishedDepth(depth_metres(image), np.array(info.k).reshape(3, 3)))

    def _record_timing(self, timing: dict[str, float]) -> None:
        self._tracker.record_answer(TIMING, int(timing["stamp_ns"]), timing["end_to_end_ms"])
