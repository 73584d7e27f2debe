"""Damaged recordings of the three data sets: one sentence that names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsmde_core.errors import FsmdeError
from support.real_sources import KINDS, ROOTS

pytestmark = pytest.mark.data

Change = Callable[[Any], None]


@pytest.fixture
def copied(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """A recording by its kind, of links to its files."""

    def copy(kind: str) -> Path:
        link = lambda file, target: Path(target).symlink_to(file)  # noqa: E731
        root = request.getfixturevalue(ROOTS[kind]).resolve()
        return Path(shutil.copytree(root, tmp_path / kind, copy_function=link))

    return copy


def replaced(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def first_sweep(root: Path, pattern: str) -> Path:
    return min(path for path in root.glob(pattern) if path.is_file())


def told(kind: str, root: Path) -> str:
    """What the source says of frames that cannot be read."""
    with pytest.raises(FsmdeError) as caught:
        list(KINDS[kind](root).frames())
    return str(caught.value)


def noted(kind: str, root: Path) -> str:
    """What the source notes once all frames are read, of which the first has lost its sweep alone."""
    source = KINDS[kind](root)
    frames = list(source.frames())
    assert frames[0].lidar is None and set(frames[0].images) == set(source.rig.names)
    assert source.counts.sweeps.left_out["the file is not laid out as expected"] == 1
    return " ".join(source.notes)


@pytest.mark.parametrize("size", [1001, 4 * 1001])
def test_nuscenes_sweep_that_is_cut_off(copied: Callable[[str], Path], size: int) -> None:
    """Neither whole floats, nor whole points of five."""
    root = copied("nuscenes")
    sweep = first_sweep(root, "samples/LIDAR_TOP/*.bin")
    replaced(sweep, sweep.read_bytes()[:size])
    assert str(sweep) in noted("nuscenes", root)


@pytest.mark.parametrize(("kind", "pattern"), [("pandaset", "lidar/*.npz"), ("ddad", "*/point_cloud/*/*.npz")])
def test_compressed_sweep_with_damage_inside(copied: Callable[[str], Path], kind: str, pattern: str) -> None:
    root = copied(kind)
    sweep = first_sweep(root, pattern)
    packed = BytesIO()
    with np.load(sweep) as arrays:
        np.savez_compressed(packed, **dict(arrays))
    content = bytearray(packed.getvalue())
    content[len(content) // 4 : len(content) // 4 + 400] = b"\xff" * 400
    replaced(sweep, bytes(content))
    assert str(sweep) in noted(kind, root)


@pytest.mark.parametrize(
    ("kind", "pattern", "change"),
    [
        ("nuscenes", "v1.0-*/ego_pose.json", lambda rows: rows.clear()),
        ("nuscenes", "v1.0-*/ego_pose.json", lambda rows: [row.update(translation=[0, 0, np.nan]) for row in rows]),
        ("nuscenes", "v1.0-*/calibrated_sensor.json", lambda rows: [row.pop("translation") for row in rows]),
        ("nuscenes", "v1.0-*/calibrated_sensor.json", lambda rows: [row.update(camera_intrinsic=[]) for row in rows]),
        ("nuscenes", "v1.0-*/sample_data.json", lambda rows: [row.update(timestamp="x") for row in rows]),
        ("nuscenes", "v1.0-*/sample_data.json", lambda rows: [row.update(width=None) for row in rows]),
        ("ddad", "*.json", lambda document: document.update(scene_splits="x")),
        ("ddad", "*.json", lambda document: document["scene_splits"].update({"0": None})),
        ("ddad", "*/calibration/*.json", lambda document: document["intrinsics"][1].update(cx="x")),
        ("pandaset", "lidar/poses.json", lambda rows: rows[0]["position"].update(x=None)),
        ("pandaset", "camera/front_camera/poses.json", lambda rows: rows[0]["position"].update(x=np.nan)),
        ("pandaset", "lidar/timestamps.json", lambda rows: rows.__setitem__(0, None)),
    ],
)
def test_table_with_damage_inside(copied: Callable[[str], Path], kind: str, pattern: str, change: Change) -> None:
    root = copied(kind)
    for path in root.glob(pattern):
        document = json.loads(path.read_bytes())
        change(document)
        replaced(path, json.dumps(document).encode())
    said = told(kind, root)
    assert "is not laid out as expected" in said and str(root) in said and "\n" not in said
