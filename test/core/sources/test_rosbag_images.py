"""Bags with pictures and lenses as drivers write them: what the frames show, and what is noted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fsmde_core.messages.encode import Message, MessageEncoder, typestore
from fsmde_core.sources.rosbag import RosbagSource
from support.bags import changed, recorded, write_messages
from support.small_rig import SmallRig

W, H = 32, 20
PICTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8), (0, 0), 2)
PICTURE = cv2.normalize(PICTURE, None, 0, 255, cv2.NORM_MINMAX)
GREY = np.repeat(PICTURE[..., :1], 3, 2)


def bag_with(path: Path, topic: str, change: Callable[[Any], None], compressed: bool = False) -> RosbagSource:
    messages = [changed(m, change) if topic in m.topic else m for m in recorded(SmallRig(2), compressed)]
    return RosbagSource(write_messages(path, messages))


def nv12() -> np.ndarray:
    planes = cv2.cvtColor(PICTURE, cv2.COLOR_RGB2YUV_I420)
    u, v = planes[H : H + H // 4].ravel(), planes[H + H // 4 :].ravel()
    return np.concatenate([planes[:H].ravel(), np.stack([u, v], 1).ravel()])


RAW = {
    "8UC3": (PICTURE[..., ::-1], 3 * W, PICTURE, 0),
    "8UC1": (PICTURE[..., 0], W, GREY, 0),
    "mono16": (PICTURE[..., 0].astype("<u2") << 4, 2 * W, GREY, 0),
    "rgb16": (PICTURE.astype("<u2") * 257, 6 * W, PICTURE, 0),
    "nv12": (nv12(), W, PICTURE, 30),
}


@pytest.mark.parametrize("encoding", RAW)
def test_raw_images_of_any_encoding(encoding: str, tmp_path: Path) -> None:
    pixels, step, expected, tolerance = RAW[encoding]

    def change(image: Any) -> None:
        image.encoding, image.step, image.is_bigendian = encoding, step, 0
        image.data = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)

    frame = next(bag_with(tmp_path / "bag", "/image_raw", change).frames())
    found = frame.images["front"].rgb().astype(int)
    assert np.median(np.abs(found - expected)) <= (4 if tolerance else 0)  # colour is halved in nv12


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("mono16; png compressed ", cv2.imencode(".png", PICTURE[..., 0].astype(np.uint16) << 4)[1]),
        ("MONO8; PNG compressed", cv2.imencode(".png", PICTURE[..., 0])[1]),
        ("jpeg", np.concatenate([cv2.imencode(".png", GREY)[1].ravel(), np.zeros(4096, np.uint8)])),
    ],
)
def test_compressed_images_of_any_kind(text: str, data: np.ndarray, tmp_path: Path) -> None:
    def change(image: Any) -> None:
        image.format, image.data = text, data.reshape(-1)

    for frame in bag_with(tmp_path / "bag", "/image_raw", change, compressed=True).frames():
        np.testing.assert_array_equal(frame.images["front"].rgb(), GREY)


def test_padding_behind_a_jpeg_is_passed_over(tmp_path: Path) -> None:
    def pad(image: Any) -> None:
        image.data = np.concatenate([image.data, np.zeros(5000, np.uint8)])

    padded = bag_with(tmp_path / "padded", "/image_raw", pad, compressed=True)
    plain = bag_with(tmp_path / "plain", "/image_raw", lambda _: None, compressed=True)
    for one, other in zip(padded.frames(), plain.frames(), strict=True):
        np.testing.assert_array_equal(one.images["front"].rgb(), other.images["front"].rgb())


def test_a_png_is_sent_on_as_a_png(tmp_path: Path) -> None:
    def change(image: Any) -> None:
        image.data = cv2.imencode(".png", PICTURE)[1].reshape(-1)

    source = bag_with(tmp_path / "bag", "/image_raw", change, compressed=True)
    sent: list[Message] = MessageEncoder(source.rig).frame(next(source.frames()))
    images = [typestore().deserialize_cdr(m.data, m.type) for m in sent if m.topic.endswith("compressed")]
    assert {image.format for image in images} == {"png"}


@pytest.mark.parametrize(
    ("model", "d", "standard"),
    [
        ("plumb_bob", [0.1] * 8, "rational_polynomial"),
        ("rational_polynomial", [0.01] * 14, "rational_polynomial"),
        ("rational_polynomial", [0.01] * 5, "rational_polynomial"),
        ("fisheye", [0.01] * 4, "equidistant"),
        ("", [], "plumb_bob"),
    ],
)
def test_lenses_as_opencv_has_them(model: str, d: list[float], standard: str, tmp_path: Path) -> None:
    def change(info: Any) -> None:
        info.distortion_model, info.d = model, np.array(d)

    source = bag_with(tmp_path / "bag", "/camera_info", change)
    camera = source.rig["front"]
    assert (camera.distortion_model, camera.D.tolist()) == (standard, d)
    assert not any("lens to be doubted" in note for note in source.notes)


def test_a_lens_that_turns_back_is_noted_once_with_camera_and_angle(tmp_path: Path) -> None:
    def fold(info: Any) -> None:
        info.d = np.array([-1 / 3, 0, 0, 0, 0])  # at 45 degrees
        info.k = np.array([12.0, 0, 15.5, 0, 12, 9.5, 0, 0, 1])

    source = bag_with(tmp_path / "bag", "front/camera_info", fold)
    for _ in range(2):
        assert len(list(source.frames())) == 2
    (note,) = [note for note in source.notes if "plumb_bob lens" in note]
    assert "a lens to be doubted: camera 'front': its plumb_bob lens turns back at 45.0 degrees" in note
