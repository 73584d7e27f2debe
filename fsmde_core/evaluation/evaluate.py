"""One evaluation from its beginning, or from where it was interrupted, to the result document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.results.partial import PartialResult
from fsmde_core.evaluation.results.record import FrameRecord
from fsmde_core.evaluation.results.summary import Summary
from fsmde_core.evaluation.run import check_measured
from fsmde_core.sources.selection import FrameRange
from fsmde_core.sources.source import Source

Records = Callable[[FrameRange, "int | None"], Iterator[FrameRecord]]
"""Records of the frames of a span in order, as `run.frame_records` gives them: (span, after)."""


def complete(
    source: Source,
    protocol: EvaluationProtocol,
    span: FrameRange,
    head: Mapping[str, Any],
    records: Records,
    partial: PartialResult | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """The document: `head`, and what the records of `span` say. For errors see `run.check_measured`.

    With `partial`, records go there as they come, those that are there already are not made again, and the document
    is written in the end. on_frame: called once per frame.
    """
    summary = Summary(protocol, source.rig)
    start, after = span[0], None
    for record in partial.records() if partial else ():
        summary.add(record)
        on_frame()
        after = record.index
        if record.sampled:
            start = record.index  # steadiness compares the next sample with it
    for record in records((start, span[1]), after):
        if partial:
            partial.append(record)
        summary.add(record)
        on_frame()
    return _finish(summary, source, span, head, partial)


def _finish(
    summary: Summary, source: Source, span: FrameRange, head: Mapping[str, Any], partial: PartialResult | None
) -> dict[str, Any]:
    notes = summary.finish()
    try:
        check_measured(summary, source, span)
    except Exception:
        if partial:
            partial.discard()
        raise
    document = {**head, **summary.document(), "notes": [*source.notes, *notes]}
    if partial:
        partial.finish(document)
    return document
