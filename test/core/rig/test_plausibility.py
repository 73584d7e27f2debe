"""Doubts about a rig: every mistake is named by its cause, and no rig as people build them is doubted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmde_core.rig.geometry import Matrix, invert, quaternion_from_rotation, rigid, rotation_from_quaternion
from fsmde_core.rig.mask import VehicleMask
from fsmde_core.rig.plausibility import rig_doubts
from fsmde_core.rig.rig import Camera, Rig, load_rig
from fsmde_core.sources.synthetic.source import SyntheticStreet
from support.real_sources import KINDS, real_source
from support.repository import ROOT

RIGS = sorted((ROOT / "config" / "rigs").glob("*.yaml"))
OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
K = np.array([[1000.0, 0, 959.5], [0, 1000.0, 539.5], [0, 0, 1]])


def turn(axis: int, degrees: float) -> Matrix:
    half = np.radians(degrees) / 2
    return rotation_from_quaternion(np.cos(half), *(np.sin(half) * np.eye(3)[axis]))


def camera(name: str, yaw: float, pitch: float = 0, roll: float = 0, place: tuple[float, ...] = (1, 0, 1.5)) -> Camera:
    """Degrees to the left, downwards, and about the optical axis."""
    body = turn(2, yaw) @ turn(1, pitch) @ turn(0, roll)
    return Camera(name, 1920, 1080, K, rigid(body @ OPTICAL, place))


def ring(pitch: float = 0, place: Callable[[int], tuple[float, ...]] = lambda i: (0.3 * i, 0.1, 1.5)) -> Rig:
    return Rig(tuple(camera(f"camera_{i}", -60 * i + 5, pitch, place=place(i)) for i in range(6)))


def changed(rig: Rig, change: Callable[[Matrix], Matrix], names: tuple[str, ...] | None = None) -> Rig:
    return replace(
        rig,
        cameras=tuple(
            replace(c, T_base_camera=change(c.T_base_camera)) if names is None or c.name in names else c
            for c in rig.cameras
        ),
    )


def with_front(rig: Rig, **values: object) -> Rig:
    return replace(rig, cameras=(replace(rig.cameras[0], **values), *rig.cameras[1:]))  # type: ignore[arg-type]


# No false alarms


@pytest.mark.parametrize("path", RIGS, ids=lambda path: path.stem)
def test_shipped_rigs_are_plausible(path: Path) -> None:
    assert rig_doubts(load_rig(path)) == ()


@pytest.mark.data
@pytest.mark.parametrize("kind", KINDS)
def test_recorded_rigs_are_plausible(kind: str, request: pytest.FixtureRequest) -> None:
    assert rig_doubts(real_source(kind, request).rig) == ()


def test_synthetic_rigs_are_plausible() -> None:
    assert rig_doubts(SyntheticStreet(3).rig) == ()


@settings(deadline=None, max_examples=60)
@given(
    yaws=st.lists(st.floats(-180, 180), min_size=1, max_size=8),
    pitch=st.floats(-40, 59),
    roll=st.floats(-40, 40),
    height=st.floats(0.2, 4.5),
    ahead=st.floats(-18, 18),
    focal=st.floats(400, 8000),
    centre=st.tuples(st.floats(0.4, 0.6), st.floats(0.2, 0.95)),
)
def test_upright_cameras_of_cars_trucks_and_trailers_are_plausible(
    yaws: list[float],
    pitch: float,
    roll: float,
    height: float,
    ahead: float,
    focal: float,
    centre: tuple[float, float],
) -> None:
    """A crop of the sky or of the bonnet moves cy alone."""
    intrinsics = np.array([[focal, 0, 1920 * centre[0]], [0, 1.1 * focal, 1080 * centre[1]], [0, 0, 1]])
    cameras = [camera(f"c{i}", yaw, pitch, roll, (ahead, 0.2 * i, height)) for i, yaw in enumerate(yaws)]
    assert rig_doubts(Rig(tuple(replace(c, K=intrinsics) for c in cameras))) == ()


@pytest.mark.parametrize(
    "turned",
    [{"pitch": 75}, {"pitch": 90}, {"roll": 180}, {"roll": 90}, {"roll": -90}],
    ids=["parking camera", "straight down", "upside down", "portrait", "portrait, the other way"],
)
@pytest.mark.parametrize("all_of_them", [False, True])
def test_unusual_mounts_are_left_alone(turned: dict[str, float], all_of_them: bool) -> None:
    cameras = [
        camera(f"camera_{i}", -60 * i + 5, place=(0.3 * i, 0.1, 2), **(turned if all_of_them or i == 2 else {}))
        for i in range(6)
    ]
    assert rig_doubts(Rig(tuple(cameras))) == ()


def test_wide_fisheyes_are_plausible() -> None:
    """190 degrees over the width of an image: a focal length of 1920 / 3.316 pixels."""
    fisheye = replace(camera("wide", 0, 30), K=np.diag([579.0, 579, 1]) + K * [[0, 0, 1], [0, 0, 1], [0, 0, 0]])
    assert rig_doubts(Rig((replace(fisheye, distortion_model="equidistant", D=np.zeros(4)),))) == ()


# Mistakes


def rotated(change: Callable[[Matrix], Matrix]) -> Callable[[Matrix], Matrix]:
    return lambda T: rigid(change(T[:3, :3]), T[:3, 3])


def reordered(R: Matrix) -> Matrix:
    """x y z w, read as w x y z."""
    w, x, y, z = quaternion_from_rotation(R)
    return rotation_from_quaternion(x, y, z, w)


MISTAKES = {
    "a body frame": (rotated(lambda R: R @ OPTICAL.T), "the pose seems to be that of a body frame"),
    "quaternion": (rotated(reordered), "the quaternion seems to be in the order x y z w; rotation_wxyz begins with w"),
    "inverted": (invert, "the transform seems to be inverted; T_base_camera leads from the optical frame to the base"),
    "one pose": (lambda T: np.eye(4), "all cameras have the same pose in 'base_link'; give each its own"),
    "no translation": (lambda T: rigid(T[:3, :3], (0, 0, 0)), "lie in the origin of 'base_link'; give translations"),
    "millimetres": (
        lambda T: rigid(T[:3, :3], 1000 * T[:3, 3]),
        "seem to be in millimetres or centimetres: give metres",
    ),
    "a map": (
        lambda T: rigid(T[:3, :3], T[:3, 3] + (3000, 500, 30)),
        "near each other; that frame seems to be one of a map",
    ),
    "a roof": (
        lambda T: rigid(T[:3, :3], T[:3, 3] - (0, 0, 2.5)),
        "the base frame lies on the road, this one seems to lie",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("path", RIGS, ids=lambda path: path.stem)
def test_a_mistake_in_all_mounts_is_named_by_its_cause(path: Path, mistake: str) -> None:
    change, sentence = MISTAKES[mistake]
    doubts = rig_doubts(changed(load_rig(path), change))
    assert any(sentence in doubt for doubt in doubts)
    others = [other for name, (_, other) in MISTAKES.items() if name != mistake and any(other in d for d in doubts)]
    # An inverted transform also puts cameras below the road.
    assert others == ([MISTAKES["a roof"][1]] if mistake == "inverted" else [])


def test_a_single_body_frame_is_named_with_its_camera() -> None:
    wrong = changed(ring(), rotated(lambda R: R @ OPTICAL.T), ("camera_2",))
    expected = "camera 'camera_2' looks at the sky, 90 degrees above the horizon: the pose seems to be that of a body "
    assert [doubt.startswith(expected) for doubt in rig_doubts(wrong)] == [True]
    # A camera beside it that looks straight down, for parking, is no reason to doubt the cause.
    parking = camera("parking", 90, 88)
    assert [doubt.startswith(expected) for doubt in rig_doubts(Rig((*wrong.cameras, parking)))] == [True]


def test_a_camera_at_the_sky_without_a_known_cause() -> None:
    (doubt,) = rig_doubts(Rig((camera("front", 0, -50), *ring().cameras[1:])))
    assert doubt == (
        "camera 'front' looks at the sky, 50 degrees above the horizon: check the rotation of the optical frame "
        "(x right, y down, z forward)"
    )


def test_a_single_camera_far_away() -> None:
    (doubt,) = rig_doubts(changed(ring(), lambda T: rigid(T[:3, :3], (1500, 0, 1200)), ("camera_3",)))
    assert doubt.startswith(
        "camera 'camera_3' lies 1921 m from the origin of 'base_link'; give metres in the vehicle's"
    )


def test_a_copied_pose() -> None:
    rig = ring()
    copied = rig.cameras[4].T_base_camera
    (doubt,) = rig_doubts(changed(rig, lambda T: copied, ("camera_1",)))
    assert doubt == "cameras 'camera_1', 'camera_4' have the same pose; was one copied from the other?"


@pytest.mark.parametrize(
    ("intrinsics", "sentence"),
    [
        # fx, fy, cx, cy for an image of 1920x1080
        (
            (500, 500, 479.5, 269.5),
            "cx, cy are the middle of an image of some 960x540, not of 1920x1080; intrinsics seem to be for an image "
            "0.5 times as large: scale them, or correct the size",
        ),
        (
            (2000, 2000, 1919.5, 1079.5),
            "an image of some 3840x2160, not of 1920x1080; intrinsics seem to be for an",
        ),
        ((1000, 1000, 2300, 540), "the principal point (2300, 540) lies outside its image of 1920x1080"),
        ((1000, 1000, 960, -20), "the principal point (960, -20) lies outside"),
        (
            (6, 6, 959.5, 539.5),
            "fx of 6 pixels and a width of 1920 are a field of view of 179 degrees; fx seems to be in",
        ),
        ((60000, 60000, 959.5, 539.5), "are a field of view of 2 degrees"),
        ((1000, 2000, 959.5, 539.5), "fx is 1000 and fy 2000, 0.5 times as much; pixels are nearly square unless"),
    ],
)
def test_intrinsics_that_contradict_the_image(intrinsics: tuple[float, ...], sentence: str) -> None:
    fx, fy, cx, cy = intrinsics
    (doubt,) = rig_doubts(with_front(ring(), K=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])))
    assert doubt.startswith("camera 'camera_0': ") and sentence in doubt


def test_a_mask_that_is_the_other_way_round() -> None:
    visible = np.zeros((1080, 1920), bool)
    visible[900:] = True
    (doubt,) = rig_doubts(with_front(ring(), mask=VehicleMask(visible, Path("front.png"))))
    assert doubt == "camera 'camera_0': its mask hides 83% of the image; black is the own vehicle: turn it round?"
    assert rig_doubts(with_front(ring(), mask=VehicleMask(~visible, Path("front.png")))) == ()


def test_sentences_are_lines() -> None:
    for change, _ in MISTAKES.values():
        for doubt in rig_doubts(changed(ring(), change)):
            assert "\n" not in doubt and not doubt.endswith(".")
