"""The tracker of a replay, and what is counted and measured of what comes out of it. No ROS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Thread

import numpy as np
import pytest

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.predictors.predictors import MODEL, ConstantDepth
from fsmde_core.evaluation.protocols.surrounddepth import SurroundDepthProtocol
from fsmde_core.evaluation.results.drops import DropCounter, drops_sentence
from fsmde_core.evaluation.results.record import ImageRecord
from fsmde_core.frames import Frame
from fsmde_ros.client import replay_tracker
from fsmde_ros.client.depth_listener import PublishedDepth
from fsmde_ros.client.replay_score import published_records
from fsmde_ros.client.replay_tracker import TIMING, ReplayedFrame, ReplayTracker
from support.small_rig import MS, Scanned, SmallRig

NAMES = SmallRig().rig.names


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_tracker, "ANSWER_TIMEOUT_S", 0.2)


def announced(frames: int) -> tuple[ReplayTracker, list[Frame]]:
    tracker, film = ReplayTracker(), list(SmallRig(frames).frames())
    for frame in film:
        tracker.add(frame)
    return tracker, film


def send(tracker: ReplayTracker, frame: Frame, shift_ns: int) -> None:
    for name, image in frame.images.items():
        tracker.record_sent(name, image.stamp_ns, image.stamp_ns + shift_ns)


def answer(tracker: ReplayTracker, frame: Frame, shift_ns: int, names: tuple[str, ...] = NAMES) -> None:
    """With the recorded stamp; on TIMING with that of the newest image."""
    for name in names:
        tracker.record_answer(name, frame.images[name].stamp_ns + shift_ns, frame.images[name].stamp_ns)
    tracker.record_answer(TIMING, frame.stamp_ns + shift_ns, 12.5)


def test_answers_are_told_by_the_stamps_that_the_images_were_sent_with() -> None:
    tracker, film = announced(2)
    for frame, shift in zip(film, (500 * MS, 7 * MS), strict=True):  # the second frame's stamps before the first's
        send(tracker, frame, shift)
    assert tracker.next_finished(0.01) is None
    answer(tracker, film[0], 499 * MS)  # nothing was sent with these stamps
    assert tracker.wait_for_answers(0, 0.01) == sorted([*NAMES, TIMING])
    answer(tracker, film[1], 7 * MS)
    answer(tracker, film[0], 500 * MS)
    for frame in film:
        replayed = tracker.next_finished(0.1)
        assert replayed is not None and replayed.frame.index == frame.index
        recorded = {name: image.stamp_ns for name, image in frame.images.items()}
        assert replayed.answers == {**recorded, TIMING: 12.5}
        assert all(image.pixels is None for image in replayed.frame.images.values())
    tracker.end()
    assert tracker.is_done and tracker.next_finished(10) is None


def test_what_a_later_frame_was_answered_on_is_lost_for_earlier_ones() -> None:
    tracker, film = announced(3)
    for frame in film:
        send(tracker, frame, 0)
    answer(tracker, film[2], 0, NAMES[1:])
    assert tracker.wait_for_answers(0, 0.01) == tracker.wait_for_answers(2, 0.01) == [NAMES[0]]
    answer(tracker, film[0], 0, NAMES[2:])  # too late for the others, but welcome
    answer(tracker, film[1], 0, NAMES[:1])
    first, second = tracker.next_finished(0.1), tracker.next_finished(0.1)
    assert first is not None and set(first.answers) == {*NAMES[2:], TIMING}
    assert second is not None and set(second.answers) == {NAMES[0], TIMING}
    assert tracker.next_finished(0.01) is None  # the last frame still waits for its first camera


def test_patience_ends_with_the_last_image_not_before(impatient: None) -> None:
    tracker, (frame,) = announced(1)
    for name in NAMES[:-1]:
        tracker.record_sent(name, frame.images[name].stamp_ns, frame.images[name].stamp_ns)
    assert tracker.next_finished(0.4) is None
    begin = time.monotonic()
    tracker.record_sent(NAMES[-1], frame.images[NAMES[-1]].stamp_ns, 5)
    replayed = tracker.next_finished(10)
    assert replayed is not None and not replayed.answers and 0.2 < time.monotonic() - begin < 2
    answer(tracker, frame, 0)  # comes too late, and is of nobody


def test_a_first_set_that_is_sent_again_does_not_count() -> None:
    tracker, (frame,) = announced(1)
    for shift in (0, MS):
        send(tracker, frame, shift)
    answer(tracker, frame, 0)
    assert tracker.wait_for_answers(0) == []
    tracker.reset_first()
    assert tracker.wait_for_answers(0, 0.01) == sorted([*NAMES, TIMING])
    answer(tracker, frame, MS)  # the second one's answer, on its way until now
    send(tracker, frame, 2 * MS)
    answer(tracker, frame, 2 * MS)
    replayed = tracker.next_finished(0.1)
    assert replayed is not None and replayed.sent_ns[NAMES[0]] == frame.images[NAMES[0]].stamp_ns + 2 * MS


def test_reading_waits_while_the_backlog_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_tracker, "MAX_FRAMES", 2)
    tracker, film = announced(2)
    read: list[int] = []

    def reader() -> None:
        for index in (2, 3, 4):
            tracker.add(next(SmallRig().frames(index, index + 1)))
            read.append(index)

    thread = Thread(target=reader)
    thread.start()
    time.sleep(0.1)
    assert read == []
    send(tracker, film[0], 0)
    answer(tracker, film[0], 0)
    assert tracker.next_finished(1) is not None
    time.sleep(0.1)
    assert read == [2]
    tracker.close()
    thread.join(2)
    assert not thread.is_alive()


def test_drops_add_up() -> None:
    counter = DropCounter(["a", "b"])
    counter.add("ab", "ab", sampled=True)
    counter.add("ab", "b", sampled=True, mismatched=1)
    counter.add("ab", "", sampled=True)
    counter.add("a", "a", sampled=False)  # the recording has no image of b here
    counter.add("ab", "", sampled=False)
    found = counter.document(hz=5)
    sets = {kind: found[f"sets_{kind}"] for kind in ("sent", "complete", "partial", "lost")}
    assert sets == {"sent": 5, "complete": 2, "partial": 1, "lost": 2}
    assert (found["samples_lost"], found["other_intrinsics"], found["hz"]) == (1, 1, 5)
    assert found["cameras"] == {"a": {"sent": 5, "received": 2}, "b": {"sent": 4, "received": 2}}
    assert "a 2 of 5, b 2 of 4; 1 left out" in drops_sentence(found)


def replayed_frame(frame: Frame, names: tuple[str, ...], K_of: str | None = None) -> ReplayedFrame:
    """`frame` with depth of 5 m from cameras `names`, with intrinsics of another size for camera `K_of`."""
    answers = {}
    for name in names:
        K = frame.rig[name].rectified(*((8, 6) if name == K_of else (16, 10))).K
        answers[name] = PublishedDepth(np.full((10, 16), 5, np.float32), K)
    return ReplayedFrame(frame, dict.fromkeys(frame.images, 1), answers)


def replayed_frames() -> Iterator[ReplayedFrame]:
    first, _, third, _, fifth, _ = Scanned().frames()
    yield replayed_frame(first, NAMES)
    yield replayed_frame(third, NAMES[1:], K_of=NAMES[3])
    yield replayed_frame(fifth, ())


def test_only_what_was_published_is_measured_and_baselines_on_the_same_images() -> None:
    drops = DropCounter(NAMES)
    whole, part, nothing = published_records(replayed_frames(), [ConstantDepth()], SurroundDepthProtocol(), drops)
    assert whole.sampled and part.sampled and not nothing.sampled
    assert set(whole.images[MODEL]) == set(whole.images["constant"]) == set(NAMES)
    assert set(part.images[MODEL]) == set(part.images["constant"]) == set(NAMES[1:3])
    assert all(isinstance(image, ImageRecord) and image.sigma is None for image in whole.images[MODEL].values())
    assert drops.document(None)["other_intrinsics"] == 1
    assert [drops.document(None)["cameras"][name]["received"] for name in NAMES] == [1, 2, 2, 1]


def test_lidar_without_any_depth_is_an_error() -> None:
    lost = [replayed_frame(frame, ()) for frame in SmallRig().frames()]
    with pytest.raises(FsmdeError, match="none of the 3 frames with lidar"):
        list(published_records(lost, [], SurroundDepthProtocol(), DropCounter(NAMES)))
