"""The GPU backend in torch, around the engine `torch`. It runs on the CPU too, where its arithmetic is tested."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray

from fsmde_core.clouds.packer import COLOR_FIELDS, CloudSettings, PackedCloud, pinhole_geometry
from fsmde_core.engines.torch.engine import DeviceBatch, TorchEngine
from fsmde_core.engines.torch.stream import DeviceStream, pinned_tensor
from fsmde_core.images.encodings import RawImage
from fsmde_core.pipeline.gpu.backend import HostResult, Sampling
from fsmde_core.pipeline.gpu.torch.download import TorchDownload
from fsmde_core.pipeline.gpu.torch.packing import TorchPacker
from fsmde_core.pipeline.gpu.torch.uploads import TorchUpload, TorchUploads
from fsmde_core.rig.rig import Camera


class TorchBackend:
    """See `GpuBackend`. An image is sampled as soon as it is uploaded; `infer` puts them together, and their RGB comes
    down while the network runs.
    """

    def __init__(self, engine: TorchEngine) -> None:
        self._engine, self._lane, self._down = engine, engine.lane, DeviceStream(engine.lane.device)
        self._uploads = TorchUploads(engine.lane.device)
        self._packing: TorchPacker | None = None
        self._download = TorchDownload(engine.lane, 0)
        self._stage_ms: dict[str, float] = {}
        self._make_room(len(engine.batch.focal))

    def _make_room(self, cameras: int) -> None:
        engine, info = self._engine, self._engine.info
        if cameras > len(engine.batch.focal):
            engine.reserve(cameras)
        self._download.close()
        self._batch, self._packing = engine.batch, None
        pixels, device = (cameras, info.height, info.width), engine.lane.device
        with engine.lane.current():
            self._outside = torch.zeros(pixels, dtype=torch.bool, device=device)
        self._host = DeviceBatch.of(lambda shape, dtype: pinned_tensor(shape, dtype, device), cameras, info)
        self._download = TorchDownload(engine.lane, 4 * len(COLOR_FIELDS) * math.prod(pixels))

    def upload(self, image: RawImage, sampling: Sampling) -> TorchUpload:
        """See `GpuBackend.upload`."""
        return self._uploads.upload(image, sampling)

    def infer(self, uploads: Sequence[TorchUpload], focal: NDArray[np.float32]) -> HostResult:
        """See `GpuBackend.infer`."""
        count = len(uploads)
        if count > len(self._outside) or self._batch is not self._engine.batch:
            self._make_room(max(count, len(self._outside)))
        lane, down = self._lane, self._down
        part, host, outside = self._batch.first(count), self._host.first(count), self._outside[:count]
        np.copyto(host.focal.numpy(), focal)
        with lane.current():
            lane.after(upload.sampled for upload in uploads)
            begun = lane.mark()
            torch.stack([upload.rgb for upload in uploads], out=part.images)
            stacked = lane.mark()
            torch.stack([upload.outside for upload in uploads], out=outside)
            part.focal.copy_(host.focal, non_blocking=True)
            self._engine.run(count)
            part.depth.masked_fill_(outside, float("nan"))
            inferred = lane.mark()
            host.depth.copy_(part.depth, non_blocking=True)
            host.sigma.copy_(part.sigma, non_blocking=True)
            done = lane.mark()
        down.after([stacked])
        with down.current():
            host.images.copy_(part.images, non_blocking=True)
        down.finish()
        done.reached()
        self._stage_ms = reduce(_added, (upload.stage_ms() for upload in uploads))
        self._stage_ms |= {"infer": inferred.ms_since(begun), "download": done.ms_since(inferred)}
        return HostResult(host.images.numpy(), host.depth.numpy(), host.sigma.numpy(), self._stage_ms)

    def pack(self, cameras: Sequence[Camera], settings: CloudSettings) -> PackedCloud:
        """See `GpuBackend.pack`."""
        with self._lane.current():
            if self._packing is None or self._packing.settings != settings:
                self._packing = TorchPacker(self._lane, self._batch, settings)
            begun = self._lane.mark()
            self._batch.depth[len(cameras) :].fill_(float("nan"))
            records = self._packing(*pinhole_geometry(tuple(cameras), settings.stride))
            packed = self._lane.mark()
            data, download_ms = self._download(records)
        self._stage_ms |= {"pack": packed.ms_since(begun), **download_ms}
        return PackedCloud(data, 1, len(records), self._packing.fields, is_dense=True)

    def close(self) -> None:
        """See `GpuBackend.close`; the engine stays open."""
        self._uploads.finish()
        self._download.close()
        del self._uploads, self._packing


def _added(a: dict[str, float], b: dict[str, float]) -> dict[str, float]:
    return {stage: a[stage] + b[stage] for stage in a}
