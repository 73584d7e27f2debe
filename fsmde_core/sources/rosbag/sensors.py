"""Judges and decodes images and point clouds of a bag."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage
from fsmde_core.images.compression import tables_of
from fsmde_core.images.encodings import RawImage, holds_depth
from fsmde_core.images.rectify import check_size
from fsmde_core.messages.encode import COMPRESSED, typestore
from fsmde_core.messages.read import checked_stamp, compressed_image, encoded_image, raw_image
from fsmde_core.rig.rig import Camera
from fsmde_core.sources.rosbag.storage.records import BagMessage
from fsmde_core.sources.rosbag.topics import CameraTopics


class UnusableMessageError(FsmdeError):
    """Says why a message cannot be used. reason: few words, the same for all like it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@contextmanager
def unusable(reason: str) -> Iterator[None]:
    """Give every FsmdeError this reason."""
    try:
        yield
    except FsmdeError as error:
        raise UnusableMessageError(reason, str(error)) from error


def first_fault(record: BagMessage, error: FsmdeError) -> str:
    """Write the detail of a note on messages that are left out.

    Args:
        record: The first of them.
        error: What is wrong with it.

    Returns:
        The sentence.
    """
    try:
        return f"the first of stamp {checked_stamp(record.stamp_ns) * 1e-9:.3f}: {error}"
    except FsmdeError:
        return str(error)


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
    return encoding if holds_depth(encoding) else None


class ImageReader:
    """Reads the images of a bag's cameras."""

    def __init__(self, topics: Mapping[str, CameraTopics]) -> None:
        self._topics = topics
        self._good: dict[str, tuple[Camera, bytes]] = {}  # calibration and tables of the last one that was decoded

    def check(self, camera: Camera, record: BagMessage) -> None:
        """Judge an image; a compressed one is decoded unless it has the tables of one that was good.

        Args:
            camera: As calibrated.
            record: The image.

        Raises:
            UnusableMessageError: It cannot be used.
        """
        topics = self._topics[camera.name]
        with unusable("damaged"):
            stamp_ns, message = record.stamp_ns, deserialized(record, topics.type)
        with unusable("no stamp"):
            checked_stamp(stamp_ns)
        if topics.type != COMPRESSED:
            self._check_pixels(camera, raw_image, message)
            return
        tables = tables_of(memoryview(message.data))
        if tables and self._good.get(camera.name) == (camera, tables):
            return
        self._check_pixels(camera, compressed_image, message)
        if tables:
            self._good[camera.name] = camera, tables

    def _check_pixels(self, camera: Camera, read: Callable[[Any], RawImage], message: Any) -> None:
        with unusable("not decodable"):
            image = read(message)
        with unusable("of another size than its calibration"):
            check_size(camera, image.width, image.height)

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
        encoded = encoded_image(message)
        if encoded.is_mosaic or encoded.is_swapped:  # the bytes alone do not say so
            return CameraImage(record.stamp_ns, pixels=encoded.decode().rgb())
        return CameraImage(record.stamp_ns, encoded=message.data.tobytes())
