"""Images as cameras send them: the pixel encodings of sensor_msgs/Image, row padding, and JPEG or PNG streams."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError


@dataclass(frozen=True)
class Encoding:
    """channels: uint8 values per pixel. to_rgb: OpenCV colour code, None when the pixels are RGB already.

    subsampled: neighbouring pixels share data (chroma pairs, Bayer cells), so colour comes before any resize.
    """

    channels: int
    to_rgb: int | None
    subsampled: bool = False


_UYVY = Encoding(2, cv2.COLOR_YUV2RGB_UYVY, subsampled=True)
_YUYV = Encoding(2, cv2.COLOR_YUV2RGB_YUY2, subsampled=True)

# ROS names a Bayer pattern by its first two rows, OpenCV by the second and third pixel of rows two and three.
ENCODINGS = MappingProxyType(
    {
        "rgb8": Encoding(3, None),
        "bgr8": Encoding(3, cv2.COLOR_BGR2RGB),
        "rgba8": Encoding(4, cv2.COLOR_RGBA2RGB),
        "bgra8": Encoding(4, cv2.COLOR_BGRA2RGB),
        "mono8": Encoding(1, cv2.COLOR_GRAY2RGB),
        "yuv422": _UYVY,
        "uyvy": _UYVY,
        "yuv422_yuy2": _YUYV,
        "yuyv": _YUYV,
        "bayer_rggb8": Encoding(1, cv2.COLOR_BayerBG2RGB, subsampled=True),
        "bayer_bggr8": Encoding(1, cv2.COLOR_BayerRG2RGB, subsampled=True),
        "bayer_gbrg8": Encoding(1, cv2.COLOR_BayerGR2RGB, subsampled=True),
        "bayer_grbg8": Encoding(1, cv2.COLOR_BayerGB2RGB, subsampled=True),
    }
)

# Calibration belongs to the stored pixels, so an EXIF rotation is not applied; grey files stay one channel.
_DECODE_FLAGS = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION


@dataclass(frozen=True, eq=False)
class RawImage:
    """One uncompressed image in the layout of sensor_msgs/Image; nothing is copied.

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
        if encoding.channels == 2 and self.width % 2:
            raise FsmdeError(f"image of {size}: two pixels share their colour, so the width must be even")
        if encoding.subsampled and encoding.channels == 1 and min(self.width, self.height) < 3:
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
        """View of the data: (H, W) for one channel, else (H, W, C), uint8, rows `step` bytes apart."""
        channels = ENCODINGS[self.encoding].channels
        shape = (self.height, self.width, channels) if channels > 1 else (self.height, self.width)
        strides = (self.step, channels, 1)[: len(shape)]
        return np.ndarray(shape, np.uint8, memoryview(self.data).cast("B"), strides=strides)


def find_encoding(name: str) -> Encoding:
    """The encoding of that name; FsmdeError lists the known ones."""
    try:
        return ENCODINGS[name]
    except KeyError:
        raise FsmdeError(f"image encoding '{name}' is not supported, expected one of {', '.join(ENCODINGS)}") from None


def to_rgb(pixels: NDArray[np.uint8], encoding: str) -> NDArray[np.uint8]:
    """(H, W[, C]) uint8 pixels of `encoding` as (H, W, 3) uint8 RGB.

    YUV is BT.601 studio range, Bayer is demosaiced bilinearly; `rgb8` returns `pixels` itself.
    """
    code = find_encoding(encoding).to_rgb
    return pixels if code is None else cv2.cvtColor(pixels, code)  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """One JPEG or PNG image as it came. data: any buffer of bytes; format: see `decode_compressed`."""

    data: Any
    format: str

    @property
    def is_mosaic(self) -> bool:
        """Whether it holds a Bayer pattern, which no resize may touch."""
        return self.format.startswith("bayer_")

    def decode(self, halved: bool = False) -> RawImage:
        """See `decode_compressed`."""
        return decode_compressed(self.data, self.format, halved)


AnyImage = RawImage | EncodedImage


def decode_compressed(data: Any, format: str, halved: bool = False) -> RawImage:
    """Decode the JPEG or PNG of a sensor_msgs/CompressedImage.

    format: the message's text, e.g. `jpeg` or `rgb8; jpeg compressed bgr8` (compressed_image_transport). Its head
    names the Bayer pattern of a grey image, its tail says when red and blue were swapped before compression.
    halved: at half the size, which takes a JPEG half the time; like 2x2 averages, but not equal to them.
    Raises FsmdeError when the bytes do not decode or end early.
    """
    buffer = np.frombuffer(data, dtype=np.uint8)
    try:
        pixels = cv2.imdecode(buffer, _DECODE_FLAGS | (cv2.IMREAD_REDUCED_GRAYSCALE_2 if halved else 0))
    except cv2.error:  # an empty buffer
        pixels = None
    if pixels is None:
        raise FsmdeError(
            f"compressed image of format '{format}' and {buffer.size} bytes does not decode as JPEG or PNG"
        )
    # OpenCV 4 fills the missing part of a truncated JPEG with grey; its end marker must be there.
    if bytes(buffer[:2]) == b"\xff\xd8" and b"\xff\xd9" not in bytes(buffer[-1024:]):
        raise FsmdeError(f"compressed image of format '{format}' is a truncated JPEG of {buffer.size} bytes")
    height, width = pixels.shape[:2]
    original = format.split(";")[0].strip()
    if pixels.ndim == 2:
        return RawImage(pixels, original if original.startswith("bayer_") else "mono8", width, height, width)
    swapped = "compressed rgb" in format
    return RawImage(pixels, "rgb8" if swapped else "bgr8", width, height, 3 * width)
