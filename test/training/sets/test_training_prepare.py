"""Training sets: written as a stream, complete or not there, labelled by the right sweeps, split by whole drives."""

from __future__ import annotations

import math
import operator
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.rig.mask import mask_from_entry
from fsmde_core.rig.rig import Camera, Rig
from fsmde_core.sources.datasets.pandaset import PandaSetSource
from fsmde_core.sources.source import IndexedSource
from fsmde_training.sets import cache, prepare
from fsmde_training.sets.drives import ALL_TRAINING, SplitPart, WholeRings, number_drives
from fsmde_training.sets.labels import NEIGHBOUR_NS, SweptFrame, label_ring, with_sweeps
from fsmde_training.sets.parallel import parallel_map
from fsmde_training.sets.prepare import main, recording_set
from fsmde_training.sets.streets import CAMERAS

SIZE = WIDTH, HEIGHT = 32, 32
SECOND_NS = 1_000_000_000
PERIOD_NS = SECOND_NS // 10
RIG = Rig(tuple(Camera(name, *SIZE, K=np.diag([20.0, 20.0, 1.0])) for name in ("front", "right", "left")))


def frame(stamp_ns: int, lidar_m: float | None = None, names: tuple[str, ...] = RIG.names) -> Frame:
    """A frame whose cameras all look the same way; one lidar point in view, `lidar_m` metres away."""
    images = {n: CameraImage(stamp_ns, pixels=np.full((HEIGHT, WIDTH, 3), 7, np.uint8)) for n in names}
    sweep = None
    if lidar_m is not None:
        sweep = LidarSweep(stamp_ns, np.array([[0.1 * lidar_m, 0.1 * lidar_m, lidar_m]], np.float32), np.eye(4))
    return Frame(0, RIG, images, dict.fromkeys(names, np.eye(4)), sweep)


class Drive(IndexedSource):
    """Frames at given stamps, as a recording; `asked` counts those that were read."""

    name, rig = "drive", RIG

    def __init__(self, stamps: list[int]) -> None:
        self.stamps, self.asked = stamps, 0

    def __len__(self) -> int:
        return len(self.stamps)

    def frame(self, index: int) -> Frame:
        self.asked += 1
        return frame(self.stamps[index], lidar_m=5.0)


def samples(count: int) -> Iterator[cache.Sample]:
    for index in range(count):
        depth = np.full((HEIGHT, WIDTH), index, np.float16)
        depth[0, :2] = np.nan, np.inf
        yield np.full((HEIGHT, WIDTH, 3), index, np.uint8), depth, 100.0 + index


@pytest.mark.parametrize("count", [None, 12])
def test_sets_come_back_as_written(tmp_path: Path, count: int | None) -> None:
    cache.save(tmp_path / "set", samples(12), count, *SIZE)
    views = cache.load(tmp_path / "set")
    assert len(views) == 12
    assert isinstance(views.images, np.memmap)
    for view, (rgb, depth, focal) in enumerate(samples(12)):
        np.testing.assert_array_equal(views.images[view], rgb)
        np.testing.assert_array_equal(views.depth[view], depth)
        assert views.focal[view] == focal


def test_sets_remember_which_images_have_a_measured_depth(tmp_path: Path) -> None:
    rgb, blank = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((HEIGHT, WIDTH), np.nan, np.float16)
    sky, one = np.full_like(blank, np.inf), blank.copy()
    one[3, 4] = 5
    labelled = cache.save(tmp_path / "set", [(rgb, depth, 20.0) for depth in (blank, sky, one)], None, *SIZE)
    assert labelled.tolist() == [False, False, True]
    np.testing.assert_array_equal(cache.load(tmp_path / "set").labelled, labelled)
    (tmp_path / "set" / "labelled.npy").unlink()
    assert cache.load(tmp_path / "set").labelled is None


def test_an_interrupted_set_does_not_load_and_is_begun_anew(tmp_path: Path) -> None:
    def breaks_off() -> Iterator[cache.Sample]:
        yield from samples(3)
        raise KeyboardInterrupt

    folder = tmp_path / "set"
    cache.save(folder, samples(2), None, *SIZE)  # what was there before must not pass for the new one
    with pytest.raises(KeyboardInterrupt):
        cache.save(folder, breaks_off(), None, *SIZE)
    with pytest.raises(FsmdeError, match=r"fsmde_training\.sets\.prepare"):
        cache.load(folder)
    cache.save(folder, samples(4), None, *SIZE)
    assert len(cache.load(folder)) == 4


@pytest.mark.parametrize(("saved", "count"), [(3, 4), (5, 4), (0, None)])
def test_a_set_of_the_wrong_length_is_not_complete(tmp_path: Path, saved: int, count: int | None) -> None:
    with pytest.raises(FsmdeError, match=f"got {saved} images"):
        cache.save(tmp_path, samples(saved), count, *SIZE)
    assert not cache.is_complete(tmp_path)


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FsmdeError, match=r"shape \(32, 16, 3\), got \(32, 32, 3\)"):
        cache.save(tmp_path, samples(1), None, 16, HEIGHT)


def test_memory_does_not_grow_with_a_set(tmp_path: Path) -> None:
    width, height, count = 128, 96, 100
    rgb, depth = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.float16)
    tracemalloc.start()
    cache.save(tmp_path, ((rgb.copy(), depth.copy(), 100.0) for _ in range(count)), None, width, height)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * (rgb.nbytes + depth.nbytes)
    assert len(cache.load(tmp_path)) == count


@pytest.mark.parametrize("processes", [1, 2])
def test_work_on_processes_keeps_the_order_and_takes_little_ahead(processes: int) -> None:
    started: list[int] = []

    def start(item: int) -> int:
        started.append(item)
        return item

    for number, result in enumerate(parallel_map(operator.neg, map(start, range(1, 21)), processes), start=1):
        assert result == -number
        assert len(started) - number < 2 * processes
    assert len(started) == 20


@given(share=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), count=st.integers(0, 40))
def test_a_share_of_the_drives_is_held_out_and_the_rest_trains(share: float, count: int) -> None:
    held_out = [SplitPart(share, True).includes(drive) for drive in range(count)]
    assert sum(held_out) == math.floor(count * share + 1e-9)
    assert [SplitPart(share, False).includes(drive) for drive in range(count)] == [not held for held in held_out]


@given(st.lists(st.integers(0, 100), min_size=1, max_size=12))
def test_drives_end_where_the_stamps_jump(seconds: list[int]) -> None:
    numbers = [number for number, _ in number_drives(frame(second * SECOND_NS) for second in seconds)]
    steps = [not 0 <= after - before <= 30 for before, after in pairwise(seconds)]
    assert numbers == [0, *np.cumsum(steps).tolist()]


def test_a_single_drive_cannot_be_split() -> None:
    with pytest.raises(FsmdeError, match=r"of 1 drives none is left for validation when a share of 0\.5 validates"):
        list(SplitPart(0.5, True).select([frame(0), frame(PERIOD_NS)]))


def test_rings_with_a_missing_camera_are_left_out_and_counted() -> None:
    rings = WholeRings([frame(0), frame(1, names=("front", "left")), frame(2)])
    assert [ring.stamp_ns for ring in rings] == [0, 2]
    assert rings.left_out == 1


def test_frames_borrow_the_sweeps_beside_them_but_none_that_is_old() -> None:
    frames = [frame(0, 5.0), frame(PERIOD_NS), frame(2 * PERIOD_NS, 4.0), frame(2 * PERIOD_NS + NEIGHBOUR_NS + 1)]
    stamps = [[sweep.stamp_ns for sweep in swept.sweeps] for swept in with_sweeps(frames)]
    assert stamps == [[0], [0, 2 * PERIOD_NS], [2 * PERIOD_NS], []]


@pytest.mark.parametrize("sky", [True, False])
def test_sky_is_marked_beside_returns_only_and_only_where_wanted(tmp_path: Path, sky: bool) -> None:
    blue = np.full((HEIGHT, WIDTH, 3), (120, 150, 190), np.uint8)

    class BlueSky(Drive):
        def frame(self, index: int) -> Frame:
            shown = frame(self.stamps[index], lidar_m=5.0 if index == 0 else None)
            return replace(shown, images={n: CameraImage(i.stamp_ns, pixels=blue) for n, i in shown.images.items()})

    source = BlueSky([0, PERIOD_NS + NEIGHBOUR_NS])
    recording_set(tmp_path, source, (0, None), ALL_TRAINING, SIZE, processes=1, sky=sky)
    views = cache.load(tmp_path)
    assert [np.isinf(depth).any() for depth in views.depth] == [sky] * 3 + [False] * 3
    assert views.labelled.tolist() == [True] * 3 + [False] * 3


def test_of_two_sweeps_the_nearer_depth_counts_and_none_labels_nothing() -> None:
    near, far, bare = frame(0, 4.0), frame(PERIOD_NS, 5.0), frame(0)
    assert near.lidar is not None
    assert far.lidar is not None
    for sweeps, expected in (((near.lidar, far.lidar), [4.0]), ((), [])):
        ring = label_ring(SweptFrame(bare, sweeps), WIDTH, HEIGHT, sky=False)
        assert len(ring) == 3
        for _, depth, focal in ring:
            assert depth[np.isfinite(depth)].tolist() == expected
            assert focal == pytest.approx(20)


def test_exact_depth_goes_before_lidar_and_its_holes_are_sky() -> None:
    exact = np.full((HEIGHT, WIDTH), 9, np.float32)
    exact[: HEIGHT // 2] = np.nan
    with_depth = replace(frame(0, 5.0), depth=dict.fromkeys(RIG.names, exact))
    for swept in with_sweeps([with_depth]):
        for rgb, depth, focal in label_ring(swept, WIDTH // 2, HEIGHT // 2):
            assert rgb.shape == (HEIGHT // 2, WIDTH // 2, 3)
            assert np.isinf(depth[: HEIGHT // 4]).all()
            assert (depth[HEIGHT // 4 :] == 9).all()
            assert focal == pytest.approx(10)


def test_the_own_vehicle_has_no_label(tmp_path: Path) -> None:
    """Neither exact depth, nor sky, nor a return: the point of the lidar falls on (2, 2) of the first camera."""
    corner = mask_from_entry([[0, 0], [3, 0], [3, 3], [0, 3]], Path(), "front", SIZE)
    rig = Rig((replace(RIG["front"], mask=corner), *RIG.cameras[1:]))
    exact = np.full((HEIGHT, WIDTH), 9, np.float32)
    exact[:2] = np.nan
    swept = replace(frame(0, 5.0), rig=rig)
    for shown, expected in ((swept, np.nan), (replace(swept, depth=dict.fromkeys(RIG.names, exact)), 9)):
        (_, masked, _), (_, plain, _), _ = label_ring(next(with_sweeps([shown])), WIDTH, HEIGHT, sky=False)
        assert np.isfinite(plain[2, 2]) and (masked[:4, :4] == cache.HIDDEN).all()
        assert masked[4, 4] == pytest.approx(expected, nan_ok=True)
        assert np.array_equal(masked[4:], plain[4:], equal_nan=True)
        assert np.array_equal(masked[:, 4:], plain[:, 4:], equal_nan=True)


def test_a_set_made_with_a_mask_is_not_taken_for_one_without(tmp_path: Path) -> None:
    source = Drive([0, PERIOD_NS])
    recording_set(tmp_path, source, (0, None), ALL_TRAINING, SIZE, processes=1)
    mask = mask_from_entry([[0, 0], [3, 0], [3, 3], [0, 3]], Path(), "front", SIZE)
    source.rig = Rig((replace(RIG["front"], mask=mask), *RIG.cameras[1:]))
    with pytest.raises(FsmdeError, match=r"'masks': \['front'\]"):
        recording_set(tmp_path, source, (0, None), ALL_TRAINING, SIZE, processes=1)


def test_training_and_validation_share_no_drive(tmp_path: Path) -> None:
    stamps = [1000 * drive * SECOND_NS + step * PERIOD_NS for drive in range(4) for step in range(drive + 1)]
    for name, held_out in (("train", False), ("val", True)):
        recording_set(tmp_path / name, Drive(stamps), (0, None), SplitPart(0.5, held_out), SIZE, processes=1)
    assert len(cache.load(tmp_path / "train")) == 3 * (1 + 3)  # drives 0 and 2 with 1 and 3 frames of three cameras
    assert len(cache.load(tmp_path / "val")) == 3 * (2 + 4)


def test_a_complete_set_stays_and_is_never_taken_for_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Drive([0, PERIOD_NS])
    recording_set(tmp_path, source, (0, 1), ALL_TRAINING, SIZE, processes=1)
    assert "3 images, 3 with labels; 0 frames left out" in capsys.readouterr().out
    assert source.asked == 1
    recording_set(tmp_path, source, (0, 1), ALL_TRAINING, SIZE, processes=1)
    assert source.asked == 1
    with pytest.raises(FsmdeError, match=r"frames': \[0, 1\].*asked for is .*frames': \[0, 2\].*remove it"):
        recording_set(tmp_path, source, (0, 2), ALL_TRAINING, SIZE, processes=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size=448"], "size '448' must be width x height"),
        (["--size=640x360"], "--size 640x360 must be multiples of 32 pixels"),
        (["--network-size=100x64"], "--network-size 100x64 must be multiples of 32 pixels"),
        (["--root=/nowhere"], "--root /nowhere needs its --source"),
        (["--source=nuscenes", "--root=/nowhere"], "/nowhere does not exist"),
        (["--source=synthetic", "--option=colour=red"], "takes no colour, only --rig, --cameras"),
        (["--source=synthetic", "--option=seed=red"], "does not take the options"),
        (["--source=synthetic", "--option=red"], "must be KEY=VALUE"),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.data
def test_lidar_labels_of_frames_without_a_sweep_come_from_the_neighbours(pandaset_root: Path) -> None:
    frames = list(PandaSetSource(pandaset_root).frames(0, 3))
    if [frame.lidar is None for frame in frames] != [False, True, False]:
        pytest.skip("the recording does not begin with lidar in every other frame")
    rings = [label_ring(swept, 320, 180, sky=False) for swept in with_sweeps(frames)]
    own, between = (ring[4][1].astype(np.float32) for ring in rings[:2])
    both = np.isfinite(own) & np.isfinite(between)
    assert np.isfinite(between).sum() > np.isfinite(own).sum()  # two sweeps
    assert np.median(np.abs(own[both] / between[both] - 1)) < 0.05


@pytest.mark.data
def test_any_source_becomes_a_set(ddad_root: Path, tmp_path: Path) -> None:
    arguments = ["--source=ddad", f"--root={ddad_root}", "--frames=0:2", "--size=96x64", "--processes=1"]
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*arguments, "--name=fleet", f"--out={tmp_path}"])
    views = cache.load(tmp_path / "fleet_train")
    assert views.images.shape == (12, 64, 96, 3)
    assert all(np.isfinite(depth).any() for depth in views.depth)
    assert not (tmp_path / "fleet_val").exists()


@pytest.mark.data
def test_without_a_source_the_shipped_students_sets_are_made(
    pandaset_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if PandaSetSource(pandaset_root).numbers != tuple(range(50)):
        pytest.skip("the recording is not complete")
    recordings: dict[str, tuple[object, ...]] = {}
    monkeypatch.setattr(prepare, "recording_set", lambda folder, _, *rest: recordings.update({folder.name: rest}))
    monkeypatch.setattr(prepare, "street_samples", lambda seeds, *_: samples(CAMERAS * len(seeds)))
    sizes = ["--size=64x96", f"--network-size={WIDTH}x{HEIGHT}"]
    with pytest.raises(SystemExit, match=r"^0$"):
        main([f"--out={tmp_path}", "--streets=2", "--no-sky", "--processes=1", *sizes])
    assert recordings == {
        "pandaset_val": ((40, None), SplitPart(1.0, True), SIZE, 1),
        "pandaset_train": ((0, 40), SplitPart(0.0, False), (64, 96), 1, False),
    }
    assert len(cache.load(tmp_path / "street_train")) == 12
    assert len(cache.load(tmp_path / "street_val")) == 24
