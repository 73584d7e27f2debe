"""Message readers on rosbags' message classes, which have the fields of rclpy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_typestore

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.read import camera_from_info, cloud_xyz, compressed_image, raw_image, stamp_ns

TYPES = get_typestore(Stores.ROS2_HUMBLE).types
Time = TYPES["builtin_interfaces/msg/Time"]
Header = TYPES["std_msgs/msg/Header"]
Image = TYPES["sensor_msgs/msg/Image"]
CompressedImage = TYPES["sensor_msgs/msg/CompressedImage"]
CameraInfo = TYPES["sensor_msgs/msg/CameraInfo"]
Roi = TYPES["sensor_msgs/msg/RegionOfInterest"]
PointCloud2 = TYPES["sensor_msgs/msg/PointCloud2"]
PointField = TYPES["sensor_msgs/msg/PointField"]

HEADER = Header(stamp=Time(sec=3, nanosec=7), frame_id="cam_optical")
K = [100.0, 0, 32, 0, 110, 24, 0, 0, 1]


def info(k: list[float] = K, model: str = "plumb_bob", d: list[float] | None = None, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "header": HEADER,
        "height": 48,
        "width": 64,
        "distortion_model": model,
        "d": np.array([0.1, 0, 0, 0, 0] if d is None else d, np.float64),
        "k": np.array(k, np.float64),
        "r": np.eye(3).ravel(),
        "p": np.zeros(12),
        "binning_x": 0,
        "binning_y": 0,
        "roi": Roi(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
    }
    return CameraInfo(**{**values, **changes})


def test_stamp_keeps_nanoseconds() -> None:
    assert stamp_ns(Time(sec=1_700_000_000, nanosec=999_999_999)) == 1_700_000_000_999_999_999


def test_raw_image_shares_the_data() -> None:
    data = np.arange(60, dtype=np.uint8)
    image = raw_image(Image(header=HEADER, height=3, width=6, encoding="rgb8", is_bigendian=1, step=20, data=data))
    assert np.shares_memory(image.pixels(), data)
    assert image.pixels()[2, 5, 1] == 2 * 20 + 5 * 3 + 1


def test_compressed_image_errors_name_the_format() -> None:
    message = CompressedImage(header=HEADER, format="jpeg", data=np.zeros(9, np.uint8))
    with pytest.raises(FsmdeError, match="'jpeg' and 9 bytes"):
        compressed_image(message)


def test_camera_info_is_read_as_it_is() -> None:
    T = np.diag([1.0, -1, -1, 1])
    camera = camera_from_info(info(), "front", T)
    assert (camera.name, camera.width, camera.height, camera.frame_id) == ("front", 64, 48, "cam_optical")
    np.testing.assert_array_equal(camera.K, np.reshape(K, (3, 3)))
    np.testing.assert_array_equal(camera.D, [0.1, 0, 0, 0, 0])
    np.testing.assert_array_equal(camera.T_base_camera, T)


def test_empty_distortion_model_is_a_pinhole() -> None:
    camera = camera_from_info(info(model="", d=[]), "front")
    assert camera.distortion_model == "plumb_bob" and not camera.is_distorted


def test_region_of_interest_then_binning() -> None:
    """A ray through unbinned pixel (x, y) meets the binned region at the centre of the pixel that holds it."""
    roi = Roi(x_offset=10, y_offset=4, height=40, width=48, do_rectify=False)
    camera = camera_from_info(info(binning_x=2, binning_y=2, roi=roi), "front")
    assert (camera.width, camera.height) == (24, 20)
    # The four sensor pixels x 20, 21 and y 14, 15 are binned pixel (5, 5); their common centre is (20.5, 14.5).
    ray = np.linalg.inv(np.reshape(K, (3, 3))) @ [20.5, 14.5, 1]
    np.testing.assert_allclose(camera.K @ ray, [5, 5, 1], atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"k": [0.0] * 9}, "camera 'front'.*no intrinsics"),
        ({"k": [-1.0, 0, 0, 0, 1, 0, 0, 0, 1]}, "fx and fy must be positive"),
        ({"k": [float("nan"), 0, 0, 0, 1, 0, 0, 0, 1]}, "fx and fy must be positive"),
        ({"model": "scaramuzza"}, "'scaramuzza'"),
        ({"model": ""}, "''"),
        ({"d": [0.1, 0.2]}, "plumb_bob takes"),
        ({"width": 0}, "size 0x48"),
    ],
)
def test_bad_camera_info_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(FsmdeError, match=words):
        camera_from_info(info(**changes), "front")


def cloud(fields: list[tuple[str, int, int]], point_step: int, data: bytes, width: int, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "header": HEADER,
        "height": 1,
        "width": width,
        "fields": [PointField(name=n, offset=o, datatype=t, count=1) for n, o, t in fields],
        "is_bigendian": False,
        "point_step": point_step,
        "row_step": point_step * width,
        "data": np.frombuffer(data, np.uint8),
        "is_dense": False,
    }
    return PointCloud2(**{**values, **changes})


@st.composite
def layouts(draw: st.DrawFn) -> tuple[np.dtype, int, int, int, bool]:
    """A point's fields in any order with gaps between them, x, y and z of 32 or 64 bits; rows, columns, row padding."""
    big = draw(st.booleans())
    sizes = {axis: draw(st.sampled_from([4, 8])) for axis in "xyz"}
    order = draw(st.permutations([*"xyz", "intensity", "ring"]))
    offsets, end = {}, 0
    for name in order:
        offsets[name] = end + draw(st.integers(0, 5))
        end = offsets[name] + sizes.get(name, 2)
    kinds = {name: f"{'>' if big else '<'}{'f' if name in sizes else 'u'}{sizes.get(name, 2)}" for name in order}
    layout = np.dtype(
        {
            "names": order,
            "formats": [kinds[name] for name in order],
            "offsets": [offsets[name] for name in order],
            "itemsize": end + draw(st.integers(0, 7)),
        }
    )
    return layout, draw(st.integers(1, 3)), draw(st.integers(0, 9)), draw(st.integers(0, 50)), big


@given(layouts(), st.data())
def test_cloud_of_any_layout(drawn: tuple[np.dtype, int, int, int, bool], data: st.DataObject) -> None:
    layout, height, width, padding, big = drawn
    some = st.floats(-1e4, 1e4, width=32) | st.sampled_from([np.nan, np.inf, -np.inf])
    count = 3 * height * width
    points = np.array(data.draw(st.lists(some, min_size=count, max_size=count)), np.float32).reshape(height, width, 3)
    rows = []
    for row in points:
        table = np.frombuffer(np.random.default_rng(0).bytes(width * layout.itemsize), layout).copy()
        for i, axis in enumerate("xyz"):
            table[axis] = row[:, i]
        rows.append(table.tobytes() + b"\xff" * padding)
    types = {"f4": 7, "f8": 8, "u2": 4}
    fields = [(n, layout.fields[n][1], types[layout[n].str[1:]]) for n in layout.names]  # type: ignore[index, union-attr]
    message = cloud(
        fields,
        layout.itemsize,
        b"".join(rows),
        width,
        height=height,
        row_step=width * layout.itemsize + padding,
        is_bigendian=big,
    )
    expected = points.reshape(-1, 3)
    np.testing.assert_array_equal(cloud_xyz(message), expected[np.isfinite(expected).all(axis=1)])


def test_organised_cloud_with_padded_rows() -> None:
    rows = np.full((2, 9), 99, np.float32)
    rows[:, :6] = np.arange(12).reshape(2, 6)
    fields = [("x", 0, 7), ("y", 4, 7), ("z", 8, 7)]
    message = cloud(fields, 12, rows.tobytes(), 2, height=2, row_step=36)
    np.testing.assert_array_equal(cloud_xyz(message), np.arange(12).reshape(4, 3))


@pytest.mark.parametrize(
    ("fields", "size", "words"),
    [
        ([("x", 0, 7), ("y", 4, 7)], 48, r"no float field \['z'\]"),
        ([("x", 0, 7), ("y", 4, 7), ("z", 8, 2)], 48, "no float field"),
        ([("x", 0, 7), ("y", 4, 7), ("z", 8, 7)], 47, "does not fit its 47 bytes"),
        ([("x", 0, 7), ("y", 4, 7), ("z", 12, 7)], 48, "does not fit"),
    ],
)
def test_bad_clouds_are_refused(fields: list[tuple[str, int, int]], size: int, words: str) -> None:
    with pytest.raises(FsmdeError, match=words):
        cloud_xyz(cloud(fields, 12, bytes(size), 4))


def test_rows_that_overlap_are_refused() -> None:
    fields = [("x", 0, 7), ("y", 4, 7), ("z", 8, 7)]
    with pytest.raises(FsmdeError, match="row_step is 0 bytes, a row of points of 12 bytes needs 24"):
        cloud_xyz(cloud(fields, 12, bytes(48), 2, height=2, row_step=0))
    assert len(cloud_xyz(cloud(fields, 12, bytes(24), 2, height=1, row_step=0))) == 2  # one row needs no step
