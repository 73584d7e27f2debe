"""Image streams of a rig with faults, and a player that checks what a synchronizer keeps whatever comes in."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from fsmde_core.sync.groups import ImageSet
from fsmde_core.sync.synchronizer import Synchronizer

MS = 1_000_000
RING = ("front", "front_right", "right", "back", "left", "front_left")
# Exposure times of PandaSet's cameras within a frame: 81.3 ms of the 100 ms period.
PANDASET_MS = {"front": 50.0, "front_right": 60.8, "right": 81.3, "back": 0.0, "left": 18.6, "front_left": 39.2}

Message = tuple[str, int, int, Any]  # camera, stamp_ns, arrival_ns, item


def check_accounting(sync: Synchronizer[Any]) -> None:
    pending = sync.pending
    for name, c in sync.stats.cameras.items():
        assert c.received == c.emitted + c.late + c.duplicate + c.off_clock + c.surplus + c.dropped + pending[name], (
            name
        )
    sets = sync.stats.complete + sync.stats.partial
    assert all(sync.stats.missing(name) == sets - c.emitted >= 0 for name, c in sync.stats.cameras.items())


def play(sync: Synchronizer[Any], messages: Iterable[Message], poll_ms: int = 5) -> list[ImageSet[Any]]:
    """Feed messages in order of arrival with a poll timer beside them; checks what holds for every input."""
    sets: list[ImageSet[Any]] = []
    seen: set[int] = set()
    newest: int | None = None
    latest: dict[str, int] = {}
    resets = 0
    next_poll: int | None = None

    def take(images: ImageSet[Any] | None) -> None:
        nonlocal newest, resets
        if sync.stats.resets > resets:
            resets, newest = sync.stats.resets, None
            latest.clear()
        check_accounting(sync)
        if images is None:
            return
        assert images.skew_ns <= sync.settings.window_ms * MS
        assert newest is None or images.stamp_ns > newest
        assert sync.settings.min_cameras <= len(images.items) <= len(sync.cameras)
        assert images.complete == (len(images.items) == len(sync.cameras))
        assert list(images.items) == list(images.stamps_ns) == [c for c in sync.cameras if c in images.items]
        for camera, item in images.items.items():
            assert id(item) not in seen
            seen.add(id(item))
            stamp = images.stamps_ns[camera]
            assert camera not in latest or stamp > latest[camera]
            latest[camera] = stamp
        newest = images.stamp_ns
        sets.append(images)

    def poll(now: int) -> None:
        while (images := sync.poll(now)) is not None:
            take(images)

    now = 0
    for camera, stamp, now, item in messages:
        next_poll = now if next_poll is None else next_poll
        while next_poll <= now:
            poll(next_poll)
            next_poll += poll_ms * MS
        take(sync.add(camera, stamp, now, item))
        poll(now)
    poll(now + 2 * int(sync.settings.deadline_ms * MS))
    check_accounting(sync)
    assert not any(sync.pending.values())
    return sets


def stream(
    offsets_ms: dict[str, float],
    frames: int,
    period_ms: float = 100.0,
    jitter_ms: float = 0.0,
    latency_ms: float = 0.0,
    lost: Iterable[tuple[str, int]] = (),
    seed: int = 0,
    start_ns: int = 1_700_000_000_000_000_000,
) -> list[Message]:
    """A rig's images in order of arrival; items are [camera, frame], stamps jitter by up to +-jitter_ms."""
    rng = random.Random(seed)
    missing = set(lost)
    messages = []
    for frame in range(frames):
        for camera, offset in offsets_ms.items():
            stamp_ms = frame * period_ms + offset + rng.uniform(-jitter_ms, jitter_ms)
            arrival_ms = stamp_ms + jitter_ms + rng.uniform(0, latency_ms)
            if (camera, frame) not in missing:
                messages.append((camera, start_ns + int(stamp_ms * MS), int(arrival_ms * MS), [camera, frame]))
    return sorted(messages, key=lambda message: message[2])


def frames_of(images: ImageSet[Any]) -> set[int]:
    return {frame for _, frame in images.items.values()}
