"""Decides which topics of a bag are cameras and lidar."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from fsmde_core.messages.encode import CAMERA_INFO, CLOUD, COMPRESSED, IMAGE
from fsmde_core.rig.rig_file import RigFile
from fsmde_core.sources.rosbag.storage.bag import Bag

IMAGE_KINDS = (IMAGE, COMPRESSED)
_RAW = "image_raw"
_OTHERS = ("image_color", "image_rect_color", "image_rect", "image")  # where a camera has none of the usual name


class CameraTopics(NamedTuple):
    """Names the topic of the images, their message type, and the topic of the calibration where the bag has one."""

    image: str
    type: str
    info: str | None

    @property
    def is_rectified(self) -> bool:
        """Whether the images are free of distortion, by image_proc's names."""
        return "rect" in _plain(self.image).rsplit("/", 1)[-1]

    @property
    def camera(self) -> str:
        """The camera's own part of the topic: `/car/front` of `/car/front/image_raw/compressed`."""
        return _plain(self.image).rpartition("/")[0]


def camera_topics(
    bag: Bag, chosen: Sequence[str] | None = None, rig_file: RigFile | None = None
) -> dict[str, CameraTopics]:
    """Find camera name -> topics; where a camera has both, raw images are preferred to compressed ones.

    A camera that cannot be used is left out with a note.

    Args:
        bag: The recording.
        chosen: Names or topics of the cameras that are wanted, `*` stands for any text; None for all.
        rig_file: Names the cameras, and has a calibration of those that have no camera_info in the bag.

    Returns:
        The cameras.

    Raises:
        FsmdeError: There is no camera, one that was chosen is not there, or two have the same name.
    """
    found = _usual(bag) or _unusual(bag)
    if rig_file is not None:
        named = _of_rig(bag, found, rig_file)
        if chosen is not None:
            _check_chosen(bag, chosen, [{name, topics.image} for name, topics in named.items()])
            named = {n: t for n, t in named.items() if _is_chosen(chosen, {n, t.image})}
    else:
        if chosen is not None:
            found = _chosen(bag, found, chosen)
        for topics in (topics for topics in found if topics.info is None):
            bag.note(f"has a camera on {topics.image} that was left out: nothing on {topics.camera}/camera_info")
        named = _named(bag, [topics for topics in found if topics.info is not None])
    if not named:
        raise bag.error(
            "has no topic <camera>/image_raw or <camera>/image_raw/compressed with <camera>/camera_info beside it; "
            f"its topics are {listed(bag)}; choose image topics with --cameras, or map them in a rig file (--rig)"
            + "".join(f" ({note})" for note in bag.notes)
        )
    return named


def listed(bag: Bag, kinds: Iterable[str] | None = None) -> str:
    """List topics with their types, as errors do.

    Args:
        bag: The recording.
        kinds: Types that are listed; None for all.

    Returns:
        The text.
    """
    shown = [f"{topic} ({kind})" for topic, kind in sorted(bag.topics.items()) if kinds is None or kind in kinds]
    return ", ".join(shown) or "none"


def _plain(topic: str) -> str:
    return topic.removesuffix("/compressed")


def _topics_of(bag: Bag, image: str, info: str | None = None) -> CameraTopics:
    plain = _plain(image)
    candidates = [info] if info else [f"{plain.rpartition('/')[0]}/camera_info", f"{plain}/camera_info"]
    known = [topic for topic in candidates if bag.topics.get(topic) == CAMERA_INFO]
    return CameraTopics(image, bag.topics[image], known[0] if known else None)


def _image_topics(bag: Bag) -> list[str]:
    """List raw images before compressed ones."""
    return [topic for kind in IMAGE_KINDS for topic, found in sorted(bag.topics.items()) if found == kind]


def _usual(bag: Bag) -> list[CameraTopics]:
    found: dict[str, CameraTopics] = {}
    for topic in _image_topics(bag):
        if _plain(topic).rsplit("/", 1)[-1] == _RAW:
            found.setdefault(_plain(topic), _topics_of(bag, topic))
    return sorted(found.values())


def _unusual(bag: Bag) -> list[CameraTopics]:
    """Find one image topic beside each camera_info, of those whose names image_proc and drivers use."""
    found: dict[str, CameraTopics] = {}
    for name in _OTHERS:
        for topic in _image_topics(bag):
            topics = _topics_of(bag, topic)
            if _plain(topic).rsplit("/", 1)[-1] == name and topics.info:
                found.setdefault(topics.camera, topics)
    return sorted(found.values())


def _aliases(topics: CameraTopics) -> set[str]:
    camera = topics.camera.strip("/")
    return {camera, f"/{camera}", camera.replace("/", "_"), camera.rsplit("/", 1)[-1], topics.image}


def _is_chosen(chosen: Iterable[str], aliases: set[str]) -> bool:
    return any(fnmatchcase(alias, pattern) for pattern in chosen for alias in aliases)


def _check_chosen(bag: Bag, chosen: Sequence[str], aliases: Sequence[set[str]]) -> None:
    for pattern in chosen:
        if not any(_is_chosen([pattern], names) for names in aliases):
            raise bag.error(f"has no camera '{pattern}'; its image topics are {listed(bag, IMAGE_KINDS)}")


def _chosen(bag: Bag, found: Sequence[CameraTopics], chosen: Sequence[str]) -> list[CameraTopics]:
    """Select cameras that were found by their names, and any image topic by its own."""
    known = {topics.image for topics in found}
    others = [_topics_of(bag, topic) for topic in _image_topics(bag) if topic not in known]
    _check_chosen(bag, chosen, [*map(_aliases, found), *({topics.image} for topics in others)])
    return sorted(
        [topics for topics in found if _is_chosen(chosen, _aliases(topics))]
        + [topics for topics in others if _is_chosen(chosen, {topics.image})]
    )


def _of_rig(bag: Bag, found: Sequence[CameraTopics], rig_file: RigFile) -> dict[str, CameraTopics]:
    named: dict[str, CameraTopics] = {}
    for name in rig_file.rig.names:
        same = [topics for topics in found if name in _aliases(topics)]
        topic = rig_file.images.get(name) or (same[0].image if same else None)
        if topic is None or bag.topics.get(topic) not in IMAGE_KINDS:
            where = f"on {topic}" if topic else "of that name"
            bag.note(f"lacks camera '{name}' of the rig: it has no images {where}")
        else:
            named[name] = _topics_of(bag, topic, rig_file.infos.get(name))
    for topics in found:
        if topics.image not in {one.image for one in named.values()}:
            bag.note(f"has a camera on {topics.image} that was left out: the rig file does not name it")
    return named


def _named(bag: Bag, found: Sequence[CameraTopics]) -> dict[str, CameraTopics]:
    """Shorten names to the last part of each topic where these differ, else join all parts by `_`."""
    cameras = {topics.camera: topics for topics in found}
    last = [camera.rsplit("/", 1)[-1] for camera in cameras]
    short = len(set(last)) == len(last) == len(found)
    named: dict[str, CameraTopics] = {}
    for topics in found:
        camera = topics.camera
        longer = next((other for other in cameras if other != camera and other.endswith("/" + camera.strip("/"))), None)
        name = camera.rsplit("/", 1)[-1] if short else camera.strip("/").replace("/", "_")
        twin = named.get(name) or (cameras[longer] if longer else None)
        if twin:
            raise bag.error(
                f"has two topics for one camera '{camera.strip('/')}': {topics.image} and {twin.image}; "
                "choose one with --cameras"
            )
        named[name or "camera"] = topics
    return named


def lidar_topic(bag: Bag, given: str | None = None) -> str | None:
    """Find the cloud topic that ends in `lidar/points`, else the first with `lidar` in its name; note the others.

    Args:
        bag: The recording.
        given: The topic, where it is known.

    Returns:
        The topic, None where the bag has no lidar.

    Raises:
        FsmdeError: The given topic holds no clouds.
    """
    if given is not None:
        if bag.topics.get(given) != CLOUD:
            raise bag.error(f"has no point clouds on {given}; its cloud topics are {listed(bag, [CLOUD])}")
        return given
    clouds = sorted(topic for topic, kind in bag.topics.items() if kind == CLOUD)
    lidars = sorted(
        (topic for topic in clouds if "lidar" in topic.lower()), key=lambda topic: not topic.endswith("lidar/points")
    )
    if not lidars:
        hint = "; choose one with --lidar" if clouds else ""
        bag.note(f"has no lidar: none of its cloud topics {clouds} has `lidar` in its name{hint}")
    elif len(lidars) > 1:
        bag.note(f"has several lidars, {lidars}: only {lidars[0]} was read")
    return lidars[0] if lidars else None


def used_topics(cameras: Mapping[str, CameraTopics], lidar: str | None) -> list[str]:
    """List the topics that a pass reads beside those of transforms.

    Args:
        cameras: Those that are used.
        lidar: Topic of the sweeps, if there is one.

    Returns:
        The topics.
    """
    infos = [topics.info for topics in cameras.values() if topics.info]
    return [*(topics.image for topics in cameras.values()), *infos, *([lidar] if lidar else [])]
