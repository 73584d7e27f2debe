"""Message readers on rosbags' message classes, which have the fields of rclpy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.read import camera_from_info, compressed_image, raw_image, stamp_ns

TYPES = get_typestore(Stores.ROS2_HUMBLE).types
Time = TYPES["builtin_interfaces/msg/Time"]
Header = TYPES["std_msgs/msg/Header"]
Image = TYPES["sensor_msgs/msg/Image"]
CompressedImage = TYPES["sensor_msgs/msg/CompressedImage"]
CameraInfo = TYPES["sensor_msgs/msg/CameraInfo"]
Roi = TYPES["sensor_msgs/msg/RegionOfInterest"]

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


def test_raw_image_of_sixteen_bits_has_the_message_s_byte_order() -> None:
    message = Image(
        header=HEADER,
        height=1,
        width=2,
        encoding="mono16",
        is_bigendian=1,
        step=4,
        data=np.array([0x0102, 0xFF03], ">u2").view(np.uint8),
    )
    assert raw_image(message).pixels().tolist() == [[0x0102, 0xFF03]]
    assert raw_image(message).rgb()[0, :, 0].tolist() == [0x01, 0xFF]


def test_any_lens_that_opencv_computes_is_read() -> None:
    """Lengths and names as drivers send them; what they become, test_lens says."""
    camera = camera_from_info(info(model="plumb_bob", d=[0.1] * 8), "front")
    assert (camera.distortion_model, camera.D.tolist()) == ("rational_polynomial", [0.1] * 8)
    assert camera_from_info(info(model="fisheye", d=[0.1] * 4), "front").distortion_model == "equidistant"


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
        ({"d": [0.1, float("inf"), 0, 0]}, "finite values"),
        ({"binning_x": 100}, "size 0x48"),
        ({"width": 0}, "size 0x48"),
    ],
)
def test_bad_camera_info_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(FsmdeError, match=words):
        camera_from_info(info(**changes), "front")
