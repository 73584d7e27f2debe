"""What was read, used and left out of a recording, as sentences and as a document."""

from __future__ import annotations

import json

from fsmde_core.sources.counts import ReadingCounts


def test_what_is_left_out_is_said_with_its_reason() -> None:
    counts = ReadingCounts()
    counts.images.read = 48
    counts.images.left_out["the JPEG is cut off"] += 1
    counts.images.left_out["outside every set"] += 3
    assert counts.images.used == 44
    assert counts.lines() == [
        "images: 48 read, 44 used; 3 left out: outside every set; 1 left out: the JPEG is cut off",
        "sweeps: 0 read, 0 used",
        "poses: 0 read, 0 used",
    ]
    document = json.loads(json.dumps(counts.document()))
    assert document["images"] == {
        "read": 48,
        "used": 44,
        "left_out": {"the JPEG is cut off": 1, "outside every set": 3},
    }
