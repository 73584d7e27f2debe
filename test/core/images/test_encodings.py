"""Every pixel encoding against a conversion written out by hand, and bad images against clear errors."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import ENCODINGS, EncodedImage, RawImage, to_rgb

BAYER = {"bayer_rggb8": "RGGB", "bayer_bggr8": "BGGR", "bayer_gbrg8": "GBRG", "bayer_grbg8": "GRBG"}
PACKED = {"rgb8": [0, 1, 2], "rgba8": [0, 1, 2], "bgr8": [2, 1, 0], "bgra8": [2, 1, 0], "mono8": [0, 0, 0]}
YUV = {"yuv422": 1, "uyvy": 1, "yuv422_yuy2": 0, "yuyv": 0}  # position of the luma byte


def padded(pixels: np.ndarray, encoding: str, padding: int) -> RawImage:
    """`pixels` with `padding` bytes of garbage after every row."""
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    data = np.full((height, rows.shape[1] + padding), 0xAA, np.uint8)
    data[:, : rows.shape[1]] = rows
    return RawImage(data.tobytes(), encoding, width, height, data.shape[1])


def random_pixels(shape: tuple[int, ...], seed: int, low: int = 0, high: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.uint8)


@pytest.mark.parametrize("encoding", PACKED)
@given(width=st.integers(1, 40), height=st.integers(1, 20), padding=st.integers(0, 17), seed=st.integers(0, 99))
def test_packed_encodings_reorder_channels(encoding: str, width: int, height: int, padding: int, seed: int) -> None:
    channels = ENCODINGS[encoding].channels
    pixels = random_pixels((height, width, channels), seed)
    image = padded(pixels, encoding, padding)
    np.testing.assert_array_equal(to_rgb(image.pixels(), encoding), pixels[..., PACKED[encoding]])


@pytest.mark.parametrize("encoding", YUV)
@given(pairs=st.integers(1, 40), height=st.integers(1, 20), padding=st.integers(0, 17), seed=st.integers(0, 99))
def test_yuv422_follows_bt601(encoding: str, pairs: int, height: int, padding: int, seed: int) -> None:
    pixels = random_pixels((height, 2 * pairs, 2), seed, 16, 236)
    luma = YUV[encoding]
    chroma = np.repeat(pixels[..., 1 - luma].reshape(height, pairs, 1, 2), 2, axis=2).reshape(height, -1, 2) - 128.0
    y = (pixels[..., luma] - 16.0) * 255 / 219
    u, v = chroma[..., 0] * 255 / 224, chroma[..., 1] * 255 / 224
    expected = np.stack([y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u], axis=-1)
    rgb = to_rgb(padded(pixels, encoding, padding).pixels(), encoding)
    np.testing.assert_allclose(rgb, np.clip(expected, 0, 255), atol=2)


@pytest.mark.parametrize(("encoding", "pattern"), BAYER.items())
def test_bayer_recovers_linear_ramps(encoding: str, pattern: str) -> None:
    y, x = np.mgrid[0:40, 0:60]
    colour = np.stack([20 + 2 * x + y, 200 - x - 2 * y, 90 + x - y], axis=-1)
    channel = np.array(["RGB".index(c) for c in pattern]).reshape(2, 2)[y % 2, x % 2]
    mosaic = np.take_along_axis(colour, channel[..., None], axis=2)[..., 0].astype(np.uint8)
    rgb = to_rgb(padded(mosaic, encoding, 3).pixels(), encoding)
    np.testing.assert_allclose(rgb[2:-2, 2:-2], colour[2:-2, 2:-2], atol=1)


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview, lambda b: array.array("B", b)])
def test_any_buffer_is_viewed_not_copied(buffer: type) -> None:
    image = RawImage(buffer(bytes(range(24))), "rgb8", 2, 3, 8)
    np.testing.assert_array_equal(image.pixels()[:, 1, 2], [5, 13, 21])
    assert image.pixels().base is not None


@pytest.mark.parametrize(
    ("encoding", "width", "height", "step", "size", "words"),
    [
        ("rgb8", 0, 4, 0, 100, "0x4"),
        ("rgb8", 4, 0, 12, 100, "4x0"),
        ("rgb8", 4, 4, 11, 100, "step is 11 bytes, one row needs 12"),
        ("rgb8", 4, 4, 12, 47, "truncated: 47 bytes, step x height is 48"),
        ("mono8", 4, 4, 4, 0, "truncated: 0 bytes"),
        ("yuv422", 5, 4, 10, 100, "even"),
        ("bayer_rggb8", 2, 2, 2, 4, "3x3"),
        ("rgb16", 4, 4, 24, 100, "'rgb16' is not supported, expected one of rgb8, bgr8"),
        ("", 4, 4, 12, 100, "'' is not supported"),
    ],
)
def test_bad_images_are_refused(encoding: str, width: int, height: int, step: int, size: int, words: str) -> None:
    with pytest.raises(FsmdeError, match=words.replace("(", r"\(")):
        RawImage(bytes(size), encoding, width, height, step)


def test_from_rgb_checks_its_array() -> None:
    pixels = random_pixels((6, 8, 3), 2)
    np.testing.assert_array_equal(RawImage.from_rgb(pixels[:, ::2]).pixels(), pixels[:, ::2])
    for bad in (pixels[..., 0], pixels.astype(float), pixels[..., :2]):
        with pytest.raises(FsmdeError, match="RGB pixels"):
            RawImage.from_rgb(bad)


def encoded(pixels: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()


@pytest.mark.parametrize("text", ["png", "rgb8; png compressed bgr8", "bgr8; png compressed bgr8", ""])
def test_png_round_trip(text: str) -> None:
    rgb = random_pixels((20, 30, 3), 3)
    image = EncodedImage(encoded(rgb[..., ::-1], ".png"), text).decode()
    np.testing.assert_array_equal(to_rgb(image.pixels(), image.encoding), rgb)


def test_jpeg_is_close_to_its_source() -> None:
    smooth = cv2.GaussianBlur(random_pixels((48, 64, 3), 4), (0, 0), 6)
    image = EncodedImage(array.array("B", encoded(smooth[..., ::-1], ".jpg")), "rgb8; jpeg compressed bgr8").decode()
    assert np.abs(to_rgb(image.pixels(), image.encoding).astype(int) - smooth).mean() < 2


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_halved_images_are_averages(suffix: str) -> None:
    smooth = cv2.GaussianBlur(random_pixels((48, 64, 3), 4), (0, 0), 3)
    image = EncodedImage(encoded(smooth[..., ::-1], suffix), "x").decode(halved=True)
    averages = smooth.reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(to_rgb(image.pixels(), image.encoding) - averages).mean() < 2
    grey = EncodedImage(encoded(smooth[..., 0], suffix), "x").decode(halved=True)
    assert (grey.encoding, grey.width, grey.height) == ("mono8", 32, 24)


def test_format_text_names_swapped_colours_and_bayer_patterns() -> None:
    rgb = random_pixels((20, 30, 3), 5)
    swapped = EncodedImage(encoded(rgb, ".png"), "rgb8; png compressed rgb8").decode()
    np.testing.assert_array_equal(to_rgb(swapped.pixels(), swapped.encoding), rgb)
    mosaic = EncodedImage(encoded(rgb[..., 0], ".png"), "bayer_gbrg8; png compressed ").decode()
    assert mosaic.encoding == "bayer_gbrg8"
    assert EncodedImage(encoded(rgb[..., 0], ".jpg"), "mono8; jpeg compressed ").decode().encoding == "mono8"


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_broken_streams_are_refused(suffix: str) -> None:
    whole = encoded(random_pixels((200, 300, 3), 6), suffix)
    for data in (b"", b"\x00" * 100, whole[:10], whole[: len(whole) // 2], whole[:-2000]):
        with pytest.raises(FsmdeError, match="compressed image of format 'x'"):
            EncodedImage(data, "x").decode()


def test_truncated_jpeg_that_opencv_would_fill_with_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encoded(random_pixels((200, 300, 3), 7), ".jpg")
    monkeypatch.setattr(cv2, "imdecode", lambda *_: np.zeros((200, 300, 3), np.uint8))
    with pytest.raises(FsmdeError, match="truncated JPEG"):
        EncodedImage(whole[: len(whole) // 2], "jpeg").decode()
    assert EncodedImage(whole + bytes(100), "jpeg").decode().width == 300
