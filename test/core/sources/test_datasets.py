"""The readers of the three data sets on small ones: absent cameras, files and versions, both lidars, counts."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Rig, save_rig
from fsmde_core.sources.datasets.dataset import DatasetSource
from fsmde_core.sources.datasets.ddad import DdadSource
from fsmde_core.sources.datasets.nuscenes import NuScenesSource
from fsmde_core.sources.datasets.pandaset import PandaSetSource
from support.repository import ROOT
from support.small_datasets import DDAD, NUSCENES, PANDASET, POINTS, write_ddad, write_nuscenes, write_pandaset

SAMPLE = base64.b64decode(
    json.loads((ROOT / "test" / "support" / "pandas_tables.json").read_text())["pandas 1.2.5 protocol 5"]
)
"""Points (1.5, -2.25, 0.125) and (7, 8, 9.75) of the spinning lidar, and (4, 5.5, -6) of the other."""

Kind = tuple[type[DatasetSource], Callable[[Path], Path], tuple[str, ...]]
KINDS: dict[str, Kind] = {
    "pandaset": (PandaSetSource, write_pandaset, PANDASET),
    "nuscenes": (NuScenesSource, write_nuscenes, NUSCENES),
    "ddad": (DdadSource, write_ddad, DDAD),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def images_of(root: Path, camera: str) -> list[Path]:
    """Files of one camera, in order of time; DDAD's scenes follow each other."""
    folders = {camera.upper(), f"CAM_{camera.upper()}", f"{camera}_camera"}
    return sorted(path for path in root.rglob("*.jpg") if path.parent.name in folders)


def test_everything_that_is_there_is_counted_once(kind: Kind, tmp_path: Path) -> None:
    make, write, names = kind
    source = make(write(tmp_path / "set"))
    assert source.rig.names == names
    for _ in range(2):
        assert [set(frame.images) for frame in source.frames()] == [set(names)] * len(source)
    assert (source.counts.images.read, source.counts.images.used) == (6 * len(source), 6 * len(source))
    sweeps = 0 if make is PandaSetSource else len(source)
    assert source.counts.sweeps.used == sweeps
    assert source.counts.poses.read == 6 * len(source) + sweeps


def test_cameras_that_are_absent_are_left_out_of_the_rig(kind: Kind, tmp_path: Path) -> None:
    make, write, names = kind
    root = write(tmp_path / "set")
    for name in names[1::2]:
        for path in images_of(root, name):
            path.unlink()
    source = make(root)
    assert source.rig.names == names[::2]
    assert [set(frame.images) for frame in source.frames()] == [set(names[::2])] * len(source)
    assert not source.counts.images.left_out


def test_image_that_is_absent_or_empty_costs_itself(kind: Kind, tmp_path: Path) -> None:
    make, write, names = kind
    root = write(tmp_path / "set")
    absent, empty = images_of(root, names[0])[0], images_of(root, names[1])[1]
    absent.unlink()
    empty.write_bytes(b"")
    source = make(root)
    frames = list(source.frames())
    assert [set(names) - set(frame.images) for frame in frames[:2]] == [{names[0]}, {names[1]}]
    assert all(set(frame.images) == set(frame.T_world_base) for frame in frames)
    assert source.rig.names == names and source.frame(0).rig.names == names
    assert dict(source.counts.images.left_out) == {"the file is absent": 1, "the file is empty": 1}
    assert source.counts.images.read == 6 * len(source)
    said = " ".join(source.notes)
    assert f"1 of {6 * len(source)} images left out: the file is absent, such as {absent}" in said
    assert str(empty) in said


def test_frame_without_any_image_is_no_frame(kind: Kind, tmp_path: Path) -> None:
    make, write, names = kind
    root = write(tmp_path / "set")
    whole = len(make(root))
    for name in names:
        images_of(root, name)[0].unlink()
    source = make(root)
    assert len(source) == whole - 1
    if make is not PandaSetSource:
        assert any(f"1 of {whole} " in note and "have no image on disk" in note for note in source.notes)


@pytest.mark.parametrize("cameras", [(0,), (4, 1), (5, 3, 0)])
def test_cameras_can_be_chosen_and_the_others_may_be_broken(
    kind: Kind, cameras: tuple[int, ...], tmp_path: Path
) -> None:
    make, write, names = kind
    root = write(tmp_path / "set")
    if make is PandaSetSource:
        (root / "camera" / f"{names[2]}_camera" / "poses.json").write_text("[")
    source = make(root, cameras=[names[i] for i in cameras])
    assert source.rig.names == tuple(names[i] for i in sorted(cameras))
    assert set(source.frame(0).images) == set(source.rig.names)
    assert source.counts.images.read == len(cameras) and not source.counts.images.left_out
    with pytest.raises(FsmdeError, match=rf"no camera \['top'\], only \['{names[0]}'"):
        make(root, cameras=["top", names[0]])


def test_rig_file_takes_the_place_of_the_recorded_calibration(kind: Kind, tmp_path: Path) -> None:
    make, write, names = kind
    root = write(tmp_path / "set")
    recorded = make(root)
    lifted = [replace(c, T_base_camera=rigid(np.eye(3), [0, 0, 1]) @ c.T_base_camera) for c in recorded.rig.cameras]
    save_rig(Rig((*lifted[:3], replace(lifted[3], name="roof"))), tmp_path / "rig.yaml")
    source = make(root, rig=tmp_path / "rig.yaml")
    frame, before = source.frame(0), recorded.frame(0)
    assert source.rig.names == frame.rig.names == names[:3] and set(frame.images) == set(names[:3])
    for name in names[:3]:
        assert frame.rig[name].T_base_camera[2, 3] == pytest.approx(before.rig[name].T_base_camera[2, 3] + 1)
        np.testing.assert_allclose(frame.T_world_base[name], before.T_world_base[name], atol=1e-12)
    said = " ".join(source.notes)
    assert f"cameras {list(names[3:])} of the recording are not in the rig file" in said
    assert "cameras ['roof'] of the rig file are not read" in said
    save_rig(Rig((replace(lifted[0], name="roof"),)), tmp_path / "other.yaml")
    with pytest.raises(FsmdeError, match=r"the rig has cameras \['roof'\], the recording has"):
        make(root, rig=tmp_path / "other.yaml")


@pytest.mark.parametrize("name", ["nuscenes", "ddad"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "the file is absent"),
        (b"", "no finite point"),
        (b"\x00" * 30, "not laid out"),
        (b"PK\x03\x04", "not laid out"),
    ],
)
def test_sweep_that_cannot_be_used_costs_itself(name: str, content: bytes | None, reason: str, tmp_path: Path) -> None:
    make, write, names = KINDS[name]
    root = write(tmp_path / "set")
    path = min(path for pattern in ("LIDAR_TOP/*", "LIDAR/*") for path in root.rglob(pattern))
    path.unlink() if content is None else path.write_bytes(content)
    if make is DdadSource and reason == "no finite point":
        np.savez(path, data=np.full((3, 4), np.nan))
    if make is NuScenesSource and content == b"PK\x03\x04":
        content = b"PK\x03\x04 no whole point"
    source = make(root)
    frames = list(source.frames())
    assert frames[0].lidar is None and set(frames[0].images) == set(names)
    assert all(frame.lidar is not None for frame in frames[1:])
    assert source.counts.sweeps.read == len(source) and source.counts.sweeps.used == len(source) - 1
    (said,) = source.notes
    assert said.startswith(f"1 of {len(source)} sweeps left out: ") and reason in said
    assert reason == "no finite point" or str(path) in said


def test_points_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    root = write_ddad(tmp_path / "set")
    path = min(root.rglob("LIDAR/*"))
    np.savez(path, data=np.concatenate([POINTS, [[np.nan, 0, 0], [1, np.inf, 2]]]))
    lidar = DdadSource(root).frame(0).lidar
    assert lidar is not None
    np.testing.assert_allclose(lidar.points, POINTS, atol=1e-6)


def test_ddad_has_splits(tmp_path: Path) -> None:
    root = write_ddad(tmp_path / "set")
    assert len(DdadSource(root)) == 4
    days = {split: DdadSource(root, split=split).frame(0).stamp_ns for split in ("0", "train", "1", "val")}
    assert days["0"] == days["train"] == days["1"] - 86_400 * 10**9 == days["val"] - 86_400 * 10**9
    with pytest.raises(FsmdeError, match=r"no split 'test', only \['0', '1'\]"):
        DdadSource(root, split="test")


def test_nuscenes_versions_side_by_side(tmp_path: Path) -> None:
    root = write_nuscenes(tmp_path / "set", ("v1.0-mini", "v1.0-trainval"))
    shutil.copytree(root / "v1.0-mini", root / "v1.0-mini-old")
    for source in (NuScenesSource(root, version="v1.0-mini"), NuScenesSource(root / "v1.0-mini")):
        assert (len(source), source.root) == (2, root)
        lidar = source.frame(1).lidar
        assert lidar is not None
        np.testing.assert_allclose(lidar.points, POINTS, atol=1e-6)
        np.testing.assert_allclose(lidar.T_world_base[:3, 3], [1, 0, 0])
    with pytest.raises(FsmdeError, match=r"more than one: choose one with --data-version v1.0-mini or --root"):
        NuScenesSource(root)
    with pytest.raises(FsmdeError, match=r"\['v1.0-mini', 'v1.0-mini-old', 'v1.0-trainval'\], not v1.0-test: choose"):
        NuScenesSource(root, version="v1.0-test")


@pytest.mark.parametrize("suffix", [".pkl.gz", ".pkl"])
@pytest.mark.parametrize(
    ("lidar", "world"),
    [("pandar64", [[1.5, -2.25, 0.125], [7, 8, 9.75]]), ("pandargt", [[4, 5.5, -6]])],
)
def test_pandaset_tables_as_downloaded(suffix: str, lidar: str, world: list[list[float]], tmp_path: Path) -> None:
    """Of frame 1: the vehicle stands at x = 1, its base on the ground, its axes those of the world."""
    root = write_pandaset(tmp_path / "set")
    (root / "lidar" / f"01{suffix}").write_bytes(SAMPLE if suffix == ".pkl.gz" else gzip.decompress(SAMPLE))
    source = PandaSetSource(root, lidar=lidar)
    frames = list(source.frames())
    assert [frame.lidar is not None for frame in frames] == [False, True, False]
    assert frames[1].lidar is not None
    np.testing.assert_allclose(frames[1].lidar.points, np.array(world) - [1, 0, 0], atol=1e-5)
    assert source.counts.lines()[1] == "sweeps: 3 read, 1 used; 2 left out: the file is absent"
    assert str(root / "lidar" / "00") in " ".join(source.notes)


def test_pandaset_table_that_is_broken_costs_itself(tmp_path: Path) -> None:
    root = write_pandaset(tmp_path / "set")
    for number, content in enumerate((SAMPLE, SAMPLE[:-40], b"")):
        (root / "lidar" / f"{number:02d}.pkl.gz").write_bytes(content)
    source = PandaSetSource(root)
    assert [frame.lidar is not None for frame in source.frames()] == [True, False, False]
    assert source.counts.sweeps.left_out["the file is not laid out as expected"] == 2
    assert "01.pkl.gz is not laid out as expected" in " ".join(source.notes)


def test_pandaset_packed_sweeps_are_of_the_spinning_lidar(tmp_path: Path) -> None:
    root = write_pandaset(tmp_path / "set", frames=2)
    np.savez(root / "lidar" / "00.npz", xyz_world_cm=np.array([[150, -225, 12]], np.int16))
    lidar = PandaSetSource(root).frame(0).lidar
    assert lidar is not None
    np.testing.assert_allclose(lidar.points, [[1.5, -2.25, 0.12]], atol=1e-6)
    other = PandaSetSource(root, lidar="pandargt")
    assert other.frame(0).lidar is None and "pandar64 only" in " ".join(other.notes)
    with pytest.raises(FsmdeError, match=r"no lidar 'top'; choose one of \['pandar64', 'pandargt'\]"):
        PandaSetSource(root, lidar="top")


def test_pandaset_images_beyond_the_poses_are_left_out(tmp_path: Path) -> None:
    root = write_pandaset(tmp_path / "set", frames=2)
    folder = root / "camera" / "front_camera"
    shutil.copy(folder / "00.jpg", folder / "07.jpg")
    source = PandaSetSource(root)
    assert source.numbers == (0, 1)
    assert "frames 2 to 7 have images but no poses" in " ".join(source.notes)
