"""Tracks frames that are read, sent, answered and returned, each on a thread of its own. No ROS here."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from threading import Condition
from typing import Any

from fsmde_core.frames import CameraImage, Frame

TIMING = "~/timing"
"""The topic, beside the cameras, on which the node answers a set."""
MAX_FRAMES = 64  # between being read and being returned, which bounds the memory
ANSWER_TIMEOUT_S = 5.0
POLL_S = 0.05


@dataclass(eq=False)
class ReplayedFrame:
    """Holds one frame, without pixels, and what came back of it.

    sent_ns: the stamp that each camera's image was sent with. answers: what the node answered, by camera and TIMING.
    """

    frame: Frame
    sent_ns: dict[str, int] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    awaited: set[str] = field(default_factory=set)
    last_sent_s: float = 0.0

    def reset(self) -> None:
        """Return to the state before the first image was sent."""
        self.sent_ns, self.answers, self.awaited = {}, {}, {*self.frame.images, TIMING}

    def is_finished(self) -> bool:
        """Return whether no more answers are to be expected."""
        all_sent = len(self.sent_ns) == len(self.frame.images)
        return not self.awaited or (all_sent and time.monotonic() - self.last_sent_s > ANSWER_TIMEOUT_S)


class ReplayTracker:
    """Matches answers with frames by the stamps that the images were sent with.

    Answers come on channels: the cameras and TIMING. One is lost when ANSWER_TIMEOUT_S have passed since the frame's
    last image, or when the same channel answers a later frame: the node works in order.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._frames: dict[int, ReplayedFrame] = {}  # by number of the frame, in order
        self._number_by_recorded: dict[tuple[str, int], int] = {}  # by camera and recorded stamp
        self._number_by_sent: dict[tuple[str, int], int] = {}  # by camera or TIMING, and the stamp it was sent with
        self._added = 0
        self._all_sent = False
        self.is_closed = False

    def add(self, frame: Frame) -> None:
        """Add a frame that was read; waits while MAX_FRAMES are under way."""
        images = {name: CameraImage(image.stamp_ns) for name, image in frame.images.items()}
        replayed = ReplayedFrame(replace(frame, images=images))
        replayed.reset()
        with self._changed:
            self._changed.wait_for(lambda: len(self._frames) < MAX_FRAMES or self.is_closed)
            number, self._added = self._added, self._added + 1
            self._frames[number] = replayed
            self._number_by_recorded |= {(name, image.stamp_ns): number for name, image in images.items()}

    def record_sent(self, camera: str, recorded_ns: int, sent_ns: int) -> None:
        with self._changed:
            number = self._number_by_recorded.get((camera, recorded_ns))
            if number is not None:
                replayed = self._frames[number]
                replayed.sent_ns[camera], replayed.last_sent_s = sent_ns, time.monotonic()
                self._number_by_sent[camera, sent_ns] = self._number_by_sent[TIMING, sent_ns] = number

    def record_answer(self, channel: str, sent_ns: int, content: Any) -> None:
        with self._changed:
            number = self._number_by_sent.get((channel, sent_ns))
            if number is None:  # an answer to somebody else
                return
            self._frames[number].answers[channel] = content
            for earlier, replayed in self._frames.items():
                if earlier <= number:
                    replayed.awaited.discard(channel)
            self._changed.notify_all()

    def wait_for_answers(self, number: int, timeout_s: float = float("inf")) -> list[str]:
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while (replayed := self._frames.get(number)) is not None and not self.is_closed:
                if replayed.is_finished() or time.monotonic() > deadline:
                    return sorted(replayed.awaited)  # the channels without an answer
                self._changed.wait(POLL_S)
        return []

    def reset_first(self) -> None:
        """Forget what was sent of the first frame, to send it again."""
        with self._changed:
            self._frames[0].reset()
            self._number_by_sent.clear()

    def next_finished(self, timeout_s: float) -> ReplayedFrame | None:
        """Remove and return the next frame in order, once it is finished; None if it is not within the time."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while time.monotonic() < deadline and not self.is_closed and not self.is_done:
                number = next(iter(self._frames), None)
                if number is not None and self._frames[number].is_finished():
                    return self._remove(number)
                self._changed.wait(POLL_S)
        return None

    def _remove(self, number: int) -> ReplayedFrame:
        replayed = self._frames.pop(number)
        for name, image in replayed.frame.images.items():
            self._number_by_recorded.pop((name, image.stamp_ns), None)
        for name, sent_ns in replayed.sent_ns.items():
            self._number_by_sent.pop((name, sent_ns), None)
            self._number_by_sent.pop((TIMING, sent_ns), None)
        self._changed.notify_all()
        return replayed

    def end(self) -> None:
        """Record that all frames were sent."""
        with self._changed:
            self._all_sent = True
            self._changed.notify_all()

    def close(self) -> None:
        """End every wait, since nobody asks for frames any more."""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()

    @property
    def is_done(self) -> bool:
        """Whether every frame was sent and returned."""
        return self._all_sent and not self._frames
