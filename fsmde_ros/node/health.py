"""Records the node's health for diagnostics: faults per camera, times per stage. Thread-safe."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

STAGES = ("receive", "preprocess", "infer", "cloud", "publish")
WINDOW = 300  # sets that percentiles are taken over
RATE_WINDOW_S = 5.0
WARN_PERIOD_S = 5.0


@dataclass(frozen=True)
class SetTiming:
    """Describes one processed set, in milliseconds; `lag_ms` is what `lags_ms` says of each camera.

    `end_to_end_ms` runs from the arrival of its last image to its last publication.
    """

    stamp_ns: int
    cameras: tuple[str, ...]
    skew_ms: float
    lag_ms: dict[str, float]
    stage_ms: dict[str, float]
    end_to_end_ms: float


@dataclass
class CameraHealth:
    """Counts what one camera did since activation: its messages, those dropped by kind of fault, the latest faults.

    arrivals: monotonic seconds of the latest images.
    """

    received: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    last_fault: str = ""
    arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))


class Health:
    """Counts, and warns about each kind of fault of each camera at most every WARN_PERIOD_S."""

    def __init__(self, cameras: tuple[str, ...], warn: Callable[[str], object]) -> None:
        self._warn = warn
        self._lock = threading.Lock()
        self._start_s = time.monotonic()
        self._warned: dict[tuple[str, str], float] = {}
        self._timings: deque[tuple[float, SetTiming]] = deque(maxlen=WINDOW)
        self.cameras = {name: CameraHealth() for name in cameras}
        self.lost_sets: Counter[str] = Counter()
        self.last_fault = ""
        self.processed = 0
        self.unheard_sets = 0

    def count_image(self, camera: str) -> None:
        self.cameras[camera].received += 1
        self.cameras[camera].arrivals.append(time.monotonic())

    def count_fault(self, camera: str, kind: str, reason: str) -> None:
        with self._lock:
            self.cameras[camera].dropped[kind] += 1
            self.cameras[camera].last_fault = reason
        self._warn_throttled(camera, kind, f"dropped a message of camera '{camera}': {reason}")

    def count_lost_set(self, kind: str, reason: str = "", detail: str = "") -> None:
        # Without a reason nothing is wrong, as in overload; the detail is for the log only.
        with self._lock:
            self.lost_sets[kind] += 1
            self.last_fault = reason or self.last_fault
        if reason:
            self._warn_throttled("", kind, f"dropped a set of images: {reason}\n{detail}".rstrip())

    def add_timing(self, timing: SetTiming) -> None:
        with self._lock:
            self.processed += 1
            self._timings.append((time.monotonic(), timing))

    def timings(self) -> list[SetTiming]:
        """Return the timings of the latest sets, oldest first."""
        with self._lock:
            return [timing for _, timing in self._timings]

    def output_rate(self) -> float:
        """Return the sets per second of the last RATE_WINDOW_S."""
        with self._lock:
            return _rate([moment for moment, _ in self._timings])

    def input_rate(self, camera: str) -> float:
        """Return the images per second of the last RATE_WINDOW_S."""
        return _rate(list(self.cameras[camera].arrivals))

    def output_silence_s(self) -> float:
        """Return the seconds since the last processed set, or since activation where there was none."""
        with self._lock:
            return time.monotonic() - (self._timings[-1][0] if self._timings else self._start_s)

    def silence_s(self, camera: str) -> float:
        """Return the seconds since the last image, infinite before the first."""
        arrivals = self.cameras[camera].arrivals
        return time.monotonic() - arrivals[-1] if arrivals else float("inf")

    def _warn_throttled(self, camera: str, kind: str, text: str) -> None:
        now = time.monotonic()
        if now - self._warned.get((camera, kind), -WARN_PERIOD_S) >= WARN_PERIOD_S:
            self._warned[camera, kind] = now
            self._warn(text)


def lags_ms(stamps_ns: Mapping[str, int]) -> dict[str, float]:
    """Return the milliseconds from a set's median stamp to that of each camera, negative for an earlier one."""
    centre = median(stamps_ns.values())
    return {name: (stamp - centre) / 1e6 for name, stamp in stamps_ns.items()}


def _rate(moments: list[float]) -> float:
    now = time.monotonic()
    recent = sum(moment >= now - RATE_WINDOW_S for moment in moments)
    return recent / min(RATE_WINDOW_S, max(now - moments[0], 1.0)) if moments else 0.0
