"""When messages are due, and the thread that encodes them ahead: no ROS needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage, Frame
from fsmde_core.messages.encode import Message, MessageEncoder
from fsmde_core.rig.rig import Camera, Rig
from fsmde_core.sources.playback import MessagePrefetcher, PlaybackRate, timed_messages

MS = 1_000_000
# A rig whose exposures are spread over the period, with a lidar message that reaches into the next frame.
STAGGER_MS = (0, 20, 80, 118)


def recorded(frames: int, rounds: int = 1, period_ms: int = 100) -> list[tuple[int, list[Message]]]:
    return [
        (played, [Message(f"t{s}", "x", (1000 + k * period_ms + s) * MS, b"") for s in STAGGER_MS])
        for played in range(rounds)
        for k in range(frames)
    ]


@given(st.floats(1, 10), st.integers(1, 5), st.integers(1, 3))
def test_recorded_pace_keeps_every_interval(rate: float, frames: int, rounds: int) -> None:
    played = list(timed_messages(recorded(frames, rounds), PlaybackRate(rate)))
    assert len(played) == frames * rounds * len(STAGGER_MS)
    due = [message.due_s for message in played]
    assert due == sorted(due)
    origin = played[0].stamp_ns
    assert due == pytest.approx([(message.stamp_ns - origin) * 1e-9 / rate for message in played], abs=1e-9)


@given(st.floats(1, 100), st.integers(2, 5), st.integers(1, 3), st.booleans())
def test_the_frame_rate_is_as_asked_and_no_stagger_grows(hz: float, frames: int, rounds: int, as_rate: bool) -> None:
    """The recording has 10 Hz: above, exposures move together; below, each frame's stay as close as they were."""
    played = list(timed_messages(recorded(frames, rounds), PlaybackRate(hz / 10) if as_rate else PlaybackRate(hz=hz)))
    assert [message.due_s for message in played] == sorted(message.due_s for message in played)
    for timed in played:
        stagger_s = int(timed.message.topic[1:]) / 1000
        assert timed.due_s == pytest.approx(timed.frame / hz + stagger_s * min(10 / hz, 1))


def test_stamps_go_on_over_rounds() -> None:
    played = [timed for timed in timed_messages(recorded(3, rounds=3), PlaybackRate()) if timed.message.topic == "t0"]
    assert [timed.stamp_ns // MS for timed in played] == [1000 + 100 * k for k in range(9)]
    assert [timed.message.stamp_ns // MS for timed in played] == [1000, 1100, 1200] * 3


@pytest.mark.parametrize("pace", [{"rate": 0.0}, {"rate": -1.0}, {"hz": 0.0}, {"rate": float("nan")}])
def test_pace_must_be_positive(pace: dict[str, float]) -> None:
    with pytest.raises(FsmdeError, match="greater than 0"):
        PlaybackRate(**pace)


class Film:
    """A source of tiny raw frames that counts how many it was asked for."""

    name = "film"

    def __init__(self, length: int, fails_at: int | None = None) -> None:
        camera = Camera("front", 8, 4, np.array([[8.0, 0, 4], [0, 8, 2], [0, 0, 1]]))
        self.rig, self.length, self.fails_at, self.made = Rig((camera,)), length, fails_at, 0

    def __len__(self) -> int:
        return self.length

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        for index in range(*slice(start, stop).indices(self.length)):
            if index == self.fails_at:
                raise FsmdeError("film torn")
            self.made += 1
            image = CameraImage(index * MS, pixels=np.full((4, 8, 3), index, np.uint8))
            yield Frame(index, self.rig, {"front": image}, {"front": np.eye(4)})


def frame_bytes(film: Film) -> int:
    frame = next(Film(1).frames())
    return sum(len(message.data) for message in MessageEncoder(film.rig, compressed=False).frame(frame))


def prefetcher(film: Film, loop: bool = False, frames: int = 100) -> MessagePrefetcher:
    encoder = MessageEncoder(film.rig, compressed=False)
    return MessagePrefetcher(film, encoder, loop=loop, limit_bytes=frames * frame_bytes(film))


def first_stamps(entries: Iterator[tuple[int, list[Message]]]) -> list[tuple[int, int]]:
    return [(played, messages[0].stamp_ns // MS) for played, messages in entries]


def test_messages_come_once_in_order() -> None:
    film = Film(5)
    with prefetcher(film) as messages:
        assert first_stamps(iter(messages)) == [(0, k) for k in range(5)]


def test_looped_recording_that_fits_is_encoded_once() -> None:
    film = Film(3)
    with prefetcher(film, loop=True) as messages:
        assert first_stamps(islice(messages, 7)) == [(k // 3, k % 3) for k in range(7)]
    assert film.made == 3


def test_prefetcher_stays_within_its_memory() -> None:
    film = Film(50)
    with prefetcher(film, loop=True, frames=4) as messages:
        messages.preload()
        assert film.made == 5  # four in memory, the fifth waits
        assert first_stamps(islice(messages, 60)) == [(k // 50, k % 50) for k in range(60)]
        assert film.made <= 60 + 5


def test_preload_returns_when_all_is_encoded() -> None:
    seen: list[int] = []
    with prefetcher(Film(3)) as messages:
        messages.preload(seen.append)
        time.sleep(0.01)
    assert not seen or seen[-1] <= 3


def test_error_of_the_source_reaches_the_player() -> None:
    with prefetcher(Film(5, fails_at=2)) as messages, pytest.raises(FsmdeError, match="film torn"):
        assert len(list(messages)) == 2
    with prefetcher(Film(0), loop=True) as messages, pytest.raises(FsmdeError, match="no frames"):
        list(messages)


def test_leaving_the_prefetcher_ends_its_thread() -> None:
    with prefetcher(Film(1000), frames=2):
        pass
    assert not [thread for thread in threading.enumerate() if thread.name == "message prefetcher"]
