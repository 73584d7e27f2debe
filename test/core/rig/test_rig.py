"""Rigs: the ring, rig files and what is wrong with malformed ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.geometry import rigid, rotation_from_quaternion
from fsmde_core.rig.lens import DISTORTION_SIZES
from fsmde_core.rig.rig import Camera, Rig, load_rig, ring_order, save_rig
from support.real_sources import KINDS, real_source
from support.repository import ROOT

RIGS = ROOT / "config" / "rigs"
OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # optical axes of a camera that looks forward


def camera_at(name: str, yaw_degrees: float) -> Camera:
    half = np.radians(yaw_degrees) / 2
    turn = rotation_from_quaternion(np.cos(half), 0, 0, np.sin(half))
    return Camera(name, 640, 480, np.diag([500.0, 500.0, 1.0]), rigid(turn @ OPTICAL, [1, 0, 1.5]))


@st.composite
def cameras(draw: st.DrawFn, name: str) -> Camera:
    number = st.floats(-3, 3)
    model = draw(st.sampled_from(sorted(DISTORTION_SIZES)))
    size = draw(st.sampled_from(DISTORTION_SIZES[model]))
    focal, centre = st.floats(1, 5000), st.floats(-100, 3000)
    q = draw(st.tuples(number, number, number, number).filter(lambda q: np.linalg.norm(q) > 1e-3))
    return Camera(
        name,
        draw(st.integers(1, 5000)),
        draw(st.integers(1, 5000)),
        np.array([[draw(focal), 0, draw(centre)], [0, draw(focal), draw(centre)], [0, 0, 1]]),
        rigid(rotation_from_quaternion(*q), draw(st.tuples(number, number, number))),
        model,
        np.array([draw(number) for _ in range(size)]),
        draw(st.sampled_from(["", "cam/optical", "1"])),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    data=st.data(), names=st.lists(st.sampled_from(["front", "0", "yes", "links: ö", "1e3"]), min_size=1, unique=True)
)
def test_rig_file_gives_back_the_rig(tmp_path: Path, data: st.DataObject, names: list[str]) -> None:
    rig = Rig(tuple(data.draw(cameras(name)) for name in names), base_frame="vehicle")
    save_rig(rig, tmp_path / "rig.yaml")
    back = load_rig(tmp_path / "rig.yaml")
    assert (back.names, back.base_frame) == (rig.names, "vehicle")
    for a, b in zip(rig.cameras, back.cameras, strict=True):
        assert (a.width, a.height, a.distortion_model, a.frame_id) == (
            b.width,
            b.height,
            b.distortion_model,
            b.frame_id,
        )
        np.testing.assert_array_equal(a.K, b.K)
        np.testing.assert_array_equal(a.D, b.D)
        np.testing.assert_allclose(a.T_base_camera, b.T_base_camera, atol=1e-12)


@given(st.permutations([0, -60, -120, 180, 120, 60]), st.floats(-25, 25))
def test_ring_is_clockwise_from_the_camera_that_looks_forward(yaws: list[int], offset: float) -> None:
    ring = ring_order([camera_at(str(yaw), yaw + offset) for yaw in yaws])
    assert [camera.name for camera in ring] == ["0", "-60", "-120", "180", "120", "60"]


def test_edges_close_the_ring() -> None:
    a, b, c = (camera_at(name, yaw) for name, yaw in (("a", 0), ("b", -120), ("c", 120)))
    assert Rig((a, b, c)).edges == (("a", "b"), ("b", "c"), ("c", "a"))
    assert Rig((a, b)).edges == (("a", "b"),)
    assert Rig((a,)).edges == ()


def test_rectified_pixel_centres_keep_their_ray() -> None:
    """At half size, pixel (0, 0) is centred where four pixels met: at (0.5, 0.5) of the full image."""
    camera = Camera("c", 640, 480, np.array([[500.0, 0, 300], [0, 510, 250], [0, 0, 1]]), D=np.full(5, 0.1))
    half = camera.rectified(320, 240)
    np.testing.assert_allclose(np.linalg.solve(half.K, [0, 0, 1]), np.linalg.solve(camera.K, [0.5, 0.5, 1]))
    assert not half.is_distorted and (half.width, half.height) == (320, 240)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": 0}, "size 0x480 must be at least 1x1"),
        ({"K": np.zeros((3, 3))}, "fx and fy must be positive"),
        ({"K": np.array([[500, 2, 320], [0, 500, 240], [0, 0, 1]])}, "K must be"),
        ({"distortion_model": "fov"}, "distortion model 'fov' is not in"),
        ({"D": np.zeros(3)}, "plumb_bob takes"),
        ({"D": np.full(4, np.nan)}, "finite values"),
        ({"T_base_camera": np.diag([2.0, 2, 2, 1])}, "must be a rotation and a translation"),
    ],
)
def test_camera_refuses_what_cannot_be(change: dict[str, Any], sentence: str) -> None:
    values = {"name": "c", "width": 640, "height": 480, "K": np.diag([500.0, 500.0, 1.0]), **change}
    with pytest.raises(FsmdeError, match=sentence):
        Camera(**values)


def good_entry() -> dict[str, Any]:
    pose = {"translation": [1, 0, 1.5], "rotation_wxyz": [0.5, -0.5, 0.5, -0.5]}
    return {"size": [640, 480], "intrinsics": [500, 500, 320, 240], "T_base_camera": pose}


def with_entry(**change: Any) -> dict[str, Any]:
    entry = {**good_entry(), **change}
    return {"cameras": {"front": {key: value for key, value in entry.items() if value is not None}}}


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (None, "the file must be a mapping"),
        ([1, 2], "the file must be a mapping"),
        ({"camera": {}}, r"lacks \['cameras'\]"),
        ({"cameras": ["front"]}, "'cameras' must map camera names"),
        ({"cameras": {}}, "at least one camera"),
        ({"cameras": {"front": None}}, "camera 'front' must be a mapping"),
        ({"cameras": {"front": good_entry()}, "ring": "clockwise"}, "'ring' is 'clockwise'"),
        (with_entry(size=None), r"camera 'front' lacks \['size'\]"),
        (with_entry(distorsion_model="fov"), r"unknown entries \['distorsion_model'\]"),
        (with_entry(distortion_model="fov"), "distortion model 'fov'"),
        (with_entry(size=[640]), "'size' must be a list of 2 numbers, found"),
        (with_entry(size=[640, 480.5]), "'size' must be whole pixels"),
        (with_entry(size="640x480"), "'size' must be a list of 2 numbers, found '640x480'"),
        (with_entry(intrinsics=[500, 500, "a", 240]), "'intrinsics' must be a list of 4 numbers"),
        (with_entry(intrinsics=[500, 500, float("nan"), 240]), "'intrinsics' must be a list of 4 numbers"),
        (with_entry(D={"k1": 0.1}), "'D' must be a list of numbers"),
        (with_entry(T_base_camera=[1, 2, 3]), "T_base_camera must be a mapping"),
        (with_entry(T_base_camera={"translation": [0, 0, 0], "rotation_wxyz": [0, 0, 0, 0]}), "non-zero length"),
    ],
)
def test_malformed_rig_files_say_what_is_wrong_in_one_line(tmp_path: Path, document: Any, sentence: str) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(FsmdeError, match=sentence) as caught:
        load_rig(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"cameras: [", b"\xff\xfe\x00\x80", b"cameras: {a: !!python/object:os.x {}}"])
def test_files_that_are_not_yaml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rig.yaml"
    path.write_bytes(content)
    with pytest.raises(FsmdeError, match="is not YAML") as caught:
        load_rig(path)
    assert "\n" not in str(caught.value)


def test_missing_rig_file(tmp_path: Path) -> None:
    with pytest.raises(
        FsmdeError,
        match=r"waymo cannot be read: No such file.*; shipped rigs are \['/.*ddad.yaml', .*/pandaset.yaml'\]",
    ):
        load_rig(tmp_path / "waymo")


ENTRY = "{size: [8, 8], intrinsics: [9, 9, 4, 4], T_base_camera: {translation: [0, 0, 0], rotation_wxyz: [1, 0, 0, 0]}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"cameras:\n  front: {ENTRY}\n  front: {ENTRY}\n", "'front' is there twice, the second time in line 3"),
        (f"ring: auto\nring: auto\ncameras: {{front: {ENTRY}}}", "'ring' is there twice, the second time in line 2"),
        (
            f"cameras: {{front: {ENTRY.replace('8], ', '8], size: [9, 9], ')}}}",
            "'size' is there twice, the second time in line 1",
        ),
    ],
)
def test_entries_that_are_there_twice_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "rig.yaml").write_text(text)
    with pytest.raises(FsmdeError, match=rf"^rig file {tmp_path}/rig.yaml: {said}"):
        load_rig(tmp_path / "rig.yaml")


def test_merged_entries_may_be_overridden(tmp_path: Path) -> None:
    (tmp_path / "rig.yaml").write_text(f"cameras:\n  a: &a {ENTRY}\n  b: {{<<: *a, size: [16, 8]}}\n")
    assert [camera.width for camera in load_rig(tmp_path / "rig.yaml").cameras] == [8, 16]


def test_ring_auto_orders_the_file_by_yaw(tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    save_rig(Rig(tuple(camera_at(name, yaw) for name, yaw in (("left", 90), ("front", 0), ("right", -90)))), path)
    assert load_rig(path).names == ("left", "front", "right")
    path.write_text("ring: auto\n" + path.read_text())
    assert load_rig(path).names == ("front", "right", "left")


@pytest.mark.data
@pytest.mark.parametrize("kind", KINDS)
def test_shipped_rig_is_the_calibration_of_the_data_set(kind: str, request: pytest.FixtureRequest) -> None:
    shipped, source = load_rig(RIGS / f"{kind}.yaml"), real_source(kind, request)
    assert (shipped.names, shipped.base_frame) == (source.rig.names, source.rig.base_frame)
    for a, b in zip(shipped.cameras, source.rig.cameras, strict=True):
        assert (a.width, a.height) == (b.width, b.height)
        np.testing.assert_array_equal(a.K, b.K)
        np.testing.assert_allclose(a.T_base_camera, b.T_base_camera, atol=1e-9)
        assert not a.is_distorted
