"""Judges the clocks of several cameras by the arrival of their images: which agree, and which camera is out of step.

The lead of an image is its stamp minus its arrival. Cameras whose clocks agree have leads that differ by their latency
alone, so that the largest lead of the last `jump_ms`, that of the image with the least latency, tells a camera's clock.
The reference is the middle of the most cameras whose leads lie within one deadline of each other: what lies further
from it cannot be in one set with them, whether its clock is not set or its delivery takes too long.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from enum import Enum

GAPS = 8
"""Gaps between stamps of which the shortest is a camera's period: it withstands the loss of most images."""
ALONE = 5
"""Sets in a row without any other camera, after which a camera is out of step."""

_NEVER = -(1 << 62)


class Step(Enum):
    """Says how the images of a camera stand to those of most cameras; only those in step may open a set."""

    IN = "in step"
    AHEAD = "has stamps further ahead than the window"
    BEHIND = "has stamps further behind than the window, by its clock or its delivery"
    UNEVEN = "sends faster or slower than most"
    ALONE = "has stamps that are never within the window of another camera's"
    OFF = "has stamps that cannot be in one set with the others'"


class CameraClock:
    """Follows one camera: the lead of its stamps, and its period. All times are integers in nanoseconds."""

    __slots__ = (
        "accepted",
        "alone_ns",
        "arrived",
        "earliest_next",
        "gaps",
        "last_lead",
        "lead",
        "leads",
        "off_in_row",
        "period",
        "sets_alone",
        "stamp",
        "step",
    )

    def __init__(self) -> None:
        self.step = Step.IN
        self.stamp: int | None = None
        self.accepted: int | None = None  # newest stamp that was in a group
        self.arrived = self.alone_ns = _NEVER
        self.last_lead = self.lead = self.period = self.earliest_next = self.sets_alone = self.off_in_row = 0
        self.gaps: deque[int] = deque(maxlen=GAPS)
        self.leads: deque[tuple[int, int]] = deque()  # (arrival, lead), falling: the first is the largest

    def hear(self, stamp: int, now: int, horizon: int) -> None:
        """Take the stamp of an image.

        Args:
            stamp, now: The image's stamp, and its arrival.
            horizon: How long its lead counts.
        """
        lead, leads, gaps = stamp - now, self.leads, self.gaps
        if self.stamp is not None:
            gap = stamp - self.stamp
            if gap < 0:  # the clock was set back
                leads.clear()
            elif 0 < gap <= horizon:
                gaps.append(gap)
                self.period = min(gaps)
        while leads and leads[-1][1] <= lead:
            leads.pop()
        leads.append((now, lead))
        self.last_lead = lead
        self.lead_since(now - horizon)
        self.stamp, self.arrived = stamp, now
        self.earliest_next = stamp + self.period - (self.period >> 3)

    def lead_since(self, arrival: int) -> int:
        """Forget leads from before an arrival, and return the largest that is left; there must be one."""
        leads = self.leads
        while leads[0][0] < arrival:
            leads.popleft()
        self.lead = leads[0][1]
        return self.lead


class Clocks:
    """Compares the clocks of all cameras. window, deadline and jump are nanoseconds, as `SyncSettings` has them."""

    def __init__(self, cameras: Iterable[str], window: int, deadline: int, jump: int) -> None:
        self.by_camera = {name: CameraClock() for name in cameras}
        self.reference = 0
        self.most_lead = deadline  # of what most cameras can send by the deadline
        self._all = list(self.by_camera.values())
        self._window, self._deadline, self._jump = window, deadline, jump
        self._period = 0  # of most cameras
        self._leads_agree = self._periods_agree = False  # those of more than half of the cameras
        self._last_company = _NEVER  # arrival of the last set of two or more cameras
        self._misfits = 0  # images in a row that did not fit the last vote
        self._lonely: dict[str, CameraClock] = {}  # alone in their last set
        self._start = self._latest = _NEVER  # arrivals: of the first image, of the latest
        self._next_lead_vote = self._next_period_vote = _NEVER

    def judge(self, clock: CameraClock, stamp: int, now: int) -> Step:
        """Take an image's stamp and tell the step of its camera, which it keeps until its next image.

        A camera is ahead for good when its image before this one was so too and still is, after all others had their
        turn: a burst after a stall, and play-back at many times the rate, accuse nobody.

        Args:
            clock: The camera's, of `by_camera`.
            stamp, now: The image's stamp, and its arrival.

        Returns:
            The camera's step with this image.
        """
        if self._latest < now - self._jump:
            self._start = now  # the first image, or the first after a silence of all
        self._latest = now
        before = clock.last_lead if clock.arrived >= now - self._jump else _NEVER
        clock.hear(stamp, now, self._jump)
        # Whoever does not fit the last vote gets a new one first: nobody is accused by what was. Where one after the
        # other does not fit, there is one after 1, 2, 4, 8 ... of them, which bounds the cost of a message.
        self._misfits = 0 if -self._window <= clock.lead - self.reference <= self._window else self._misfits + 1
        if now >= self._next_lead_vote or self._misfits.bit_count() == 1:
            self._vote_on_leads(now)
        elif now >= self._next_period_vote:
            self._vote_on_periods(now)
        step = self._step(clock, before)
        if step is Step.UNEVEN:
            self._vote_on_periods(now)
            step = self._step(clock, before)
        clock.off_in_row = clock.off_in_row + 1 if step is Step.OFF else 0
        clock.step = step
        return step

    def _step(self, clock: CameraClock, before: int) -> Step:
        """Compare a camera with the last vote; `before` is the lead of its image before this one."""
        offset = clock.lead - self.reference
        if offset < -self._deadline:
            return Step.OFF
        if clock.last_lead > self.most_lead:
            return Step.OFF if before > self.most_lead else Step.AHEAD
        if self._leads_agree and offset > self._window:
            return Step.AHEAD
        if self._leads_agree and offset < -self._window:
            return Step.BEHIND
        if clock.sets_alone >= ALONE and clock.arrived - self._last_company <= self._jump:
            return Step.ALONE
        if self._periods_agree and 2 * len(clock.gaps) >= GAPS and 8 * abs(clock.period - self._period) > self._period:
            return Step.UNEVEN
        return Step.IN

    def _vote_on_leads(self, now: int) -> None:
        """Find the middle of the most leads that one deadline spans.

        Of two such bundles the lower one counts, since a camera ahead does the more harm; of bundles further apart than
        a jump the upper one, since a clock that was never set reads 0.
        """
        self._next_lead_vote = now + self._jump // 8
        since, deadline = now - self._jump, self._deadline
        # As of now for all: in slow play-back leads fall, and the camera just heard would be behind by what expired.
        leads = [c.lead if c.leads[0][0] >= since else c.lead_since(since) for c in self._all if c.arrived >= since]
        leads.sort()
        number, start, most = len(leads), 0, bisect_right(leads, leads[0] + deadline)
        for first in range(1, number):
            if first + most > number:
                break
            lead = leads[first]
            if leads[first + most - 1] - lead <= deadline:
                count = bisect_right(leads, lead + deadline, first + most) - first
                if count > most or lead - leads[start] > self._jump:
                    start, most = first, count
        self.reference = leads[start + most // 2]
        self.most_lead = self.reference + deadline
        near = bisect_right(leads, self.reference + self._window) - bisect_left(leads, self.reference - self._window)
        self._leads_agree = 2 * near > number

    def _vote_on_periods(self, now: int) -> None:
        """Find the period of most cameras."""
        self._next_period_vote = now + self._jump // 8
        since = now - self._jump
        periods = sorted([c.period for c in self._all if c.arrived >= since and c.period and c.step is not Step.OFF])
        period = self._period = periods[len(periods) // 2] if periods else 0
        alike = bisect_right(periods, period + (period >> 3)) - bisect_left(periods, period - (period >> 3))
        self._periods_agree = 2 * alike > len(periods)

    def due(self, absent_from: Collection[str], until: int, now: int) -> Iterator[str]:
        """Yield the other cameras whose next image may yet come with a stamp of at most `until`.

        Gaps may become shorter than those so far, by an eighth. A silent camera may come for one jump after the first
        image of all.

        Args:
            absent_from: Cameras that are not asked for.
            until: The latest stamp.
            now: Time of arrival.

        Yields:
            Names of cameras.
        """
        since = now - self._jump
        for name, clock in self.by_camera.items():
            if clock.off_in_row > 1 or name in absent_from or (len(clock.gaps) == GAPS and clock.earliest_next > until):
                continue
            if clock.arrived >= since or self._start >= since:
                yield name

    def is_new(self, name: str, now: int) -> bool:
        """Tell whether a camera has sent too little to know its period, while cameras come together.

        Args:
            name: The camera.
            now: Time of arrival.

        Returns:
            Whether it is.
        """
        return len(self.by_camera[name].gaps) < GAPS and now - self._last_company <= self._jump

    def note_company(self, names: Collection[str], now: int) -> None:
        """Take the cameras of a set: one that is alone in it while others come together may be out of step.

        Args:
            names: The cameras.
            now: Arrival of the set's first image.
        """
        if len(names) > 1:
            self._last_company = now
            for name in names if self._lonely else ():
                if name in self._lonely:
                    self._lonely.pop(name).sets_alone = 0
            return
        for name in names:
            clock = self._lonely[name] = self.by_camera[name]
            if clock.alone_ns <= self._last_company:
                clock.sets_alone, clock.alone_ns = clock.sets_alone + 1, now

    def forget(self) -> None:
        """Start anew after a jump back in time; of a camera that is off, no image of this moment is waited for."""
        for clock in self._all:
            clock.accepted = None
            clock.off_in_row *= 2

    def all_went_back(self, now: int) -> bool:
        """Whether no camera heard lately is where it has been."""
        since = now - self._jump
        return not [
            clock
            for clock in self._all
            if clock.accepted is not None and clock.arrived >= since and clock.stamp >= clock.accepted  # type: ignore[operator]
        ]
