"""Frames on their way through the node: read, sent, answered, taken, each on a thread of its own. No ROS here."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from threading import Condition
from typing import Any

from fsmde_core.frames import CameraImage, Frame

TIMING = "~/timing"
"""Beside the cameras, what a set is answered on."""
BACKLOG = 64  # frames between being read and being taken: what bounds the memory
PATIENCE_S = 5.0  # an answer that has not come by then is lost
POLL_S = 0.05


@dataclass(eq=False)
class ReplayedFrame:
    """One frame. frame: without pixels. sent: stamp in nanoseconds that each camera's image went out with.

    answers: what came back, by camera and TIMING.
    """

    frame: Frame
    sent: dict[str, int] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    sent_s: float = 0.0

    def begin(self) -> None:
        """As if nothing had been sent yet."""
        self.sent, self.answers, self.waiting = {}, {}, {*self.frame.images, TIMING}

    def is_over(self) -> bool:
        """Whether nothing more is to be expected."""
        complete = len(self.sent) == len(self.frame.images)
        return not self.waiting or (complete and time.monotonic() - self.sent_s > PATIENCE_S)


class ReplayTracker:
    """Matches answers with frames by the stamps that the images were sent with.

    An answer will not come any more when PATIENCE_S have passed since the frame's last image, or when the same camera
    answers a later frame: the node works in order.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._passages: dict[int, ReplayedFrame] = {}  # by number of the frame, in order
        self._recorded: dict[tuple[str, int], int] = {}  # camera and recorded stamp -> number
        self._live: dict[tuple[str, int], int] = {}  # camera or TIMING, and stamp sent with -> number
        self._announced = 0
        self._ended = self._closed = False

    def announce(self, frame: Frame) -> None:
        """A frame was read; waits while the backlog is full."""
        images = {name: CameraImage(image.stamp_ns) for name, image in frame.images.items()}
        passage = ReplayedFrame(replace(frame, images=images))
        passage.begin()
        with self._changed:
            while len(self._passages) >= BACKLOG and not self._closed:
                self._changed.wait()
            number, self._announced = self._announced, self._announced + 1
            self._passages[number] = passage
            self._recorded |= {(name, image.stamp_ns): number for name, image in images.items()}

    def sending(self, camera: str, recorded_ns: int, live_ns: int) -> None:
        """The image of `camera` recorded at one stamp goes out with another."""
        with self._changed:
            number = self._recorded.get((camera, recorded_ns))
            if number is not None:
                passage = self._passages[number]
                passage.sent[camera], passage.sent_s = live_ns, time.monotonic()
                self._live[camera, live_ns] = self._live[TIMING, live_ns] = number

    def answer(self, channel: str, live_ns: int, content: Any) -> None:
        """The node answered on `channel`, a camera or TIMING, to an image sent with that stamp; others are ignored."""
        with self._changed:
            number = self._live.get((channel, live_ns))
            if number is None:
                return
            self._passages[number].answers[channel] = content
            for earlier, passage in self._passages.items():
                if earlier <= number:
                    passage.waiting.discard(channel)
            self._changed.notify_all()

    def wait(self, number: int, timeout_s: float = float("inf")) -> list[str]:
        """Until nothing more is to be expected of a frame, by its number from 0 on; returns what is not answered."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while (passage := self._passages.get(number)) is not None and not self._closed:
                if passage.is_over() or time.monotonic() > deadline:
                    return sorted(passage.waiting)
                self._changed.wait(POLL_S)
        return []

    def restart(self) -> None:
        """Forget what was sent of the first frame, to send it again."""
        with self._changed:
            self._passages[0].begin()
            self._live.clear()

    def take(self, timeout_s: float) -> ReplayedFrame | None:
        """The next frame in order, once nothing more is to be expected of it; None if there is none within the time."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while time.monotonic() < deadline and not self._closed and not self.is_done:
                number = next(iter(self._passages), None)
                if number is not None and self._passages[number].is_over():
                    return self._remove(number)
                self._changed.wait(POLL_S)
        return None

    def _remove(self, number: int) -> ReplayedFrame:
        passage = self._passages.pop(number)
        for name, image in passage.frame.images.items():
            self._recorded.pop((name, image.stamp_ns), None)
        for name, live_ns in passage.sent.items():
            self._live.pop((name, live_ns), None)
            self._live.pop((TIMING, live_ns), None)
        self._changed.notify_all()
        return passage

    def end(self) -> None:
        """All frames were sent."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody takes any more: whoever waits goes on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def is_done(self) -> bool:
        """Whether every frame was sent and taken."""
        return self._ended and not self._passages

    @property
    def is_closed(self) -> bool:
        return self._closed
