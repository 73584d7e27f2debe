"""JPEG and PNG as drivers send them: formats, padding, cut ends, previews, several pictures in one buffer."""

from __future__ import annotations

import array
import io
import struct
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_core.images.compression import read_header
from fsmde_core.images.encodings import EncodedImage, to_rgb


def random_pixels(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(pixels: np.ndarray, suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, 100, *options])[1].tobytes()


SMOOTH = cv2.GaussianBlur(random_pixels((48, 64, 3), 4), (0, 0), 6)
JPEG = encoded(SMOOTH[..., ::-1], ".jpg")


def shows_smooth(data: bytes, text: str = "jpeg") -> bool:
    rgb = EncodedImage(data, text).decode().rgb()
    return rgb.shape == SMOOTH.shape and bool(np.abs(rgb.astype(int) - SMOOTH).mean() < 2)


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


@pytest.mark.parametrize(
    "behind",
    [bytes(1), bytes(4096), b"\xff" * 700, random_pixels((3000,), 1).tobytes(), JPEG, JPEG[:500]],
    ids=["one zero", "zeros", "ones", "noise", "another picture", "a cut picture"],
)
def test_what_follows_the_end_of_a_jpeg_does_not_matter(behind: bytes) -> None:
    assert shows_smooth(JPEG + behind)


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("padding", [0, 512])
def test_a_jpeg_without_its_end_marker_is_whole(missing: int, padding: int) -> None:
    assert shows_smooth(JPEG[:-missing] + bytes(padding))


@given(st.integers(700, len(JPEG) - 150), st.sampled_from([b"", bytes(4096), JPEG]))
@settings(deadline=None)
def test_a_cut_jpeg_is_a_fault(length: int, behind: bytes) -> None:
    with pytest.raises(FsmdeError, match="truncated JPEG"):
        EncodedImage(JPEG[:length] + behind, "jpeg").decode()


def test_a_cut_progressive_jpeg_is_a_fault() -> None:
    progressive = encoded(SMOOTH[..., ::-1], ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert shows_smooth(progressive + bytes(100))
    with pytest.raises(FsmdeError, match="truncated JPEG"):
        EncodedImage(progressive[: len(progressive) // 2], "jpeg").decode()


def with_segment(marker: int, payload: bytes) -> bytes:
    """JPEG with one more segment at its beginning."""
    return JPEG[:2] + struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + JPEG[2:]


def test_the_end_of_a_preview_is_not_the_end_of_the_picture() -> None:
    preview = encoded(SMOOTH[:8, :8], ".jpg")
    whole = with_segment(0xE1, b"Exif\0\0" + preview)
    header = read_header(memoryview(whole + b"padding"))
    assert header is not None
    assert (header.width, header.height, header.end, header.is_closed) == (64, 48, len(whole), True)
    assert shows_smooth(whole)
    with pytest.raises(FsmdeError, match="truncated JPEG"):
        EncodedImage(whole[:-400], "jpeg").decode()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("halved", [False, True])
def test_an_exif_orientation_turns_nothing(orientation: int, halved: bool) -> None:
    """The calibration is that of the stored pixels."""
    entry = struct.pack("<HHII", 0x0112, 3, 1, orientation)
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    image = EncodedImage(with_segment(0xE1, b"Exif\0\0" + tiff), "jpeg").decode(halved)
    np.testing.assert_array_equal(image.rgb(), EncodedImage(JPEG, "jpeg").decode(halved).rgb())


def test_a_cmyk_jpeg_has_its_colours() -> None:
    Image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    Image.fromarray(SMOOTH).convert("CMYK").save(file, "JPEG", quality=100)
    assert shows_smooth(file.getvalue())


@pytest.mark.parametrize(
    "text",
    [
        "jpeg",
        "jpg",
        "JPEG",
        "png",
        "",
        " ",
        "rgb8; jpeg compressed bgr8",
        "bgr8; jpeg compressed bgr8",
        "rgb8; PNG compressed ",
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_the_data_say_what_they_are(suffix: str, text: str) -> None:
    assert shows_smooth(encoded(SMOOTH[..., ::-1], suffix), text)


@pytest.mark.parametrize(
    "text", ["rgb8; jpeg compressed rgb8", "RGB8; JPEG Compressed RGB8", "rgb16; png compressed rgb16"]
)
def test_swapped_colours_are_swapped_back(text: str) -> None:
    assert shows_smooth(encoded(SMOOTH, ".png"), text)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("halved", [False, True])
def test_a_png_of_sixteen_bits_is_scaled_by_the_sensor_s_depth(bits: int, halved: bool) -> None:
    bright = cv2.normalize(SMOOTH, None, 0, 255, cv2.NORM_MINMAX)  # some pixel is white
    values = bright.astype(np.uint16) << (bits - 8)
    grey = EncodedImage(encoded(values[..., 0], ".png"), "mono16; png compressed ").decode(halved)
    colour = EncodedImage(encoded(values[..., ::-1], ".png"), "bgr16; png compressed bgr16").decode(halved)
    expected = bright if not halved else bright.reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))
    assert (grey.encoding, colour.encoding) == ("mono16", "bgr16")
    assert np.abs(grey.rgb() - expected[..., :1]).max() <= (1 if halved else 0)
    assert np.abs(colour.rgb() - expected).max() <= (1 if halved else 0)


def test_a_compressed_mosaic_of_sixteen_bits() -> None:
    mosaic = random_pixels((20, 30), 9)
    data = encoded(mosaic.astype(np.uint16) * 257, ".png")
    image = EncodedImage(data, "Bayer_GRBG16; png compressed ").decode()
    assert image.encoding == "bayer_grbg16"
    np.testing.assert_array_equal(image.rgb(), to_rgb(mosaic, "bayer_grbg8"))


@pytest.mark.parametrize("text", ["16UC1; compressedDepth png", "32FC1; compressedDepth", "16UC1; png compressed "])
def test_depth_is_no_picture(text: str) -> None:
    data = encoded(np.full((6, 8), 1500, np.uint16), ".png")
    with pytest.raises(FsmdeError, match="holds depth"):
        EncodedImage(data, text).decode()


def claims_jpeg(width: int, height: int) -> bytes:
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


def claims_png(width: int, height: int) -> bytes:
    data = encoded(SMOOTH, ".png")
    return data[:16] + struct.pack(">II", width, height) + data[24:]


@pytest.mark.parametrize("claim", [claims_jpeg, claims_png])
def test_a_header_that_claims_too_much_is_refused_before_it_is_believed(
    claim: Callable[[int, int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(FsmdeError, match="claims 60000x50000 pixels"):
        EncodedImage(claim(60000, 50000), "jpeg").decode()


@given(st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", JPEG[:200]]))
def test_any_bytes_are_an_image_or_a_fault(rest: bytes, start: bytes) -> None:
    try:
        EncodedImage(start + rest, "jpeg").decode()
    except FsmdeError as error:
        assert "compressed image of format 'jpeg'" in str(error)
