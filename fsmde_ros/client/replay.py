"""Plays a recording into the running node and returns what comes back of each frame."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.results.document import EngineDescription
from fsmde_core.frames import Frame
from fsmde_core.messages.encode import COMPRESSED, IMAGE, TRANSFORMS, Message, MessageEncoder
from fsmde_core.rig.rig import Rig
from fsmde_core.sources.playback import MessagePrefetcher, PlaybackRate, has_jpeg, timed_messages
from fsmde_core.sources.source import Source
from fsmde_ros.client.depth_listener import DepthListener
from fsmde_ros.client.listener import wait_until_ready
from fsmde_ros.client.node_process import NodeProcess, node_parameters
from fsmde_ros.client.player import Player, PlayerSettings
from fsmde_ros.client.replay_tracker import ReplayedFrame, ReplayTracker
from fsmde_ros.client.session import ros_node
from fsmde_ros.middleware.domain import isolate_domain

PRELOAD_BYTES = 512 << 20
STEP_NS = 100_000_000  # between sets that wait for the answer to the one before
ANSWER_SECONDS = 30
LONGEST_DEADLINE_MS = 900.0
Messages = tuple[int, list[Message]]


@dataclass(frozen=True)
class NodeSettings:
    """Describes the node to start; `model` None is the shipped student."""

    engine: str = "auto"
    model: Path | None = None
    threads: int = 0


@dataclass(frozen=True)
class ReplaySettings:
    """Chooses the frames, the node and how they are played.

    span: first frame and end. node: None evaluates one that runs already, in `namespace`. hz: sets per second in real
    time, None waits for the node's answer to each. compressed: play JPEG or rgb8; None for JPEG where the recording
    has it.
    """

    span: tuple[int, int | None] = (0, None)
    node: NodeSettings | None = NodeSettings()
    hz: float | None = None
    compressed: bool | None = None
    namespace: str = ""

    def __post_init__(self) -> None:
        PlaybackRate(hz=self.hz)


@dataclass(frozen=True, eq=False)
class Replay:
    """Holds a node that answers, and a recording on its way through it."""

    engine: EngineDescription
    _tracker: ReplayTracker
    _playing: Future[None]
    _check: Callable[[], None]

    def frames(self) -> Iterator[ReplayedFrame]:
        """Yield every played frame in order, with what came back; raises FsmdeError when node or recording fail."""
        while not self._tracker.is_done:
            replayed = self._tracker.next_finished(timeout_s=0.5)
            if replayed is not None:
                yield replayed
            elif not self._tracker.is_done:
                self._check()
        self._playing.result()


@contextmanager
def open_replay(recording: Source, settings: ReplaySettings) -> Iterator[Replay]:
    """Start the node, or find it, and begin to play; everything ends with the context.

    Args:
        recording: What to play.
        settings: How, and into which node.

    Yields:
        The replay.

    Raises:
        FsmdeError: The recording has no frame in the range, or the node does not start or answer.
    """
    if settings.node is not None:
        isolate_domain()
    tracker = ReplayTracker()
    compressed = has_jpeg(recording) if settings.compressed is None else settings.compressed
    encoder = _TrackingEncoder(tracker, recording.rig, compressed)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        node = None
        if settings.node is not None:
            parameters = _parameters(recording, encoder, settings, settings.node, scratch)
            node = stack.enter_context(NodeProcess(scratch, parameters, scratch / "node.log"))
        ros = stack.enter_context(ros_node("fsmde_replay", settings.namespace))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        prefetcher = stack.enter_context(
            MessagePrefetcher(recording, encoder, settings.span, limit_bytes=PRELOAD_BYTES)
        )
        stack.callback(tracker.close)
        frames = iter(prefetcher)
        first = next(frames)
        topics = encoder.topics
        if settings.node is not None:  # it has the mounts in its rig file
            topics = {topic: kind for topic, kind in topics.items() if kind != TRANSFORMS}
        player = Player(ros, topics, PlayerSettings(live_stamps=True), partial(_record_sent, tracker))
        listener = DepthListener(ros, recording.rig.names, tracker)
        stack.callback(listener.close)
        wait_until_ready(player, listener, node)
        check = node.check if node is not None else partial(_check_listeners, player)
        player.publish(encoder.static_transforms(0), 0)  # tf2 reads no stamp of a static transform
        engine = _warm_up(player, listener, tracker, first, check)
        yield Replay(engine, tracker, pool.submit(_play, player, tracker, chain([first], frames), settings.hz), check)


class _TrackingEncoder(MessageEncoder):
    """Adds every frame that becomes messages to the tracker."""

    def __init__(self, tracker: ReplayTracker, rig: Rig, compressed: bool) -> None:
        super().__init__(rig, compressed)
        self._tracker = tracker

    def frame(self, frame: Frame) -> list[Message]:
        self._tracker.add(frame)
        return super().frame(frame)


def _record_sent(tracker: ReplayTracker, message: Message, stamp_ns: int) -> None:
    camera, is_image, _ = message.topic.partition("/image_raw")
    if is_image:
        tracker.record_sent(camera, message.stamp_ns, stamp_ns)


def _parameters(
    recording: Source, encoder: MessageEncoder, settings: ReplaySettings, node: NodeSettings, folder: Path
) -> dict[str, Any]:
    """Make the node's parameters; without `hz` only the node may lose images, not the transport or a busy machine."""
    parameters = node_parameters(recording.rig, folder, node.engine, node.model, node.threads)
    images = {topic: kind for topic, kind in encoder.topics.items() if kind in (IMAGE, COMPRESSED)}
    parameters["image_transport"] = "compressed" if COMPRESSED in images.values() else "raw"
    if settings.hz is None:
        parameters["sync.deadline_ms"] = LONGEST_DEADLINE_MS
        parameters |= {f"qos_overrides./{topic}.subscription.reliability": "reliable" for topic in images}
    return parameters


def _check_listeners(player: Player) -> None:
    if player.fewest_subscribers() < 1:
        raise FsmdeError("the node is gone: it does not listen to all of the rig's images any more")


def _warm_up(
    player: Player, listener: DepthListener, tracker: ReplayTracker, first: Messages, check: Callable[[], None]
) -> EngineDescription:
    """Send the first set until it is answered on every topic, as all connections then stand; it does not count."""
    deadline = time.monotonic() + ANSWER_SECONDS
    missing, node = ["node"], listener.statuses.get("node")
    while missing or node is None or "engine" not in node.values:
        check()
        if time.monotonic() > deadline:
            raise FsmdeError(
                f"after {ANSWER_SECONDS} s the node has not answered the first set of images on {missing}; "
                "it must be active, and know these cameras and the encoding of their images"
            )
        stamp_ns = time.time_ns()
        for message in first[1]:
            player.publish(message, stamp_ns)
        missing = tracker.wait_for_answers(0, timeout_s=1.0)
        time.sleep(0.2)
        node = listener.statuses.get("node")
    tracker.reset_first()
    values = node.values
    model = Path(values["model"]).name
    return EngineDescription(values["engine"], values["device"], values["precision"], model, values["model_sha256"])


def _play(player: Player, tracker: ReplayTracker, frames: Iterable[Messages], hz: float | None) -> None:
    try:
        if hz is None:
            _play_in_step(player, tracker, frames)
        else:
            player.play(timed_messages(frames, PlaybackRate(hz=hz)), lambda _: not tracker.is_closed)
    finally:
        tracker.end()


def _play_in_step(player: Player, tracker: ReplayTracker, frames: Iterable[Messages]) -> None:
    """Send each set at once after the answer to the one before, with the recorded stagger in its stamps."""
    stamp_ns = time.time_ns()
    for number, (_, messages) in enumerate(frames):
        begin_ns = messages[0].stamp_ns
        for message in messages:
            player.publish(message, stamp_ns + message.stamp_ns - begin_ns)
        tracker.wait_for_answers(number)
        if tracker.is_closed:
            return
        stamp_ns += messages[-1].stamp_ns - begin_ns + STEP_NS
