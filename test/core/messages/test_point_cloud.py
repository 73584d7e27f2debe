"""PointCloud2 on rosbags' message classes, which have the fields of rclpy's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_typestore

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.point_cloud import COLOR_FIELDS, cloud_bytes, cloud_layout, read_points, read_xyz, unpack_rgb

TYPES = get_typestore(Stores.ROS2_HUMBLE).types
PointCloud2 = TYPES["sensor_msgs/msg/PointCloud2"]
PointField = TYPES["sensor_msgs/msg/PointField"]
HEADER = TYPES["std_msgs/msg/Header"](stamp=TYPES["builtin_interfaces/msg/Time"](sec=3, nanosec=7), frame_id="lidar")


def test_what_is_written_is_read_back() -> None:
    points = np.arange(10, dtype=np.float32).reshape(2, 5)
    points[:, 3] = np.array([0x00102030, 0x00FFFEFD], np.uint32).view(np.float32)
    layout = cloud_layout(COLOR_FIELDS, 1, 2, PointField)
    read = read_points(PointCloud2(header=HEADER, data=cloud_bytes(points), is_dense=True, **layout))
    assert read.dtype.names == COLOR_FIELDS
    np.testing.assert_array_equal(np.stack([read[name] for name in COLOR_FIELDS], axis=1), points)
    assert unpack_rgb(read["rgb"]).tolist() == [[0x10, 0x20, 0x30], [0xFF, 0xFE, 0xFD]]


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
    np.testing.assert_array_equal(read_xyz(message), expected[np.isfinite(expected).all(axis=1)])


def test_organised_cloud_with_padded_rows() -> None:
    rows = np.full((2, 9), 99, np.float32)
    rows[:, :6] = np.arange(12).reshape(2, 6)
    fields = [("x", 0, 7), ("y", 4, 7), ("z", 8, 7)]
    message = cloud(fields, 12, rows.tobytes(), 2, height=2, row_step=36)
    np.testing.assert_array_equal(read_xyz(message), np.arange(12).reshape(4, 3))


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
        read_xyz(cloud(fields, 12, bytes(size), 4))


def test_rows_that_overlap_are_refused() -> None:
    fields = [("x", 0, 7), ("y", 4, 7), ("z", 8, 7)]
    with pytest.raises(FsmdeError, match="row_step is 0 bytes, a row of points of 12 bytes needs 24"):
        read_xyz(cloud(fields, 12, bytes(48), 2, height=2, row_step=0))
    assert len(read_xyz(cloud(fields, 12, bytes(24), 2, height=1, row_step=0))) == 2  # one row needs no step


XYZ = [("x", 0, 7), ("y", 4, 7), ("z", 8, 7)]


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 0},
        {"width": 0, "height": 0},
        {"width": 0, "height": 5, "row_step": 0},
        {"width": 5, "height": 0},
        {"width": 0, "point_step": 0, "row_step": 0},
        {"width": 0, "data": np.zeros(0, np.uint8)},
    ],
)
def test_a_cloud_without_points_is_an_empty_sweep(changes: dict[str, Any]) -> None:
    assert read_xyz(replace(cloud(XYZ, 12, bytes(12), 1), **changes)).shape == (0, 3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fields": [], "width": 0, "height": 0, "point_step": 0, "row_step": 0}, r"no float field \['x', 'y', 'z'\]"),
        ({"point_step": 0}, "does not fit its 48 bytes: the fields of a point need 12"),
        ({"point_step": 11}, "does not fit its 48 bytes: the fields of a point need 12"),
        ({"data": np.zeros(0, np.uint8)}, "does not fit its 0 bytes: they need 48"),
        (
            {"width": 2**32 - 1, "height": 2**32 - 1, "row_step": 2**32 - 1, "point_step": 0},
            "does not fit its 48 bytes",
        ),
        ({"width": 2**32 - 1}, "does not fit its 48 bytes"),
    ],
)
def test_broken_clouds_are_refused(changes: dict[str, Any], words: str) -> None:
    message = replace(cloud(XYZ, 12, bytes(48), 4), **changes)
    with pytest.raises(FsmdeError, match=words):
        read_xyz(message)


def test_types_are_named_as_in_the_message_definition() -> None:
    with pytest.raises(FsmdeError, match=r"'z'\]: .*'z': 'INT16'.*expected x, y and z of FLOAT32 or FLOAT64"):
        read_xyz(cloud([("x", 0, 7), ("y", 4, 7), ("z", 8, 3)], 12, bytes(12), 1))


def test_of_fields_with_one_name_the_first_counts() -> None:
    """As for PCL and the iterators of sensor_msgs."""
    data = np.arange(8, dtype="<f4").tobytes()
    message = cloud([*XYZ, ("x", 12, 7), ("ring", 14, 4), ("ring", 12, 4)], 16, data, 2)
    np.testing.assert_array_equal(read_xyz(message), [[0, 1, 2], [4, 5, 6]])
    assert read_points(message).dtype.names == ("x", "y", "z", "ring")


def test_fields_of_several_values_are_passed_over() -> None:
    data = np.arange(6, dtype="<f4").tobytes()
    message = cloud([("normal", 0, 7), ("x", 12, 7), ("y", 16, 7), ("z", 20, 7)], 24, data, 1)
    message.fields[0].count = 3
    np.testing.assert_array_equal(read_xyz(message), [[3, 4, 5]])


def test_coordinates_too_large_for_a_float_are_left_out_silently(recwarn: pytest.WarningsRecorder) -> None:
    data = np.array([[1, 2, 3], [1e300, 0, 0]]).tobytes()
    message = cloud([("x", 0, 8), ("y", 8, 8), ("z", 16, 8)], 24, data, 2)
    np.testing.assert_array_equal(read_xyz(message), [[1, 2, 3]])
    assert not recwarn
