"""A recording played into the running node, and what comes back of each of its frames."""

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
from typing import Any, NamedTuple

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.messages.write import COMPRESSED, IMAGE, TRANSFORMS, Message, MessageEncoder
from fsmde_core.rig.rig import Rig
from fsmde_core.sources.playback import MessagePrefetcher, PlaybackRate, timed_messages
from fsmde_core.sources.source import Source
from fsmde_ros.client.depth_listener import DepthListener
from fsmde_ros.client.node_process import NodeProcess, keep_apart, node_parameters, wait_until_ready
from fsmde_ros.client.player import Player, PlayerSettings
from fsmde_ros.client.replay_tracker import ReplayedFrame, ReplayTracker
from fsmde_ros.client.session import ros_node

PRELOAD_BYTES = 512 << 20
STEP_NS = 100_000_000  # between the sets of a replay in step
ANSWER_SECONDS = 30
LONGEST_DEADLINE_MS = 900.0
Messages = tuple[int, list[Message]]


@dataclass(frozen=True)
class NodeSettings:
    """Of the node that is started; model: None is the shipped student."""

    engine: str = "auto"
    model: Path | None = None
    threads: int = 0


@dataclass(frozen=True)
class ReplaySettings:
    """node: None evaluates one that runs already, in `namespace`. hz: sets per second in real time, None waits for the
    node's answer to each. compressed: play JPEG or rgb8; None for JPEG where the recording has it.
    """

    span: tuple[int, int | None] = (0, None)
    node: NodeSettings | None = NodeSettings()
    hz: float | None = None
    compressed: bool | None = None
    namespace: str = ""

    def __post_init__(self) -> None:
        PlaybackRate(hz=self.hz)


class ReportedModel(NamedTuple):
    """See `document.ReportedModel`."""

    path: Path
    sha256: str


class ReportedEngine(NamedTuple):
    """What the node says of its engine; see `document.Runner`."""

    name: str
    device: str
    precision: str
    info: ReportedModel


@dataclass(frozen=True, eq=False)
class Replay:
    """A node that answers, and a recording on its way through it."""

    engine: ReportedEngine
    ledger: ReplayTracker
    _playing: Future[None]
    _check: Callable[[], None]

    def passages(self) -> Iterator[ReplayedFrame]:
        """Every frame that was played, in order, and what came back; FsmdeError when node or recording fail."""
        while not self.ledger.is_done:
            passage = self.ledger.take(timeout_s=0.5)
            if passage is not None:
                yield passage
            elif not self.ledger.is_done:
                self._check()
        self._playing.result()


@contextmanager
def open_replay(recording: Source, settings: ReplaySettings) -> Iterator[Replay]:
    """Start the node, or find it, and begin to play; everything is ended on the way out.

    Raises FsmdeError when the recording has no frame in the range, when the node does not start or does not answer.
    """
    if settings.node is not None:
        keep_apart()
    ledger = ReplayTracker()
    compressed = _has_jpeg(recording) if settings.compressed is None else settings.compressed
    encoder = _AnnouncingEncoder(ledger, recording.rig, compressed)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ros = stack.enter_context(ros_node("fsmde_replay", settings.namespace))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        reel = stack.enter_context(MessagePrefetcher(recording, encoder, settings.span, limit_bytes=PRELOAD_BYTES))
        stack.callback(ledger.close)
        frames = iter(reel)
        first = next(frames)
        player = _TellingPlayer(ledger, ros, _topics(encoder, settings), PlayerSettings(live_stamps=True))
        listener = DepthListener(ros, recording.rig.names, ledger)
        stack.callback(listener.close)
        node = None
        if settings.node is not None:
            parameters = _parameters(recording, encoder, settings, settings.node, scratch)
            node = stack.enter_context(NodeProcess(scratch, parameters, scratch / "node.log"))
        wait_until_ready(player, listener, node)
        check = node.check if node is not None else partial(_check_listeners, player)
        player.publish(encoder.static_transforms(0), 0)  # tf2 reads no stamp of a static transform
        engine = _warm_up(player, listener, ledger, first, check)
        yield Replay(engine, ledger, pool.submit(_play, player, ledger, chain([first], frames), settings.hz), check)


def _has_jpeg(recording: Source) -> bool:
    return all(image.encoded for frame in recording.frames(0, 1) for image in frame.images.values())


class _AnnouncingEncoder(MessageEncoder):
    """Tells the ledger of every frame that becomes messages."""

    def __init__(self, ledger: ReplayTracker, rig: Rig, compressed: bool) -> None:
        super().__init__(rig, compressed)
        self._ledger = ledger

    def frame(self, frame: Frame) -> list[Message]:
        self._ledger.announce(frame)
        return super().frame(frame)


class _TellingPlayer(Player):
    """Tells the ledger of every image that goes out."""

    def __init__(self, ledger: ReplayTracker, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._ledger = ledger

    def publish(self, message: Message, stamp_ns: int) -> None:
        camera, is_image, _ = message.topic.partition("/image_raw")
        if is_image:
            self._ledger.sending(camera, message.stamp_ns, stamp_ns)
        super().publish(message, stamp_ns)


def _topics(encoder: MessageEncoder, settings: ReplaySettings) -> dict[str, str]:
    """What is played; a node that is started here has the mounts in its rig file."""
    return {t: kind for t, kind in encoder.topics.items() if settings.node is None or kind != TRANSFORMS}


def _parameters(
    recording: Source, encoder: MessageEncoder, settings: ReplaySettings, node: NodeSettings, folder: Path
) -> dict[str, Any]:
    """In step nothing but the node itself may lose an image: not the transport, nor a machine that is busy."""
    parameters = node_parameters(recording.rig, folder, node.engine, node.model, node.threads)
    images = {topic: kind for topic, kind in encoder.topics.items() if kind in (IMAGE, COMPRESSED)}
    parameters["image_transport"] = "compressed" if COMPRESSED in images.values() else "raw"
    if settings.hz is None:
        parameters["sync.deadline_ms"] = LONGEST_DEADLINE_MS
        parameters |= {f"qos_overrides./{topic}.subscription.reliability": "reliable" for topic in images}
    return parameters


def _check_listeners(player: Player) -> None:
    if player.subscribers() < 1:
        raise FsmdeError("the node is gone: it does not listen to all of the rig's images any more")


def _warm_up(
    player: Player, listener: DepthListener, ledger: ReplayTracker, first: Messages, check: Callable[[], None]
) -> ReportedEngine:
    """Send the first set until it was answered on every topic: connections stand from then on. It does not count."""
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
        missing = ledger.wait(0, timeout_s=1.0)
        time.sleep(0.2)
        node = listener.statuses.get("node")
    ledger.restart()
    values = node.values
    model = ReportedModel(Path(values["model"]), values["model_sha256"])
    return ReportedEngine(values["engine"], values["device"], values["precision"], model)


def _play(player: Player, ledger: ReplayTracker, frames: Iterable[Messages], hz: float | None) -> None:
    try:
        if hz is None:
            _play_in_step(player, ledger, frames)
        else:
            player.play(timed_messages(frames, PlaybackRate(hz=hz)), lambda _: not ledger.is_closed)
    finally:
        ledger.end()


def _play_in_step(player: Player, ledger: ReplayTracker, frames: Iterable[Messages]) -> None:
    """Each set at once, with its recorded stagger in its stamps, after the answer to the one before."""
    stamp_ns = time.time_ns()
    for number, (_, messages) in enumerate(frames):
        begin_ns = messages[0].stamp_ns
        for message in messages:
            player.publish(message, stamp_ns + message.stamp_ns - begin_ns)
        ledger.wait(number)
        if ledger.is_closed:
            return
        stamp_ns += messages[-1].stamp_ns - begin_ns + STEP_NS
