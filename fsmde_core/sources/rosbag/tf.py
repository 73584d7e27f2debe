"""Reads messages of /tf and /tf_static, and finds the frame in which the vehicle moves."""

from __future__ import annotations

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.encode import TF_STATIC_TOPIC, TF_TOPIC, TRANSFORMS
from fsmde_core.messages.read import stamp_ns
from fsmde_core.sources.datasets.poses import recorded_pose
from fsmde_core.sources.rosbag.sensors import deserialized
from fsmde_core.sources.rosbag.storage.bag import Bag
from fsmde_core.sources.rosbag.storage.records import BagMessage
from fsmde_core.sources.rosbag.transforms import TransformTree

TF_TOPICS = (TF_STATIC_TOPIC, TF_TOPIC)
# REP-105: the vehicle moves continuously in odom, and in map it jumps where its localization is corrected. Where the
# base has no ancestor odom, its root is the world; where nothing of /tf moves the base, there is none.
CONTINUOUS_FRAME = "odom"


def add_transforms(bag: Bag, tree: TransformTree, record: BagMessage) -> None:
    # Each frame that has broken transforms gets a note of the bag.
    for entry in deserialized(record, TRANSFORMS).transforms:
        parent, child = entry.header.frame_id.lstrip("/"), entry.child_frame_id.lstrip("/")  # tf of old wrote slashes
        t, q = entry.transform.translation, entry.transform.rotation
        try:
            T_parent_child = recorded_pose((q.w, q.x, q.y, q.z), (t.x, t.y, t.z))
        except FsmdeError as error:
            bag.note_damage(child, f"has transforms of '{child}' in '{parent}' that were left out: {error}")
            continue
        if record.topic == TF_STATIC_TOPIC:
            tree.add_fixed(parent, child, T_parent_child)
        else:
            tree.add_moving(parent, child, stamp_ns(entry.header.stamp), T_parent_child)


def world_frame(tree: TransformTree, base_frame: str) -> str | None:
    chain = tree.chain(base_frame)
    moving = [index for index, frame in enumerate(chain) if not tree.is_fixed(frame)]
    if not moving:
        return None
    above = chain[moving[0] + 1 :]
    return next((frame for frame in above if frame.rsplit("/", 1)[-1] == CONTINUOUS_FRAME), above[-1])
