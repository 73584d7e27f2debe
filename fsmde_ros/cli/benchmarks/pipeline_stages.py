"""Times the stages of one set of images without DDS, each beside a copy of the bytes that it cannot do without."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from fsmde_core.clouds.packer import CloudPacker, CloudSettings, PackedCloud
from fsmde_core.engines.base import Engine
from fsmde_core.engines.timing import time_against_copy
from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import RawImage
from fsmde_core.paths import find_shared
from fsmde_core.pipeline.pipeline import CpuPipeline, DepthSet
from fsmde_core.rig.rig import load_rig
from fsmde_ros.middleware.conversions import camera_info, depth_image, header, point_cloud

RIG = Path("config/rigs/pandaset.yaml")
CAMERAS = 6
EVERY_PIXEL = CloudSettings(min_range=0.0, max_range=1e9, max_relative_sigma=1e9)
ROUNDS = 30
INFERENCE = "infer"


class StageBenchmark:
    """Holds six raw 1920x1080 images, the cloud of all pixels of the network's size, and what turns one into the other.

    calls: stage -> what runs it for one set. min_bytes: stage -> bytes that it reads or writes at the least, those of
    the images, of the cloud and of the depth images; inference has none. threads: of preprocessing, 0 for one per CPU
    core that this process may use. The constructor raises FsmdeError without the bundled rig.
    """

    def __init__(self, engine: Engine, threads: int = 0) -> None:
        file = find_shared(RIG)
        if file is None:
            raise FsmdeError(f"the bundled rig {RIG} was not found; install the package with its share folder")
        self.rig = load_rig(file)
        self._pipeline = CpuPipeline(engine, threads)
        self._packer = CloudPacker(EVERY_PIXEL)
        generator = np.random.default_rng(0)
        sizes = [(camera.height, camera.width, 3) for camera in self.rig.cameras]
        pixels = [generator.integers(0, 256, size, dtype=np.uint8) for size in sizes]
        self._images = {name: RawImage.from_rgb(one) for name, one in zip(self.rig.names, pixels, strict=True)}
        self._rectified, _ = self._pipeline.rectify_all(self._images, self.rig)
        self._result: DepthSet = self._pipeline.infer(self._rectified)
        self._cloud: PackedCloud = self._pack()
        self.calls: dict[str, Callable[[], object]] = {
            "rectify": lambda: self._pipeline.rectify_all(self._images, self.rig),
            INFERENCE: lambda: self._pipeline.infer(self._rectified),
            "cloud": self._pack,
            "messages": self._make_messages,
        }
        self.min_bytes = {
            "rectify": sum(one.nbytes for one in pixels),
            "cloud": len(self._cloud.data),
            "messages": self._result.depth.nbytes,
        }

    def _pack(self) -> PackedCloud:
        result = self._result
        return self._packer.pack(result.cameras, result.rgb, result.depth, result.sigma)

    def _make_messages(self) -> None:
        result = self._result
        for camera, depth in zip(result.cameras, result.depth, strict=True):
            head = header(0, camera.frame_id)
            depth_image(head, depth, "32FC1")
            camera_info(head, camera)
        point_cloud(header(0, self.rig.base_frame), self._cloud)

    def close(self) -> None:
        self._pipeline.close()


def measure_stages(engine: Engine, threads: int = 0) -> dict[str, Any]:
    """Measure every stage.

    Args:
        engine: Is closed in the end.
        threads: Of preprocessing, 0 for one per CPU core that this process may use.

    Returns:
        `stages` of the benchmark's document. ms: median of one set. copy_ms: that of a copy of as many `bytes`, in
        turns with it. without_inference_ms: the sum of all other stages.
    """
    with closing(StageBenchmark(engine, threads)) as stages:
        found = {name: _figures(stages, name) for name in stages.calls}
    first = stages.rig.cameras[0]
    return {
        "input": f"{len(stages.rig.names)} x {first.width}x{first.height} rgb8",
        "engine": f"{engine.name} {engine.precision}",
        "cores": len(os.sched_getaffinity(0)),
        "stages": found,
        "without_inference_ms": round(sum(one["ms"] for name, one in found.items() if name != INFERENCE), 2),
    }


def _figures(stages: StageBenchmark, name: str) -> dict[str, float]:
    nbytes = stages.min_bytes.get(name, 0)
    ms, copy_ms = time_against_copy(stages.calls[name], nbytes, ROUNDS)
    if not nbytes:
        return {"ms": round(ms, 2)}
    return {"ms": round(ms, 2), "bytes": nbytes, "copy_ms": round(copy_ms, 3), "ratio": round(ms / copy_ms, 2)}
