"""Reads the rig and the tree of frames from the beginning of a bag."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.images.rectify import lens_warning
from fsmde_core.messages.encode import CAMERA_INFO, TF_TOPIC
from fsmde_core.messages.read import camera_from_info
from fsmde_core.rig.rig import Camera, Rig, ring_order
from fsmde_core.sources.rosbag.sensors import deserialized
from fsmde_core.sources.rosbag.storage.bag import Bag
from fsmde_core.sources.rosbag.tf import TF_TOPICS, add_transforms, world_frame
from fsmde_core.sources.rosbag.topics import CameraTopics
from fsmde_core.sources.rosbag.transforms import TransformTree

# Transforms that come this long after everything else is known still belong to the beginning.
SETTLE_NS = 1_000_000_000


def read_calibration(
    bag: Bag, cameras: Mapping[str, CameraTopics], base_frame: str
) -> tuple[Rig, TransformTree, str | None]:
    """Read until every camera is placed in the base frame and the base's motion is found, and a second more.

    Args:
        bag: Is read to its end where something is missing.
        cameras: Camera name -> its topics.
        base_frame: The vehicle's frame.

    Returns:
        The rig, the tree of frames without poses, and the frame that the vehicle moves in, if any; FsmdeError where a
        camera has no calibration, or no transform to the base frame.
    """
    tree, infos = TransformTree(), {}
    names = {topics.info: name for name, topics in cameras.items()}
    settled_ns: int | None = None
    for record in bag.messages([*TF_TOPICS, *names]):
        if record.topic in TF_TOPICS:
            add_transforms(bag, tree, record)
        elif names[record.topic] not in infos:
            infos[names[record.topic]] = deserialized(record, CAMERA_INFO)
        if settled_ns is None and _is_complete(bag, tree, cameras, infos, base_frame):
            settled_ns = record.time_ns
        if settled_ns is not None and record.time_ns > settled_ns + SETTLE_NS:
            break
    rig = _rig(bag, tree, cameras, infos, base_frame)
    world = world_frame(tree, base_frame)
    if world is None:
        bag.note(f"has no motion of '{base_frame}' on {TF_TOPIC}: the vehicle is taken to stand still")
    return rig, tree.without_poses(), world


def _is_complete(
    bag: Bag, tree: TransformTree, cameras: Mapping[str, CameraTopics], infos: Mapping[str, Any], base_frame: str
) -> bool:
    if len(infos) < len(cameras) or not all(tree.is_connected(base_frame, _frame_id(info)) for info in infos.values()):
        return False
    return TF_TOPIC not in bag.topics or world_frame(tree, base_frame) is not None


def _rig(
    bag: Bag, tree: TransformTree, cameras: Mapping[str, CameraTopics], infos: Mapping[str, Any], base_frame: str
) -> Rig:
    placed: list[Camera] = []
    frames: dict[str, str] = {}
    for name, topics in cameras.items():
        if name not in infos:
            raise bag.error(f"has images on {topics.image} but nothing on {topics.info} that can be read")
        frame = _frame_id(infos[name])
        if frame in frames:
            raise bag.error(
                f"has two topics for one camera: {frames[frame]} and {topics.image} both have the frame '{frame}'; "
                "leave one out (`ros2 bag convert`), or give each camera a frame of its own"
            )
        frames[frame] = topics.image
        try:
            placed.append(camera_from_info(infos[name], name, tree.lookup(base_frame, frame)))
        except FsmdeError as error:
            raise bag.error(f"has a {topics.info} that cannot be used: {error}") from error
        if warning := lens_warning(placed[-1]):
            bag.note(f"has on {topics.info} {warning}")
    return Rig(ring_order(placed), base_frame)


def _frame_id(message: Any) -> str:
    return str(message.header.frame_id).lstrip("/")
