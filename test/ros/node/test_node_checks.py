"""The node's checks over real DDS: AbsRel against a lidar by hand, and a turned camera named on /diagnostics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CompressedImage, PointCloud2, PointField

from fsmde_core.engines.model import default_model_path
from fsmde_core.rig.rig import save_rig
from fsmde_core.sources.datasets.pandaset import PandaSetSource
from fsmde_ros.middleware.conversions import header
from support.ros_harness import FX, NAMES, WIDTH, Stage, open_stage, ring_rig
from support.tiny_model import WIDTH as NET_WIDTH
from support.turned_rigs import with_turned

STAMP = 1_700_000_000_000_000_000
GREYS = {name: 9 + 10 * index for index, name in enumerate(NAMES)}
DEPTHS = {name: (1 + grey) * FX * NET_WIDTH / WIDTH / 100 for name, grey in GREYS.items()}


@pytest.fixture
def stage(tmp_path: Path, tiny_model: Path) -> Iterator[Stage]:
    with often(), open_stage(tmp_path, tiny_model) as opened:
        yield opened


@contextmanager
def often() -> Iterator[None]:
    """The checks run as often as sets come."""
    with patch("fsmde_ros.node.checks.checks.PERIOD_S", 0.05), patch("fsmde_ros.node.checks.checks.CPU_SHARE", 1.0):
        yield


def cloud(points: np.ndarray, stamp_ns: int, frame_id: str = "base_link") -> PointCloud2:
    """(N, 3) metres with an intensity between z and the next point, as drivers lay it out."""
    records = np.zeros((len(points), 4), np.float32)
    records[:, :3] = points
    message = PointCloud2(header=header(stamp_ns, frame_id), height=1, width=len(points), is_dense=True)
    message.fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate(("x", "y", "z", "intensity"))
    ]
    message.point_step, message.row_step = 16, 16 * len(points)
    message.data = records.tobytes()
    return message


def on_axes(factor: float) -> np.ndarray:
    """(6, 3): a point on every camera's optical axis, at `factor` times the depth that the tiny model gives."""
    return np.array([(c.T_base_camera @ [0, 0, factor * DEPTHS[c.name], 1])[:3] for c in ring_rig().cameras])


def values(status: DiagnosticStatus | None) -> dict[str, str]:
    return {entry.key: entry.value for entry in status.values} if status else {}


def lidar(stage: Stage) -> DiagnosticStatus | None:
    return stage.client.diagnosis(": lidar")


def message(stage: Stage) -> str:
    status = lidar(stage)
    return status.message if status else ""


def show(stage: Stage, stamp_ns: int, sweep: Any = None) -> None:
    if sweep is not None:
        stage.client.publish("lidar/points", sweep)
    stage.client.send_set(GREYS, stamp_ns)


def test_abs_rel_by_hand(stage: Stage) -> None:
    """Truth at twice the predicted depth is an error of a half; the second sweep, at 4/3 of it, of a quarter."""
    stage.node(check__lidar_topic="lidar/points")
    stage.client.listen_to_all()
    show(stage, STAMP, cloud(on_axes(2.0), STAMP + 20_000_000))
    assert stage.spin_until(lambda: "abs_rel front" in values(lidar(stage)))
    found = values(lidar(stage))
    # The far points of the brighter cameras lie beyond the cap of 80 m.
    within = [name for name in NAMES if 2 * DEPTHS[name] < 80]
    assert {key.split()[1] for key in found if key.startswith("abs_rel")} == set(within)
    assert all(float(found[f"abs_rel {name}"]) == pytest.approx(0.5, abs=1e-3) for name in within)
    assert (found["gap_ms"], found["topic"]) == ("20.0", "/lidar/points")
    stage.spin_for(0.1)
    show(stage, STAMP + 10**8, cloud(on_axes(4 / 3), STAMP + 10**8))
    assert stage.spin_until(lambda: values(lidar(stage)).get("images front") == "2")
    assert float(values(lidar(stage))["abs_rel front"]) == pytest.approx((0.5 + 0.25) / 2, abs=1e-3)
    status = lidar(stage)
    assert status is not None
    assert status.level == DiagnosticStatus.OK
    assert "AbsRel 0." in status.message


def test_a_sweep_of_another_moment_is_not_used(stage: Stage) -> None:
    stage.node(check__lidar_topic="lidar/points")
    stage.client.listen_to_all()
    show(stage, STAMP, cloud(on_axes(2.0), STAMP - 60_000_000))
    assert stage.spin_until(lambda: "no sweep on /lidar/points within 50 ms" in message(stage))
    assert not [key for key in values(lidar(stage)) if key.startswith("abs_rel")]


def test_a_frame_that_nobody_places_is_said(stage: Stage) -> None:
    if find_spec("tf2_ros"):
        pytest.skip("tf2_ros is here and waits for a transform instead")
    stage.node(check__lidar_topic="lidar/points")
    stage.client.listen_to_all()
    show(stage, STAMP, cloud(on_axes(2.0), STAMP, "velodyne"))
    assert stage.spin_until(lambda: "frame 'velodyne' is taken as 'base_link'" in message(stage))
    status = lidar(stage)
    assert status is not None and status.level == DiagnosticStatus.WARN


def test_a_broken_sweep_costs_nothing_but_the_check(stage: Stage) -> None:
    stage.node(check__lidar_topic="lidar/points")
    stage.client.listen_to_all()
    broken = cloud(on_axes(2.0), STAMP)
    broken.fields = broken.fields[:2]
    show(stage, STAMP, broken)
    assert stage.spin_until(lambda: "the check failed: point cloud has no float field ['z']" in message(stage))
    assert stage.spin_until(lambda: stage.client.received["points"])
    stage.spin_for(0.1)
    show(stage, STAMP + 10**8, cloud(on_axes(2.0), STAMP + 10**8))
    assert stage.spin_until(lambda: "abs_rel front" in values(lidar(stage)))


def test_off_by_default_and_silent_without_listeners(stage: Stage) -> None:
    stage.node()
    stage.client.listen_to_all()
    show(stage, STAMP)
    assert stage.spin_until(lambda: stage.client.received["points"])
    stage.spin_for(0.2)
    assert lidar(stage) is None
    assert stage.client.diagnosis(": consistency") is None


def test_consistency_has_every_edge(stage: Stage) -> None:
    """Blank images share no features, but their clouds can be compared."""
    node = stage.node(check__consistency=True)
    assert stage.spin_until(lambda: stage.client.diagnosis(": consistency"))
    before = stage.client.diagnosis(": consistency")
    assert before is not None
    assert before.message == "nothing checked yet"
    stage.client.listen_to_all()
    show(stage, STAMP)
    assert stage.spin_until(lambda: "checks" in values(stage.client.diagnosis(": consistency")))
    found = values(stage.client.diagnosis(": consistency"))
    for first, second in ring_rig().edges:
        assert found[f"matches {first}/{second}"] == "0"
        assert 0 < float(found[f"overlap {first}/{second}"]) < 2
    assert node.trigger_deactivate()


@pytest.mark.parametrize("fault", [pytest.param(None, marks=pytest.mark.slow), ("front", "yaw", 2.0)])
def test_a_camera_turned_in_the_rig_file_is_named(
    tmp_path: Path, pandaset_root: Path, fault: tuple[str, str, float] | None
) -> None:
    """PandaSet through the node with the shipped model; in the rig file one mount is two degrees off, or none."""
    source = PandaSetSource(pandaset_root)
    rig_file = tmp_path / "turned.yaml"
    save_rig(with_turned(source.rig, *fault) if fault else source.rig, rig_file)
    with often(), open_stage(tmp_path, default_model_path()) as stage:
        stage.node(rig=str(rig_file), engine="auto", image_transport="compressed", check__consistency=True)
        stage.client.listen(PointCloud2, "points")
        for count, index in enumerate(np.linspace(0, len(source) - 1, 9).astype(int).tolist(), start=1):
            _send(stage, source, index)
            assert stage.spin_until(partial(_has_checked, stage, count), 30)
        status = stage.client.diagnosis(": consistency")
    assert status is not None
    if fault is None:
        assert (status.level, status.message) == (
            DiagnosticStatus.OK,
            "no camera is found turned against the rig; back cannot be judged, the views overlap too little",
        )
    else:
        assert status.level == DiagnosticStatus.WARN
        assert status.message.startswith("camera 'front' is turned by ")
        assert 1.3 < float(values(status)["turned_deg front"]) < 2.7


def _has_checked(stage: Stage, count: int) -> bool:
    return values(stage.client.diagnosis(": consistency")).get("checks") == str(count)


def _send(stage: Stage, source: PandaSetSource, index: int) -> None:
    for name, image in source.frame(index).images.items():
        assert image.encoded is not None
        message = CompressedImage(header=header(image.stamp_ns, ""), format="jpeg")
        message.data = image.encoded
        stage.client.publish(f"{name}/image_raw/compressed", message)
