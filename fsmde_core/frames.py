"""Describes what every data source yields: images, the lidar sweep beside them, and where the vehicle was each time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import AnyImage, EncodedImage, RawImage
from fsmde_core.rig.geometry import Matrix
from fsmde_core.rig.rig import Rig


@dataclass(frozen=True, eq=False)
class CameraImage:
    """Holds one exposure as the compressed bytes of the recording or as pixels; `rgb()` gives pixels of both.

    stamp_ns: exposure time, nanoseconds. pixels: (H, W, 3) uint8 RGB.
    """

    stamp_ns: int
    encoded: bytes | None = None
    pixels: NDArray[np.uint8] | None = None

    def image(self) -> AnyImage:
        """Give the image in the form that a pipeline expects, not decoded yet."""
        return EncodedImage(self.encoded or b"", "jpeg") if self.pixels is None else RawImage.from_rgb(self.pixels)

    def rgb(self) -> NDArray[np.uint8]:
        """Decode the image to (H, W, 3) uint8 RGB; raises FsmdeError when the compressed bytes do not decode."""
        if self.pixels is not None:
            return self.pixels
        try:
            return EncodedImage(self.encoded or b"", "jpeg").decode().rgb()
        except FsmdeError as error:
            raise FsmdeError(f"the image of stamp {self.stamp_ns} ns: {error}") from error


@dataclass(frozen=True, eq=False)
class LidarSweep:
    """Holds one sweep in the base frame of its own time.

    points: (N, 3) float32 metres, base frame at stamp_ns. T_world_base: (4, 4) vehicle pose at stamp_ns.
    """

    stamp_ns: int
    points: NDArray[np.float32]
    T_world_base: Matrix


@dataclass(frozen=True, eq=False)
class Frame:
    """Holds one sample of a recording.

    rig: calibration in force. images: per camera name, a subset of the rig when cameras are missing.
    T_world_base: per camera name, the vehicle pose at that camera's exposure: cameras expose at different times, and
    the metres in between matter when lidar is projected. lidar: None where the recording has none for this sample.
    depth: exact (H, W) float32 metres per camera, NaN for sky; synthetic sources only.
    """

    index: int
    rig: Rig
    images: Mapping[str, CameraImage]
    T_world_base: Mapping[str, Matrix]
    lidar: LidarSweep | None = None
    depth: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def stamp_ns(self) -> int:
        """Stamp of the newest image, in nanoseconds."""
        return max(image.stamp_ns for image in self.images.values())
