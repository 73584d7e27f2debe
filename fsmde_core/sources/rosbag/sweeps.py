"""Finds the lidar sweep of each image set, and says of every other sweep why it belongs to none."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.encode import CLOUD
from fsmde_core.messages.point_cloud import read_points
from fsmde_core.messages.read import checked_stamp
from fsmde_core.sources.rosbag.ledger import IMAGES, SWEEPS, WRONG_CLOCK_NS, LeftOut, PassCounts
from fsmde_core.sources.rosbag.sensors import UnusableMessageError, deserialized, first_fault, unusable
from fsmde_core.sources.rosbag.storage.records import BagMessage
from fsmde_core.sources.rosbag.transforms import LIMIT_NS

# A sweep belongs to a set when it is at most half a period of a 10 Hz lidar away; with poses, half its own period.
NEAR_NS = 50_000_000
FAR_NS = 250_000_000
_PERIODS = 9  # that the median is taken of


class Period:
    """Measures the period of a sensor from its latest stamps."""

    def __init__(self) -> None:
        self._gaps: deque[int] = deque(maxlen=_PERIODS)
        self._stamp_ns: int | None = None

    def add(self, stamp_ns: int) -> None:
        if self._stamp_ns is not None and stamp_ns > self._stamp_ns:
            self._gaps.append(stamp_ns - self._stamp_ns)
        self._stamp_ns = stamp_ns

    @property
    def half_ns(self) -> int | None:
        return int(median(self._gaps)) // 2 if self._gaps else None


@dataclass(eq=False)
class _Sweep:
    """Holds a sweep. is_beaten: a set was near, but another sweep was nearer. ahead_ns: of the images' clock."""

    record: BagMessage
    ahead_ns: int | None
    is_used: bool = False
    is_beaten: bool = False


class Sweeps:
    """Holds the sweeps of a topic as long as a set may need them.

    With poses a sweep is brought to an image's time by the vehicle's motion, so it may be up to half a period away
    where its period is known, and that of the sets is no shorter.
    """

    def __init__(self, counts: PassCounts, has_poses: bool, wait_ns: int) -> None:
        self._counts, self._has_poses = counts, has_poses
        self._keep_ns = LIMIT_NS + 2 * (FAR_NS if has_poses else NEAR_NS) + wait_ns
        self._held: deque[_Sweep] = deque()
        self._period, self._set_period = Period(), Period()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def frames(self) -> set[str]:
        return {sweep.record.frame_id for sweep in self._held}

    @property
    def reach_ns(self) -> int:
        """How far from a set its sweep may be."""
        halves = self._halves_ns
        return max(NEAR_NS, min([*halves, FAR_NS])) if self._has_poses and len(halves) == 2 else NEAR_NS

    @property
    def _halves_ns(self) -> list[int]:
        """Half the periods of sweeps and sets, of those that are known."""
        return [half for half in (self._period.half_ns, self._set_period.half_ns) if half is not None]

    def add(self, record: BagMessage) -> None:
        """Keep a sweep that can be used, and drop those that are too old."""
        self._counts.add_read(SWEEPS, record.topic)
        try:
            _check(record)
        except UnusableMessageError as error:
            self._counts.add_left_out(LeftOut(SWEEPS, record.topic, error.reason, first_fault(record, error)))
            return
        stamp_ns, images = record.stamp_ns, self._counts.offsets_ns.get(IMAGES)
        self._held.append(_Sweep(record, None if images is None else stamp_ns - record.time_ns - images))
        self._period.add(stamp_ns)
        while self._held[0].record.time_ns < record.time_ns - self._keep_ns:
            self._drop()

    def add_set(self, stamp_ns: int) -> None:
        """Measure the period of the sets."""
        self._set_period.add(stamp_ns)

    def may_come(self, stamp_ns: int) -> bool:
        """Whether a sweep of a set may come yet: they come in order, so that only a later one shows that none will."""
        if not self._held or (self._has_poses and len(self._halves_ns) < 2):
            return True
        return self._held[-1].record.stamp_ns <= stamp_ns + self.reach_ns

    def nearest(self, stamp_ns: int) -> BagMessage | None:
        """Take the sweep of a set, each once; sweeps stay until they are too old, because stamps may jump back."""
        distance = {sweep: abs(sweep.record.stamp_ns - stamp_ns) for sweep in self._held if not sweep.is_used}
        near = sorted((s for s in distance if distance[s] <= self.reach_ns), key=lambda sweep: distance[sweep])
        for beaten in near[1:]:
            beaten.is_beaten = True
        if not near:
            return None
        if distance[near[0]] > NEAR_NS:
            self._counts.add_moved(near[0].record.topic)
        near[0].is_used = True
        return near[0].record

    def finish(self) -> None:
        """Drop all sweeps at the end of the bag."""
        while self._held:
            self._drop()

    def _drop(self) -> None:
        sweep = self._held.popleft()
        if not sweep.is_used:
            self._counts.add_left_out(self._reason(sweep))

    def _reason(self, sweep: _Sweep) -> LeftOut:
        images, record, topic = self._counts.offsets_ns.get(IMAGES), sweep.record, sweep.record.topic
        ahead_ns = record.stamp_ns - record.time_ns - (images or 0) if sweep.ahead_ns is None else sweep.ahead_ns
        if images is None:
            return LeftOut(SWEEPS, topic, "no images beside them", "there are no images beside them")
        if abs(ahead_ns) > WRONG_CLOCK_NS:
            detail = f"their stamps lie {abs(ahead_ns) * 1e-9:.1f} s from the images recorded beside them"
            return LeftOut(SWEEPS, topic, "stamps far from those of the images", detail)
        if sweep.is_beaten:
            return LeftOut(SWEEPS, topic, "another sweep is nearer to the images")
        still = "" if self._has_poses else "; without motion on /tf they cannot be moved to the images' time"
        detail = f"they lie more than {NEAR_NS * 1e-6:.0f} ms from every set of images{still}"
        return LeftOut(SWEEPS, topic, "far from every set of images", detail)


def _check(record: BagMessage) -> None:
    """Judge all of a sweep but its points; raises UnusableMessageError."""
    with unusable("damaged"):
        message, stamp_ns, _ = deserialized(record, CLOUD), record.stamp_ns, record.frame_id
    with unusable("no stamp"):
        checked_stamp(stamp_ns, "sweep", "the time of the sweep")
    with unusable("no points"):
        if int(message.width) * int(message.height) == 0:
            raise FsmdeError("it has no points")
    with unusable("points that do not fit their description"):
        read_points(message)
