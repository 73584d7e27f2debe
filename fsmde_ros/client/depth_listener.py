"""Depth images with their intrinsics, as a running node publishes them."""

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
    """depth: (h, w) float32 metres, NaN where there is none. K: (3, 3) intrinsics beside it."""

    depth: NDArray[np.float32]
    K: Matrix


class DepthListener(NodeListener):
    """Subscribes to every camera's depth/image and depth/camera_info, which are paired by stamp, and tells `ledger`:
    on a camera's channel its PublishedDepth, on TIMING the milliseconds from a set's last image to its last output.
    """

    def __init__(self, node: Any, cameras: Iterable[str], ledger: ReplayTracker) -> None:
        from sensor_msgs.msg import CameraInfo, Image

        from fsmde_ros.middleware.qos import NO_SUBSCRIPTION_EVENTS

        super().__init__(node, lambda timing: ledger.answer(TIMING, int(timing["stamp_ns"]), timing["end_to_end_ms"]))
        self._ledger = ledger
        self._halves: dict[str, dict[int, Any]] = {name: {} for name in cameras}
        for name in self._halves:
            for kind, topic in ((Image, "image"), (CameraInfo, "camera_info")):
                hear = partial(self._hear, name)
                self._subscriptions.append(
                    node.create_subscription(
                        kind, f"{name}/depth/{topic}", hear, 10, event_callbacks=NO_SUBSCRIPTION_EVENTS
                    )
                )
        self.start()

    def _hear(self, name: str, message: Any) -> None:
        from fsmde_ros.middleware.readers import depth_metres

        halves, stamp = self._halves[name], stamp_ns(message.header.stamp)
        other = halves.pop(stamp, None)
        if other is None:
            halves[stamp] = message
            return
        image, info = (message, other) if hasattr(message, "encoding") else (other, message)
        for older in [key for key in halves if key < stamp]:  # the other half of these was lost
            del halves[older]
        self._ledger.answer(name, stamp, PublishedDepth(depth_metres(image), np.array(info.k).reshape(3, 3)))
