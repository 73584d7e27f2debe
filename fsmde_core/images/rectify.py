"""Camera images to the network's input: undistortion, resize and colour in one short pass per camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import AnyImage, EncodedImage, RawImage, find_encoding, to_rgb
from fsmde_core.rig.rig import Camera


@dataclass(frozen=True, eq=False)
class RectifiedImage:
    """One camera's part of the network's input. camera: the rectified camera, at the network's size.

    rgb: (H, W, 3) uint8. outside: (H, W) bool, pixels that look past the edge of the image (some lenses, once
    undistorted, leave such corners); None where there are none.
    """

    camera: Camera
    rgb: NDArray[np.uint8]
    outside: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class RectifyMaps:
    """How one camera's pixels reach the target: `halvings` by 2x2 averages, one bilinear step to the size `grid`, which
    is `supersample` times the target, and a last average. Averaging before and after the bilinear step is what keeps a
    strong reduction free of aliasing; against a 12-fold supersampled reference it leaves 1 grey level RMS, a bilinear
    remap alone 3 to 8.

    maps: OpenCV's fixed-point maps; None where a resize does the same faster: without distortion, when no halving
    cuts off an odd row or column.
    outside: (H, W) bool at the target's size, None where every pixel lies in the image.
    """

    halvings: int
    supersample: int
    grid: tuple[int, int]
    maps: tuple[NDArray[np.int16], NDArray[np.uint16]] | None
    outside: NDArray[np.bool_] | None


@lru_cache(maxsize=32)
def _rectification(
    model: str, K: bytes, D: bytes, size: tuple[int, int], target: tuple[int, int], target_K: bytes
) -> RectifyMaps:
    (width, height), (target_width, target_height) = size, target
    factor = min(width / target_width, height / target_height)
    supersample = 2 if factor >= 2 else 1
    halvings = 0
    while factor >= 2 * 2 ** (halvings + 1):
        halvings += 1
    grid = (supersample * target_width, supersample * target_height)
    if not any(np.frombuffer(D)) and width % 2**halvings == height % 2**halvings == 0:
        return RectifyMaps(halvings, supersample, grid, None, None)
    grid_K = _scaled(np.frombuffer(target_K).reshape(3, 3), supersample)
    undistort = cv2.fisheye.initUndistortRectifyMap if model == "equidistant" else cv2.initUndistortRectifyMap
    intrinsics, distortion = np.frombuffer(K).reshape(3, 3), np.frombuffer(D)
    coefficients = distortion if distortion.size else np.zeros(4)
    x, y = undistort(intrinsics, coefficients, np.eye(3), grid_K, grid, cv2.CV_32FC1)
    beyond = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    outside = beyond.reshape(target_height, supersample, target_width, supersample).any((1, 3))
    x, y = ((axis + 0.5) / 2**halvings - 0.5 for axis in (x, y))
    maps = cv2.convertMaps(x, y, cv2.CV_16SC2)
    return RectifyMaps(halvings, supersample, grid, maps, outside if outside.any() else None)  # type: ignore[arg-type]


def _scaled(K: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Intrinsics (3, 3) of the same view with `factor` times the pixels; pixel centres at integer coordinates."""
    K = K.copy()
    K[:2] *= factor
    K[:2, 2] += 0.5 * factor - 0.5
    return K


def _halve(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """2x2 averages; an odd last row or column is left out."""
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    even = pixels[: 2 * height, : 2 * width]
    return cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def rectification(camera: Camera, target: Camera) -> RectifyMaps:
    """From `camera` to the rectified camera `target`; one object per calibration, cached."""
    return _rectification(
        camera.distortion_model,
        camera.K.tobytes(),
        camera.D.tobytes(),
        (camera.width, camera.height),
        (target.width, target.height),
        target.K.tobytes(),
    )


def _rectify(pixels: NDArray[np.uint8], way: RectifyMaps, halved: bool) -> NDArray[np.uint8]:
    """(H, W[, C]) uint8 pixels after `way`; the channels stay as they are. halved: once already."""
    for _ in range(way.halvings - halved):
        pixels = _halve(pixels)
    if way.maps is None:
        pixels = cv2.resize(pixels, way.grid, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    else:
        pixels = cv2.remap(pixels, *way.maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    return _halve(pixels) if way.supersample == 2 else pixels


def rectify_rgb(image: NDArray[np.uint8], camera: Camera, width: int, height: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of `camera` as (height, width, 3) of `camera.rectified(width, height)`.

    The same code as the node's `Preprocessor`, for training and evaluation. Raises FsmdeError on another image size.
    """
    return _rectify_image(RawImage.from_rgb(image), camera, camera.rectified(width, height))


def _starts_with_a_half(way: RectifyMaps, camera: Camera) -> bool:
    """Whether a JPEG may be decoded at half the size, as it will be halved anyway; of odd sizes decoders keep more."""
    return way.halvings > 0 and camera.width % 2 == camera.height % 2 == 0


def decoded(image: AnyImage, camera: Camera, way: RectifyMaps) -> tuple[RawImage, bool]:
    """The pixels of `image`, and whether the decoder has done the first of the halvings of `way` already.

    Raises FsmdeError when they are not of the camera's calibrated size, or do not decode.
    """
    halved = isinstance(image, EncodedImage) and not image.is_mosaic and _starts_with_a_half(way, camera)
    try:
        raw = image.decode(halved) if isinstance(image, EncodedImage) else image
    except FsmdeError as error:
        raise FsmdeError(f"camera '{camera.name}': {error}") from error
    width, height = (size << halved for size in (raw.width, raw.height))
    if (width, height) != (camera.width, camera.height):
        raise FsmdeError(
            f"camera '{camera.name}': the image is {width}x{height}, its calibration is for "
            f"{camera.width}x{camera.height}; correct the calibration (camera_info or the rig file)"
        )
    return raw, halved


def _rectify_image(image: AnyImage, camera: Camera, target: Camera) -> NDArray[np.uint8]:
    way = rectification(camera, target)
    raw, halved = decoded(image, camera, way)
    pixels, encoding = raw.pixels(), raw.encoding
    if find_encoding(encoding).subsampled:
        pixels, encoding = to_rgb(pixels, encoding), "rgb8"
    # Other encodings change to RGB at the small size, where it is cheap.
    return to_rgb(_rectify(pixels, way, halved), encoding)


class Preprocessor:
    """Turns camera images into the network's input; any thread may call it.

    width, height: the network's input size in pixels.
    The undistortion maps are cached by calibration, so a camera whose calibration changes gets new ones.
    """

    def __init__(self, width: int, height: int) -> None:
        if width < 1 or height < 1:
            raise FsmdeError(f"network input of {width}x{height} must be at least 1x1 pixels")
        self._size = (width, height)
        self._targets: dict[str, tuple[Camera, Camera]] = {}

    def rectify(self, image: AnyImage, camera: Camera) -> RectifiedImage:
        """`image` as the rectified `camera` sees it.

        FsmdeError when it is not of the camera's calibrated size, or does not decode.
        """
        target = self.target(camera)
        return RectifiedImage(target, _rectify_image(image, camera, target), rectification(camera, target).outside)

    def target(self, camera: Camera) -> Camera:
        """The rectified camera at the network's size, as a rule the same object for the same `camera`."""
        source, target = self._targets.get(camera.name, (None, None))
        if target is None or source is not camera:
            target = camera.rectified(*self._size)
            self._targets[camera.name] = (camera, target)
        return target
