"""Images in the memory that the middleware put them into: like rclpy's own to the byte, freed with their last view."""

from __future__ import annotations

import ctypes
import gc
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import Image

from fsmde_ros.middleware import conversions, image_type

FRAME = "caméra"


def taken(message: Image, kind: Any) -> Image:
    """What a subscription of `kind` hands over when it takes `message`: its C struct is gone by then."""
    image_type.image_type()  # loads the generated code
    address = image_type._CREATE(image_type._address("_CREATE_ROS_MESSAGE"))()
    assert image_type._FROM_PYTHON(image_type._address("_CONVERT_FROM_PY"))(message, address)
    capsule = type(kind)._CONVERT_TO_PY
    convert = image_type._TO_PYTHON(image_type._pointer(capsule, image_type._name(capsule)))
    result: Image = convert(address)
    image_type._DESTROY(image_type._address("_DESTROY_ROS_MESSAGE"))(address)
    return result


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@given(data=st.binary(max_size=300), height=st.integers(0, 9), step=st.integers(0, 2**32 - 1), encoding=st.text())
def test_a_message_is_the_one_that_rclpy_makes(data: bytes, height: int, step: int, encoding: str) -> None:
    header = conversions.header(1_234_567_890_123_456_789, FRAME)
    encoding = encoding.replace("\0", "").encode("utf-8", "ignore").decode()
    message = Image(header=header, height=height, width=3, encoding=encoding, is_bigendian=1, step=step)
    message.data = data
    ours, theirs = taken(message, image_type.image_type()), taken(message, Image)
    assert isinstance(ours, Image) and isinstance(ours.data, np.ndarray) == bool(data)
    assert bytes(ours.data) == bytes(theirs.data) == data
    ours.data = theirs.data = []
    assert ours == theirs


def test_the_pixels_outlive_message_and_struct_and_then_go() -> None:
    message = Image(height=1000, width=1000, step=1000, encoding="mono8")
    message.data = np.arange(1_000_000, dtype=np.uint32).astype(np.uint8).tobytes()
    views = []
    for _ in range(3):
        pixels = taken(message, image_type.image_type()).data
        views.append(pixels[500:].reshape(-1, 500))
    gc.collect()
    for view in views:
        np.testing.assert_array_equal(view.ravel(), np.frombuffer(message.data, np.uint8)[500:])
    before = resident_bytes()
    for _ in range(300):
        taken(message, image_type.image_type())
    assert resident_bytes() - before < 20e6  # of 300 MB


def test_images_are_copied_where_they_lie_otherwise(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Other(ctypes.Structure):
        _fields_ = tuple(field for field in image_type._Image._fields_ if field[0] != "is_bigendian")
        is_bigendian = 1

    monkeypatch.setattr(image_type, "_Image", Other)
    with caplog.at_level(logging.WARNING):
        assert image_type.image_type.__wrapped__() is Image
    assert "copied" in caplog.text and "another way" in caplog.text


def test_a_failure_costs_the_image_not_the_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(image_type.np, "frombuffer", fail)
    message = Image(height=1, width=1, step=1, encoding="mono8", data=[7])
    with caplog.at_level(logging.ERROR):
        assert taken(message, image_type.image_type()) == Image()
    assert "an image was lost" in caplog.text
