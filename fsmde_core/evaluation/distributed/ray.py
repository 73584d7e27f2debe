"""Spreads an evaluation over the workers of a Ray cluster: the records are those of one process, in the same order.

The frames are cut into shards, each a Ray task. A shard needs nothing of its neighbours: the steadiness of its first
frame, which compares it with the last of the shard before, is added where the records come together.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

from fsmde_core.engines.base import first_line
from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.distributed.shard import EvaluationJob, Shard, evaluate_shard
from fsmde_core.evaluation.measures.steadiness import DepthViews, steadiness
from fsmde_core.evaluation.results.record import FrameRecord
from fsmde_core.sources.counts import ReadingCounts
from fsmde_core.sources.registry import FrameRange

LOCAL = "local"
LONGEST_SHARD = 16
"""Number of frames that are lost when a worker dies, and that wait in memory until their turn comes."""
SHARDS_PER_WORKER = 2
"""Number in flight: one at work, one to go on with."""
RETRIES = 3
"""Number of retries of a shard whose worker died."""
_STORE_BYTES = 256 * 2**20


@contextmanager
def ray_cluster(address: str, threads: int = 1) -> Iterator[None]:
    """Connect this process to a Ray cluster, until the end of the context.

    Args:
        address: HOST:PORT, or `local` for a cluster of this machine's cores that ends with the context.
        threads: Of each task.

    Yields:
        Once the cluster can be used.

    Raises:
        FsmdeError: Ray is not installed, or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = _ray()
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with TemporaryDirectory(prefix="fsmde_ray_", ignore_cleanup_errors=True) as folder:
        if address == LOCAL:
            options |= {"num_cpus": max(threads, len(os.sched_getaffinity(0))), "object_store_memory": _STORE_BYTES}
            options |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1", "_temp_dir": folder}
        try:
            _connect(ray, address, options)
            yield
        finally:
            ray.shutdown()


def _connect(ray: Any, address: str, options: dict[str, Any]) -> None:
    try:
        _check_reachable(address)
        ray.init(address, **options)
    except Exception as error:  # among Ray's own are some of no special kind
        raise FsmdeError(
            f"the Ray cluster '{address}' cannot be used: {first_line(error)}; give its HOST:PORT, or {LOCAL} for the "
            "cores of this machine"
        ) from error


class WorkerReadings:
    """Gathers what the workers have counted and noted while they read the recording, each by itself."""

    def __init__(self) -> None:
        self._latest: dict[str, Shard] = {}

    def add(self, shard: Shard) -> None:
        before = self._latest.get(shard.worker)
        if before is None or before.counts.images.read <= shard.counts.images.read:
            self._latest[shard.worker] = shard

    @property
    def counts(self) -> ReadingCounts:
        """The sum over the workers."""
        total = ReadingCounts()
        for shard in self._latest.values():
            total.add(shard.counts)
        return total

    @property
    def notes(self) -> list[str]:
        said = [note for shard in self._latest.values() for note in shard.notes]
        workers = len(self._latest)
        return [f"counts are sums over {workers} workers, which may read a part of a bag each", *dict.fromkeys(said)]


def distributed_records(
    job: EvaluationJob,
    length: int,
    frames: FrameRange = (0, None),
    after: int | None = None,
    readings: WorkerReadings | None = None,
) -> Iterator[FrameRecord]:
    """Make records as `frame_records` does, by Ray's workers; call it within `ray_cluster`.

    A shard whose worker dies is computed again, up to RETRIES times.

    Args:
        job: The evaluation.
        length: Of the recording, frames.
        frames, after: As in `frame_records`.
        readings: Takes what the workers count and note.

    Yields:
        The records, in the order of the frames.

    Raises:
        FsmdeError: What `frame_records` raises; a worker cannot take part, or workers keep dying.
    """
    ray = _ray()
    packed = ray.put(ray.cloudpickle.dumps(job))
    evaluate = ray.remote(num_cpus=job.threads, max_retries=RETRIES)(evaluate_shard)
    shards = _shards(range(*slice(*frames).indices(length)), _workers(ray, job))
    pending: deque[tuple[FrameRange, Any]] = deque()
    previous: DepthViews | None = None
    while True:
        while len(pending) < SHARDS_PER_WORKER * _workers(ray, job) and (shard := next(shards, None)):
            pending.append((shard, evaluate.remote(packed, shard, after)))
        if not pending:
            return
        result = _result(ray, *pending.popleft())
        if readings is not None:
            readings.add(result)
        yield from _with_steadiness(result, previous, job.protocol.cap_m)
        if result.failure:
            # What is still in flight ends by itself or with the cluster: Ray (2.60) aborts the whole process now and
            # then when a task that is being cancelled completes.
            raise FsmdeError(result.failure)
        previous = previous if result.last_views is None else result.last_views


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise FsmdeError(f"Ray cannot be used here ({first_line(error)}); pip install 'fsmde_ros[fleet]'") from error
    return ray


def _check_reachable(address: str) -> None:
    """Raise OSError where nobody listens; Ray itself would go on trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def _workers(ray: Any, job: EvaluationJob) -> int:
    """Count the shards that the cluster can work on at once just now; clusters grow and shrink."""
    return max(1, int(ray.cluster_resources().get("CPU", 0) // job.threads))


def _shards(frames: range, workers: int) -> Iterator[FrameRange]:
    """Yield ranges in order, short enough for all workers to have some."""
    length = max(1, min(LONGEST_SHARD, -(-len(frames) // (SHARDS_PER_WORKER * workers))))
    for start in range(frames.start, frames.stop, length):
        yield start, min(start + length, frames.stop)


def _result(ray: Any, frames: FrameRange, reference: Any) -> Shard:
    try:
        return ray.get(reference)  # type: ignore[no-any-return]
    except ray.exceptions.RayTaskError as error:
        missing = re.search(r"No module named '[^']+'", str(error.cause))
        if missing is None:
            raise  # a defect; it carries the worker's traceback
        raise FsmdeError(
            f"a Ray worker cannot take part ({missing[0]}); install fsmde_ros on every machine of the cluster"
        ) from error
    except ray.exceptions.RayError as error:
        raise FsmdeError(
            f"frames {frames[0]}:{frames[1]} were given up after their Ray worker died {RETRIES + 1} times "
            f"({first_line(error)}); look at the workers' memory and logs"
        ) from error


def _with_steadiness(shard: Shard, previous: DepthViews | None, cap_m: float) -> Iterator[FrameRecord]:
    """Yield the records, the first one with lidar compared with the last such frame before the shard."""
    for record in shard.records:
        if previous is not None and shard.first_views is not None and record.index == shard.first_index:
            changes, interval_s = steadiness(previous, shard.first_views, cap_m)
            record = replace(record, steadiness=changes, interval_s=interval_s)
        yield record
