"""Describes images as cameras send them: encodings of sensor_msgs/Image, row padding, and JPEG or PNG streams."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.images.compression import JPEG_END, read_header

MAX_PIXELS = 1 << 27
"""Of a compressed image, some 400 MB once decoded: a header that claims more is damaged."""


class PixelLayout(IntEnum):
    """Names the ways in which pixels share bytes; the numbers are those of sample.cu."""

    INTERLEAVED = 0
    YUV422 = 1
    BAYER = 2
    YUV420 = 3


@dataclass(frozen=True)
class Encoding:
    """Describes how an encoding stores its pixels, for OpenCV, torch and CUDA alike.

    channels: uint8 values per pixel; with YUV420 one, in rows of luma and then half as many rows of colour.
    to_rgb: OpenCV colour code, None when the pixels are RGB already.
    positions: where a pixel has its red, green and blue; with YUV422, where a pair of pixels (four bytes) has its first
    luma, its U and its V, the second luma being two further; with YUV420 0, and where two bytes of colour have U and V.
    pattern: with BAYER, the colours of the first two pixels of the first two rows, e.g. `rggb`.
    """

    layout: PixelLayout
    channels: int
    to_rgb: int | None
    positions: tuple[int, int, int] = (0, 0, 0)
    pattern: str = ""

    def rows(self, height: int) -> int:
        """Count the rows of bytes of an image of so many rows of pixels."""
        return height * 3 // 2 if self.layout is PixelLayout.YUV420 else height


_INTERLEAVED, _YUV422, _BAYER, _YUV420 = PixelLayout
_MONO = Encoding(_INTERLEAVED, 1, cv2.COLOR_GRAY2RGB)
_BGR = Encoding(_INTERLEAVED, 3, cv2.COLOR_BGR2RGB, (2, 1, 0))
_BGRA = Encoding(_INTERLEAVED, 4, cv2.COLOR_BGRA2RGB, (2, 1, 0))
_UYVY = Encoding(_YUV422, 2, cv2.COLOR_YUV2RGB_UYVY, (1, 0, 2))
_YUYV = Encoding(_YUV422, 2, cv2.COLOR_YUV2RGB_YUY2, (0, 1, 3))

# ROS names a Bayer pattern by its first two rows, OpenCV by the second and third pixel of rows two and three. 8UCn is
# what cv_bridge makes of OpenCV's arrays, whose colours are BGR.
ENCODINGS = MappingProxyType(
    {
        "rgb8": Encoding(_INTERLEAVED, 3, None, (0, 1, 2)),
        "bgr8": _BGR,
        "rgba8": Encoding(_INTERLEAVED, 4, cv2.COLOR_RGBA2RGB, (0, 1, 2)),
        "bgra8": _BGRA,
        "mono8": _MONO,
        "8UC1": _MONO,
        "8UC3": _BGR,
        "8UC4": _BGRA,
        "yuv422": _UYVY,
        "uyvy": _UYVY,
        "yuv422_yuy2": _YUYV,
        "yuyv": _YUYV,
        "nv12": Encoding(_YUV420, 1, cv2.COLOR_YUV2RGB_NV12, (0, 0, 1)),
        "nv21": Encoding(_YUV420, 1, cv2.COLOR_YUV2RGB_NV21, (0, 1, 0)),
        "bayer_rggb8": Encoding(_BAYER, 1, cv2.COLOR_BayerBG2RGB, pattern="rggb"),
        "bayer_bggr8": Encoding(_BAYER, 1, cv2.COLOR_BayerRG2RGB, pattern="bggr"),
        "bayer_gbrg8": Encoding(_BAYER, 1, cv2.COLOR_BayerGR2RGB, pattern="gbrg"),
        "bayer_grbg8": Encoding(_BAYER, 1, cv2.COLOR_BayerGB2RGB, pattern="grbg"),
    }
)

# Encodings of 16 bits -> those of the same pixels in 8; the former are brought to the latter before any other step.
SIXTEEN_BITS = MappingProxyType(
    {name.replace("8", "16"): name for name in ENCODINGS if name.startswith(("rgb", "bgr", "mono", "bayer"))}
    | {"16UC3": "8UC3", "16UC4": "8UC4"}
)
_MEASUREMENTS = ("16UC1", "16SC1", "32SC1", "32FC1", "64FC1")
_BIT_DEPTHS = (8, 10, 12, 14, 16)  # of sensors
_NAMES = {name.lower(): name for name in (*ENCODINGS, *SIXTEEN_BITS)}

# Calibration belongs to the stored pixels, so an EXIF rotation is not applied; grey files stay one channel.
_DECODE_FLAGS = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION


@dataclass(frozen=True, eq=False)
class RawImage:
    """Holds an uncompressed image in the layout of sensor_msgs/Image, without copying it.

    data: any buffer of bytes, at least nbytes long. encoding: one of ENCODINGS or SIXTEEN_BITS, in any case.
    width, height: pixels. step: bytes per row, padding included. big_endian: byte order of 16 bits.
    Raises FsmdeError when these do not fit together.
    """

    data: Any
    encoding: str
    width: int
    height: int
    step: int
    big_endian: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoding", _known_name(self.encoding))
        layout, size = self._eight_bit.layout, f"{self.width}x{self.height} {self.encoding}"
        if self.width < 1 or self.height < 1:
            raise FsmdeError(f"image of {size} has no pixels, expected at least 1x1")
        if layout is PixelLayout.YUV422 and self.width % 2:
            raise FsmdeError(f"image of {size}: two pixels share their colour, so the width must be even")
        if layout is PixelLayout.YUV420 and (self.width % 2 or self.height % 2):
            raise FsmdeError(f"image of {size}: four pixels share their colour, so width and height must be even")
        if layout is PixelLayout.BAYER and min(self.width, self.height) < 3:
            raise FsmdeError(f"image of {size} is too small for its colour pattern, expected at least 3x3")
        row = self.width * self._eight_bit.channels * self._value_bytes
        if self.step < row:
            raise FsmdeError(f"image of {size}: step is {self.step} bytes, one row needs {row}")
        found = memoryview(self.data).nbytes
        if found < self.nbytes:
            rows = "step x height" if self.nbytes == self.step * self.height else "step x height x 3/2"
            raise FsmdeError(f"image of {size} is truncated: {found} bytes, {rows} is {self.nbytes}")

    @property
    def nbytes(self) -> int:
        """Bytes that belong to the image, padding of rows included."""
        return self.step * self._eight_bit.rows(self.height)

    @property
    def _eight_bit(self) -> Encoding:
        return ENCODINGS[SIXTEEN_BITS.get(self.encoding, self.encoding)]

    @property
    def _value_bytes(self) -> int:
        return 2 if self.encoding in SIXTEEN_BITS else 1

    @classmethod
    def from_rgb(cls, array: NDArray[np.uint8]) -> RawImage:
        """Wrap (H, W, 3) uint8 RGB pixels."""
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise FsmdeError(f"RGB pixels must be (H, W, 3) uint8, not {array.shape} {array.dtype}")
        height, width = array.shape[:2]
        return cls(np.ascontiguousarray(array), "rgb8", width, height, 3 * width)

    def pixels(self) -> NDArray[Any]:
        """View the data as (rows, W) for one channel, else (H, W, C), uint8 or uint16, rows `step` bytes apart."""
        channels, size = self._eight_bit.channels, self._value_bytes
        rows = self._eight_bit.rows(self.height)
        shape = (rows, self.width, channels) if channels > 1 else (rows, self.width)
        strides = (self.step, channels * size, size)[: len(shape)]
        dtype = np.dtype(np.uint8 if size == 1 else ">u2" if self.big_endian else "<u2")
        return np.ndarray(shape, dtype, memoryview(self.data).cast("B"), strides=strides)

    def in_eight_bits(self) -> RawImage:
        """Scale 16 bits to 8 by the sensor's bit depth; an image of 8 bits is returned itself.

        Messages do not say how many of the 16 bits a sensor fills: it is the least of 8, 10, 12, 14 and 16 that holds
        the image's brightest value, alpha left out.
        """
        if self.encoding not in SIXTEEN_BITS:
            return self
        values = self.pixels()
        # Rows first: over a slice of the last axis NumPy takes twenty times as long.
        brightest = int(values.max(0).max(0)[:3].max() if values.ndim == 3 else values.max())
        depth = next(bits for bits in _BIT_DEPTHS if brightest < 1 << bits)
        scaled = np.empty(values.shape, np.uint8)
        np.right_shift(values, depth - 8, out=scaled, casting="unsafe")
        return RawImage(scaled, SIXTEEN_BITS[self.encoding], self.width, self.height, scaled.strides[0])

    def rgb(self) -> NDArray[np.uint8]:
        """Convert to (H, W, 3) uint8 RGB; a view of the data where they are that already."""
        image = self.in_eight_bits()
        return to_rgb(image.pixels(), image.encoding)


def holds_depth(encoding: str) -> bool:
    """Whether an encoding, or the format of a compressed image, is one of depth or other measurements."""
    return encoding.upper().startswith(_MEASUREMENTS) or "compresseddepth" in encoding.lower()


def _known_name(name: str) -> str:
    known = _NAMES.get(name.lower())
    if known is None and holds_depth(name):
        raise FsmdeError(
            f"image encoding '{name}' holds depth or other measurements; use the topic of the camera's picture"
        )
    if known is None:
        expected = ", ".join((*ENCODINGS, *SIXTEEN_BITS))
        raise FsmdeError(f"image encoding '{name}' is not supported, expected one of {expected}")
    return known


def find_encoding(name: str) -> Encoding:
    """Look up an encoding of 8 bits of sensor_msgs/Image; raises FsmdeError with the known ones."""
    try:
        return ENCODINGS[name]
    except KeyError:
        raise FsmdeError(f"image encoding '{name}' is not one of {', '.join(ENCODINGS)}") from None


def to_rgb(pixels: NDArray[np.uint8], encoding: str) -> NDArray[np.uint8]:
    """Convert pixels to RGB: YUV is BT.601 studio range, Bayer is demosaiced bilinearly.

    Args:
        pixels: (H, W[, C]) uint8, or (3/2 H, W) with YUV420.
        encoding: Theirs, one of `ENCODINGS`.

    Returns:
        (H, W, 3) uint8 RGB; `pixels` itself where they are `rgb8`.
    """
    code = find_encoding(encoding).to_rgb
    return pixels if code is None else cv2.cvtColor(pixels, code)  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """Holds the JPEG or PNG of a sensor_msgs/CompressedImage as it came; which of both, its data say.

    data: any buffer of bytes. format: the message's text, e.g. `jpeg` or `rgb8; jpeg compressed bgr8`
    (compressed_image_transport). Its head names the Bayer pattern of a grey image, its tail says when red and blue were
    swapped before compression.
    """

    data: Any
    format: str

    @property
    def is_mosaic(self) -> bool:
        """Whether a grey picture is a Bayer pattern, which no resize may touch."""
        return self._original.startswith("bayer_")

    @property
    def is_swapped(self) -> bool:
        """Whether the picture has red and blue swapped."""
        return "compressed rgb" in self.format.lower()

    @property
    def _original(self) -> str:
        return self.format.split(";")[0].strip().lower()

    def decode(self, halved: bool = False) -> RawImage:
        """Decode to BGR, RGB, grey or a Bayer pattern; raises FsmdeError for bytes that do not decode or end early.

        With `halved`, a JPEG takes half the time; the result is like 2x2 averages, but not equal to them.
        """
        if "compresseddepth" in self.format.lower():
            raise FsmdeError(
                f"compressed image of format '{self.format}' holds depth; use the topic of the camera's picture"
            )
        pixels = self._decode_pixels(_DECODE_FLAGS | (cv2.IMREAD_REDUCED_GRAYSCALE_2 if halved else 0))
        bits = 8 * pixels.itemsize
        if pixels.ndim == 3:
            encoding = f"{'rgb' if self.is_swapped else 'bgr'}{bits}"
        elif self.is_mosaic:
            encoding = f"{self._original.rstrip('0123456789')}{bits}"
        else:
            encoding = "16UC1" if self._original == "16uc1" else f"mono{bits}"
        height, width = pixels.shape[:2]
        return RawImage(pixels, encoding, width, height, pixels.strides[0], sys.byteorder == "big")

    def _decode_pixels(self, flags: int) -> NDArray[Any]:
        data = memoryview(self.data).cast("B")
        what = f"compressed image of format '{self.format}' and {len(data)} bytes"
        header = read_header(data)
        if header is not None and header.width * header.height > MAX_PIXELS:
            raise FsmdeError(f"{what} claims {header.width}x{header.height} pixels, at most {MAX_PIXELS} are decoded")
        if header is None or header.is_closed:
            pixels = _imdecode(data, flags)
            if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
                raise FsmdeError(f"{what} does not decode as JPEG or PNG")
            return pixels  # type: ignore[no-any-return]
        # Some cameras leave out the end marker, without which OpenCV 5 decodes nothing; what is missing becomes grey.
        pixels = _imdecode(bytes(data[: header.end]) + JPEG_END, flags)
        if pixels is None or not header.is_sequential or (pixels[-4:, -4:] == 128).all():
            raise FsmdeError(f"{what} is a truncated JPEG")
        return pixels  # type: ignore[no-any-return]


def _imdecode(data: bytes | memoryview, flags: int) -> Any:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # an empty buffer
        return None


AnyImage = RawImage | EncodedImage
