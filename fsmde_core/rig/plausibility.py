"""Says what hardly any vehicle's rig has, and what the likely cause is: a wrong frame, unit, order or image size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from fsmde_core.rig.geometry import Matrix, quaternion_from_rotation, rotation_from_quaternion
from fsmde_core.rig.rig import Camera, Rig

SKY_DEG = 45.0
"""Elevation of an optical axis from which on a camera is said to look at the sky."""
MOST_TILT_DEG, USUAL_TILT_DEG = 60.0, 30.0
"""Between down in the image and in the world: of a camera that is upright at all, and of one as most are mounted."""
FARTHEST_M = 30.0
"""From the base frame's origin; road trains are shorter."""
NARROWEST_DEG, WIDEST_DEG, WIDEST_FISHEYE_DEG = 4.0, 160.0, 250.0
"""Horizontal fields of view."""
LEAST_SCALE = 1.3
"""How many times as far from the corner as the image's middle a principal point lies that is of another size."""
LEAST_STRETCH = 1.4
"""Ratio of fx and fy."""
MOST_HIDDEN = 0.7
"""Part of an image that a mask may hide."""

_Mistake = tuple[str, Callable[[Matrix], Matrix]]
"""What is said of a rotation that is wrong, and the rotation that it should have been."""
_BODY_TO_OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
_BODY_FRAME: _Mistake = (
    "the pose seems to be that of a body frame (x forward, y left, z up); give that of the optical frame (x right, "
    "y down, z forward)",
    lambda R: R @ _BODY_TO_OPTICAL,
)
_OF_WHOLE_RIGS: tuple[_Mistake, ...] = (
    (
        "the quaternion seems to be in the order x y z w; rotation_wxyz begins with w",
        lambda R: rotation_from_quaternion(*np.roll(quaternion_from_rotation(R), 1)),
    ),
    (
        "the transform seems to be inverted; T_base_camera leads from the optical frame to the base frame",
        lambda R: R.T,
    ),
)


def rig_doubts(rig: Rig) -> tuple[str, ...]:
    """Write a sentence, with the likely cause, on everything in a rig that is hardly possible; none is an error."""
    groups = _same_pose(rig.cameras)
    if len(groups) == 1 < len(rig.cameras):
        mounts = [f"all cameras have the same pose in '{rig.base_frame}'; give each its own T_base_camera"]
    else:
        copied = (
            f"{_names(alike)} have the same pose; was one copied from the other?" for alike in groups if alike[1:]
        )
        mounts = [*copied, *_rotations(rig), *_places(rig)]
    return tuple(chain(mounts, *(_image_doubts(camera) for camera in rig.cameras)))


def _same_pose(cameras: Sequence[Camera]) -> list[list[Camera]]:
    groups: list[list[Camera]] = []
    for camera in cameras:
        T = camera.T_base_camera
        known = (group for group in groups if np.allclose(T, group[0].T_base_camera, rtol=0, atol=1e-6))
        if (group := next(known, None)) is None:
            groups.append(group := [])
        group.append(camera)
    return groups


def _rotations(rig: Rig) -> Iterator[str]:
    """Judge directions: a camera at the sky is always named, one that is turned otherwise if a cause explains most."""
    fallen = [camera for camera in rig.cameras if not _is_upright(camera.T_base_camera[:3, :3], MOST_TILT_DEG)]
    sky = [camera for camera in fallen if _elevation_deg(camera) > SKY_DEG]
    rest = [camera for camera in fallen if camera not in sky]
    cause = ""
    if len(fallen) > len(rig.cameras) / 2:
        cause = _cause(fallen, (_BODY_FRAME, *_OF_WHOLE_RIGS))
    if cause and rest:
        yield f"{_names(rest)} {_verb(rest, 'lie')} on the side or upside down: {cause}"
    if sky:
        degrees = max(map(_elevation_deg, sky))
        found = f"{_names(sky)} {_verb(sky, 'look')} at the sky, {degrees:.0f} degrees above the horizon"
        advice = "check the rotation of the optical frame (x right, y down, z forward)"
        yield f"{found}: {cause or _cause(sky, (_BODY_FRAME,)) or advice}"


def _cause(fallen: Sequence[Camera], mistakes: Sequence[_Mistake]) -> str:
    """Name the first mistake without which all these cameras would stand upright; empty where none explains them."""
    for sentence, correct in mistakes:
        if all(_is_upright(correct(camera.T_base_camera[:3, :3]), USUAL_TILT_DEG) for camera in fallen):
            return sentence
    return ""


def _is_upright(R: Matrix, tilt_deg: float) -> bool:
    """Tell whether the image's down is the world's, to `tilt_deg`, and the optical axis not at the sky."""
    return bool(R[2, 1] < -np.cos(np.radians(tilt_deg)) and R[2, 2] < np.sin(np.radians(SKY_DEG)))


def _elevation_deg(camera: Camera) -> float:
    return float(np.degrees(np.arcsin(np.clip(camera.T_base_camera[2, 2], -1, 1))))


def _places(rig: Rig) -> Iterator[str]:
    places = {camera.name: camera.T_base_camera[:3, 3] for camera in rig.cameras}
    far = [camera for camera in rig.cameras if np.linalg.norm(places[camera.name]) > FARTHEST_M]
    if far:
        yield _far_sentence(far, np.stack([places[camera.name] for camera in far]), rig.base_frame)
        return
    low = [camera for camera in rig.cameras if places[camera.name][2] <= 0]
    if not any(place.any() for place in places.values()):
        yield f"{_names(low)} {_verb(low, 'lie')} in the origin of '{rig.base_frame}'; give translations, in metres"
    elif low:
        lowest = min(places[camera.name][2] for camera in low)
        yield (
            f"{_names(low)} {_verb(low, 'lie')} in or below the plane z = 0 of '{rig.base_frame}', down to "
            f"{lowest:.2f} m; the base frame lies on the road, this one seems to lie higher"
        )


def _far_sentence(far: Sequence[Camera], places: NDArray[np.float64], base_frame: str) -> str:
    farthest = np.linalg.norm(places, axis=1).max()
    found = f"{_names(far)} {_verb(far, 'lie')} {farthest:.0f} m from the origin of '{base_frame}'"
    if len(far) == 1:
        return f"{found}; give metres in the vehicle's frame: are these millimetres, or coordinates of a map?"
    if np.linalg.norm(places - places[0], axis=1).max() < FARTHEST_M:
        return f"{found}, but near each other; that frame seems to be one of a map: use the vehicle's own"
    return f"{found}; translations seem to be in millimetres or centimetres: give metres"


def _image_doubts(camera: Camera) -> Iterator[str]:
    of_camera = f"camera '{camera.name}'"
    size = np.array([camera.width, camera.height])
    centre = camera.K[:2, 2] + 0.5  # from the corner of the image
    fx, fy = camera.fx, float(camera.K[1, 1])
    scale = 2 * centre / size
    fisheye = camera.distortion_model == "equidistant"
    view_deg = float(np.degrees(camera.width / fx if fisheye else 2 * np.arctan(camera.width / 2 / fx)))
    if (scale > LEAST_SCALE).all() or ((scale > 0) & (scale < 1 / LEAST_SCALE)).all():
        width, height = np.rint(2 * centre).astype(int)
        yield (
            f"{of_camera}: cx, cy are the middle of an image of some {width}x{height}, not of {size[0]}x{size[1]}; "
            f"intrinsics seem to be for an image {np.mean(scale):.2g} times as large: scale them, or correct the size"
        )
    elif (centre < 0).any() or (centre > size).any():
        yield f"{of_camera}: the principal point {_pair(camera.K[:2, 2])} lies outside its image of {size[0]}x{size[1]}"
    elif not NARROWEST_DEG <= view_deg <= (WIDEST_FISHEYE_DEG if fisheye else WIDEST_DEG):
        yield (
            f"{of_camera}: fx of {fx:g} pixels and a width of {size[0]} are a field of view of {view_deg:.0f} degrees; "
            "fx seems to be in millimetres, or that of another lens or image size"
        )
    if max(fx / fy, fy / fx) > LEAST_STRETCH:
        yield (
            f"{of_camera}: fx is {fx:g} and fy {fy:g}, {fx / fy:.2g} times as much; pixels are nearly square unless an "
            "image was stretched: were both scaled alike?"
        )
    if camera.mask is not None and (hidden := 1 - float(camera.mask.visible.mean())) > MOST_HIDDEN:
        yield f"{of_camera}: its mask hides {hidden:.0%} of the image; black is the own vehicle: turn it round?"


def _pair(values: NDArray[np.float64]) -> str:
    return "({:.0f}, {:.0f})".format(*values)


def _names(cameras: Sequence[Camera]) -> str:
    names = ", ".join(f"'{camera.name}'" for camera in cameras)
    return f"camera{'s' if len(cameras) > 1 else ''} {names}"


def _verb(cameras: Sequence[Camera], plural: str) -> str:
    return plural if len(cameras) > 1 else f"{plural}s"
