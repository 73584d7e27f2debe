"""Describes images as cameras send them: encodings of sensor_msgs/Image, row padding, and JPEG or PNG streams."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError


class PixelLayout(IntEnum):
    """Names the ways in which pixels share bytes; the numbers are those of sample.cu."""

    INTERLEAVED = 0
    YUV422 = 1
    BAYER = 2


@dataclass(frozen=True)
class Encoding:
    """Describes how an encoding stores its pixels, for OpenCV, torch and CUDA alike.

    channels: uint8 values per pixel. to_rgb: OpenCV colour code, None when the pixels are RGB already.
    positions: where a pixel has its red, green and blue; with YUV422, where a pair of pixels (four bytes) has its first
    luma, its U and its V, the second luma being two further.
    pattern: with BAYER, the colours of the first two pixels of the first two rows, e.g. `rggb`.
    """

    layout: PixelLayout
    channels: int
    to_rgb: int | None
    positions: tuple[int, int, int] = (0, 0, 0)
    pattern: str = ""


_INTERLEAVED, _YUV422, _BAYER = PixelLayout
_UYVY = Encoding(_YUV422, 2, cv2.COLOR_YUV2RGB_UYVY, (1, 0, 2))
_YUYV = Encoding(_YUV422, 2, cv2.COLOR_YUV2RGB_YUY2, (0, 1, 3))

# ROS names a Bayer pattern by its first two rows, OpenCV by the second and third pixel of rows two and three.
ENCODINGS = MappingProxyType(
    {
        "rgb8": Encoding(_INTERLEAVED, 3, None, (0, 1, 2)),
        "bgr8": Encoding(_INTERLEAVED, 3, cv2.COLOR_BGR2RGB, (2, 1, 0)),
        "rgba8": Encoding(_INTERLEAVED, 4, cv2.COLOR_RGBA2RGB, (0, 1, 2)),
        "bgra8": Encoding(_INTERLEAVED, 4, cv2.COLOR_BGRA2RGB, (2, 1, 0)),
        "mono8": Encoding(_INTERLEAVED, 1, cv2.COLOR_GRAY2RGB),
        "yuv422": _UYVY,
        "uyvy": _UYVY,
        "yuv422_yuy2": _YUYV,
        "yuyv": _YUYV,
        "bayer_rggb8": Encoding(_BAYER, 1, cv2.COLOR_BayerBG2RGB, pattern="rggb"),
        "bayer_bggr8": Encoding(_BAYER, 1, cv2.COLOR_BayerRG2RGB, pattern="bggr"),
        "bayer_gbrg8": Encoding(_BAYER, 1, cv2.COLOR_BayerGR2RGB, pattern="gbrg"),
        "bayer_grbg8": Encoding(_BAYER, 1, cv2.COLOR_BayerGB2RGB, pattern="grbg"),
    }
)

# Calibration belongs to the stored pixels, so an EXIF rotation is not applied; grey files stay one channel.
_DECODE_FLAGS = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION


@dataclass(frozen=True, eq=False)
class RawImage:
    """Holds an uncompressed image in the layout of sensor_msgs/Image, without copying it.

    data: any buffer of bytes, at least step * height long. width, height: pixels. step: bytes per row, padding
    included. Raises FsmdeError when these do not fit together.
    """

    data: Any
    encoding: str
    width: int
    height: int
    step: int

    def __post_init__(self) -> None:
        encoding = find_encoding(self.encoding)
        size = f"{self.width}x{self.height} {self.encoding}"
        if self.width < 1 or self.height < 1:
            raise FsmdeError(f"image of {size} has no pixels, expected at least 1x1")
        if encoding.layout is PixelLayout.YUV422 and self.width % 2:
            raise FsmdeError(f"image of {size}: two pixels share their colour, so the width must be even")
        if encoding.layout is PixelLayout.BAYER and min(self.width, self.height) < 3:
            raise FsmdeError(f"image of {size} is too small for its colour pattern, expected at least 3x3")
        row = self.width * encoding.channels
        if self.step < row:
            raise FsmdeError(f"image of {size}: step is {self.step} bytes, one row needs {row}")
        found = memoryview(self.data).nbytes
        if found < self.step * self.height:
            raise FsmdeError(f"image of {size} is truncated: {found} bytes, step x height is {self.step * self.height}")

    @classmethod
    def from_rgb(cls, array: NDArray[np.uint8]) -> RawImage:
        """Wrap (H, W, 3) uint8 RGB pixels."""
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise FsmdeError(f"RGB pixels must be (H, W, 3) uint8, not {array.shape} {array.dtype}")
        height, width = array.shape[:2]
        return cls(np.ascontiguousarray(array), "rgb8", width, height, 3 * width)

    def pixels(self) -> NDArray[np.uint8]:
        """View the data as (H, W) for one channel, else (H, W, C), uint8, rows `step` bytes apart."""
        channels = ENCODINGS[self.encoding].channels
        shape = (self.height, self.width, channels) if channels > 1 else (self.height, self.width)
        strides = (self.step, channels, 1)[: len(shape)]
        return np.ndarray(shape, np.uint8, memoryview(self.data).cast("B"), strides=strides)


def find_encoding(name: str) -> Encoding:
    """Look up an encoding of sensor_msgs/Image; raises FsmdeError with the known ones."""
    try:
        return ENCODINGS[name]
    except KeyError:
        raise FsmdeError(f"image encoding '{name}' is not supported, expected one of {', '.join(ENCODINGS)}") from None


def to_rgb(pixels: NDArray[np.uint8], encoding: str) -> NDArray[np.uint8]:
    """Convert pixels to RGB: YUV is BT.601 studio range, Bayer is demosaiced bilinearly.

    Args:
        pixels: (H, W[, C]) uint8.
        encoding: Theirs, one of `ENCODINGS`.

    Returns:
        (H, W, 3) uint8 RGB; `pixels` itself where they are `rgb8`.
    """
    code = find_encoding(encoding).to_rgb
    return pixels if code is None else cv2.cvtColor(pixels, code)  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """Holds the JPEG or PNG of a sensor_msgs/CompressedImage as it came.

    data: any buffer of bytes. format: the message's text, e.g. `jpeg` or `rgb8; jpeg compressed bgr8`
    (compressed_image_transport). Its head names the Bayer pattern of a grey image, its tail says when red and blue were
    swapped before compression.
    """

    data: Any
    format: str

    def decode(self, halved: bool = False) -> RawImage:
        """Decode to bgr8, rgb8, mono8 or a Bayer pattern; raises FsmdeError for bytes that do not decode or end early.

        With `halved`, a JPEG takes half the time; the result is like 2x2 averages, but not equal to them.
        """
        buffer = np.frombuffer(self.data, dtype=np.uint8)
        try:
            pixels = cv2.imdecode(buffer, _DECODE_FLAGS | (cv2.IMREAD_REDUCED_GRAYSCALE_2 if halved else 0))
        except cv2.error:  # an empty buffer
            pixels = None
        if pixels is None:
            raise FsmdeError(
                f"compressed image of format '{self.format}' and {buffer.size} bytes does not decode as JPEG or PNG"
            )
        # OpenCV 4 fills the missing part of a truncated JPEG with grey; its end marker must be there.
        if bytes(buffer[:2]) == b"\xff\xd8" and b"\xff\xd9" not in bytes(buffer[-1024:]):
            raise FsmdeError(f"compressed image of format '{self.format}' is a truncated JPEG of {buffer.size} bytes")
        height, width = pixels.shape[:2]
        original = self.format.split(";")[0].strip()
        if pixels.ndim == 2:
            return RawImage(pixels, original if original.startswith("bayer_") else "mono8", width, height, width)
        swapped = "compressed rgb" in self.format
        return RawImage(pixels, "rgb8" if swapped else "bgr8", width, height, 3 * width)


AnyImage = RawImage | EncodedImage
