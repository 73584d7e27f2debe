"""Decodes and rectifies images as they arrive, while the cameras of a staggered rig still expose the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import BoundedSemaphore

from fsmde_core.encodings import RawImage
from fsmde_core.errors import FsmdeError
from fsmde_core.pipeline import Pipeline
from fsmde_core.preprocess import RectifiedImage
from fsmde_ros.calibration import Calibration

MAX_AHEAD_PER_CAMERA = 2  # images; more would pile up memory on a machine too slow for its cameras


class Rectifier:
    """Works ahead on its own threads; an image that finds no room there is rectified when it is asked for.

    missing: per camera without a known mount, the reason; asking for its images raises it. threads: 0 for one per
    available CPU. ahead: whether to work ahead at all; off while nobody listens to the node.
    """

    def __init__(
        self, pipeline: Pipeline, calibration: Calibration, missing: Callable[[], dict[str, str]], threads: int
    ) -> None:
        self.ahead = True
        self._pipeline = pipeline
        self._calibration = calibration
        self._missing = missing
        self._room = BoundedSemaphore(MAX_AHEAD_PER_CAMERA * len(calibration.rig.cameras))
        self._pool = ThreadPoolExecutor(threads or len(os.sched_getaffinity(0)), thread_name_prefix="rectify")

    def start(self, name: str, read: Callable[[], RawImage]) -> Callable[[], RectifiedImage]:
        """Begin with an image of camera `name`; read: gives its pixels.

        The result, called, waits for the rectified image, or raises FsmdeError.
        """
        job = partial(self._rectify, name, read)
        if not (self.ahead and self._room.acquire(blocking=False)):
            return job
        future = self._pool.submit(job)
        future.add_done_callback(lambda _: self._room.release())
        return future.result

    def close(self) -> None:
        """Finish what has begun and end the threads."""
        self._pool.shutdown()

    def _rectify(self, name: str, read: Callable[[], RawImage]) -> RectifiedImage:
        missing = self._missing()
        if name in missing:
            raise FsmdeError(missing[name])
        return self._pipeline.rectify(read(), self._calibration.rig[name])
