"""Reads masks of the own vehicle in a camera's image: PNG files, or polygons of a rig file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError

Polygon = tuple[tuple[float, float], ...]
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SUBPIXEL_BITS = 4
"""Of the fixed-point coordinates that polygons are drawn with."""
FARTHEST = 10
"""Widths and heights of the image within which the points of a polygon lie, for some pass over its edge."""


@dataclass(frozen=True, eq=False)
class VehicleMask:
    """Marks the pixels of a camera's original image, before rectification, that show the own vehicle.

    visible: (H, W) bool, read-only, False on the vehicle. origin: the PNG file, or the polygons around the vehicle.
    """

    visible: NDArray[np.bool_]
    origin: Path | tuple[Polygon, ...]

    def __post_init__(self) -> None:
        self.visible.flags.writeable = False

    @property
    def size(self) -> tuple[int, int]:
        """The (width, height) of the image, pixels."""
        height, width = self.visible.shape
        return width, height


def read_mask_png(path: Path, camera: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Read the mask of one camera from a PNG file.

    Args:
        path: The file, black on the own vehicle.
        camera: Its name, for messages.
        size: (width, height) that the mask must have, pixels.

    Returns:
        (H, W) bool, False on the vehicle.

    Raises:
        FsmdeError: The file is missing, is no PNG, or has another size.
    """
    data = path.read_bytes() if path.is_file() else b""
    grey = None
    if data.startswith(PNG_SIGNATURE):
        grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if grey is None:
        raise FsmdeError(f"the mask {path} is missing or not a PNG; camera '{camera}' needs one, black on the vehicle")
    if grey.shape != size[::-1]:
        raise FsmdeError(
            f"the mask {path} is {grey.shape[1]}x{grey.shape[0]}, camera '{camera}' is {size[0]}x{size[1]}; "
            "a mask has its camera's size"
        )
    return np.asarray(grey > 0)


def mask_from_entry(entry: Any, folder: Path, camera: str, size: tuple[int, int]) -> VehicleMask:
    """Make the mask that a rig file describes.

    Args:
        entry: The path of a PNG file, a polygon as a list of points [u, v], or a list of polygons.
        folder: What a relative path is relative to.
        camera: Its name, for messages.
        size: (width, height) of the camera's original image, pixels.

    Returns:
        The mask. What a polygon's edge touches is hidden.

    Raises:
        FsmdeError: The file or the polygons cannot be used.
    """
    if isinstance(entry, str):
        path = folder / Path(entry).expanduser()
        mask = VehicleMask(read_mask_png(path, camera, size), path.resolve())
    else:
        polygons = _polygons(entry, camera)
        mask = VehicleMask(_outside_polygons(polygons, camera, size), polygons)
    if not mask.visible.any():
        raise FsmdeError(
            f"camera '{camera}': 'mask' hides the whole image; black in a PNG, or what polygons surround, is the own "
            "vehicle: turn the mask round, or leave the camera out"
        )
    return mask


def mask_to_entry(mask: VehicleMask, folder: Path) -> Any:
    """Write a mask as `mask_from_entry` reads it.

    Args:
        mask: The mask.
        folder: Of the rig file: the path of a PNG file in it becomes relative.

    Returns:
        A path or lists of points.
    """
    if isinstance(mask.origin, Path):
        inside = mask.origin.is_relative_to(folder.resolve())
        return str(mask.origin.relative_to(folder.resolve()) if inside else mask.origin)
    return [[list(point) for point in polygon] for polygon in mask.origin]


def mask_misfit(mask: VehicleMask | None, size: tuple[int, int]) -> str:
    """Say why the mask of a rig file cannot be used with a camera_info, if so.

    Args:
        mask: The mask, if the rig file has one.
        size: (width, height) of the images by the camera_info, pixels.

    Returns:
        A sentence on "it", the camera; empty where the mask fits, or where there is none.
    """
    if mask is None or mask.size == size:
        return ""
    return (
        f"its mask in the rig file is {mask.size[0]}x{mask.size[1]}, its camera_info {size[0]}x{size[1]}: the own "
        "vehicle is not masked; draw the mask at the size of the images"
    )


def _polygons(entry: Any, camera: str) -> tuple[Polygon, ...]:
    polygons = [entry] if isinstance(entry, list) and entry and _is_point(entry[0]) else entry
    if not isinstance(polygons, list) or not polygons or not all(map(_is_polygon, polygons)):
        raise FsmdeError(
            f"camera '{camera}': 'mask' must be the path of a PNG file, a polygon [[u, v], [u, v], [u, v], ...], or a "
            f"list of polygons, in pixels; found {entry!r}"
        )
    return tuple(tuple((float(u), float(v)) for u, v in polygon) for polygon in polygons)


def _is_polygon(points: Any) -> bool:
    return isinstance(points, list) and len(points) >= 3 and all(map(_is_point, points))


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, list) and len(point) == 2 and all(type(v) in (int, float) and np.isfinite(v) for v in point)
    )


def _outside_polygons(polygons: Sequence[Polygon], camera: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    hidden = np.zeros(size[::-1], np.uint8)
    for polygon in polygons:
        points = np.array(polygon)
        drawn = np.zeros_like(hidden)
        if (np.abs(points) <= FARTHEST * np.array(size)).all() and (np.abs(points) > 1).any():
            fixed = np.rint(points * (1 << SUBPIXEL_BITS)).astype(np.int32)
            cv2.fillPoly(drawn, [fixed], (1,), shift=SUBPIXEL_BITS)
        if not drawn.any():
            raise FsmdeError(
                f"camera '{camera}': the polygon {points.tolist()} of 'mask' covers nothing of the {size[0]}x{size[1]} "
                "image; give points as [u, v] in pixels of the original image, not as fractions of it"
            )
        hidden |= drawn
    return hidden == 0
