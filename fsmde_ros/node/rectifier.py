"""Decodes and rectifies images as they arrive, while the cameras of a staggered rig still expose the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import BoundedSemaphore
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import AnyImage
from fsmde_core.pipeline.pipeline import AnyPipeline
from fsmde_ros.node.calibration import Calibration

MAX_AHEAD_PER_CAMERA = 2  # images; more would pile up memory on a machine too slow for its cameras


class PendingImage:
    """One image on its way to the network; used by one thread at a time."""

    def __init__(self, pool: ThreadPoolExecutor, job: Callable[[], Any]) -> None:
        self._pool, self._job = pool, job
        self._future: Future[Any] | None = None

    def begin(self) -> Future[Any]:
        """Have a thread of the pool do it, unless one does already."""
        if self._future is None:
            self._future = self._pool.submit(self._job)
        return self._future

    def result(self) -> Any:
        """The image as the pipeline took it; waits for it; raises FsmdeError for an image that cannot be used."""
        return self.begin().result()

    def cancel(self) -> None:
        """Nobody will ask for it: leave it out, if it has not begun."""
        if self._future is not None:
            self._future.cancel()


class Rectifier:
    """Works ahead on its own threads; an image that finds no room there waits until it is asked for.

    Images are judged by the calibration that is in force when work on them begins.
    missing: per camera without a known mount, the reason; asking for its images raises it. threads: 0 for one per
    available CPU. ahead: whether to work ahead at all; off while nobody listens to the node.
    """

    def __init__(
        self, pipeline: AnyPipeline[Any], calibration: Calibration, missing: Callable[[], dict[str, str]], threads: int
    ) -> None:
        self.ahead = True
        self._pipeline = pipeline
        self._calibration = calibration
        self._missing = missing
        self._room = BoundedSemaphore(MAX_AHEAD_PER_CAMERA * len(calibration.rig.cameras))
        self._pool = ThreadPoolExecutor(threads or len(os.sched_getaffinity(0)), thread_name_prefix="rectify")

    def start(self, name: str, read: Callable[[], AnyImage]) -> PendingImage:
        """Take an image of camera `name`, and begin with it if there is room; read: gives its pixels."""
        rectification = PendingImage(self._pool, partial(self._rectify, name, read))
        if self.ahead and self._room.acquire(blocking=False):
            rectification.begin().add_done_callback(lambda _: self._room.release())
        return rectification

    def close(self) -> None:
        """Finish the images at hand, drop those that wait, and end the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _rectify(self, name: str, read: Callable[[], AnyImage]) -> Any:
        missing = self._missing()
        if name in missing:
            raise FsmdeError(missing[name])
        return self._pipeline.rectify(read(), self._calibration.rig[name])
