"""Synchronizer: invariants under any input, and what it promises for sensible streams with faults."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmde_core.sync.groups import SyncSettings
from fsmde_core.sync.synchronizer import Synchronizer
from support.image_streams import MS, PANDASET_MS, RING, frames_of, play, stream


@st.composite
def rigs(draw: st.DrawFn, widest: float = 0.8) -> dict[str, float]:
    """Offsets in ms of 1-8 cameras within `widest` of a 100 ms period, the boundary of frames at the widest gap."""
    count = draw(st.integers(1, 8))
    offsets = sorted(draw(st.lists(st.floats(0, 100 * widest), min_size=count, max_size=count)))
    gaps = [b - a for a, b in zip(offsets, [*offsets[1:], offsets[0] + 100], strict=True)]
    first = (gaps.index(max(gaps)) + 1) % count
    ring = offsets[first:] + [offset + 100 for offset in offsets[:first]]
    return {f"camera_{i}": offset - ring[0] for i, offset in enumerate(ring)}


@settings(max_examples=60, deadline=None)
@given(rigs(), st.floats(0, 0.99), st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_without_loss_every_frame_is_complete_with_its_own_images(
    offsets: dict[str, float], fraction: float, seed: int, order: random.Random
) -> None:
    """Peak-to-peak jitter below half the gap between frames, however the cameras are spread over the period."""
    spread = max(offsets.values())
    gap = 100 - spread
    jitter = fraction * gap / 4
    window = spread + 2 * jitter + 0.01
    names = list(offsets)
    order.shuffle(names)
    sync = Synchronizer[Any](names, SyncSettings(window_ms=window, deadline_ms=150))
    sets = play(sync, stream(offsets, frames=12, jitter_ms=jitter, seed=seed))
    assert [frames_of(images) for images in sets] == [{frame} for frame in range(12)]
    assert all(images.complete for images in sets)


@settings(max_examples=60, deadline=None)
@given(
    rigs(widest=0.3),
    st.floats(0, 5),
    st.floats(0, 40),
    st.integers(0, 2**32),
    st.sets(st.tuples(st.integers(0, 7), st.integers(0, 14)), max_size=60),
    st.integers(1, 3),
)
def test_no_fault_mixes_frames_when_the_window_is_below_the_gap(
    offsets: dict[str, float],
    jitter: float,
    latency: float,
    seed: int,
    losses: set[tuple[int, int]],
    min_cameras: int,
) -> None:
    spread = max(offsets.values())
    window = min(spread + 2 * jitter + 1, 100 - spread - 2 * jitter - 1)
    lost = [(f"camera_{camera}", frame) for camera, frame in losses]
    sync = Synchronizer[Any](
        tuple(offsets),
        SyncSettings(window_ms=window, deadline_ms=window + 60, min_cameras=min(min_cameras, len(offsets))),
    )
    messages = stream(offsets, frames=15, jitter_ms=jitter, latency_ms=latency, lost=lost, seed=seed)
    assert all(len(frames_of(images)) == 1 for images in play(sync, messages))
    assert sync.stats.resets == 0


@settings(max_examples=40, deadline=None)
@given(rigs(widest=0.5), st.integers(0, 7), st.integers(0, 2**32))
def test_a_dead_camera_leaves_the_others_delivered_at_the_deadline(
    offsets: dict[str, float], dead: int, seed: int
) -> None:
    names = list(offsets)
    dead_name = names[dead % len(names)]
    alive = {name: offset for name, offset in offsets.items() if name != dead_name}
    if not alive:
        return
    sync = Synchronizer[Any](names, SyncSettings(window_ms=60, deadline_ms=70))
    sets = play(sync, stream(alive, frames=10, latency_ms=5, seed=seed))
    assert [frames_of(images) for images in sets] == [{frame} for frame in range(10)]
    assert all(set(images.items) == set(alive) for images in sets)
    assert sync.stats.missing(dead_name) == 10


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.one_of(
                st.integers(-9, 200).map(lambda v: v * 3 * MS),
                st.integers(),
                st.sampled_from([0, -1, 2**63, -(2**63), 10**30, 1_700_000_000 * 10**9]),
            ),
            st.integers(0, 60),
        ),
        max_size=120,
    ),
    st.integers(1, 4),
)
def test_any_stamps_in_any_order_keep_the_invariants(messages: list[tuple[int, int, int]], min_cameras: int) -> None:
    sync = Synchronizer[Any]("abcd", SyncSettings(window_ms=35, deadline_ms=50, min_cameras=min_cameras, jump_ms=400))
    now = 0
    fed = []
    for camera, stamp, wait_ms in messages:
        now += wait_ms * MS
        fed.append(("abcd"[camera], stamp, now, [camera]))
    play(sync, fed)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([-3600.0, -30.0, -3.0, 3.0, 3600.0, 1e9]), st.booleans())
def test_after_any_fault_the_stream_is_complete_again_within_two_frames(
    seed: int, jump_s: float, staggered: bool
) -> None:
    """Loss of half the images, duplicates, swaps and a clock jump in between: then complete sets of single frames."""
    offsets = PANDASET_MS if staggered else dict.fromkeys(RING, 0.0)
    rng = random.Random(seed)
    faulty = [message for message in stream(offsets, 10, jitter_ms=2, latency_ms=30, seed=seed) if rng.random() < 0.5]
    faulty += rng.sample(faulty, len(faulty) // 3)
    faulty = [(c, stamp, max(0, now + rng.randrange(-50, 50) * MS), [*item]) for c, stamp, now, item in faulty]
    faulty.sort(key=lambda message: message[2])
    clean = stream(offsets, 20, jitter_ms=0.5, seed=seed)
    base = 1100 * MS
    shifted = [(c, stamp + base + int(jump_s * 1e9), now + base, item) for c, stamp, now, item in clean]
    window = 83.0 if staggered else 30.0
    sync = Synchronizer[Any](RING, SyncSettings(window_ms=window, deadline_ms=95, min_cameras=3))
    sets = play(sync, faulty + shifted)
    # A staggered stream may be regrouped around another camera after the jump: then its last images end incomplete.
    assert all(images.complete for images in sets[-18:-1])
    assert staggered or [frames_of(images) for images in sets[-18:]] == [{frame} for frame in range(2, 20)]


@pytest.mark.parametrize("frames", [30, 10, 8, 2])
def test_a_bag_loop_resets_and_costs_one_frame(frames: int) -> None:
    """Also one that is shorter than jump_ms, where no stamp tells it from images that come late."""
    once = stream(dict.fromkeys(RING, 0.0), frames)
    length = frames * 100 * MS
    loops = [(c, stamp, now + k * length, [*item]) for k in range(4) for c, stamp, now, item in once]
    sync = Synchronizer[Any](RING, SyncSettings(window_ms=30, deadline_ms=60, min_cameras=2))
    sets = play(sync, loops)
    assert sync.stats.resets == 3
    assert sync.stats.complete == frames + 3 * (frames - 1)
    assert all(len(frames_of(images)) == 1 for images in sets)


@pytest.mark.parametrize(
    ("ahead_s", "min_cameras"), [(-1e9, 1), (-60.0, 1), (-0.3, 1), (0.3, 2), (60.0, 1), (60.0, 2), (1e9, 1)]
)
@pytest.mark.parametrize("first", [True, False])
def test_one_camera_with_a_wrong_clock_does_not_poison_the_others(
    ahead_s: float, min_cameras: int, first: bool
) -> None:
    messages = [
        (c, stamp + int(ahead_s * 1e9) * (c == "back"), now + (MS if (c == "back") != first else 0), item)
        for c, stamp, now, item in stream(dict.fromkeys(RING, 0.0), 40)
    ]
    messages.sort(key=lambda message: message[2])
    sync = Synchronizer[Any](RING, SyncSettings(window_ms=30, deadline_ms=60, min_cameras=min_cameras))
    sets = play(sync, messages)
    assert sum(set(images.items) == {*RING} - {"back"} for images in sets) >= 39
    # Its very first image may come before anything contradicts it.
    assert sum("back" in images.items for images in sets) <= (min_cameras == 1)


def test_clocks_that_were_never_set_leave_the_good_cameras_delivered() -> None:
    messages = [
        (c, 0 if c in ("left", "back") else stamp, now, item)
        for c, stamp, now, item in stream(dict.fromkeys(RING, 0.0), 20)
    ]
    sync = Synchronizer[Any](RING, SyncSettings(window_ms=30, deadline_ms=60, min_cameras=2))
    assert len(play(sync, messages)) >= 19


def test_pandaset_stagger_gives_every_frame_with_one_lost_image_costing_no_other() -> None:
    settings_ = SyncSettings(window_ms=90, deadline_ms=95)
    sync = Synchronizer[Any](RING, settings_)
    sets = play(sync, stream(PANDASET_MS, 20))
    assert [frames_of(images) for images in sets] == [{frame} for frame in range(20)]
    assert {images.skew_ns for images in sets} == {int(81.3 * MS)}

    sync = Synchronizer[Any](RING, settings_)
    play(sync, stream(PANDASET_MS, 20, lost=[("right", 5)]))
    assert sync.stats.complete >= 18
    assert sum(c.dropped + c.late for c in sync.stats.cameras.values()) == 0


def test_a_stream_picked_up_in_mid_frame_finds_the_frame_boundary() -> None:
    """Exposures over 50 ms of 100, and a window wide enough (95 ms) for wrong groupings: one set is given up."""
    offsets = {name: 10.0 * i for i, name in enumerate(RING)}
    messages = stream(offsets, 20)[3:]
    sync = Synchronizer[Any](RING, SyncSettings(window_ms=95, deadline_ms=110))
    sets = play(sync, messages)
    assert all(images.complete and len(frames_of(images)) == 1 for images in sets[2:])
    assert {images.skew_ns for images in sets[2:]} == {50 * MS}
    assert len(sets) >= 18


def test_a_mid_frame_start_ends_its_first_set_at_the_frame_boundary() -> None:
    """The window (85 ms) takes five neighbouring images of two frames; the sixth shows where the widest gap is."""
    offsets = {name: 10.0 * i for i, name in enumerate(RING)}
    sync = Synchronizer[Any](RING, SyncSettings(window_ms=85, deadline_ms=110))
    sets = play(sync, stream(offsets, 20)[3:])
    assert [frames_of(images) for images in sets] == [{frame} for frame in range(20)]
    assert list(sets[0].items) == list(RING[3:]) and all(images.complete for images in sets[1:])


def test_the_last_camera_alive_goes_on_being_delivered() -> None:
    lost = [(name, frame) for name in RING[1:] for frame in range(5, 60)]
    sync = Synchronizer[Any](RING, SyncSettings(window_ms=30, deadline_ms=60))
    assert len(play(sync, stream(dict.fromkeys(RING, 0.0), 60, lost=lost))) == 60


def test_an_image_goes_to_the_nearer_of_two_sets_that_could_take_it() -> None:
    """The window is longer than the period, so the third camera's image fits both frames."""
    sync = Synchronizer[str]("abc", SyncSettings(window_ms=40, deadline_ms=80))
    for stamp in (0, 33 * MS):
        for camera in "ab":
            assert sync.add(camera, stamp, stamp, f"{camera}@{stamp}") is None
    older = sync.add("c", 34 * MS, 34 * MS, "c")
    assert older is not None and older.items == {"a": "a@0", "b": "b@0"}  # most cameras: given first, not given up
    images = sync.poll(34 * MS)
    assert images is not None and set(images.stamps_ns.values()) == {33 * MS, 34 * MS}


def test_a_camera_faster_than_the_others_never_loses_an_image_uncounted() -> None:
    """The gap before a@40 is the widest, yet the cut must part a@40 from a@45."""
    sync = Synchronizer[str]("abc", SyncSettings(window_ms=50, deadline_ms=60))
    for camera, stamp_ms in (("b", 0), ("a", 40), ("a", 45), ("b", 46)):
        sync.add(camera, stamp_ms * MS, stamp_ms * MS, f"{camera}@{stamp_ms}")
    first = sync.poll(60 * MS)
    assert first is not None and set(first.items.values()) == {"b@0", "a@40"}
    images = sync.add("c", 48 * MS, 61 * MS, "c@48")
    assert images is not None and set(images.items.values()) == {"a@45", "b@46", "c@48"}


def test_an_image_never_joins_a_set_older_than_that_of_its_cameras_last_image() -> None:
    """b@50 would fit beside a@0, but b@40 waits in the set after it."""
    sync = Synchronizer[str]("abc", SyncSettings(window_ms=50, deadline_ms=60))
    for camera, stamp_ms in (("a", 0), ("a", 5), ("b", 40)):
        assert sync.add(camera, stamp_ms * MS, stamp_ms * MS, f"{camera}@{stamp_ms}") is None
    pushed_out = sync.add("b", 50 * MS, 50 * MS, "b@50")
    assert pushed_out is not None and set(pushed_out.items.values()) == {"a@0"}


def test_a_camera_that_arrives_a_period_later_still_joins_its_own_frame() -> None:
    messages = [
        (c, stamp, now + (45 * MS if c == "back" else 0), item)
        for c, stamp, now, item in stream(dict.fromkeys(RING, 0.0), 30, period_ms=33.3)
    ]
    messages.sort(key=lambda message: message[2])
    sync = Synchronizer[Any](RING, SyncSettings(window_ms=10, deadline_ms=80))
    sets = play(sync, messages)
    assert len(sets) == 30 and all(images.complete and len(frames_of(images)) == 1 for images in sets)


def test_a_set_that_ends_before_the_one_emitted_is_given_up() -> None:
    """c2@11 went out with c1@-18, so that c1@9, split from c0@78, comes too late for a set of its own."""
    sync = Synchronizer[str](("c0", "c1", "c2"))
    for camera, stamp_ms, now_ms in (("c2", 11, 53), ("c1", -18, 62), ("c0", 78, 116), ("c1", 9, 126)):
        assert sync.add(camera, stamp_ms * MS, now_ms * MS, camera) is None
    sets = sync.add("c1", 113 * MS, 160 * MS, "c1"), sync.poll(264 * MS)
    assert [images and images.stamp_ns // MS for images in sets] == [11, 113]


def test_duplicates_and_late_images_are_counted() -> None:
    """Images arrive as they are exposed: stamps far ahead of the arrival would be those of a clock that is not set."""
    sync = Synchronizer[str]("ab", SyncSettings(window_ms=10, deadline_ms=20))
    assert sync.add("a", 0, 0, "a0") is None
    assert sync.add("a", 0, 1, "again") is None
    first = sync.add("b", 5 * MS, 5 * MS, "b0")
    assert first is not None and first.items == {"a": "a0", "b": "b0"} and first.complete
    assert (first.stamp_ns, first.skew_ns) == (5 * MS, 5 * MS)
    assert sync.add("a", 4 * MS, 6 * MS, "older than the set") is None
    assert sync.add("b", 100 * MS, 100 * MS, "b1") is None
    assert sync.poll(120 * MS - 1) is None
    partial = sync.poll(120 * MS)
    assert partial is not None and partial.items == {"b": "b1"} and not partial.complete
    assert sync.add("a", 99 * MS, 121 * MS, "missed its set") is None
    a, b = sync.stats.cameras["a"], sync.stats.cameras["b"]
    assert (a.received, a.emitted, a.duplicate, a.off_clock + a.late, sync.stats.missing("a")) == (4, 1, 1, 2, 1)
    assert (b.received, b.emitted, sync.stats.missing("b")) == (2, 2, 0)
    assert (sync.stats.complete, sync.stats.partial, sync.stats.abandoned) == (1, 1, 0)


def test_too_few_cameras_are_given_up_and_a_complete_set_supersedes_an_older_one_of_few() -> None:
    """Two cameras of three are most of them, one is not: theirs goes out before the newer complete one."""
    sync = Synchronizer[str]("abc", SyncSettings(window_ms=10, deadline_ms=50, min_cameras=2))
    sync.add("a", 0, 0, "a0")
    assert sync.poll(50 * MS) is None and sync.stats.abandoned == 1
    assert sync.add("a", 60 * MS, 60 * MS, "old") is None
    for camera in "ab":
        assert sync.add(camera, 90 * MS, 90 * MS, "new") is None
    images = sync.add("c", 90 * MS, 91 * MS, "new")
    assert images is not None and set(images.items.values()) == {"new"}
    assert sync.stats.abandoned == 2 and sync.stats.cameras["a"].dropped == 2

    sync = Synchronizer[str]("abc", SyncSettings(window_ms=10, deadline_ms=50, min_cameras=2))
    for frame_ms in (60, 90):
        for camera in "ab":
            assert sync.add(camera, frame_ms * MS, frame_ms * MS, f"{frame_ms}") is None
    sets = sync.add("c", 90 * MS, 91 * MS, "90"), sync.poll(91 * MS), sync.poll(91 * MS)
    assert [images and set(images.items.values()) for images in sets] == [{"60"}, {"90"}, None]
    assert sync.stats.abandoned == 0
