"""The player over real DDS: what subscribers get is the recording, at its pace, with the stamps asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from fsmde_core.messages.encode import Message, MessageEncoder
from fsmde_core.messages.point_cloud import read_xyz
from fsmde_core.messages.read import raw_image, stamp_ns
from fsmde_core.sources.playback import MessagePrefetcher, PlaybackRate, TimedMessage, timed_messages
from fsmde_ros.client.player import Player, PlayerSettings
from fsmde_ros.client.session import ros_node
from fsmde_ros.middleware.domain import claim_domain
from support.small_rig import SmallRig

FILM = SmallRig(frames=4)


@pytest.fixture(autouse=True)
def own_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(claim_domain()))


class Listener:
    """Everything that comes on a few topics, by topic, in a thread of its own."""

    def __init__(self, node: Any, topics: dict[str, Any], reliable: bool) -> None:
        self.got: dict[str, list[Any]] = {topic: [] for topic in topics}
        self.subscriptions = []
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        for topic, kind in topics.items():
            profile = QoSProfile(depth=100, reliability=policy)
            self.subscriptions.append(node.create_subscription(kind, topic, self.got[topic].append, profile))
        self.executor = SingleThreadedExecutor(context=node.context)
        self.executor.add_node(node)
        self.thread = Thread(target=self.executor.spin, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.executor.shutdown()
        self.thread.join()


def play(
    topics: dict[str, Any], settings: PlayerSettings, pace: PlaybackRate, frames: int = 4, compressed: bool = False,
) -> tuple[dict[str, list[Any]], float]:  # fmt: skip
    """(what a listener got of `frames` frames, seconds that playing took)."""
    encoder = MessageEncoder(FILM.rig, compressed)
    with ros_node("listener", "car") as there, ros_node("player", "car") as here:
        listener = Listener(there, topics, reliable=not settings.best_effort)
        player = Player(here, encoder.topics, settings)
        _until(lambda: all(here.count_subscribers(s.topic_name) for s in listener.subscriptions))
        with MessagePrefetcher(FILM, encoder, loop=True) as prefetcher:
            begin = time.monotonic()
            player.play(timed_messages(prefetcher, pace), on_frame=lambda frame: frame < frames)
            took = time.monotonic() - begin
        _until(lambda: len(listener.got[next(iter(topics))]) >= frames)
        listener.close()
    return listener.got, took


def _until(condition: Any) -> None:
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def truth() -> Iterator[Any]:
    return FILM.frames()


def test_recorded_images_and_lidar_arrive_unchanged() -> None:
    topics = {"left/image_raw": Image, "left/camera_info": CameraInfo, "lidar/points": PointCloud2}
    got, _ = play(topics, PlayerSettings(), PlaybackRate(hz=40))
    frames = list(truth())
    images = got["left/image_raw"]
    assert [stamp_ns(m.header.stamp) for m in images] == [f.images["left"].stamp_ns for f in frames]
    for message, frame in zip(images, frames, strict=True):
        np.testing.assert_array_equal(raw_image(message).pixels(), frame.images["left"].pixels)
    assert [stamp_ns(m.header.stamp) for m in got["left/camera_info"]] == [stamp_ns(m.header.stamp) for m in images]
    sweeps = [frame.lidar for frame in frames if frame.lidar]
    for message, sweep in zip(got["lidar/points"], sweeps, strict=True):
        np.testing.assert_array_equal(read_xyz(message), sweep.points)


def test_pace_and_clock_of_the_recording() -> None:
    got, took = play(
        {"front/image_raw/compressed": CompressedImage, "/clock": Clock}, PlayerSettings(), PlaybackRate(2.0), 6, True
    )
    assert len(got["front/image_raw/compressed"]) == 6
    # The sixth frame begins 0.5 s after the first; then its first and the fifth's last message end the play.
    assert 0.2 < took < 0.6
    clock = [stamp_ns(message.clock) for message in got["/clock"]]
    assert clock == sorted(clock)
    assert np.diff(clock).max() < 100_000_000


@pytest.mark.parametrize("jump_back", [False, True])
def test_loop_goes_on_or_jumps_back(jump_back: bool) -> None:
    topic = "front/image_raw"
    got, _ = play({topic: Image}, PlayerSettings(jump_back=jump_back), PlaybackRate(hz=50), frames=9)
    steps = np.diff([stamp_ns(message.header.stamp) for message in got[topic]]) // 1_000_000
    expected = [100] * 8
    if jump_back:
        expected[3] = expected[7] = -300
    assert steps.tolist() == expected


def test_live_stamps_are_the_present() -> None:
    begin = time.time_ns()
    settings = PlayerSettings(live_stamps=True, best_effort=True)
    got, _ = play({"back/image_raw": Image, "front/image_raw": Image}, settings, PlaybackRate(hz=20))
    back = [stamp_ns(message.header.stamp) for message in got["back/image_raw"]]
    front = [stamp_ns(message.header.stamp) for message in got["front/image_raw"]]
    assert begin < front[0] < time.time_ns()
    # 30 ms of stagger at 10 Hz are 15 ms at 20 Hz.
    assert np.subtract(back, front).tolist() == pytest.approx([15e6] * len(back), abs=1e3)


def test_the_clock_stands_still_where_frames_overlap() -> None:
    """A sweep of the first frame is stamped after the second frame's begin, but goes out before it."""
    stamps = {(0, 0.0): 1000, (0, 0.1): 1118, (1, 0.2): 1100, (1, 0.3): 1120}
    played = [
        TimedMessage(frame, due, ms * 10**6, Message("t", "x", ms * 10**6, b"")) for (frame, due), ms in stamps.items()
    ]
    with ros_node("listener") as there, ros_node("player") as here:
        listener = Listener(there, {"/clock": Clock}, reliable=True)
        player = Player(here, {}, PlayerSettings())
        _until(lambda: here.count_subscribers("/clock"))
        time.sleep(0.2)
        player.play(played)
        _until(lambda: listener.got["/clock"] and stamp_ns(listener.got["/clock"][-1].clock) == 1120 * 10**6)
        listener.close()
    clock = [stamp_ns(message.clock) for message in listener.got["/clock"]]
    assert clock == sorted(clock)
    assert clock[-1] == 1120 * 10**6
