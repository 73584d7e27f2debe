"""Plays a recording into live topics, at its own pace or another, with the stagger of its exposures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from fsmde_core.messages.encode import TF_STATIC_TOPIC, Message, restamp
from fsmde_core.sources.playback import TimedMessage

# A player that falls behind by more than this goes on from there; it does not catch up in a burst.
MAX_LAG_S = 0.5
CLOCK_PERIOD_S = 0.01


@dataclass(frozen=True)
class PlayerSettings:
    """Chooses stamps and reliability.

    live_stamps: the time of publishing instead of the recorded one (which goes out on /clock as well).
    jump_back: each round of a loop starts again with the recorded stamps, as a looped `ros2 bag play` does.
    best_effort: reliability of the publishers; reliable ones serve both kinds of subscribers.
    """

    live_stamps: bool = False
    jump_back: bool = False
    best_effort: bool = False


class Player:
    """Publishes serialized messages on `node`; relative topics fall under the node's namespace.

    topics: topic -> message type of all that is to come (`MessageEncoder.topics`); advertised at once, so that
    subscribers are there when the first message goes out. Types that this ROS lacks are left out, with a line in the
    log. on_publish: called with every message and its stamp just before it goes out.
    """

    def __init__(
        self,
        node: Any,
        topics: Mapping[str, str],
        settings: PlayerSettings,
        on_publish: Callable[[Message, int], object] = lambda message, stamp_ns: None,
    ) -> None:
        self._node, self._settings = node, settings
        self._on_publish = on_publish
        self._publishers: dict[str, Any] = {}
        missing: dict[str, list[str]] = {}
        for topic, kind in topics.items():
            package, _, name = kind.partition("/msg/")
            try:
                message_class = getattr(import_module(f"{package}.msg"), name)
            except ImportError:
                missing.setdefault(package, []).append(topic)
                continue
            self._publishers[topic] = node.create_publisher(message_class, topic, self._profile(topic))
        for package, unplayed in missing.items():
            node.get_logger().info(f"{package} is not installed here: {' and '.join(unplayed)} will not be played")
        self._clock = None
        self._now_ns = 0
        if not settings.live_stamps:
            from rosgraph_msgs.msg import Clock

            self._clock = node.create_publisher(Clock, "/clock", 10)

    def fewest_subscribers(self) -> int:
        """Return the number of subscribers of the image topic that has the fewest."""
        return min(
            publisher.get_subscription_count() for topic, publisher in self._publishers.items() if "/image_raw" in topic
        )

    def heard_elsewhere(self) -> list[str]:
        """Return the topics of the other kind of images, raw or compressed, to which somebody listens."""
        own = [publisher.topic_name for topic, publisher in self._publishers.items() if "/image_raw" in topic]
        others = [t.removesuffix("/compressed") if t.endswith("/compressed") else f"{t}/compressed" for t in own]
        return [topic for topic in others if self._node.count_subscribers(topic)]

    def publish(self, message: Message, stamp_ns: int) -> None:
        self._on_publish(message, stamp_ns)
        publisher = self._publishers.get(message.topic)
        if publisher is not None:
            publisher.publish(restamp(message, stamp_ns))

    def play(self, messages: Iterable[TimedMessage], on_frame: Callable[[int], object] = lambda frame: None) -> int:
        """Publish every message when it is due.

        Args:
            messages: In order of due time.
            on_frame: Called with the number of each new frame; playing ends where it returns False.

        Returns:
            The number of frames begun.
        """
        begin, begin_wall_ns, frame, newest_ns = time.monotonic(), time.time_ns(), -1, 0
        for timed in messages:
            if timed.frame > frame:
                frame = timed.frame
                if on_frame(frame) is False:
                    return frame
            stamp_ns = self._stamp(timed, begin_wall_ns)
            # Frames may overlap in time, so that stamps go back a little where /clock must not.
            newest_ns = max(newest_ns, timed.stamp_ns)
            lag = self._wait(begin + timed.due_s, stamp_ns + newest_ns - timed.stamp_ns)
            if lag > MAX_LAG_S:
                begin, begin_wall_ns = begin + lag, begin_wall_ns + int(lag * 1e9)
                stamp_ns = self._stamp(timed, begin_wall_ns)
            self.publish(timed.message, stamp_ns)
        return frame + 1

    def _stamp(self, timed: TimedMessage, begin_wall_ns: int) -> int:
        if self._settings.live_stamps:
            return begin_wall_ns + int(timed.due_s * 1e9)
        return timed.message.stamp_ns if self._settings.jump_back else timed.stamp_ns

    def _wait(self, due: float, clock_ns: int) -> float:
        """Sleep until `due` (monotonic seconds) while /clock runs up to `clock_ns`; return by how much it is late."""
        whole = max(due - time.monotonic(), 1e-9)
        step_ns = max(clock_ns - self._now_ns, 0) if self._now_ns else 0
        while (left := due - time.monotonic()) > 0:
            self._tick(clock_ns - int(step_ns * left / whole))
            time.sleep(min(left, CLOCK_PERIOD_S))
        self._tick(clock_ns)
        self._now_ns = clock_ns
        return -left

    def _tick(self, stamp_ns: int) -> None:
        if self._clock is not None:
            message = self._clock.msg_type()
            message.clock.sec, message.clock.nanosec = divmod(stamp_ns, 1_000_000_000)
            self._clock.publish(message)

    def _profile(self, topic: str) -> Any:
        from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

        latched = topic == TF_STATIC_TOPIC
        best_effort = self._settings.best_effort and not latched
        return QoSProfile(
            depth=1 if latched else 5,
            reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
