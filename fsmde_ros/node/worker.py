"""Runs inference and publication of the newest set of images in a thread that no fault ends."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.pipeline.pipeline import DepthPipeline
from fsmde_core.sync.groups import ImageSet
from fsmde_ros.node.calibration import Calibration
from fsmde_ros.node.checks.checks import Checks
from fsmde_ros.node.diagnostics import timing_message
from fsmde_ros.node.health import Health, SetTiming, lags_ms
from fsmde_ros.node.inputs import ReceivedImage
from fsmde_ros.node.latest_slot import LatestSlot
from fsmde_ros.node.outputs import Outputs
from fsmde_ros.node.rectification_queue import RectificationQueue
from fsmde_ros.node.settings import DynamicSettings


class Worker:
    """Processes the newest set of images, one at a time. settings: gives those in force."""

    def __init__(
        self,
        pipeline: DepthPipeline[Any],
        calibration: Calibration,
        rectifier: RectificationQueue,
        outputs: Outputs,
        health: Health,
        settings: Callable[[], DynamicSettings],
        min_cameras: int,
        checks: Checks,
    ) -> None:
        self._pipeline = pipeline
        self._calibration = calibration
        self._rectifier = rectifier
        self._outputs = outputs
        self._health = health
        self._settings = settings
        self._min_cameras = min_cameras
        self._checks = checks
        self._latest: LatestSlot[ImageSet[ReceivedImage]] = LatestSlot()
        self._thread = threading.Thread(target=self._run, name="surround_depth")
        self._thread.start()

    def offer(self, images: ImageSet[ReceivedImage]) -> None:
        """Leave a set for the thread; it replaces one that still waits."""
        replaced = self._latest.put(images)
        if replaced is not None:
            for received in replaced.items.values():
                received.pending.cancel()
            self._health.count_lost_set("overload")

    def close(self) -> None:
        """Finish the current set and end the thread."""
        self._latest.close()
        self._thread.join()

    def _run(self) -> None:
        while (images := self._latest.get()) is not None:
            try:
                self._process(images)
            except FsmdeError as error:
                self._health.count_lost_set("error", str(error))
            except Exception as error:  # the thread must live on: the next set may be in order
                self._health.count_lost_set("internal", f"{type(error).__name__}: {error}", traceback.format_exc())

    def _process(self, images: ImageSet[ReceivedImage]) -> None:
        settings = self._settings()
        requested = self._outputs.requested(settings)
        self._rectifier.works_ahead = bool(requested)
        if not requested:
            self._health.unheard_sets += 1
            return
        started_ns = time.monotonic_ns()
        rectified = self._rectified(images)
        if len(rectified) < self._min_cameras:
            self._health.count_lost_set(
                "too_few", f"{len(rectified)} usable images, sync.min_cameras is {self._min_cameras}"
            )
            return
        rectified_ns = time.monotonic_ns()
        result = self._pipeline.infer(rectified)
        sent_ms = self._outputs.publish(result, images.stamps_ns, requested, self._pipeline, settings)
        done_ns = time.monotonic_ns()
        arrived_ns = max(received.arrived_ns for received in images.items.values())
        timing = SetTiming(
            stamp_ns=images.stamp_ns,
            cameras=result.names,
            skew_ms=images.skew_ns / 1e6,
            lag_ms=lags_ms(images.stamps_ns),
            stage_ms={
                "receive": (started_ns - arrived_ns) / 1e6,
                "preprocess": (rectified_ns - started_ns) / 1e6,
                **result.stage_ms,
                **sent_ms,
            },
            end_to_end_ms=(done_ns - arrived_ns) / 1e6,
        )
        self._health.add_timing(timing)
        if requested.timing:
            self._outputs.publish_timing(timing_message(timing))
        self._checks.offer(result, images.stamps_ns)

    def _rectified(self, images: ImageSet[ReceivedImage]) -> list[Any]:
        """Return the usable images of the set as the pipeline rectified them, in ring order; count the others.

        All carry the mounts of one moment: those of a moving base change while a set arrives.
        """
        for received in images.items.values():
            received.pending.start()
        rig = self._calibration.rig
        rectified = []
        for name, received in images.items.items():
            try:
                rectified.append(self._pipeline.with_mount(received.pending.result(), rig[name]))
            except FsmdeError as error:
                self._health.count_fault(name, "image", str(error))
            except Exception as error:  # whatever a message holds, it costs itself alone
                self._health.count_fault(name, "internal", f"{type(error).__name__}: {error}")
        return rectified
