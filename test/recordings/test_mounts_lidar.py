"""The check of the mounts against lidar: every camera of the real recordings, and the shipped model's depth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import RawImage
from fsmde_core.mounts import LidarMisalignment, LidarMountCheck, check_recording
from fsmde_core.mounts.lidar import MIN_SWEEPS
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Camera, Rig
from fsmde_core.sources.datasets.pandaset import PandaSetSource
from fsmde_core.sources.source import IndexedSource
from support.real_sources import real_source
from support.turned_rigs import AXES, pipeline, predicted, turn, with_turned


@pytest.fixture(scope="module")
def pandaset(pandaset_root: Path) -> PandaSetSource:
    return PandaSetSource(pandaset_root)


def sweeps(source: IndexedSource) -> tuple[int, ...]:
    return tuple(index for index in range(len(source)) if source.frame(index).lidar is not None)


def judgements(
    source: IndexedSource, rig: Rig, frames: tuple[int, ...], names: tuple[str, ...], every: int = 1
) -> Iterator[list[LidarMisalignment]]:
    """What is said of the cameras `names` after every `every`-th of the frames, when there are sweeps enough."""
    check = LidarMountCheck()
    places = [rig.names.index(name) for name in names]
    for count, (index, (_, depth, _)) in enumerate(zip(frames, predicted(source, frames), strict=True), start=1):
        height, width = depth.shape[1:]
        cameras = [rig[name].rectified(width, height) for name in names]
        check.add(replace(source.frame(index), rig=rig), cameras, depth[places])
        if count >= MIN_SWEEPS and count % every == 0:
            yield check.judge()


@pytest.mark.parametrize(("axis", "degrees"), [("yaw", 2.0), ("pitch", -2.0)])
def test_the_camera_without_overlap_is_named_on_pandaset(pandaset: PandaSetSource, axis: str, degrees: float) -> None:
    rig = with_turned(pandaset.rig, "back", axis, degrees)
    ((aligned,),) = judgements(pandaset, rig, sweeps(pandaset)[::4], ("back",), every=7)
    assert aligned.is_misaligned
    assert getattr(aligned, axis) == pytest.approx(-degrees, abs=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [2.0, -2.0])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["front", "front_right", "right", "back", "left", "front_left"])
def test_every_turn_of_every_camera_is_named(pandaset: PandaSetSource, name: str, axis: str, degrees: float) -> None:
    """In every verdict over the recording. The others are judged by themselves: nothing that is done to one shows."""
    rig = with_turned(pandaset.rig, name, axis, degrees)
    found = [aligned for (aligned,) in judgements(pandaset, rig, sweeps(pandaset), (name,), every=3)]
    assert len(found) >= 6
    assert all(aligned.is_misaligned for aligned in found)
    assert getattr(found[-1], axis) == pytest.approx(-degrees, abs=0.6)


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [4.0, -4.0])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["front", "back"])
def test_a_large_turn_is_named(pandaset: PandaSetSource, name: str, axis: str, degrees: float) -> None:
    """Of the camera with the longest lens too, whose outlines are then 30 pixels off."""
    rig = with_turned(pandaset.rig, name, axis, degrees)
    ((aligned,),) = judgements(pandaset, rig, sweeps(pandaset)[::3], (name,), every=9)
    assert aligned.is_misaligned
    assert getattr(aligned, axis) == pytest.approx(-degrees, abs=0.8)


@pytest.mark.slow
def test_an_untouched_rig_is_silent_over_all_of_pandaset(pandaset: PandaSetSource) -> None:
    rounds = list(judgements(pandaset, pandaset.rig, sweeps(pandaset), pandaset.rig.names))
    assert len(rounds) == len(sweeps(pandaset)) - MIN_SWEEPS + 1
    for found in rounds:
        assert [aligned.camera for aligned in found] == list(pandaset.rig.names)
        assert all(aligned.is_trusted for aligned in found)
        assert max(aligned.degrees for aligned in found) < 0.8


@pytest.mark.parametrize("kind", ["nuscenes", "ddad"])
def test_other_rigs_are_not_accused(kind: str, request: pytest.FixtureRequest) -> None:
    """The few samples there are, again and again, as a standing vehicle would see them."""
    source = real_source(kind, request)
    frames = (sweeps(source) * MIN_SWEEPS)[:MIN_SWEEPS]
    (found,) = judgements(source, source.rig, frames, source.rig.names)
    assert len(found) == len(source.rig.names)
    assert not any(aligned.is_misaligned for aligned in found)


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [2.0, -2.0])
@pytest.mark.parametrize("axis", AXES)
def test_a_camera_that_is_really_turned_is_named(pandaset: PandaSetSource, axis: str, degrees: float) -> None:
    """The back camera's images are turned before the network sees them; the rig stays as it is."""
    check, camera = LidarMountCheck(), pandaset.rig["back"]
    rotation = turn(*degrees * np.eye(3)[AXES[axis]])
    homography = camera.K @ rotation.T @ np.linalg.inv(camera.K)
    for index in sweeps(pandaset)[::3]:
        frame = pandaset.frame(index)
        image = cv2.warpPerspective(frame.images["back"].rgb(), homography, (camera.width, camera.height))
        result = pipeline().run({"back": RawImage.from_rgb(image)}, pandaset.rig)
        check.add(frame, result.cameras, result.depth)
    (aligned,) = check.judge()
    assert aligned.is_misaligned
    assert getattr(aligned, axis) == pytest.approx(degrees, abs=0.6)


def test_a_recording_is_checked_by_both_witnesses(pandaset: PandaSetSource) -> None:
    """Fourteen frames by a rig in which the camera that no neighbour can judge is turned: it alone is named."""
    rig = with_turned(pandaset.rig, "back", "roll", 2.0)
    found = check_recording(pandaset, pipeline(), (0, 14), rig)
    assert (found.frames, found.sweeps) == (14, 7)
    assert found.overlap == ("front", "front_right", "right", "left", "front_left")
    assert list(found.lidar) == list(rig.names)
    ((turned,),) = found.misaligned
    assert (turned.camera, turned.evidence) == ("back", "the lidar")


def test_a_rig_of_other_cameras_is_refused(pandaset: PandaSetSource) -> None:
    rig = Rig((Camera("top", 10, 10, np.diag([9.0, 9.0, 1.0]), rigid(np.eye(3), [0, 0, 0])),))
    with pytest.raises(FsmdeError, match=r"has cameras \['top'\], the recording has \['front', "):
        check_recording(pandaset, pipeline(), rig=rig)
