"""Rectifies camera images for the network: undistortion, resize and colour in one short pass per camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import AnyImage, EncodedImage, PixelLayout, RawImage, find_encoding, to_rgb
from fsmde_core.rig.geometry import Matrix
from fsmde_core.rig.lens import is_pinhole, turning_angle
from fsmde_core.rig.mask import VehicleMask
from fsmde_core.rig.rig import Camera, scale_intrinsics


@dataclass(frozen=True, eq=False)
class RectifiedImage:
    """Holds one camera's part of the network's input.

    camera: the rectified camera, at the network's size. rgb: (H, W, 3) uint8. outside: (H, W) bool, pixels that look
    past the edge of the image (some lenses, once undistorted, leave such corners) or at the own vehicle, as the
    camera's mask has it; None where there are none.
    """

    camera: Camera
    rgb: NDArray[np.uint8]
    outside: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class RectifyMaps:
    """Describes how one camera's pixels reach the rectified camera.

    They pass `halvings` by 2x2 averages, one bilinear step to the size `grid`, which is `supersample` times the target,
    and a last average. Averaging before and after the bilinear step keeps a strong reduction free of aliasing: against
    a 12-fold supersampled reference it leaves 1 grey level RMS, a bilinear remap alone 3 to 8.

    maps: OpenCV's fixed-point maps; None where a resize does the same faster: without distortion, when no halving
    cuts off an odd row or column.
    outside: (H, W) bool at the target's size, None where every pixel lies in the image and no mask hides it.
    """

    halvings: int
    supersample: int
    grid: tuple[int, int]
    maps: tuple[NDArray[np.int16], NDArray[np.uint16]] | None
    outside: NDArray[np.bool_] | None


_COARSE = (64, 48)
"""Pixels at which a picture is looked through for what its lens shows twice."""


@lru_cache(maxsize=32)
def _rectify_maps(
    model: str, K: bytes, D: bytes, size: tuple[int, int], target: tuple[int, int], target_K: bytes
) -> RectifyMaps:
    (width, height), (target_width, target_height) = size, target
    factor = min(width / target_width, height / target_height)
    supersample = 2 if factor >= 2 else 1
    halvings = max(int(factor).bit_length() - 2, 0)  # twice the target's size or more is left
    grid = (supersample * target_width, supersample * target_height)
    intrinsics, distortion = np.frombuffer(K).reshape(3, 3), np.frombuffer(D)
    if is_pinhole(model, distortion) and width % 2**halvings == height % 2**halvings == 0:
        return RectifyMaps(halvings, supersample, grid, None, None)
    grid_K = scale_intrinsics(np.frombuffer(target_K).reshape(3, 3), supersample, supersample)
    x, y, seen, folded = _look_up(model, intrinsics, distortion, size, grid_K, grid)
    beyond = (~seen | folded).reshape(target_height, supersample, target_width, supersample)
    outside = beyond.any((1, 3))
    # Beyond the edge the nearest pixel counts, whatever the model says there.
    x, y = (np.clip(np.nan_to_num(axis), -1, end) for axis, end in ((x, width), (y, height)))
    x, y = ((axis + 0.5) / 2**halvings - 0.5 for axis in (x, y))
    maps = cv2.convertMaps(x, y, cv2.CV_16SC2)
    return RectifyMaps(halvings, supersample, grid, maps, outside if outside.any() else None)  # type: ignore[arg-type]


def _look_up(
    model: str, K: Matrix, D: NDArray[np.float64], size: tuple[int, int], grid_K: Matrix, grid: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Find where the pixels of a pinhole `grid_K` of size `grid` lie in the image.

    Four arrays (h, w): x and y, whether that is within the image, and whether it is beyond the angle at which the lens
    model turns back.
    """
    undistort = cv2.fisheye.initUndistortRectifyMap if model == "equidistant" else cv2.initUndistortRectifyMap
    x, y = undistort(K, D if D.size else np.zeros(4), np.eye(3), grid_K, grid, cv2.CV_32FC1)
    seen = (x >= -0.5) & (x <= size[0] - 0.5) & (y >= -0.5) & (y <= size[1] - 0.5)  # False for NaN
    right, down = ((np.arange(end) - grid_K[axis, 2]) / grid_K[axis, axis] for axis, end in enumerate(grid))
    folded = np.arctan(np.hypot(right, down[:, None])) >= turning_angle(model, tuple(D))
    return x, y, seen, folded  # type: ignore[return-value]


def lens_warning(camera: Camera) -> str | None:
    """Say that the model of a camera's lens turns back within the picture; None where it does not."""
    model, D = camera.distortion_model, camera.D
    if not camera.is_distorted:
        return None
    view = camera.rectified(*_COARSE)
    *_, seen, folded = _look_up(model, camera.K, D, (camera.width, camera.height), view.K, _COARSE)
    if not (seen & folded).any():
        return None
    angle, lost = np.degrees(turning_angle(model, tuple(D))), 100 * (seen & folded).mean()
    return (
        f"camera '{camera.name}': its {model} lens turns back at {angle:.1f} degrees from the optical axis, within its "
        f"picture, of which {lost:.0f} % lie beyond and have no depth; calibrate with the board in the corners too"
    )


def _halve(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average 2x2 pixels; an odd last row or column is left out."""
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    even = pixels[: 2 * height, : 2 * width]
    return cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def rectify_maps(camera: Camera, target: Camera) -> RectifyMaps:
    """Compute how the pixels of a camera reach its rectified camera; cached by calibration and mask.

    Args:
        camera: As calibrated.
        target: The same view without distortion, as of `Camera.rectified`.

    Returns:
        The steps; only to be read.
    """
    sizes = (camera.width, camera.height), (target.width, target.height)
    steps = _rectify_maps(camera.distortion_model, camera.K.tobytes(), camera.D.tobytes(), *sizes, target.K.tobytes())
    return steps if camera.mask is None else _masked(steps, camera.mask)


@lru_cache(maxsize=64)
def _masked(steps: RectifyMaps, mask: VehicleMask) -> RectifyMaps:
    """Add to `outside` the pixels that the own vehicle has a part in: the mask takes the way of the image's pixels."""
    hidden = _rectify(np.where(mask.visible, np.uint8(255), np.uint8(0)), steps, halved=False) < 255
    return replace(steps, outside=hidden if steps.outside is None else hidden | steps.outside)


def _rectify(pixels: NDArray[np.uint8], steps: RectifyMaps, halved: bool) -> NDArray[np.uint8]:
    """Rectify (H, W[, C]) uint8 pixels, whose channels stay as they are; `halved` once already."""
    for _ in range(steps.halvings - halved):
        pixels = _halve(pixels)
    if steps.maps is None:
        pixels = cv2.resize(pixels, steps.grid, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    else:
        pixels = cv2.remap(pixels, *steps.maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    return _halve(pixels) if steps.supersample == 2 else pixels


def rectify_rgb(image: NDArray[np.uint8], camera: Camera, width: int, height: int) -> NDArray[np.uint8]:
    """Rectify an RGB image for training and evaluation by the code of the node's `Preprocessor`.

    Args:
        image: (H, W, 3) uint8 RGB of `camera`.
        camera: As calibrated.
        width, height: Of the result, pixels.

    Returns:
        (height, width, 3) uint8 RGB as `camera.rectified(width, height)` sees it.

    Raises:
        FsmdeError: The image is not of the camera's calibrated size.
    """
    return _rectify_image(RawImage.from_rgb(image), camera, camera.rectified(width, height))


def decode_image(image: AnyImage, camera: Camera, steps: RectifyMaps) -> tuple[RawImage, bool]:
    """Decode an image, a JPEG at half the size where it will be halved anyway.

    Args:
        image: The image, compressed or not.
        camera: As calibrated.
        steps: What will become of the pixels.

    Returns:
        The pixels in 8 bits, and whether the first of the halvings is done.

    Raises:
        FsmdeError: The pixels are not of the camera's calibrated size, or do not decode.
    """
    is_even = camera.width % 2 == camera.height % 2 == 0  # of odd sizes decoders keep more than a half
    resizable = isinstance(image, EncodedImage) and not image.is_mosaic
    halved = resizable and is_even and steps.halvings > 0
    try:
        raw = image.decode(halved) if isinstance(image, EncodedImage) else image
    except FsmdeError as error:
        raise FsmdeError(f"camera '{camera.name}': {error}") from error
    check_size(camera, raw.width << halved, raw.height << halved)
    return raw.in_eight_bits(), halved


def check_size(camera: Camera, width: int, height: int) -> None:
    """Check that an image has the size that its camera is calibrated for; raises FsmdeError where it has not.

    Args:
        camera: As calibrated.
        width, height: Of the image, pixels.
    """
    if (width, height) != (camera.width, camera.height):
        raise FsmdeError(
            f"camera '{camera.name}': the image is {width}x{height}, its calibration is for "
            f"{camera.width}x{camera.height}; correct the calibration (camera_info or the rig file)"
        )


def _rectify_image(image: AnyImage, camera: Camera, target: Camera) -> NDArray[np.uint8]:
    steps = rectify_maps(camera, target)
    raw, halved = decode_image(image, camera, steps)
    pixels, encoding = raw.pixels(), raw.encoding
    if find_encoding(encoding).layout is not PixelLayout.INTERLEAVED:
        # Neighbouring pixels share data (chroma pairs, Bayer cells), so that colour precedes any resize.
        pixels, encoding = to_rgb(pixels, encoding), "rgb8"
    # Other encodings change to RGB at the small size, where it is cheap.
    return to_rgb(_rectify(pixels, steps, halved), encoding)


class Preprocessor:
    """Turns camera images into the network's input of `width` x `height` pixels; any thread may call it.

    The undistortion maps are cached by calibration, so a camera whose calibration changes gets new ones.
    """

    def __init__(self, width: int, height: int) -> None:
        if width < 1 or height < 1:
            raise FsmdeError(f"network input of {width}x{height} must be at least 1x1 pixels")
        self._size = (width, height)
        self._targets: dict[str, tuple[Camera, Camera]] = {}

    def rectify(self, image: AnyImage, camera: Camera) -> RectifiedImage:
        """Rectify one image to the network's input.

        Args:
            image: Raw, JPEG or PNG.
            camera: As calibrated.

        Returns:
            The RGB pixels and the rectified camera.

        Raises:
            FsmdeError: The image is not of the camera's calibrated size, or does not decode.
        """
        target = self.target(camera)
        return RectifiedImage(target, _rectify_image(image, camera, target), rectify_maps(camera, target).outside)

    def target(self, camera: Camera) -> Camera:
        """Describe the rectified camera at the network's size, as a rule by the same object for the same `camera`."""
        source, target = self._targets.get(camera.name, (None, None))
        if target is None or source is not camera:
            target = camera.rectified(*self._size)
            self._targets[camera.name] = (camera, target)
        return target
