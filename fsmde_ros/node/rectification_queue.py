"""Decodes and rectifies images as they arrive, while the cameras of a staggered rig still expose the others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import BoundedSemaphore
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import AnyImage
from fsmde_core.pipeline.pipeline import DepthPipeline
from fsmde_ros.node.calibration import Calibration

MAX_AHEAD_PER_CAMERA = 2  # images; more would pile up memory on a machine too slow for its cameras


class PendingImage:
    """Represents one image on its way to the network; used by one thread at a time."""

    def __init__(self, pool: ThreadPoolExecutor, job: Callable[[], Any]) -> None:
        self._pool, self._job = pool, job
        self._future: Future[Any] | None = None

    def start(self) -> Future[Any]:
        """Hand the image to the threads of the pool, unless they have it."""
        if self._future is None:
            self._future = self._pool.submit(self._job)
        return self._future

    def result(self) -> Any:
        """Wait for what `Pipeline.rectify` gives; raises FsmdeError for an image that cannot be used."""
        return self.start().result()

    def cancel(self) -> None:
        """Drop the image, for which nobody will ask, unless a thread has begun with it."""
        if self._future is not None:
            self._future.cancel()


class RectificationQueue:
    """Works ahead on the threads of the pipeline; an image beyond MAX_AHEAD_PER_CAMERA waits until it is asked for.

    Images are rectified by the calibration that is in force when work on them begins.
    missing: per camera without a known mount, the reason; asking for its images raises it.
    works_ahead: whether to work ahead at all; off while nobody listens to the node.
    """

    def __init__(
        self, pipeline: DepthPipeline[Any], calibration: Calibration, missing: Callable[[], dict[str, str]]
    ) -> None:
        self.works_ahead = True
        self._pipeline = pipeline
        self._calibration = calibration
        self._missing = missing
        self._free = BoundedSemaphore(MAX_AHEAD_PER_CAMERA * len(calibration.rig.cameras))

    def submit(self, name: str, image: AnyImage) -> PendingImage:
        pending = PendingImage(self._pipeline.pool, partial(self._rectify, name, image))
        if self.works_ahead and self._free.acquire(blocking=False):
            pending.start().add_done_callback(lambda _: self._free.release())
        return pending

    def _rectify(self, name: str, image: AnyImage) -> Any:
        missing = self._missing()
        if name in missing:
            raise FsmdeError(missing[name])
        return self._pipeline.rectify(image, self._calibration.rig[name])
