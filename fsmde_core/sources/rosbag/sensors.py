"""Judges and decodes images and point clouds of a bag."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage
from fsmde_core.images.compression import read_header
from fsmde_core.images.encodings import EncodedImage
from fsmde_core.images.rectify import check_size
from fsmde_core.messages.encode import COMPRESSED, typestore
from fsmde_core.messages.read import checked_stamp, compressed_image, raw_image
from fsmde_core.rig.rig import Camera
from fsmde_core.sources.rosbag.storage.records import BagMessage
from fsmde_core.sources.rosbag.topics import CameraTopics

_JPEG_SCAN, _HEADER_BYTES = b"\xff\xda", 1 << 16
_PNG_END, _PNG_HEADER_BYTES, _TAIL_BYTES = b"IEND", 33, 1024
_DEPTH = ("16UC1", "16SC1", "32SC1", "32FC1", "64FC1")


def deserialized(record: BagMessage, kind: str) -> Any:
    try:
        return typestore().deserialize_cdr(memoryview(record.data), kind)  # of bytes it makes a copy
    except Exception as error:  # the generated code raises whatever the bytes lead it to
        reason = " ".join(str(error).split())
        raise FsmdeError(
            f"a message of {len(record.data)} bytes on {record.topic} is no {kind} ({reason}); it is damaged"
        ) from error


def depth_encoding(record: BagMessage, kind: str) -> str | None:
    """Find out whether an image holds depth.

    Args:
        record: The message.
        kind: Its type.

    Returns:
        The encoding of such an image, None for a picture.

    Raises:
        FsmdeError: The message is damaged.
    """
    message = deserialized(record, kind)
    encoding = str(message.format if kind == COMPRESSED else message.encoding)
    return encoding if encoding.startswith(_DEPTH) or "compresseddepth" in encoding.lower() else None


class ImageReader:
    """Reads the images of a bag's cameras."""

    def __init__(self, topics: Mapping[str, CameraTopics]) -> None:
        self._topics = topics
        self._good: dict[str, tuple[Camera, bytes]] = {}  # calibration and header of the last one that was decoded

    def check(self, camera: Camera, record: BagMessage) -> None:
        """Judge an image; a compressed one is decoded unless it has an end, and the header of one that was good.

        Args:
            camera: As calibrated.
            record: The image.

        Raises:
            FsmdeError: It cannot be used.
        """
        checked_stamp(record.stamp_ns)
        topics = self._topics[camera.name]
        message = deserialized(record, topics.type)
        if topics.type != COMPRESSED:
            image = raw_image(message)
            check_size(camera, image.width, image.height)
            return
        header = _header(message.data)
        if header and self._good.get(camera.name) == (camera, header):
            return
        image = compressed_image(message)
        check_size(camera, image.width, image.height)
        if header:
            self._good[camera.name] = camera, header

    def read(self, camera: str, record: BagMessage) -> CameraImage:
        """Read an image that was judged good.

        Args:
            camera: Its name.
            record: The image.

        Returns:
            The image, decoded unless it is an ordinary JPEG or PNG.
        """
        topics = self._topics[camera]
        message = deserialized(record, topics.type)
        if topics.type != COMPRESSED:
            return CameraImage(record.stamp_ns, pixels=raw_image(message).rgb())
        encoded = EncodedImage(message.data, message.format)
        if encoded.is_mosaic or encoded.is_swapped:  # the bytes alone do not say so
            return CameraImage(record.stamp_ns, pixels=encoded.decode().rgb())
        return CameraImage(record.stamp_ns, encoded=message.data.tobytes())


def _header(data: Any) -> bytes | None:
    """Return what comes before the pixels of a whole JPEG or PNG; None of one that is cut off, or neither."""
    whole = memoryview(data)
    header = read_header(whole)
    if header is None or not header.is_closed:
        return None
    if header.kind == "png":
        return bytes(whole[:_PNG_HEADER_BYTES]) if _PNG_END in bytes(whole[-_TAIL_BYTES:]) else None
    start, _, _ = bytes(whole[:_HEADER_BYTES]).partition(_JPEG_SCAN)
    return start
