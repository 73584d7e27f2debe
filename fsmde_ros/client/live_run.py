"""Plays a recording into the real node over real DDS and returns what comes out, for the demo and the benchmark."""

from __future__ import annotations

import re
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fsmde_core.engines.timing import percentiles
from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.messages.encode import TRANSFORMS, Message, MessageEncoder
from fsmde_core.sources.playback import MessagePrefetcher, PlaybackRate, timed_messages
from fsmde_core.sources.source import IndexedSource, Source
from fsmde_ros.client.listener import NodeStatus, OutputCollector, wait_until_ready
from fsmde_ros.client.node_process import NodeProcess, node_parameters
from fsmde_ros.client.player import Player, PlayerSettings
from fsmde_ros.client.session import ros_node
from fsmde_ros.middleware.domain import isolate_domain

if TYPE_CHECKING:
    from rich.console import Console

READ_SECONDS = 15
WARM_UP_SECONDS = 3.0  # peers find each other, pages and buffers are made; not measured
MAX_PRELOAD_BYTES = 2 << 30


@dataclass(frozen=True)
class LiveRunSettings:
    """Chooses how the recording is played, and into which node.

    seconds: how long it is played. rate: sets per second. model: None is the shipped student. threads: of engine and
    preprocessing, 0 for their own choice. keep_s: seconds of outputs that are kept.
    """

    seconds: float = 12.0
    rate: float = 10.0
    engine: str = "auto"
    model: Path | None = None
    threads: int = 0
    keep_s: float = 0.0

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.rate > 0):
            raise FsmdeError(f"seconds and rate must be greater than 0, not {self.seconds} and {self.rate}")


class SentImage(NamedTuple):
    """Describes a message that was played: its topic, the recorded stamp and the one that it was sent with."""

    topic: str
    recorded_ns: int
    sent_ns: int


@dataclass(frozen=True, eq=False)
class LiveRun:
    """Holds what was played and what came out.

    recording: the frames that were played, in memory. statuses: of /diagnostics, by part of the node. outputs:
    serialized, those of the last seconds. sent: every message that was played.
    """

    recording: Source
    statistics: LiveStatistics
    statuses: dict[str, NodeStatus]
    outputs: list[Message]
    sent: list[SentImage]


def run_live(recording: Source, settings: LiveRunSettings, log: Path, console: Console) -> LiveRun:
    """Start the node, play a recording into it with a line per second, and end it.

    Args:
        recording: Its first frames are played, in a loop.
        settings: How, and into which node.
        log: File for the node's log.
        console: Where the lines go.

    Returns:
        What was played and what came out.

    Raises:
        FsmdeError: The node does not start, ends early or processes nothing.
    """
    isolate_domain()
    recording = _excerpt(recording, console)
    encoder = MessageEncoder(recording.rig, compressed=False)
    topics = {topic: kind for topic, kind in encoder.topics.items() if kind != TRANSFORMS}  # the rig file has mounts
    sent: list[SentImage] = []

    def on_publish(message: Message, stamp_ns: int) -> None:
        sent.append(SentImage(message.topic, message.stamp_ns, stamp_ns))

    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        parameters = node_parameters(recording.rig, scratch, settings.engine, settings.model, settings.threads)
        node = stack.enter_context(NodeProcess(scratch, parameters, log))
        ros = stack.enter_context(ros_node("fsmde_player"))
        player = Player(ros, topics, PlayerSettings(live_stamps=True), on_publish)
        collector = OutputCollector(ros, recording.rig.names, settings.keep_s)
        stack.callback(collector.close)
        played_sets = max(1, round(settings.seconds * settings.rate))
        statistics = LiveStatistics(collector, played_sets, len(recording.rig.names))
        prefetcher = stack.enter_context(
            MessagePrefetcher(recording, encoder, loop=True, limit_bytes=2 * MAX_PRELOAD_BYTES)
        )
        with console.status(f"Starting the node, reading {recording.name}") as status:
            prefetcher.preload(lambda n: status.update(f"Starting the node, reading {recording.name}: {n} frames"))
            status.update("Waiting for the node")
            wait_until_ready(player, collector, node)
        _play(console, prefetcher, node, player, statistics, settings)
        time.sleep(0.5)  # the last set is still on its way
    if not statistics.timings:
        raise FsmdeError(f"the node processed no set of images; the end of its log:\n{node.log_tail()}")
    return LiveRun(recording, statistics, collector.statuses, collector.outputs, sent)


class RecordingExcerpt(IndexedSource):
    """Holds the first frames of a recording in memory."""

    def __init__(self, name: str, frames: list[Frame]) -> None:
        self.name, self.rig, self._frames = name, frames[0].rig, frames

    def __len__(self) -> int:
        return len(self._frames)

    def frame(self, index: int) -> Frame:
        return self._frames[index]


def _excerpt(recording: Source, console: Console) -> RecordingExcerpt:
    """Read as many frames as fit into memory as uncompressed images, for READ_SECONDS at most.

    Decoding and drawing while the demo plays would take the node's cores.
    """
    from rich.progress import track

    size = sum(3 * camera.width * camera.height for camera in recording.rig.cameras)
    free_kib = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    limit = min(MAX_PRELOAD_BYTES, int(free_kib[1]) * 1024 // 4) if free_kib else MAX_PRELOAD_BYTES
    count = max(1, min(len(recording), limit // size))
    frames, deadline = [], time.monotonic() + READ_SECONDS
    reading = recording.frames(0, count)
    for frame in track(reading, f"Reading {recording.name}", count, console=console, transient=True):
        frames.append(frame)
        if time.monotonic() > deadline:
            break
    if not frames:
        raise FsmdeError(f"the recording {recording.name} has no frames")
    return RecordingExcerpt(recording.name, frames)


def _play(
    console: Console,
    prefetcher: MessagePrefetcher,
    node: NodeProcess,
    player: Player,
    statistics: LiveStatistics,
    settings: LiveRunSettings,
) -> None:
    """Play the warm-up, then the measured sets, with a line per second."""
    console.print(f"Playing {settings.rate:g} sets per second; latency from the last image's arrival to publication")
    warm_up, per_line = (max(1, round(seconds * settings.rate)) for seconds in (WARM_UP_SECONDS, 1.0))

    def on_frame(frame: int) -> bool:
        played = frame - warm_up
        if played == 0:
            statistics.start()
        if played >= 0:
            statistics.begin_set()
        if played > 0 and played % per_line == 0:
            node.check()
            console.print(statistics.progress_line(played / settings.rate))
        return played < statistics.played_sets

    player.play(timed_messages(prefetcher, PlaybackRate(hz=settings.rate)), on_frame)


class LiveStatistics:
    """Measures the sets played after the warm-up. A set that is not processed with every camera counts as dropped."""

    def __init__(self, collector: OutputCollector, played_sets: int, cameras: int) -> None:
        self._collector = collector
        self._cameras = cameras
        self._start_ns = self._reported_sets = 0
        self._begun_ns: list[int] = []
        self._reported_s = 0.0
        self.played_sets = played_sets

    def start(self) -> None:
        """Count sets from now on."""
        self._start_ns, self._reported_s = time.time_ns(), time.monotonic()

    def begin_set(self) -> None:
        """Mark the time from which on images have the stamps of a new set."""
        self._begun_ns.append(time.time_ns())

    @property
    def dropped_sets(self) -> int:
        """The number of sets so far that cannot become complete any more: the node has finished a later one."""
        timings = self.timings
        begun = sum(begun_ns <= timings[-1]["stamp_ns"] for begun_ns in self._begun_ns) if timings else 0
        return max(0, begun - self.complete_sets)

    @property
    def complete_sets(self) -> int:
        """The number of sets that were processed with every camera."""
        return len(self._complete_of(self.timings))

    @property
    def timings(self) -> list[dict[str, float]]:
        return [timing for timing in self._collector.timings() if timing["stamp_ns"] >= self._start_ns]

    @property
    def sets_per_s(self) -> float:
        """The rate at which the results of complete sets arrived here."""
        timings = self._complete_of(self.timings)
        span = timings[-1]["received_s"] - timings[0]["received_s"] if timings else 0.0
        return round((len(timings) - 1) / span, 2) if span > 0 else 0.0

    def stage_medians(self) -> dict[str, float]:
        """Return stage -> median milliseconds."""
        timings = self.timings
        stages = [key for key in timings[0] if key.endswith("_ms") and key not in ("end_to_end_ms", "skew_ms")]
        return {stage.removesuffix("_ms"): _percentiles(timings, stage, (50,))["p50"] for stage in stages}

    def end_to_end(self) -> dict[str, float]:
        """Return p50, p95, p99 of the milliseconds from the arrival of a set's last image to its last publication."""
        return _percentiles(self.timings, "end_to_end_ms", (50, 95, 99))

    def progress_line(self, seconds: float) -> str:
        timings, now = self.timings, time.monotonic()
        new = timings[self._reported_sets :]
        rate = len(self._complete_of(new)) / (now - self._reported_s)
        self._reported_sets, self._reported_s = len(timings), now
        p50, p99 = _percentiles(new, "end_to_end_ms", (50, 99)).values()
        latency = f"p50 {p50:4.0f} ms   p99 {p99:4.0f} ms" if new else "nothing processed yet"
        return f"{seconds:4.0f} s   {rate:4.1f} sets/s   {latency}   dropped {self.dropped_sets}"

    def _complete_of(self, timings: list[dict[str, float]]) -> list[dict[str, float]]:
        return [timing for timing in timings if timing["cameras"] == self._cameras]


def _percentiles(timings: list[dict[str, float]], key: str, shares: tuple[int, ...]) -> dict[str, float]:
    """Compute percentiles of one value of the timings that have it, to 0.1."""
    found = percentiles([timing[key] for timing in timings if key in timing], shares)
    return {name: round(value, 1) for name, value in found.items()}
