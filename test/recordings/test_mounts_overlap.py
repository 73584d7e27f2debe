"""The check of the mounts by overlap: real recordings with a rig that is wrong, and the shipped model's depth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fsmde_core.mounts import MountCheck, MountReport
from fsmde_core.rig.rig import Rig
from fsmde_core.sources.datasets.ddad import DdadSource
from fsmde_core.sources.datasets.nuscenes import NuScenesSource
from fsmde_core.sources.datasets.pandaset import PandaSetSource
from fsmde_core.sources.source import IndexedSource
from support.turned_rigs import AXES, Sets, predicted, with_turned


def reports(rig: Rig, sets: Sets) -> Iterator[MountReport]:
    height, width = sets[0][1].shape[1:]
    cameras = [camera.rectified(width, height) for camera in rig.cameras]
    check = MountCheck(rig)
    for rgb, depth, stamps in sets:
        yield check.update(cameras, rgb, depth, stamps)


@pytest.fixture(scope="module")
def pandaset(pandaset_root: Path) -> PandaSetSource:
    return PandaSetSource(pandaset_root)


def quarter(source: IndexedSource) -> tuple[int, ...]:
    """Twelve frames from one end of the recording to the other."""
    return tuple(np.linspace(0, len(source) - 1, min(12, len(source))).astype(int).tolist())


def test_views_agree_on_pandaset(pandaset: PandaSetSource) -> None:
    """Nobody is accused, and where neighbours overlap well their matches lie on the epipolar planes."""
    found = list(reports(pandaset.rig, predicted(pandaset, quarter(pandaset))))
    assert not any(report.misaligned for report in found)
    for edge in ("front/front_right", "front_right/right", "left/front_left", "front_left/front"):
        assert found[-1].edges[edge].matches > 10 * len(found)
        assert found[-1].edges[edge].epipolar_deg < 0.35
        assert found[-1].edges[edge].overlap < 0.3
    assert found[-1].edges["right/back"].matches == 0
    assert found[-1].unjudged == ("back",)


@pytest.mark.parametrize(
    ("name", "axis", "degrees"), [("front", "yaw", 2.0), ("left", "pitch", -2.0), ("front_right", "roll", 2.0)]
)
def test_a_turned_camera_is_named_on_pandaset(pandaset: PandaSetSource, name: str, axis: str, degrees: float) -> None:
    rig = with_turned(pandaset.rig, name, axis, degrees)
    turned = list(reports(rig, predicted(pandaset, quarter(pandaset))))[-1].misaligned
    assert turned[0].camera == name
    assert getattr(turned[0], axis) == pytest.approx(-degrees, abs=0.7)


@pytest.mark.slow
def test_nothing_is_raised_over_all_of_pandaset(pandaset: PandaSetSource) -> None:
    frames = tuple(range(len(pandaset)))
    assert not any(report.misaligned for report in reports(pandaset.rig, predicted(pandaset, frames)))


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [2.0, -2.0])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["front", "front_right", "right", "left", "front_left"])
def test_every_turn_is_named_on_pandaset(pandaset: PandaSetSource, name: str, axis: str, degrees: float) -> None:
    """Two degrees of every camera but the one that shares next to nothing with its neighbours; never another alone."""
    frames = tuple(range(0, len(pandaset), 2))
    found = list(reports(with_turned(pandaset.rig, name, axis, degrees), predicted(pandaset, frames)))
    named = [[suspect.camera for suspect in report.misaligned] for report in found if report.misaligned]
    assert len(named) > len(found) // 3
    assert all(name in cameras for cameras in named)


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [2.0, -2.0])
@pytest.mark.parametrize("axis", AXES)
def test_the_camera_without_overlap_accuses_nobody(pandaset: PandaSetSource, axis: str, degrees: float) -> None:
    """Lidar names it (test_mounts_lidar.py); here its neighbours must not be taken for it."""
    rig = with_turned(pandaset.rig, "back", axis, degrees)
    assert not any(report.misaligned for report in reports(rig, predicted(pandaset, tuple(range(0, len(pandaset), 2)))))


@pytest.mark.parametrize(("kind", "root"), [(NuScenesSource, "nuscenes_root"), (DdadSource, "ddad_root")])
def test_other_rigs_stay_silent(kind: type[IndexedSource], root: str, request: pytest.FixtureRequest) -> None:
    source = kind(request.getfixturevalue(root))  # type: ignore[call-arg]
    assert not any(report.misaligned for report in reports(source.rig, predicted(source, quarter(source))))
