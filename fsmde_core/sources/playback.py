"""Schedules the messages of a recording, and encodes them in a thread ahead of their time. No ROS is needed here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count, islice
from threading import Condition, Thread

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.encode import Message, MessageEncoder
from fsmde_core.sources.source import Source

# Between repeats of a recording of one frame, which says nothing of its own period.
DEFAULT_PERIOD_NS = 100_000_000


@dataclass(frozen=True)
class PlaybackRate:
    """Holds a multiple of the recorded pace, `rate`, or the frames per second instead, `hz`, whatever was recorded."""

    rate: float = 1.0
    hz: float | None = None

    def __post_init__(self) -> None:
        if not self.rate > 0 or (self.hz is not None and not self.hz > 0):
            raise FsmdeError(f"rate and hz must be greater than 0, not rate {self.rate} and hz {self.hz}")


@dataclass(frozen=True, eq=False)
class TimedMessage:
    """Says when a message is due.

    frame: number of frames played before this one. due_s: seconds after the start. stamp_ns: the recorded stamp moved
    on by the repeats played before, so that time never goes back.
    """

    frame: int
    due_s: float
    stamp_ns: int
    message: Message


def timed_messages(frames: Iterable[tuple[int, list[Message]]], rate: PlaybackRate) -> Iterator[TimedMessage]:
    """Schedule messages in order of their due time, across frames that may overlap in time.

    Args:
        frames: Per frame how often the recording was repeated before, and the frame's messages in order of time.
        rate: How fast to play.

    Yields:
        The messages, the earliest due first.
    """
    pending: list[TimedMessage] = []
    for scheduled in _schedule_frames(frames, rate):
        start = scheduled[0].due_s
        yield from (message for message in pending if message.due_s <= start)
        later = [message for message in pending if message.due_s > start]
        pending = sorted(later + scheduled, key=lambda message: message.due_s)
    yield from pending


def _schedule_frames(frames: Iterable[tuple[int, list[Message]]], rate: PlaybackRate) -> Iterator[list[TimedMessage]]:
    """Schedule frame by frame. The stagger within a frame shrinks as the time between frames does, but never grows.

    A rig that fires less often spreads its exposures no more, and a set has to stay within the node's window.
    """
    frames = iter(frames)
    head = list(islice(frames, 2))
    starts = [messages[0].stamp_ns for repeat, messages in head if repeat == head[0][0]]
    period_ns = starts[1] - starts[0] if len(starts) == 2 and starts[1] > starts[0] else DEFAULT_PERIOD_NS
    stretch = 1 / rate.rate if rate.hz is None else 1e9 / (rate.hz * period_ns)
    stagger = min(stretch, 1.0)
    origin = previous = starts[0] if starts else 0
    current_repeat = shift_ns = 0
    for number, (repeat, messages) in enumerate(chain(head, frames)):
        start = messages[0].stamp_ns
        if repeat != current_repeat:
            current_repeat, shift_ns = repeat, previous + period_ns - start
        previous = start + shift_ns
        begin = (previous - origin) * 1e-9 * stretch if rate.hz is None else number / rate.hz
        due_s = [begin + (message.stamp_ns - start) * 1e-9 * stagger for message in messages]
        yield [TimedMessage(number, due, m.stamp_ns + shift_ns, m) for due, m in zip(due_s, messages, strict=True)]


def has_jpeg(source: Source) -> bool:
    """Tell whether all images of the first frame are compressed bytes."""
    return all(image.encoded for frame in source.frames(0, 1) for image in frame.images.values())


class MessagePrefetcher:
    """Encodes the messages of a source's frames ahead in a thread: decoding six large JPEGs takes too long in playback.

    Holds at most `limit_bytes` of messages (one frame at least). A looped recording that fits is encoded once and kept.
    Iterate once: (repeats before, messages of one frame). Use as a context manager; leaving it ends the thread.
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
        self._cache: list[list[Message]] | None = [] if loop else None  # None: too large to be kept
        self._done = self._full = self._closed = False
        self._error: Exception | None = None
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="message prefetcher", daemon=True)

    def __enter__(self) -> MessagePrefetcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def preload(self, on_frame: Callable[[int], object] = lambda count: None) -> None:
        """Wait until memory is full or everything is encoded; call on_frame with the number of frames ready."""
        with self._changed:
            while not self._done and not self._full:
                self._changed.wait()
                on_frame(len(self._queue))

    def __iter__(self) -> Iterator[tuple[int, list[Message]]]:
        repeat = 0
        while (entry := self._next_entry()) is not None:
            _, repeat, messages = entry
            yield repeat, messages
        if self._error is not None:
            raise self._error
        if self._cache:
            for later in count(repeat + 1):
                for messages in self._cache:
                    yield later, messages

    def _next_entry(self) -> tuple[int, int, list[Message]] | None:
        with self._changed:
            while not self._queue and not self._done:
                self._changed.wait()
            if not self._queue:
                return None
            entry = self._queue.popleft()
            if self._cache is None:
                self._bytes -= entry[0]
            self._changed.notify_all()
            return entry

    def _run(self) -> None:
        try:
            for repeat in count():
                is_empty = True
                for frame in self._source.frames(*self._frames):
                    is_empty = False
                    self._put(repeat, self._encoder.frame(frame))
                    if self._closed:
                        return
                if is_empty:
                    raise FsmdeError(f"the recording {self._source.name} has no frames in the range {self._frames}")
                if not self._loop or self._cache is not None:
                    return
        except Exception as error:  # raised again in the thread that iterates
            self._error = error
        finally:
            with self._changed:
                self._done = True
                self._changed.notify_all()

    def _put(self, repeat: int, messages: list[Message]) -> None:
        size = sum(len(message.data) for message in messages)
        with self._changed:
            if self._cache is not None and self._bytes + size > self._limit:
                self._cache = None
                self._bytes = sum(queued for queued, _, _ in self._queue)
            while self._queue and self._bytes + size > self._limit and not self._closed:
                self._full = True
                self._changed.notify_all()
                self._changed.wait()
            self._queue.append((size, repeat, messages))
            self._bytes += size
            if self._cache is not None:
                self._cache.append(messages)
            self._changed.notify_all()
