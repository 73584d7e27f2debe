"""Describes sensor_msgs/PointCloud2: what its fields are, how points become its bytes and its bytes points.

Messages are known by their attributes alone, so that those of rclpy and of rosbags are handled alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError

COLOR_FIELDS = ("x", "y", "z", "rgb", "sigma")  # `rgb` holds the bits of 0x00RRGGBB, as PCL packs colours
PLAIN_FIELDS = ("x", "y", "z", "sigma")

# Datatypes of sensor_msgs/PointField.
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_FLOAT32, _FLOAT64 = 7, 8
_TYPE_NAMES = dict(enumerate(("INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "FLOAT32", "FLOAT64"), 1))


def point_step(fields: Sequence[str]) -> int:
    """Count the bytes of a point whose fields are float32, one after the other."""
    return 4 * len(fields)


def cloud_layout(fields: Sequence[str], height: int, width: int, point_field: Callable[..., Any]) -> dict[str, Any]:
    """Describe little-endian points of float32 fields as the attributes of a PointCloud2.

    Args:
        fields: Names, in the order of the values of a point.
        height, width: Rows of points, and points in a row.
        point_field: The class of sensor_msgs/PointField that the message takes.

    Returns:
        Every attribute but `header`, `data` and `is_dense`.
    """
    return {
        "height": height,
        "width": width,
        "fields": [point_field(name=n, offset=4 * i, datatype=_FLOAT32, count=1) for i, n in enumerate(fields)],
        "is_bigendian": False,
        "point_step": point_step(fields),
        "row_step": point_step(fields) * width,
    }


def cloud_bytes(points: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Give the `data` of (N, fields) points: a view where they are float32 and contiguous."""
    return np.ascontiguousarray(points, "<f4").reshape(-1).view(np.uint8)


def read_points(message: Any) -> NDArray[Any]:
    """Read a sensor_msgs/PointCloud2 of any layout as a (height * width,) structured array, row by row, by field.

    Of fields with one name the first counts, of several values of a field the first. It is a view unless rows are
    padded. Raises FsmdeError when the data do not fit the layout.
    """
    return _read_fields(message, [name for name, field in _fields(message).items() if field.datatype in _TYPES])


def _fields(message: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for field in message.fields:
        fields.setdefault(field.name, field)
    return fields


def _read_fields(message: Any, names: Sequence[str]) -> NDArray[Any]:
    fields = _fields(message)
    width, height, step, row_step = (
        int(getattr(message, key)) for key in ("width", "height", "point_step", "row_step")
    )
    order = ">" if message.is_bigendian else "<"
    types = [np.dtype(order + _TYPES[fields[name].datatype]) for name in names]
    offsets = [int(fields[name].offset) for name in names]
    ends = [offset + kind.itemsize for offset, kind in zip(offsets, types, strict=True)]
    point = max(ends, default=0)
    if width * height == 0:
        return np.empty(0, np.dtype({"names": list(names), "formats": types, "offsets": offsets, "itemsize": point}))
    if height > 1 and row_step < width * step:
        raise FsmdeError(
            f"point cloud of {width}x{height} points: row_step is {row_step} bytes, "
            f"a row of points of {step} bytes needs {width * step}"
        )
    needed, found = (height - 1) * row_step + width * step, memoryview(message.data).nbytes
    if found < needed or step < point:
        reason = f"they need {needed}" if found < needed else f"the fields of a point need {point}"
        raise FsmdeError(
            f"point cloud of {width}x{height} points, point_step {step}, row_step {row_step} "
            f"does not fit its {found} bytes: {reason}"
        )
    layout = np.dtype({"names": list(names), "formats": types, "offsets": offsets, "itemsize": step})
    return np.ndarray((height, width), layout, message.data, strides=(row_step, step)).reshape(-1)


def stack_xyz(points: NDArray[Any]) -> NDArray[Any]:
    """Gather x, y and z of (N,) points of `read_points` in an (N, 3) array."""
    return np.stack([points[axis] for axis in "xyz"], axis=-1)


def read_xyz(message: Any) -> NDArray[np.float32]:
    """Read x, y and z of a sensor_msgs/PointCloud2 as (N, 3) float32 metres, without the points that are not finite.

    A cloud without points gives none. Raises FsmdeError without float x, y, z or when the data do not fit.
    """
    fields = _fields(message)
    missing = [axis for axis in "xyz" if axis not in fields or fields[axis].datatype not in (_FLOAT32, _FLOAT64)]
    if missing:
        found = {name: _TYPE_NAMES.get(field.datatype, field.datatype) for name, field in fields.items()}
        raise FsmdeError(
            f"point cloud has no float field {missing}: its fields and their datatypes are {found}, "
            "expected x, y and z of FLOAT32 or FLOAT64 in metres; let the driver send them"
        )
    with np.errstate(over="ignore"):  # to infinity, where float64 holds more than float32 can
        xyz = stack_xyz(_read_fields(message, "xyz")).astype(np.float32)
    return xyz[np.isfinite(xyz).all(axis=1)]


def color_bits(rgb: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Give the numbers 0x00RRGGBB whose bits the `rgb` of points holds."""
    return np.ascontiguousarray(rgb).view(np.uint32)


def unpack_rgb(rgb: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Give the colours of (N,) `rgb` of points as (N, 3) uint8 RGB."""
    bits = color_bits(rgb)
    return np.stack([bits >> 16, bits >> 8, bits], axis=-1).astype(np.uint8)
