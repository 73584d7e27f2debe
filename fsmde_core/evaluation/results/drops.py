"""Counts what is lost on the way through a running node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any


class DropCounter:
    """Counts every set of images that was played. cameras: names, in the order of the results."""

    def __init__(self, cameras: Sequence[str]) -> None:
        self._sent, self._received = (Counter(dict.fromkeys(cameras, 0)) for _ in range(2))
        self._sets: Counter[str] = Counter()
        self._samples_lost = self._mismatched = 0

    def add(self, sent: Collection[str], received: Collection[str], sampled: bool, mismatched: int = 0) -> None:
        """Count one set of images.

        Args:
            sent, received: Its cameras that were played, and those of them whose depth came back.
            sampled: Whether the set has truth.
            mismatched: Depth images, not among `received`, whose intrinsics are not those of the recording.
        """
        self._sent.update(list(sent))
        self._received.update(list(received))
        kind = "complete" if len(received) == len(sent) else "partial" if received else "lost"
        self._sets[kind] += 1
        self._samples_lost += sampled and not received
        self._mismatched += mismatched

    def document(self, hz: float | None) -> dict[str, Any]:
        """Return `drops` of the result document. hz: of playing in real time, None where each set was waited for."""
        return {
            "hz": hz,
            "sets_sent": self._sets.total(),
            "sets_complete": self._sets["complete"],
            "sets_partial": self._sets["partial"],
            "sets_lost": self._sets["lost"],
            "samples_lost": self._samples_lost,
            "other_intrinsics": self._mismatched,
            "cameras": {name: {"sent": sent, "received": self._received[name]} for name, sent in self._sent.items()},
        }


def drops_sentence(drops: Mapping[str, Any]) -> str:
    """Put `drops` of a result document in a sentence."""
    pace = "each waited for" if drops["hz"] is None else f"{drops['hz']:g} per second"
    counts = f"of {drops['sets_sent']} sets played ({pace}) {drops['sets_complete']} came back complete"
    if drops["sets_complete"] == drops["sets_sent"]:
        return counts
    incomplete = [
        f"{name} {camera['received']} of {camera['sent']}"
        for name, camera in drops["cameras"].items()
        if camera["received"] < camera["sent"]
    ]
    mismatched = drops["other_intrinsics"]
    return (
        f"{counts}, {drops['sets_partial']} in part, {drops['sets_lost']} not at all; "
        f"{drops['samples_lost']} with lidar could not be evaluated; depth images received: {', '.join(incomplete)}"
        + (f"; {mismatched} left out, since their intrinsics are not the recording's" if mismatched else "")
    )
