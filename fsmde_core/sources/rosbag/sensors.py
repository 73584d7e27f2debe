"""Decodes images and point clouds of a bag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage
from fsmde_core.images.encodings import EncodedImage, RawImage
from fsmde_core.messages.encode import COMPRESSED, typestore
from fsmde_core.messages.read import raw_image
from fsmde_core.rig.rig import Rig
from fsmde_core.sources.rosbag.storage.records import BagMessage
from fsmde_core.sources.rosbag.topics import CameraTopics


def deserialized(record: BagMessage, kind: str) -> Any:
    try:
        return typestore().deserialize_cdr(record.data, kind)
    except Exception as error:  # the generated code raises whatever the bytes lead it to
        reason = " ".join(str(error).split())
        raise FsmdeError(
            f"a message of {len(record.data)} bytes on {record.topic} is no {kind} ({reason}); it is damaged"
        ) from error


@dataclass
class ImageReader:
    """Reads images and compares their size with the calibration: every raw one, the first compressed one of each.

    An image is decoded unless it is an ordinary JPEG or PNG. Raises FsmdeError for one that cannot be used.
    """

    topics: Mapping[str, CameraTopics]
    rig: Rig
    _seen: set[str] = field(default_factory=set)

    def read(self, camera: str, record: BagMessage) -> CameraImage:
        topics = self.topics[camera]
        message = deserialized(record, topics.type)
        try:
            if topics.type != COMPRESSED:
                return self._decoded(camera, record, raw_image(message))
            encoded = EncodedImage(message.data, message.format)
            # Of a mosaic, or with red and blue swapped, the bytes alone do not say so.
            needs_format = encoded.is_mosaic or encoded.is_swapped
            if camera not in self._seen or needs_format:
                image = self._decoded(camera, record, encoded.decode())
                self._seen.add(camera)
                if needs_format:
                    return image
        except FsmdeError as error:
            raise FsmdeError(f"{record.topic}, image of stamp {record.stamp_ns * 1e-9:.3f}: {error}") from error
        return CameraImage(record.stamp_ns, encoded=message.data.tobytes())

    def _decoded(self, camera: str, record: BagMessage, image: RawImage) -> CameraImage:
        calibrated = self.rig[camera]
        if (image.width, image.height) != (calibrated.width, calibrated.height):
            raise FsmdeError(
                f"it is {image.width}x{image.height}, {self.topics[camera].info} says "
                f"{calibrated.width}x{calibrated.height}; record the camera_info of this size (with binning or roi)"
            )
        return CameraImage(record.stamp_ns, pixels=image.rgb())
