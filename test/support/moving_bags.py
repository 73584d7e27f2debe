"""Bags of the small rig whose vehicle moves by transforms made here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from fsmde_core.messages.encode import Message
from fsmde_core.rig.geometry import rigid
from fsmde_core.sources.rosbag import RosbagSource
from support.bags import MS, recorded, transforms, write_messages
from support.small_rig import SmallRig, yaw

LIFT = rigid(yaw(5), (0.2, 0, 0.3))  # base_footprint to base_link
POINTS = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


def bag(path: Path, *extra: Iterable[Message], frames: int = 12, drop: str = "tf$|lidar") -> RosbagSource:
    """The small rig's cameras with other transforms, every message at its stamp."""
    messages = [*recorded(SmallRig(frames), drop=drop), *(message for part in extra for message in part)]
    return RosbagSource(write_messages(path, sorted(messages, key=lambda message: message.stamp_ns)))


def odometry(start: int = 990, stop: int = 2300, late_ms: int = 0, child: str = "base_footprint") -> Iterator[Message]:
    """odom to `child` at 50 Hz; late_ms: each is recorded that much after its stamp."""
    for stamp in range(start * MS, stop * MS, 20 * MS):
        moved = transforms(stamp, ("odom", child, SmallRig.pose(stamp)))
        yield Message(moved.topic, moved.type, stamp + late_ms * MS, moved.data)
