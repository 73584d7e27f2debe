"""Decides which topics of a bag are cameras and lidar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fsmde_core.messages.encode import CAMERA_INFO, CLOUD, COMPRESSED, IMAGE
from fsmde_core.sources.rosbag.storage.bag import Bag

IMAGE_TOPICS = {IMAGE: "/image_raw", COMPRESSED: "/image_raw/compressed"}


class CameraTopics(NamedTuple):
    """Names the topic of the images, their message type, and the topic of the calibration."""

    image: str
    type: str
    info: str


def camera_topics(bag: Bag) -> dict[str, CameraTopics]:
    """Find camera name -> topics; where a camera has both, raw images are preferred to compressed ones.

    Raises FsmdeError when there is no camera, when one has no camera_info, or when two have the same name.
    """
    cameras: dict[str, CameraTopics] = {}
    for kind in (COMPRESSED, IMAGE):
        for topic in sorted(topic for topic, found in bag.topics.items() if found == kind):
            if topic.endswith(IMAGE_TOPICS[kind]):
                camera = topic.removesuffix(IMAGE_TOPICS[kind])
                cameras[camera] = CameraTopics(topic, kind, f"{camera}/camera_info")
    if not cameras:
        images = sorted(topic for topic, kind in bag.topics.items() if kind in IMAGE_TOPICS)
        raise bag.error(
            "has no topic <camera>/image_raw or <camera>/image_raw/compressed; "
            f"its image topics are {images}; record with these names or remap them"
        )
    for topics in cameras.values():
        if bag.topics.get(topics.info) != CAMERA_INFO:
            raise bag.error(f"has images on {topics.image} but nothing on {topics.info}; record it beside the images")
    return _named(bag, cameras)


def _named(bag: Bag, cameras: Mapping[str, CameraTopics]) -> dict[str, CameraTopics]:
    """Shorten names to the last part of each topic where these differ, else join all parts by `_`."""
    last = [camera.rsplit("/", 1)[-1] for camera in cameras]
    short = len(set(last)) == len(last)
    named: dict[str, CameraTopics] = {}
    for camera, topics in cameras.items():
        longer = next((other for other in cameras if other != camera and other.endswith("/" + camera.strip("/"))), None)
        name = camera.rsplit("/", 1)[-1] if short else camera.strip("/").replace("/", "_")
        twin = named.get(name) or (cameras[longer] if longer else None)
        if twin:
            raise bag.error(
                f"has two topics for one camera '{camera.strip('/')}': {topics.image} and {twin.image}; "
                "leave one out (`ros2 bag convert`) or remap it"
            )
        named[name or "camera"] = topics
    return named


def lidar_topic(bag: Bag) -> str | None:
    """Find the cloud topic that ends in `lidar/points`, else the first with `lidar` in its name; note the others."""
    clouds = sorted(topic for topic, kind in bag.topics.items() if kind == CLOUD)
    lidars = sorted(
        (topic for topic in clouds if "lidar" in topic.lower()), key=lambda topic: not topic.endswith("lidar/points")
    )
    if not lidars:
        bag.note(f"has no lidar: none of its cloud topics {clouds} has `lidar` in its name")
    elif len(lidars) > 1:
        bag.note(f"has several lidars, {lidars}: only {lidars[0]} was read")
    return lidars[0] if lidars else None
