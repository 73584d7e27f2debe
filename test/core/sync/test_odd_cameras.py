"""Cameras of other clocks or rates: those that agree keep their sets. The oracle are the numbers of frames."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmde_core.sync.counts import CameraCounts
from fsmde_core.sync.groups import ImageSet, SyncSettings
from fsmde_core.sync.synchronizer import Synchronizer
from support.image_streams import MS, Message, play

SECONDS = 6.0


@dataclass
class OddStream:
    """A rig of which some cameras are odd. offsets_ms: of their clocks; rates: theirs by the others'.

    drift: ms per second. glitches: share of images with a stamp of another second.
    """

    cameras: int
    period_ms: float
    seed: int
    latencies_ms: tuple[float, float] = (5, 20)
    jitter_ms: float = 3.0
    offsets_ms: dict[int, float] = field(default_factory=dict)
    rates: dict[int, float] = field(default_factory=dict)
    drift: dict[int, float] = field(default_factory=dict)
    glitches: dict[int, float] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [f"camera_{index}" for index in range(self.cameras)]

    @property
    def odd(self) -> set[str]:
        return {f"camera_{i}" for kind in (self.offsets_ms, self.rates, self.drift, self.glitches) for i in kind}

    def messages(self) -> list[Message]:
        """Images in order of arrival; the arrival knows nothing of the clock. Items are frame numbers."""
        rng = random.Random(self.seed)
        found: list[Message] = []
        for index, name in enumerate(self.names):
            latency, period = rng.uniform(*self.latencies_ms), self.period_ms / self.rates.get(index, 1)
            for frame in range(int(SECONDS * 1e3 / period)):
                exposed = 1e6 + frame * period + rng.uniform(0, self.jitter_ms)
                clock = self.offsets_ms.get(index, 0) + self.drift.get(index, 0) * frame * period / 1e3
                if rng.random() < self.glitches.get(index, 0):
                    clock += rng.choice([-1, 1]) * rng.uniform(100, 1500)
                arrival = exposed + latency + rng.uniform(0, self.jitter_ms)
                found.append((name, int((exposed + clock) * MS), int(arrival * MS), [frame]))
        return sorted(found, key=lambda message: message[2])


def numbers(images: ImageSet[Any], names: set[str]) -> set[int]:
    return {item[0] for name, item in images.items.items() if name in names}


def check(stream: OddStream, settings_: SyncSettings, lost: int = 0) -> tuple[Synchronizer[Any], list[ImageSet[Any]]]:
    """Play a stream; the cameras that are not odd must be in whole sets of one frame, but for `lost` of them."""
    sync = Synchronizer[Any](stream.names, settings_)
    sets = play(sync, stream.messages())
    good = set(stream.names) - stream.odd
    whole = Counter(min(numbers(s, good)) for s in sets if good <= s.items.keys() and len(numbers(s, good)) == 1)
    frames = range(int(SECONDS * 1e3 / stream.period_ms))
    missing = [frame for frame in frames if whole[frame] != 1]
    assert len(missing) <= lost, (missing, stream)
    return sync, sets


def counts(sync: Synchronizer[Any], index: int) -> CameraCounts:
    return sync.stats.cameras[f"camera_{index}"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data(), st.integers(3, 12), st.sampled_from([50.0, 66.7, 100.0, 200.0]), st.integers(0, 2**32))
def test_a_clock_that_is_off_costs_no_other_camera_anything_and_is_named(
    data: st.DataObject, cameras: int, period: float, seed: int
) -> None:
    """Beyond the deadline the camera is off the clock, all of it from the second image on, with its offset.

    The first two frames may be torn, since nothing contradicts the first image.
    """
    jump = data.draw(st.sampled_from([300.0, 1000.0, 2000.0]))
    window = data.draw(st.floats(30, 0.9 * min(period, 100)))
    deadline = window + 40
    sign = data.draw(st.sampled_from([-1, 1]))
    offset = sign * data.draw(st.floats(deadline + 25, 1.5 * jump))  # beside latencies of 5 to 20 ms and jitter
    stream = OddStream(cameras, period, seed, offsets_ms={data.draw(st.integers(0, cameras - 1)): offset})
    needed = data.draw(st.integers(1, cameras - 1))
    settings_ = SyncSettings(window_ms=window, deadline_ms=deadline, min_cameras=needed, jump_ms=jump)
    sync, _ = check(stream, settings_, lost=2)
    (odd,) = stream.offsets_ms
    found = counts(sync, odd)
    assert found.received - found.off_clock <= 2
    assert abs(found.offset_ms - offset) <= 15 + 2 * stream.jitter_ms
    assert all(counts(sync, i).off_clock <= 1 for i in range(cameras) if i != odd)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data(), st.integers(3, 12), st.integers(0, 2**32))
def test_between_window_and_deadline_a_clock_costs_no_other_camera_anything(
    data: st.DataObject, cameras: int, seed: int
) -> None:
    """There an image may belong to the frame before, by its stamp alone, so that nothing is said of the odd one.

    It may cost two frames at the start, while too little is known of it.
    """
    window, deadline = 40.0, 150.0
    offset = data.draw(st.sampled_from([-1, 1])) * data.draw(st.floats(window + 25, deadline + 25))
    odd = data.draw(st.integers(0, cameras - 1))
    stream = OddStream(cameras, 100, seed, offsets_ms={odd: offset})
    needed = data.draw(st.integers(1, cameras - 1))
    check(stream, SyncSettings(window_ms=window, deadline_ms=deadline, min_cameras=needed), lost=2)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data(), st.integers(5, 12), st.integers(0, 2**32))
def test_several_clocks_each_off_by_its_own_offset(data: st.DataObject, cameras: int, seed: int) -> None:
    """Fewer than half of the cameras, on either side."""
    number = data.draw(st.integers(2, (cameras - 1) // 2))
    spread = st.tuples(st.sampled_from([-1, 1]), st.floats(130, 1400)).map(lambda pair: pair[0] * pair[1])
    offsets = dict(enumerate(data.draw(st.lists(spread, min_size=number, max_size=number))))
    sync, _ = check(OddStream(cameras, 100, seed, offsets_ms=offsets), SyncSettings(), lost=2)
    for index, offset in offsets.items():
        assert abs(counts(sync, index).offset_ms - offset) <= 15 + 2 * 3
        assert counts(sync, index).off_clock >= counts(sync, index).received - 2


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(3, 12), st.sampled_from([2.0, 2.5, 3.0, 4.0]), st.floats(-20, 20), st.integers(0, 2**32))
def test_a_faster_camera_makes_no_sets_of_its_own_and_its_surplus_is_counted(
    cameras: int, rate: float, offset: float, seed: int
) -> None:
    """One set at most is its own, before its rate is known."""
    stream = OddStream(cameras, 100, seed, offsets_ms={0: offset}, rates={0: rate})
    sync, sets = check(stream, SyncSettings())
    lone = [images for images in sets if set(images.items) == {"camera_0"}]
    assert len(sets) - len(lone) == 60 and len(lone) <= 1
    fast = counts(sync, 0)
    before_known = fast.dropped + fast.late
    assert fast.emitted - len(lone) == 60 and fast.surplus + before_known == fast.received - fast.emitted
    assert before_known <= 2 * rate


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(3, 12), st.sampled_from([1 / 2, 1 / 3, 1 / 4]), st.integers(0, 2**32))
def test_a_slower_camera_is_in_the_sets_of_its_frames(cameras: int, rate: float, seed: int) -> None:
    """No set of the others waits for it to become whole, and none is torn by it."""
    stream = OddStream(cameras, 100, seed, rates={0: rate})
    sync, sets = check(stream, SyncSettings())
    assert len(sets) == 60 and counts(sync, 0).emitted == counts(sync, 0).received


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(3, 12), st.floats(-60, 60), st.integers(0, 2**32))
def test_a_clock_that_drifts_costs_the_others_nothing_while_it_is_far(cameras: int, drift: float, seed: int) -> None:
    """As long as its stamps lie beside the others' sets by less than the window, it may widen and so split them."""
    stream = OddStream(cameras, 100, seed, drift={0: drift}, offsets_ms={0: 200.0 if drift > 0 else -200.0})
    sync, _ = check(stream, SyncSettings(), lost=1)
    assert counts(sync, 0).off_clock >= counts(sync, 0).received - 2


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(3, 12), st.floats(0.02, 0.15), st.integers(1, 3), st.integers(0, 2**32))
def test_single_wrong_stamps_cost_the_others_nothing(cameras: int, share: float, needed: int, seed: int) -> None:
    stream = OddStream(cameras, 100, seed, glitches={0: share})
    """Where the very first stamp is wrong, nothing contradicts it yet: it may cost two frames, and a reset."""
    sync, _ = check(stream, SyncSettings(min_cameras=min(needed, cameras - 1)), lost=2)
    assert sync.stats.resets <= 1


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(2, 12), st.sampled_from([0.25, 0.5, 0.8, 1.25, 2.0, 4.0, 8.0]), st.integers(0, 2**32))
def test_play_back_at_another_speed_accuses_nobody(cameras: int, speed: float, seed: int) -> None:
    """All leads fall or rise from frame to frame, one camera's after the other's."""
    stream = OddStream(cameras, 100, seed)
    messages = [(name, stamp, int(arrival / speed), item) for name, stamp, arrival, item in stream.messages()]
    sync = Synchronizer[Any](stream.names, SyncSettings(deadline_ms=150))
    sets = play(sync, messages)
    assert [(images.complete, len(numbers(images, set(stream.names)))) for images in sets] == [(True, 1)] * 60


@pytest.mark.parametrize("offset", [*range(-1100, -119, 140), -95, 95, *range(120, 1101, 140)])
@pytest.mark.parametrize("min_cameras", [1, 2, 5])
def test_defaults_keep_every_set_of_five_good_cameras(offset: int, min_cameras: int) -> None:
    stream = OddStream(6, 100, 1, latencies_ms=(20, 20), offsets_ms={3: offset})
    check(stream, SyncSettings(min_cameras=min_cameras))


def test_cameras_that_never_come_together_are_all_delivered() -> None:
    """Of three cameras 33 ms apart, with a window of 10 ms, none is in the wrong."""
    names = ["a", "b", "c"]
    messages = [
        (name, (1000 + 100 * frame + 33 * i) * MS, (1000 + 100 * frame + 33 * i) * MS, [frame])
        for frame in range(50)
        for i, name in enumerate(names)
    ]
    sync = Synchronizer[Any](names, SyncSettings(window_ms=10, deadline_ms=60))
    assert len(play(sync, messages)) == 150


def test_a_camera_that_is_never_in_anyones_window_is_named_with_the_distance() -> None:
    """Clocks agree, but it is exposed half a period beside the others: after five sets alone it makes none."""
    messages = [
        (name, (1000 + 100 * frame + 50 * (name == "c")) * MS, (1000 + 100 * frame + 50 * (name == "c")) * MS, [frame])
        for frame in range(50)
        for name in "abc"
    ]
    messages.sort(key=lambda message: message[2])
    sync = Synchronizer[Any]("abc", SyncSettings(window_ms=20, deadline_ms=60))
    sets = play(sync, messages)
    assert sum(set(images.items) == {"a", "b"} for images in sets) == 50
    assert len(sets) == 55
    assert (sync.stats.cameras["c"].off_clock, abs(sync.stats.cameras["c"].offset_ms)) == (45, 50)


def test_a_rig_that_was_silent_goes_on_with_whole_sets() -> None:
    """After a pause all cameras are waited for again, though all have been silent."""
    messages = [
        (name, at, at, [frame])
        for start in (0, 30_000)
        for frame in range(10)
        for i, name in enumerate("abc")
        for at in [(1000 + start + 100 * frame + 15 * i) * MS]
    ]
    sync = Synchronizer[Any]("abc", SyncSettings(window_ms=40, deadline_ms=60))
    assert [images.complete for images in play(sync, messages)] == [True] * 20


def test_a_dead_camera_costs_no_time_once_it_is_known_to_be_silent() -> None:
    """Sets go out with their last image, not at their deadline."""
    sync = Synchronizer[Any]("abc", SyncSettings(window_ms=20, deadline_ms=60))
    for frame in range(40):
        at = (1000 + 100 * frame) * MS
        if frame < 10:
            sync.add("c", at, at, None)
        sync.add("a", at, at, None)
        images = sync.add("b", at, at, None)
        sync.poll(at + 70 * MS)
    assert images is not None and set(images.items) == {"a", "b"}
