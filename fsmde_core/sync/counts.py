"""Counts what became of the images of each camera, and words it: the same for the live node and for a bag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class UnusedImages(NamedTuple):
    """Says how many images are in no set. reason: a few words; sentence: why, to follow their number and a comma."""

    number: int
    reason: str
    sentence: str


@dataclass(slots=True)
class CameraCounts:
    """Counts what became of one camera's images: received is the sum of the next six and of those still pending.

    late: no open set can hold it any more. off_clock: its stamp contradicts most cameras'. surplus: its camera sends
    at another rate than most, and it suited none of their sets. dropped: waited in a set that was given up. offset_ms:
    by how much the last image off the clock was stamped ahead of most cameras', by its arrival; behind is negative.
    """

    received: int = 0
    emitted: int = 0
    late: int = 0
    duplicate: int = 0
    off_clock: int = 0
    surplus: int = 0
    dropped: int = 0
    offset_ms: float = 0.0

    def unused(self) -> list[UnusedImages]:
        """List what is in no set, by kind."""
        side = "behind" if self.offset_ms < 0 else "ahead of"
        offset = f"their stamps lie {abs(self.offset_ms):.0f} ms {side} those of most cameras"
        kinds = (
            UnusedImages(
                self.off_clock, "off the clock of most cameras", f"{offset}: is its clock set, or is it late?"
            ),
            UnusedImages(
                self.surplus, "between sets", "their camera sends at another rate than most, sets had no room"
            ),
            UnusedImages(self.late, "late for their set", "they came after their set was closed"),
            UnusedImages(self.duplicate, "sent twice", "each has the stamp of the one before"),
            UnusedImages(self.dropped, "in sets that were given up", "too few cameras had an image of their moment"),
        )
        return [kind for kind in kinds if kind.number]


@dataclass
class SyncStats:
    """Counts since construction. abandoned: sets given up without being emitted. resets: jumps back in time."""

    cameras: dict[str, CameraCounts]
    complete: int = 0
    partial: int = 0
    abandoned: int = 0
    resets: int = 0

    def missing(self, camera: str) -> int:
        """Return the number of sets emitted without a camera."""
        return self.complete + self.partial - self.cameras[camera].emitted
