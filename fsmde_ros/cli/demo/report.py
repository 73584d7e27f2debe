"""Writes what the demo leaves behind: pictures of one set, and a rosbag2 of inputs and outputs of the last seconds."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage
from fsmde_core.messages.encode import CLOUD, IMAGE, BagWriter, Message, MessageEncoder, restamp, typestore
from fsmde_core.messages.point_cloud import read_points, stack_xyz, unpack_rgb
from fsmde_core.sources.source import Source
from fsmde_core.views.matplotlib import birds_eye, surround_sheet
from fsmde_ros.client.live_run import SentImage

BAG = "recording"
"""The bag's name in the demo's folder."""
LOG = "node.log"
"""The node's log, in the same folder: the first file of a demo."""


def write_report(
    out: Path, recording: Source, sent: Sequence[SentImage], outputs: Sequence[Message], summary: dict[str, Any]
) -> dict[str, str]:
    """Write sheet.png, birds_eye.png and the bag `recording`.

    Args:
        out: Folder.
        recording: The frames that were played.
        sent: The images that were played.
        outputs: Serialized depth images, camera_info and clouds, in order of arrival.
        summary: Recording, engine and model for the titles.

    Returns:
        File -> what it is, and how large.
    """
    cloud, depth = _fullest_set(outputs)
    images = _images_of_set(recording, sent, {name: stamp for name, (stamp, _) in depth.items()})
    title = f"{summary['recording']}, {summary['engine']}, model {summary['model']}"
    surround_sheet(
        out / "sheet.png",
        {name: image.rgb() for name, image in images.items()},
        {name: depth[name][1] for name in images},
        f"{'Six views' if len(images) == 6 else 'Views'} and their metric depth · {title}",
    )
    points, colors = cloud_points(cloud)
    birds_eye(out / "birds_eye.png", points, colors, f"Fused point cloud from above, {len(points):,} points · {title}")
    bag = out / BAG
    shutil.rmtree(bag, ignore_errors=True)
    seconds = _write_bag(bag, recording, sent, outputs)
    size = sum(path.stat().st_size for path in bag.iterdir())
    return {
        "sheet.png": "the views beside their depth",
        "birds_eye.png": "the fused cloud from above",
        BAG: f"rosbag2 (mcap) of the last {seconds:.1f} s, inputs and outputs, {size / 1e6:.0f} MB",
        LOG: "what the node said",
    }


def cloud_points(message: Message) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Read (N, 3) float32 metres and (N, 3) uint8 RGB from a serialized cloud with float32 fields x y z rgb."""
    points = read_points(typestore().deserialize_cdr(message.data, message.type))
    xyz = stack_xyz(points)
    known = np.isfinite(xyz).all(axis=1)
    return xyz[known], unpack_rgb(points["rgb"])[known]


def _fullest_set(outputs: Sequence[Message]) -> tuple[Message, dict[str, tuple[int, NDArray[np.float32]]]]:
    """Find the cloud of the latest set with the most cameras, and camera -> (stamp, depth in metres) beside it.

    A cloud has its set's newest stamp, so that the depth images of a set lie between the cloud before and its own.
    """
    clouds = sorted((message for message in outputs if message.type == CLOUD), key=lambda message: message.stamp_ns)
    if len(clouds) < 2:
        raise FsmdeError(f"the node published {len(clouds)} clouds in the last seconds, not 2; play longer (--seconds)")
    sets = []
    for before, cloud in pairwise(clouds):
        within = [m for m in outputs if m.type == IMAGE and before.stamp_ns < m.stamp_ns <= cloud.stamp_ns]
        sets.append((len(within), cloud.stamp_ns, cloud, within))
    _, _, cloud, within = max(sets, key=lambda entry: entry[:2])
    return cloud, {m.topic.removesuffix("/depth/image"): (m.stamp_ns, _metres(m)) for m in within}


def _metres(message: Message) -> NDArray[np.float32]:
    image = typestore().deserialize_cdr(message.data, message.type)
    return image.data.view(np.float32).reshape(image.height, image.width)  # type: ignore[no-any-return]


def _images_of_set(recording: Source, sent: Sequence[SentImage], live_ns: dict[str, int]) -> dict[str, CameraImage]:
    """Find the recorded images that were sent with these stamps, in ring order."""
    played = {(entry.topic, entry.sent_ns): entry.recorded_ns for entry in sent}
    recorded = {name: played[f"{name}/image_raw", stamp] for name, stamp in live_ns.items()}
    found: dict[str, CameraImage] = {}
    for frame in recording.frames():
        for name, image in frame.images.items():
            if image.stamp_ns == recorded.get(name):
                found.setdefault(name, image)
        if len(found) == len(recorded):
            break
    return {name: found[name] for name in recording.rig.names if name in found}


def _write_bag(path: Path, recording: Source, sent: Sequence[SentImage], outputs: Sequence[Message]) -> float:
    """Write inputs (as JPEG) and outputs of the time that `outputs` cover; return its length in seconds."""
    begin, end = min(m.stamp_ns for m in outputs), max(m.stamp_ns for m in outputs)
    times: dict[tuple[str, int], list[int]] = defaultdict(list)
    for entry in sent:
        if begin <= entry.sent_ns <= end:
            times[entry.topic, entry.recorded_ns].append(entry.sent_ns)
    encoder = MessageEncoder(recording.rig, compressed=True)
    messages = list(outputs)
    for frame in recording.frames():
        for message in encoder.frame(frame):
            for live_ns in times.get((message.topic.removesuffix("/compressed"), message.stamp_ns), ()):
                messages.append(Message(message.topic, message.type, live_ns, restamp(message, live_ns)))
    with BagWriter(path, compress=True) as bag:
        bag.write(encoder.static_transforms(begin))
        for message in sorted(messages, key=lambda message: message.stamp_ns):
            bag.write(message)
    return (end - begin) * 1e-9
