"""What the demo leaves behind: pictures of one set, and a rosbag2 of inputs and outputs of the last seconds."""

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
from fsmde_core.messages.write import CLOUD, IMAGE, BagWriter, Message, MessageEncoder, restamped, typestore
from fsmde_core.sources.source import Source
from fsmde_core.views.matplotlib import birds_eye, surround_sheet
from fsmde_ros.client.live_run import SentImage

BAG = "recording"
"""The bag's name in the demo's folder."""
LOG = "node.log"
"""What the node says, there too: a demo's first file."""


def write_report(
    out: Path,
    recording: Source,
    sent: Sequence[SentImage],
    outputs: Sequence[Message],
    summary: dict[str, Any],
) -> dict[str, str]:
    """Write sheet.png, birds_eye.png and the bag `recording`; returns file -> what it is and how large.

    outputs: serialized depth images, camera_info and clouds, in order of arrival. summary: what the titles say.
    """
    cloud, depth = _fullest_set(outputs)
    images = _images_of_set(recording, sent, {name: stamp for name, (stamp, _) in depth.items()})
    what = f"{summary['recording']}, {summary['engine']}, model {summary['model']}"
    surround_sheet(
        out / "sheet.png",
        {name: image.rgb() for name, image in images.items()},
        {name: depth[name][1] for name in images},
        f"Six views and their metric depth · {what}" if len(images) == 6 else f"Views and their metric depth · {what}",
    )
    points, colors = cloud_points(cloud)
    birds_eye(out / "birds_eye.png", points, colors, f"Fused point cloud from above, {len(points):,} points · {what}")
    bag = out / BAG
    shutil.rmtree(bag, ignore_errors=True)
    seconds = _write_bag(bag, recording, sent, outputs)
    return {
        "sheet.png": "the views beside their depth",
        "birds_eye.png": "the fused cloud from above",
        BAG: f"rosbag2 (mcap) of the last {seconds:.1f} s, inputs and outputs, {_megabytes(bag):.0f} MB",
        LOG: "what the node said",
    }


def cloud_points(message: Message) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """(N, 3) float32 metres and (N, 3) uint8 RGB of a serialized cloud with float32 fields x y z rgb."""
    cloud = typestore().deserialize_cdr(message.data, message.type)
    offsets = {field.name: field.offset // 4 for field in cloud.fields}
    records = cloud.data.view(np.float32).reshape(-1, cloud.point_step // 4)
    points = records[:, [offsets[axis] for axis in "xyz"]]
    bits = np.ascontiguousarray(records[:, offsets["rgb"]]).view(np.uint32)
    colors = np.stack([bits >> 16, bits >> 8, bits], axis=-1).astype(np.uint8)
    known = np.isfinite(points).all(axis=1)
    return points[known], colors[known]


def _fullest_set(outputs: Sequence[Message]) -> tuple[Message, dict[str, tuple[int, NDArray[np.float32]]]]:
    """The cloud of the latest set with the most cameras, and camera -> (stamp, depth in metres) beside it.

    A cloud has its set's newest stamp, so that the depth images of a set lie between the cloud before and its own.
    """
    clouds = sorted((message for message in outputs if message.type == CLOUD), key=lambda message: message.stamp_ns)
    if len(clouds) < 2:
        raise FsmdeError(f"the node published {len(clouds)} clouds in the last seconds, the pictures need two")
    sets = []
    for before, cloud in pairwise(clouds):
        within = [m for m in outputs if m.type == IMAGE and before.stamp_ns < m.stamp_ns <= cloud.stamp_ns]
        sets.append((len(within), cloud.stamp_ns, cloud, within))
    _, _, cloud, within = max(sets, key=lambda entry: entry[:2])
    return cloud, {m.topic.removesuffix("/depth/image"): (m.stamp_ns, _metres(m)) for m in within}


def _metres(message: Message) -> NDArray[np.float32]:
    """A serialized 32FC1 depth image as (H, W) float32 metres."""
    image = typestore().deserialize_cdr(message.data, message.type)
    return image.data.view(np.float32).reshape(image.height, image.width)  # type: ignore[no-any-return]


def _images_of_set(recording: Source, sent: Sequence[SentImage], live_ns: dict[str, int]) -> dict[str, CameraImage]:
    """The recorded images that went out with these stamps, in ring order."""
    played = {(entry.topic, entry.live_ns): entry.recorded_ns for entry in sent}
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
    """Inputs (as JPEG) and outputs of the time that `outputs` cover; returns its length in seconds."""
    begin, end = min(m.stamp_ns for m in outputs), max(m.stamp_ns for m in outputs)
    times: dict[tuple[str, int], list[int]] = defaultdict(list)
    for entry in sent:
        if begin <= entry.live_ns <= end:
            times[entry.topic, entry.recorded_ns].append(entry.live_ns)
    encoder = MessageEncoder(recording.rig, compressed=True)
    messages = list(outputs)
    for frame in recording.frames():
        for message in encoder.frame(frame):
            for live_ns in times.get((message.topic.removesuffix("/compressed"), message.stamp_ns), ()):
                messages.append(Message(message.topic, message.type, live_ns, restamped(message, live_ns)))
    with BagWriter(path, compress=True) as bag:
        bag.write(encoder.static_transforms(begin))
        for message in sorted(messages, key=lambda message: message.stamp_ns):
            bag.write(message)
    return (end - begin) * 1e-9


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6
