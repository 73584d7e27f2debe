"""A bag with twenty-one faults at once: all that is good is read, and every fault is said."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fsmde_core.frames import Frame
from fsmde_core.sources.rosbag import RosbagSource
from fsmde_core.sync.groups import SyncSettings
from support.bags import write_messages
from support.faulty_bag import (
    FOCAL_AFTER,
    FOCAL_BEFORE,
    FOCAL_CHANGES_AT,
    FRAMES,
    LOST_IMAGES,
    LOST_SWEEPS,
    MOUNT_CHANGES_AT,
    NOTES,
    TURNED_BACK,
    faulty_messages,
)
from support.small_rig import Scanned


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> RosbagSource:
    return RosbagSource(
        write_messages(tmp_path_factory.mktemp("faulty") / "bag", faulty_messages()), sync=SyncSettings(window_ms=60)
    )


@pytest.fixture(scope="module")
def frames(source: RosbagSource) -> list[Frame]:
    return list(source.frames())


def test_every_good_image_is_in_its_frame(frames: list[Frame]) -> None:
    names = {"front", "right", "back", "left"}
    assert len(frames) == FRAMES
    expected = {(k, name) for k in range(FRAMES) for name in names} - LOST_IMAGES
    assert {(k, name) for k, frame in enumerate(frames) for name in frame.images} == expected
    for k, frame in enumerate(frames):
        assert all((image.stamp_ns // 1_000_000 - 1000) // 100 == k for image in frame.images.values())
        for image in frame.images.values():
            assert image.rgb().shape == (20, 32, 3)


def test_every_good_sweep_is_in_its_frame(frames: list[Frame]) -> None:
    assert {k for k, frame in enumerate(frames) if frame.lidar} == set(range(0, FRAMES, 2)) - LOST_SWEEPS
    for given, frame in zip(Scanned(FRAMES).frames(), frames, strict=True):
        if frame.lidar:
            assert given.lidar is not None
            np.testing.assert_allclose(frame.lidar.points, given.lidar.points, atol=1e-4)
            np.testing.assert_allclose(frame.lidar.T_world_base, given.lidar.T_world_base, atol=1e-9)


def test_the_vehicle_keeps_its_track_and_the_calibration_in_force_counts(frames: list[Frame]) -> None:
    for frame in frames:
        for name, image in frame.images.items():
            np.testing.assert_allclose(frame.T_world_base[name], Scanned.pose(image.stamp_ns), atol=1e-9)
        assert frame.rig["front"].K[0, 0] == FOCAL_BEFORE
        assert frame.rig["left"].K[0, 0] == (FOCAL_AFTER if frame.index >= FOCAL_CHANGES_AT else FOCAL_BEFORE)
        turned = np.allclose(frame.rig["back"].T_base_camera, TURNED_BACK, atol=1e-9)
        assert turned == (frame.index >= MOUNT_CHANGES_AT)


@pytest.mark.parametrize("fault", NOTES)
def test_every_fault_has_its_note(source: RosbagSource, frames: list[Frame], fault: str) -> None:
    assert any(re.search(NOTES[fault], note) for note in source.notes), source.notes


def test_every_message_is_accounted_for_however_often_the_bag_is_read(
    source: RosbagSource, frames: list[Frame]
) -> None:
    counts = source.counts.document()
    images, sweeps = source.counts.images, source.counts.sweeps
    assert images.read == 4 * FRAMES + 1  # one came twice
    assert images.used == sum(len(frame.images) for frame in frames) == 4 * FRAMES - len(LOST_IMAGES)
    assert sweeps.read == FRAMES // 2
    assert sweeps.used == FRAMES // 2 - len(LOST_SWEEPS)
    notes = list(source.notes)
    assert len(list(source.frames())) == len(source) == FRAMES
    assert source.counts.document() == counts
    assert source.notes == notes
