"""Every pixel encoding against a conversion written out by hand, and bad images against clear errors."""

from __future__ import annotations

import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import ENCODINGS, SIXTEEN_BITS, RawImage, to_rgb

BAYER = {"bayer_rggb8": "RGGB", "bayer_bggr8": "BGGR", "bayer_gbrg8": "GBRG", "bayer_grbg8": "GRBG"}
PACKED = {"rgb8": [0, 1, 2], "rgba8": [0, 1, 2], "bgr8": [2, 1, 0], "bgra8": [2, 1, 0], "mono8": [0, 0, 0]}
PACKED |= {"8UC1": [0, 0, 0], "8UC3": [2, 1, 0], "8UC4": [2, 1, 0]}
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


@pytest.mark.parametrize(("encoding", "u_at"), [("nv12", 0), ("nv21", 1)])
@given(columns=st.integers(1, 20), lines=st.integers(1, 12), padding=st.integers(0, 17), seed=st.integers(0, 99))
def test_yuv420_follows_bt601(encoding: str, u_at: int, columns: int, lines: int, padding: int, seed: int) -> None:
    """A plane of luma, then one of pairs of U and V for 2x2 pixels, whose rows are padded like those of the luma."""
    luma = random_pixels((2 * lines, 2 * columns), seed, 16, 236)
    pairs = random_pixels((lines, columns, 2), seed + 1, 16, 241)
    rows = np.concatenate([luma, pairs.reshape(lines, -1)])
    data = padded(rows, "mono8", padding)
    image = RawImage(data.data, encoding, 2 * columns, 2 * lines, data.step)
    u, v = (np.kron(pairs[..., at].astype(float), np.ones((2, 2))) - 128 for at in (u_at, 1 - u_at))
    y, u, v = (luma - 16.0) * 255 / 219, u * 255 / 224, v * 255 / 224
    expected = np.stack([y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u], axis=-1)
    np.testing.assert_allclose(image.rgb(), np.clip(expected, 0, 255), atol=2)


@pytest.mark.parametrize("encoding", SIXTEEN_BITS)
@given(
    bits=st.sampled_from([8, 10, 12, 14, 16]),
    big_endian=st.booleans(),
    size=st.tuples(st.integers(3, 20), st.integers(3, 12)),
    padding=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_sixteen_bits_are_scaled_by_the_sensor_s_depth(
    encoding: str, bits: int, big_endian: bool, size: tuple[int, int], padding: int, seed: int
) -> None:
    """The picture is that of its values in 8 bits, whatever part of the 16 the sensor fills, in either byte order."""
    eight = SIXTEEN_BITS[encoding]
    channels = ENCODINGS[eight].channels
    pixels = random_pixels((size[1], size[0], channels), seed)
    pixels[0, 0, 0] = 255  # a picture of ordinary exposure
    rest = np.random.default_rng(seed).integers(0, 1 << (bits - 8), pixels.shape)
    values = ((pixels.astype(np.uint16) << (bits - 8)) + rest.astype(np.uint16)).astype(">u2" if big_endian else "<u2")
    if channels == 4:
        values[..., 3] = 65535  # opaque: says nothing about the colours
    rows = values.reshape(size[1], -1).view(np.uint8)
    data = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xAA)
    image = RawImage(data.tobytes(), encoding, *size, data.shape[1], big_endian)
    expected = to_rgb(pixels if channels > 1 else pixels[..., 0], eight)
    np.testing.assert_array_equal(image.rgb(), expected)


def test_full_range_keeps_black_and_white() -> None:
    values = np.array([[0, 257 * 100, 65535]], "<u2")
    assert RawImage(values, "mono16", 3, 1, 6).rgb()[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize(
    ("name", "meant"), [("BGR8", "bgr8"), ("8uc3", "8UC3"), ("Mono16", "mono16"), ("NV12", "nv12")]
)
def test_names_are_known_in_any_case(name: str, meant: str) -> None:
    assert RawImage(bytes(100), name, 4, 4, 12).encoding == meant


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
        ("nv12", 5, 4, 5, 100, "width and height must be even"),
        ("nv21", 4, 5, 4, 100, "width and height must be even"),
        ("nv12", 4, 4, 4, 23, "truncated: 23 bytes, step x height x 3/2 is 24"),
        ("nv12", 4, 4, 3, 100, "step is 3 bytes, one row needs 4"),
        ("rgb16", 4, 4, 23, 100, "step is 23 bytes, one row needs 24"),
        ("bayer_grbg16", 4, 2, 8, 100, "3x3"),
        ("16UC1", 4, 4, 8, 100, "'16UC1' holds depth or other measurements"),
        ("32FC1", 4, 4, 16, 100, "'32FC1' holds depth or other measurements"),
        ("h264", 4, 4, 24, 100, "'h264' is not supported, expected one of rgb8, bgr8"),
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
