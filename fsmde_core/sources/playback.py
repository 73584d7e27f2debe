"""When each message of a recording is due, and the thread that makes messages ahead of their time. No ROS here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count, islice
from threading import Condition, Thread

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.write import Message, MessageEncoder
from fsmde_core.sources.source import Source

# Between rounds of a recording of one frame, which says nothing of its own period.
DEFAULT_PERIOD_NS = 100_000_000


@dataclass(frozen=True)
class PlaybackRate:
    """rate: multiple of the recorded pace. hz: frames per second instead, whatever the recording's own."""

    rate: float = 1.0
    hz: float | None = None

    def __post_init__(self) -> None:
        if not self.rate > 0 or (self.hz is not None and not self.hz > 0):
            raise FsmdeError(f"rate and hz must be greater than 0, not rate {self.rate} and hz {self.hz}")


@dataclass(frozen=True, eq=False)
class TimedMessages:
    """A message and when it is due.

    frame: number of frames played before this one. due_s: seconds after the start. stamp_ns: the recorded stamp moved
    on by the rounds played before, so that time never goes back.
    """

    frame: int
    due_s: float
    stamp_ns: int
    message: Message


def timed_messages(frames: Iterable[tuple[int, list[Message]]], pace: PlaybackRate) -> Iterator[TimedMessages]:
    """Cues in order of due time, of (round, messages of one frame in order of time): frames may overlap in time."""
    pending: list[TimedMessages] = []
    for placed in _place(frames, pace):
        start = placed[0].due_s
        yield from (cue for cue in pending if cue.due_s <= start)
        pending = sorted([cue for cue in pending if cue.due_s > start] + placed, key=lambda cue: cue.due_s)
    yield from pending


def _place(frames: Iterable[tuple[int, list[Message]]], pace: PlaybackRate) -> Iterator[list[TimedMessages]]:
    """Each frame's cues. The stagger within a frame shrinks as the time between frames does, but never grows.

    A rig that fires less often spreads its exposures no more, and a set has to stay within the node's window.
    """
    frames = iter(frames)
    head = list(islice(frames, 2))
    starts = [messages[0].stamp_ns for played, messages in head if played == head[0][0]]
    period_ns = starts[1] - starts[0] if len(starts) == 2 and starts[1] > starts[0] else DEFAULT_PERIOD_NS
    stretch = 1 / pace.rate if pace.hz is None else 1e9 / (pace.hz * period_ns)
    stagger = min(stretch, 1.0)
    origin = previous = starts[0] if starts else 0
    this_round = shift = 0
    for number, (played, messages) in enumerate(chain(head, frames)):
        start = messages[0].stamp_ns
        if played != this_round:
            this_round, shift = played, previous + period_ns - start
        previous = start + shift
        begin = (previous - origin) * 1e-9 * stretch if pace.hz is None else number / pace.hz
        yield [
            TimedMessages(
                number, begin + (message.stamp_ns - start) * 1e-9 * stagger, message.stamp_ns + shift, message
            )
            for message in messages
        ]


class MessagePrefetcher:
    """Messages of a source's frames, made ahead by a thread: JPEG decoding of six large images is no work for playtime.

    Holds at most `limit_bytes` of messages (one frame at least). A looped recording that fits is made once and kept.
    Iterate once: (round, messages of one frame). Use as a context manager; leaving it ends the thread.
    """

    def __init__(
        self,
        source: Source,
        encoder: MessageEncoder,
        frames: tuple[int, int | None] = (0, None),
        loop: bool = False,
        limit_bytes: int = 1 << 30,
    ) -> None:
        self._source, self._encoder, self._frames, self._loop = source, encoder, frames, loop
        self._limit = limit_bytes
        self._queue: deque[tuple[int, int, list[Message]]] = deque()
        self._bytes = 0
        self._kept: list[list[Message]] | None = [] if loop else None
        self._done = self._full = self._closed = False
        self._error: Exception | None = None
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="reel", daemon=True)

    def __enter__(self) -> MessagePrefetcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def fill(self, on_frame: Callable[[int], object] = lambda made: None) -> None:
        """Wait until memory is full or everything is made; on_frame is told how many frames are ready."""
        with self._changed:
            while not self._done and not self._full:
                self._changed.wait()
                on_frame(len(self._queue))

    def __iter__(self) -> Iterator[tuple[int, list[Message]]]:
        played = 0
        while (entry := self._take()) is not None:
            _, played, messages = entry
            yield played, messages
        if self._error is not None:
            raise self._error
        if self._kept:
            for again in count(played + 1):
                for messages in self._kept:
                    yield again, messages

    def _take(self) -> tuple[int, int, list[Message]] | None:
        with self._changed:
            while not self._queue and not self._done:
                self._changed.wait()
            if not self._queue:
                return None
            entry = self._queue.popleft()
            if self._kept is None:
                self._bytes -= entry[0]
            self._changed.notify_all()
            return entry

    def _run(self) -> None:
        try:
            for played in count():
                made = False
                for frame in self._source.frames(*self._frames):
                    made = True
                    self._put(played, self._encoder.frame(frame))
                    if self._closed:
                        return
                if not made:
                    raise FsmdeError(f"the recording {self._source.name} has no frames in the range {self._frames}")
                if not self._loop or self._kept is not None:
                    return
        except Exception as error:  # raised where the frames are taken
            self._error = error
        finally:
            with self._changed:
                self._done = True
                self._changed.notify_all()

    def _put(self, played: int, messages: list[Message]) -> None:
        size = sum(len(message.data) for message in messages)
        with self._changed:
            if self._kept is not None and self._bytes + size > self._limit:
                self._kept = None
                self._bytes = sum(waiting for waiting, _, _ in self._queue)
            while self._queue and self._bytes + size > self._limit and not self._closed:
                self._full = True
                self._changed.notify_all()
                self._changed.wait()
            self._queue.append((size, played, messages))
            self._bytes += size
            if self._kept is not None:
                self._kept.append(messages)
            self._changed.notify_all()
