"""Provides the type to subscribe to images with: sensor_msgs/Image, less rclpy's two extra copies of the pixels.

rclpy takes a message into a C struct, copies its `data` into a bytes object and that into an array.array: half of what
receiving an image of 1920x1080 costs. A subclass whose metaclass names another conversion keeps the struct's memory
instead and leaves everything else to the generated code.
"""

from __future__ import annotations

import ctypes
import logging
import weakref
from functools import cache
from typing import Any

import numpy as np
from sensor_msgs.msg import Image

log = logging.getLogger(__name__)


class _Sequence(ctypes.Structure):
    """rosidl_runtime_c__uint8__Sequence; a rosidl_runtime_c__String has the same members."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("capacity", ctypes.c_size_t))


class _Image(ctypes.Structure):
    """sensor_msgs__msg__Image, as rosidl_generator_c makes it."""

    _fields_ = (
        ("sec", ctypes.c_int32),
        ("nanosec", ctypes.c_uint32),
        ("frame_id", _Sequence),
        ("height", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("encoding", _Sequence),
        ("is_bigendian", ctypes.c_uint8),
        ("step", ctypes.c_uint32),
        ("data", _Sequence),
    )


_METACLASS: Any = type(Image)
_CREATE = ctypes.PYFUNCTYPE(ctypes.c_void_p)
_DESTROY = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
_FROM_PYTHON = ctypes.PYFUNCTYPE(ctypes.c_bool, ctypes.py_object, ctypes.c_void_p)
_TO_PYTHON = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p)


@cache
def image_type() -> type[Image]:
    """Return a type for `create_subscription`: messages are Images whose `data` is a (bytes,) uint8 array of their own.

    It is Image itself, with a warning, where the generated code lays messages out in another way.
    """
    if _METACLASS._TYPE_SUPPORT is None:
        _METACLASS.__import_type_support__()
    try:
        _check_layout()
        convert = _TO_PYTHON(_Conversion())
    except (OSError, AttributeError, ValueError) as error:
        log.warning("receiving images takes twice as long, as they must be copied: %s", error)
        return Image
    capsule = _new_capsule(ctypes.cast(convert, ctypes.c_void_p), None, None)
    metaclass = type("ImageMetaclass", (_METACLASS,), {"_CONVERT_TO_PY": capsule, "convert": convert})
    kept: type[Image] = metaclass("ImageInPlace", (Image,), {"__slots__": ()})
    return kept


class _Conversion:
    """Turns the address of an `_Image` into the message, which becomes the owner of its data."""

    def __init__(self) -> None:
        self._convert = _TO_PYTHON(_address("_CONVERT_TO_PY"))
        self._free = ctypes.CDLL("librosidl_runtime_c.so").rosidl_runtime_c__uint8__Sequence__fini
        self._free.argtypes, self._free.restype = [ctypes.POINTER(_Sequence)], None

    def __call__(self, address: int) -> Image:
        try:
            return self._converted(address)
        except BaseException:  # rclpy would go on with whatever lies where the result should be
            log.exception("an image was lost")
            return Image()

    def _converted(self, address: int) -> Image:
        data = _Image.from_address(address).data
        if not data.size:
            return self._convert(address)
        owned = _Sequence(data.data, data.size, data.capacity)
        memory = (ctypes.c_uint8 * owned.size).from_address(owned.data)
        # Lives as long as any view of it. Not freed at exit, when other threads may still look at it.
        weakref.finalize(memory, self._free, owned).atexit = False
        data.data, data.size, data.capacity = None, 0, 0
        message: Image = self._convert(address)
        message._data = np.frombuffer(memory, np.uint8)  # the setter may check byte by byte
        return message


def _check_layout() -> None:
    """Raise ValueError unless an image that the generated code writes is an `_Image`."""
    sample = Image(height=2, width=3, encoding="mono8", is_bigendian=1, step=5)
    sample.header.stamp.sec, sample.header.stamp.nanosec, sample.header.frame_id = -7, 8, "camera"
    sample.data = pixels = bytes(range(10))
    address = _CREATE(_address("_CREATE_ROS_MESSAGE"))()
    try:
        if not _FROM_PYTHON(_address("_CONVERT_FROM_PY"))(sample, address):
            raise ValueError("an image could not be converted")
        found = _Image.from_address(address)
        numbers = [found.sec, found.nanosec, found.height, found.width, found.is_bigendian, found.step]
        sizes = [found.frame_id.size, found.encoding.size, found.data.size]
        # An address is followed only where all numbers around it are as expected.
        if (numbers, sizes) != ([-7, 8, 2, 3, 1, 5], [6, 5, 10]) or ctypes.string_at(found.data.data, 10) != pixels:
            raise ValueError("an image lies in memory in another way than expected")
    finally:
        _DESTROY(_address("_DESTROY_ROS_MESSAGE"))(address)


def _address(function: str) -> int:
    """Return the address of a function that the generated code passes to rclpy in a capsule of the metaclass."""
    capsule = getattr(_METACLASS, function)
    return int(_pointer(capsule, _name(capsule)))


def _python_api(function: str, result: Any, *arguments: Any) -> Any:
    found = ctypes.pythonapi[function]
    found.restype, found.argtypes = result, arguments
    return found


_new_capsule = _python_api("PyCapsule_New", ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_name = _python_api("PyCapsule_GetName", ctypes.c_char_p, ctypes.py_object)
_pointer = _python_api("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
