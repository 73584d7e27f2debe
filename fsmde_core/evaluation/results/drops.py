"""What was lost on the way through a running node, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

Drops = Mapping[str, Any]


class DropCounter:
    """Add every set of images that was played, then take `document`. cameras: names, in the order of the results."""

    def __init__(self, cameras: Sequence[str]) -> None:
        self._sent, self._received = (Counter(dict.fromkeys(cameras, 0)) for _ in range(2))
        self._sets: Counter[str] = Counter()
        self._samples_lost = self._unlike = 0

    def add(self, sent: Collection[str], received: Collection[str], sampled: bool, unlike: int = 0) -> None:
        """One set: cameras whose image was sent, and those whose depth came.

        sampled: whether there is truth for it. unlike: how many depth images came with intrinsics that are not those of
        the recording; they are not among `received`.
        """
        self._sent.update(list(sent))
        self._received.update(list(received))
        kind = "complete" if len(received) == len(sent) else "partial" if received else "lost"
        self._sets[kind] += 1
        self._samples_lost += sampled and not received
        self._unlike += unlike

    def document(self, hz: float | None) -> dict[str, Any]:
        """Part `drops` of the result document. hz: of playing in real time, None where each set was waited for."""
        return {
            "hz": hz,
            "sets_sent": self._sets.total(),
            "sets_complete": self._sets["complete"],
            "sets_partial": self._sets["partial"],
            "sets_lost": self._sets["lost"],
            "samples_lost": self._samples_lost,
            "other_intrinsics": self._unlike,
            "cameras": {name: {"sent": sent, "received": self._received[name]} for name, sent in self._sent.items()},
        }


def drops_sentence(drops: Drops) -> str:
    """`drops` of a result document for people."""
    pace = "each waited for" if drops["hz"] is None else f"{drops['hz']:g} per second"
    whole = f"of {drops['sets_sent']} sets played ({pace}) {drops['sets_complete']} came back complete"
    if drops["sets_complete"] == drops["sets_sent"]:
        return whole
    lacking = [
        f"{name} {counts['received']} of {counts['sent']}"
        for name, counts in drops["cameras"].items()
        if counts["received"] < counts["sent"]
    ]
    unlike = drops["other_intrinsics"]
    return (
        f"{whole}, {drops['sets_partial']} in part, {drops['sets_lost']} not at all; "
        f"{drops['samples_lost']} with lidar could not be evaluated; depth images received: {', '.join(lacking)}"
        + (f"; {unlike} left out, since their intrinsics are not the recording's" if unlike else "")
    )
