"""The synthetic street: depth against hand-made rays, lidar and neighbouring cameras against depth, determinism."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.lidar.projection import lidar_to_camera, project
from fsmde_core.paths import find_shared
from fsmde_core.rig.geometry import invert, rigid, rotation_from_quaternion, transform
from fsmde_core.rig.rig import Camera, Rig, load_rig
from fsmde_core.sources import open_source
from fsmde_core.sources.synthetic import SyntheticStreet, street_rig
from fsmde_core.sources.synthetic.layout.course import Course
from fsmde_core.sources.synthetic.rendering.lidar import MOUNT
from fsmde_core.sources.synthetic.rendering.raycast import PinholeRays, cast
from fsmde_core.sources.synthetic.shapes.appearance import Appearance
from fsmde_core.sources.synthetic.shapes.solids import box, column, ellipsoid
from fsmde_core.sources.synthetic.shapes.world import assemble

FRONT = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
SMALL = {"width": 160, "height": 96}


def camera(width: int = 64, height: int = 48, focal: float = 50.0, height_m: float = 1.5) -> Camera:
    K = np.array([[focal, 0, 31.3], [0, 1.1 * focal, 23.8], [0, 0, 1]])
    return Camera("test", width, height, K, rigid(FRONT, (0, 0, height_m)))


def depth_of(solids: list, view: Camera) -> np.ndarray:
    """Depth at pixel centres, 0 where nothing is hit."""
    hits = cast(assemble([solids]), PinholeRays(view, view.T_base_camera))
    inverse = hits.inverse[1::2, 1::2]
    assert np.array_equal(inverse > 0, hits.face[1::2, 1::2] >= 0)
    return np.where(inverse > 0, 1 / np.where(inverse > 0, inverse, 1), 0)


def pixel_rays(view: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Origin (3,) and directions (H, W, 3) of z = 1 in the base frame, written down independently."""
    v, u = np.mgrid[0 : view.height, 0 : view.width].astype(np.float64)
    local = np.linalg.inv(view.K) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    directions = (view.T_base_camera[:3, :3] @ local).T.reshape(view.height, view.width, 3)
    return view.T_base_camera[:3, 3], directions


@pytest.fixture(scope="module")
def street() -> SyntheticStreet:
    return SyntheticStreet(3, frames=20, **SMALL)


@pytest.fixture(scope="module")
def frame(street: SyntheticStreet) -> Frame:
    return street.frame(7)


@pytest.mark.parametrize("yaw", [0.0, 0.4, -1.1])
def test_box_matches_the_slab_method(yaw: float) -> None:
    low, high, centre = np.array([-2.0, -1, 0]), np.array([2.0, 1, 2.2]), np.array([11.0, -1.5, 0.3])
    solid = box((low[0], high[0]), (low[1], high[1]), (low[2], high[2]), Appearance()).moved(*centre, yaw=yaw)
    view = camera()
    origin, directions = pixel_rays(view)
    c, s = np.cos(yaw), np.sin(yaw)
    to_box = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    o, d = to_box @ (origin - centre), directions @ to_box.T
    with np.errstate(divide="ignore"):
        t = np.stack([(low - o) / d, (high - o) / d])
    enter, leave = t.min(axis=0).max(axis=-1), t.max(axis=0).min(axis=-1)
    depth = depth_of([solid], view)
    clear = np.abs(leave - enter) > 1e-3  # grazing rays may go either way
    assert np.array_equal((depth > 0)[clear], (enter < leave)[clear])
    hit = (depth > 0) & clear
    assert hit.sum() > 50
    np.testing.assert_allclose(depth[hit], enter[hit], rtol=1e-5)


def test_ellipsoid_matches_its_equation_and_is_nearest() -> None:
    centre, radii = np.array([9.0, 0.5, 1.4]), np.array([1.5, 2.0, 0.8])
    view = camera()
    origin, directions = pixel_rays(view)
    depth = depth_of([ellipsoid(tuple(centre), tuple(radii), Appearance())], view)
    hit = depth > 0
    points = origin + directions[hit] * depth[hit, None]
    inside = np.sum(((points - centre) / radii) ** 2, axis=1)
    np.testing.assert_allclose(inside, 1, atol=1e-4)
    assert np.all(np.einsum("ni,ni->n", (points - centre) / radii**2, directions[hit]) < 0)  # the side that looks here
    q, d = (origin - centre) / radii, directions / radii
    a, b, c = np.sum(d * d, axis=-1), np.sum(d * q, axis=-1), q @ q - 1
    assert np.array_equal(hit, b * b - a * c > 0)


def test_cone_points_lie_on_the_hull_and_the_nearest_solid_wins() -> None:
    near, far = column((0.5, 0.5), (0, 3), Appearance(), 24).moved(6, 0.2), box((20, 21), (-9, 9), (0, 9), Appearance())
    view = camera()
    depth = depth_of([far, near], view)
    middle = depth[24, 29]
    assert 5.4 < middle < 5.6
    assert np.isclose(depth[10, 12], 20, rtol=1e-5)
    assert np.array_equal(depth, depth_of([near, far], view))


@pytest.mark.parametrize("seed", [0, 2, 3, 9])
def test_flat_road_is_the_closed_form(seed: int) -> None:
    """On a flat street the bare road has the depth at which the pixel's ray comes down to z = 0."""
    view = camera(160, 96, 120.0)
    street = SyntheticStreet(seed, frames=1, rig=Rig((view,)))
    assert not np.ptp(street._style.course.knots[:, 1])
    _, depth = street.render(0, "test")
    T = street.pose(0) @ view.T_base_camera
    u = np.arange(15, 50)
    local = np.linalg.inv(view.K) @ np.stack([u, np.full(35, 90), np.ones(35)])
    closed_form = -T[2, 3] / (T[2, :3] @ local)
    np.testing.assert_allclose(depth[90, u], closed_form, rtol=1e-5)


def test_sky_is_nan_above_and_nowhere_else(frame: Frame) -> None:
    skies = 0
    for name, depth in frame.depth.items():
        assert depth.dtype == np.float32
        assert depth.shape == frame.images[name].rgb().shape[:2] == (96, 160)
        assert np.all(np.isnan(depth) | ((depth > 0.3) & (depth < 10_000)))
        assert not np.isnan(depth[-20:]).any()  # the lower edge looks at the ground
        skies += np.isnan(depth).sum()
    assert skies > 500
    open_sky = np.isnan(frame.depth["front"])
    brightness = frame.images["front"].rgb().mean(axis=2)
    assert brightness[open_sky].mean() > brightness[~open_sky].mean()


def compare_with_lidar(frame: Frame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Of the returns that fall where depth is smooth: how much farther they are than the depth seen there, and how much
    that depth varies to the next pixel, metres."""
    assert frame.lidar is not None
    seen = project(frame.lidar.points, lidar_to_camera(frame, name), frame.rig[name])
    depth, window = np.nan_to_num(frame.depth[name], nan=1e4), np.ones((3, 3), np.uint8)
    low, high = cv2.erode(depth, window), cv2.dilate(depth, window)
    smooth = (high / low < 1.15)[seen.row, seen.column]
    at = seen.row[smooth], seen.column[smooth]
    return seen.z[smooth] - depth[at], (high - low)[at]


def test_lidar_agrees_with_depth(frame: Frame) -> None:
    """A return lies on the surface that a camera sees, or behind it, as the lidar looks over things from the roof."""
    total = 0
    for name in frame.depth:
        farther, spread = compare_with_lidar(frame, name)
        # things thinner than a pixel may stand between the centres of smooth pixels: a few returns come from them
        assert np.mean(farther > -spread - 0.12) > 0.99, name
        on_surface = np.abs(farther) < spread + 0.12
        assert on_surface.mean() > 0.85, name
        total += on_surface.sum()
    assert total > 5000


def test_a_camera_in_place_of_the_lidar_sees_its_points() -> None:
    pose = rigid(rotation_from_quaternion(np.cos(0.4), 0, 0, np.sin(0.4)) @ FRONT, MOUNT[:3, 3])
    K = np.array([[400.0, 0, 320], [0, 400.0, 180], [0, 0, 1]])
    rig = Rig((Camera("roof", 640, 360, K, pose),))
    for seed in (2, 11):
        frame = SyntheticStreet(seed, frames=3, rig=rig).frame(2)
        farther, spread = compare_with_lidar(frame, "roof")
        assert len(farther) > 3000
        assert np.mean(np.abs(farther) < spread + 0.1) > 0.985
        assert np.median(np.abs(farther[spread < 0.1])) < 0.03


def test_lidar_looks_like_a_spinning_one(frame: Frame) -> None:
    assert frame.lidar is not None
    points = frame.lidar.points
    assert points.dtype == np.float32 and 20_000 < len(points) < 64 * 1800
    distance = np.linalg.norm(points, axis=1)
    assert distance.max() < 205 and distance.min() > 1
    sectors = np.histogram(np.arctan2(points[:, 1], points[:, 0]), 12)[0]
    assert sectors.min() > 100
    low = points[(np.abs(points[:, 0]) < 8) & (np.abs(points[:, 1]) < 1.2) & (points[:, 2] < 0.5)]
    assert abs(np.median(low[:, 2])) < 0.1  # base_link is on the road


def test_neighbouring_cameras_agree(frame: Frame) -> None:
    """Points of one camera that its neighbour sees have the neighbour's depth, or are hidden from it."""
    shared = 0
    for one, other in frame.rig.edges:
        a, b = frame.rig[one], frame.rig[other]
        v, u = np.nonzero(np.isfinite(frame.depth[one]))
        local = np.linalg.inv(a.K) @ np.stack([u, v, np.ones(len(u))]) * frame.depth[one][v, u]
        points = transform(invert(b.T_base_camera) @ a.T_base_camera, local.T)
        seen = project(points, np.eye(4), b)
        filled = np.nan_to_num(frame.depth[other], nan=1e4)
        window = np.ones((3, 3), np.uint8)
        low, high = cv2.erode(filled, window), cv2.dilate(filled, window)
        there, limit = low[seen.row, seen.column], high[seen.row, seen.column]
        assert np.mean(seen.z > 0.98 * there) > 0.995  # nothing floats in front of what the neighbour sees
        shared += np.sum((seen.z > 0.98 * there) & (seen.z < 1.02 * limit))
    assert shared > 2000


def test_same_seed_same_frame_in_any_order(street: SyntheticStreet, frame: Frame) -> None:
    other = SyntheticStreet(3, frames=20, **SMALL)
    other.render(12, "back")
    again = other.frame(7)
    for name in frame.images:
        assert np.array_equal(frame.images[name].rgb(), again.images[name].rgb())
        assert np.array_equal(frame.depth[name], again.depth[name], equal_nan=True)
    assert frame.lidar is not None and again.lidar is not None
    assert np.array_equal(frame.lidar.points, again.lidar.points)
    rgb, depth = other.render(7, "back_left")
    assert np.array_equal(rgb, frame.images["back_left"].rgb())
    assert np.array_equal(depth, frame.depth["back_left"], equal_nan=True)
    changed, _ = street.render(8, "back_left")
    assert not np.array_equal(rgb, changed)
    assert frame.stamp_ns + 100_000_000 == street.frame(8).stamp_ns


def test_seeds_differ() -> None:
    images = [SyntheticStreet(seed, frames=1, **SMALL).render(0, "front")[0] for seed in range(4)]
    for i in range(4):
        for j in range(i):
            assert np.abs(images[i].astype(int) - images[j]).mean() > 10


def test_vehicle_drives_along_the_road() -> None:
    street = SyntheticStreet(1, frames=30, **SMALL)
    poses = [street.pose(i) for i in range(30)]
    steps = [(invert(a) @ b)[:3, 3] for a, b in itertools.pairwise(poses)]
    assert all(0 <= step[0] < 1.5 and abs(step[1]) < 0.1 and abs(step[2]) < 0.1 for step in steps)
    assert steps[0][0] == pytest.approx(street._style.ego_speed * 0.1, abs=0.02)


@pytest.mark.parametrize("rig_file", ["pandaset.yaml", "nuscenes.yaml"])
def test_renders_any_rig(rig_file: str) -> None:
    rig = load_rig(find_shared(f"config/rigs/{rig_file}"))
    small = Rig(tuple(view.rectified(view.width // 12, view.height // 12) for view in rig.cameras))
    street = SyntheticStreet(5, frames=2, rig=small)
    frame = street.frame(1)
    assert tuple(frame.images) == small.names
    for view in small.cameras:
        assert frame.depth[view.name].shape == (view.height, view.width)
        assert np.isfinite(frame.depth[view.name][-5:]).all()


@pytest.mark.parametrize("curvature", [0.0, 0.004, -0.003])
def test_course_locates_what_it_places(curvature: float) -> None:
    course = Course(curvature, np.array([[-1.0, 0.0], [1.0, 0.0]]))
    s, offset = np.meshgrid(np.linspace(-150, 300, 9), np.linspace(-60, 60, 7))
    back_s, back_offset = course.locate(*course.xy(s, offset))
    np.testing.assert_allclose(back_s, s, atol=1e-6)
    np.testing.assert_allclose(back_offset, offset, atol=1e-6)
    T = course.poses(s.ravel(), offset.ravel(), 0.0, 0.2, 2.0)
    assert np.allclose(T[:, :3, :3] @ T[:, :3, :3].swapaxes(1, 2), np.eye(3), atol=1e-12)


def test_objects_lie_on_the_slope() -> None:
    course = Course(0.0, np.array([[0.0, 0.0], [100.0, 10.0]]))
    T = course.poses([50.0, 50.0], 0.0, 0.0, [0.0, np.pi], 3.0)
    for pose in T:
        wheels = transform(pose, np.array([[1.5, 0, 0], [-1.5, 0, 0]]))
        np.testing.assert_allclose(wheels[:, 2], 0.1 * wheels[:, 0], atol=2e-3)


def test_bad_arguments_say_so() -> None:
    with pytest.raises(FsmdeError, match="seed is -1"):
        SyntheticStreet(-1)
    with pytest.raises(FsmdeError, match="frames is 0"):
        SyntheticStreet(0, frames=0)
    with pytest.raises(FsmdeError, match="size is 0x540"):
        SyntheticStreet(0, width=0)
    view = camera()
    bent = Camera("bent", view.width, view.height, view.K, D=np.array([0.1, 0, 0, 0]))
    with pytest.raises(FsmdeError, match=r"'bent' is distorted.*rectified"):
        SyntheticStreet(0, rig=Rig((bent,)))
    street = SyntheticStreet(0, frames=2, **SMALL)
    with pytest.raises(FsmdeError, match="frame 2 is not"):
        street.frame(2)
    with pytest.raises(FsmdeError, match="no camera 'rear'"):
        street.render(0, "rear")


def test_opens_as_a_source() -> None:
    source = open_source("synthetic", seed=4, frames=3, **SMALL)
    assert len(source) == 3
    assert source.name == "synthetic-4"
    assert source.rig.names == street_rig(10, 10).names
    assert [frame.index for frame in source.frames(1)] == [1, 2]
