"""Reads messages of /tf and /tf_static, and finds the frame in which the vehicle moves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.encode import TF_TOPIC, TRANSFORMS
from fsmde_core.messages.read import checked_stamp, pose_from_transform, stamp_ns
from fsmde_core.sources.rosbag.ledger import POSES, LeftOut, PassCounts
from fsmde_core.sources.rosbag.sensors import UnusableMessageError, deserialized, unusable
from fsmde_core.sources.rosbag.storage.bag import Bag
from fsmde_core.sources.rosbag.storage.records import BagMessage
from fsmde_core.sources.rosbag.transforms import TransformTree

# REP-105: the vehicle moves continuously in odom, and in map it jumps where its localization is corrected. Where the
# base has no ancestor odom, its root is the world; where nothing of /tf moves the base, there is none.
CONTINUOUS_FRAME = "odom"


def transform_topics(bag: Bag, others: Iterable[str]) -> list[str]:
    """Choose the topics of transforms: those whose namespace holds a topic of the rig, else one of each kind.

    A robot among several has topics of its own, /robot/tf and /robot/tf_static, in which the same frames mean others.

    Args:
        bag: Receives a note of those that are left out.
        others: The rig's other topics.

    Returns:
        The topics.
    """
    found = sorted(topic for topic, kind in bag.topics.items() if kind == TRANSFORMS)
    rig, used = list(others), list[str]()
    for fixed in (True, False):
        same = [topic for topic in found if is_static(topic) == fixed]
        near = [topic for topic in same if any(other.startswith(_namespace(topic)) for other in rig)]
        used += near or same[:1]
    if left := sorted(set(found) - set(used)):
        bag.note(f"has transforms on {left} that were left out: those on {used} were read")
    return used


def is_static(topic: str) -> bool:
    """Whether transforms on the topic hold for all time."""
    return "static" in topic.rsplit("/", 1)[-1]


def _namespace(topic: str) -> str:
    return topic.rpartition("/")[0] + "/"


def add_transforms(bag: Bag, tree: TransformTree, record: BagMessage, counts: PassCounts | None = None) -> bool:
    """Add a message to the tree; what is broken gets a note of the bag.

    Args:
        bag: Receives the notes.
        tree: Is brought up to date.
        record: The message.
        counts: Receives the poses of the vehicle, on the chain that the tree follows; None while the tree is explored:
            then the first of several fixed transforms counts.

    Returns:
        Whether a transform changed that was fixed.
    """
    try:
        entries = deserialized(record, TRANSFORMS).transforms
    except FsmdeError as error:
        bag.note_damage(record.topic, f"has messages on {record.topic} that were left out: {error}")
        return False
    changed = [_add(bag, tree, record, entry, counts) for entry in entries]
    return any(changed)


def _add(bag: Bag, tree: TransformTree, record: BagMessage, entry: Any, counts: PassCounts | None) -> bool:
    parent, child = entry.header.frame_id.lstrip("/"), entry.child_frame_id.lstrip("/")  # tf of old wrote slashes
    fixed, followed = is_static(record.topic), tree.followed(child)
    poses = counts if followed is not None and not fixed else None
    if poses is not None:
        poses.add_read(POSES, record.topic)
    try:
        with unusable("in a circle"):
            _check_frames(tree, parent, child)
        with unusable("broken"):
            pose = pose_from_transform(entry.transform)
        stamp = stamp_ns(entry.header.stamp)
        with unusable("no stamp"):
            stamp = checked_stamp(stamp, "transform", "the time of the pose") if poses else stamp
    except UnusableMessageError as error:
        what = f"has transforms of '{child}' in '{parent}' that were left out: {error}"
        bag.note_damage(f"{error.reason} {parent} {child}", what)
        if poses is not None:
            poses.add_left_out(LeftOut(POSES, record.topic, error.reason))
        return False
    if followed not in (None, parent):
        note_parents(bag, child, [str(followed), parent])
        if poses is not None:
            poses.add_left_out(LeftOut(POSES, record.topic, f"in another parent than '{followed}'"))
    elif poses is not None:
        poses.offsets_ns[POSES] = stamp - record.time_ns
    if not fixed:
        return tree.add_moving(parent, child, stamp, pose)
    if counts is None and tree.has_place(child):
        return False
    return tree.add_fixed(parent, child, pose)


def _check_frames(tree: TransformTree, parent: str, child: str) -> None:
    if not parent or not child:
        raise FsmdeError("a transform needs two frames")
    if tree.closes_circle(parent, child):
        raise FsmdeError(f"'{parent}' is itself below '{child}'")


def note_parents(bag: Bag, child: str, parents: list[str]) -> None:
    """Note that a frame has several parents.

    Args:
        bag: Receives the note.
        child: The frame.
        parents: That which is used first.
    """
    others = " and ".join(f"'{parent}'" for parent in parents[1:])
    bag.note_damage(
        f"parents of {child}",
        f"has several parents of '{child}', '{parents[0]}' and {others}: the motion in '{parents[0]}' was used, "
        "each frame needs one parent",
    )


def world_chain(tree: TransformTree, base_frame: str) -> list[str]:
    """Find the frames from the base to the one that it moves in.

    Args:
        tree: All parents of its frames are tried.
        base_frame: The vehicle's.

    Returns:
        The frames, beginning with the base; none where nothing moves it.
    """
    chains = []
    for chain in tree.chains(base_frame):
        moving = [i for i in range(len(chain) - 1) if tree.is_moving(chain[i], chain[i + 1])]
        if moving:
            above = range(moving[0] + 1, len(chain))
            odom = next((i for i in above if chain[i].rsplit("/", 1)[-1] == CONTINUOUS_FRAME), None)
            chains.append((odom is None, chain[: (len(chain) if odom is None else odom + 1)]))
    return min(chains, key=lambda one: one[0])[1] if chains else []


def motion_note(base_frame: str) -> str:
    """Say that the bag has no motion."""
    return f"has no motion of '{base_frame}' on {TF_TOPIC}: the vehicle is taken to stand still"
