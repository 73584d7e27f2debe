"""Runs the GPU pipeline's backend in torch, around the engine `torch`; on the CPU too, where it is tested."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from fsmde_core.clouds.packer import CloudSettings, PackedCloud, pinhole_geometry
from fsmde_core.engines.torch.engine import DeviceBatch, TorchEngine
from fsmde_core.engines.torch.stream import DeviceStream, pinned_tensor
from fsmde_core.images.encodings import RawImage
from fsmde_core.messages.point_cloud import COLOR_FIELDS, point_step
from fsmde_core.pipeline.gpu.backend import HostResult, Sampling
from fsmde_core.pipeline.gpu.torch.packing import TorchDownload, TorchPacker
from fsmde_core.pipeline.gpu.torch.uploads import TorchUpload, TorchUploader
from fsmde_core.rig.rig import Camera


class TorchBackend:
    """Implements `GpuBackend`: an image is sampled as soon as it is uploaded, and `infer` puts them together.

    The RGB goes down while the network runs.
    """

    def __init__(self, engine: TorchEngine) -> None:
        self._engine, self._stream, self._rgb_stream = engine, engine.stream, DeviceStream(engine.stream.device)
        self._uploader = TorchUploader(engine.stream.device)
        self._packer: TorchPacker | None = None
        self._download = TorchDownload(engine.stream.device, 0)
        self._stage_ms: dict[str, float] = {}
        self._reserve(len(engine.batch.focal))

    def _reserve(self, cameras: int) -> None:
        engine, info = self._engine, self._engine.info
        if cameras > len(engine.batch.focal):
            engine.reserve(cameras)
        self._download.close()
        self._batch, self._packer = engine.batch, None
        pixels, device = (cameras, info.height, info.width), engine.stream.device
        with engine.stream.as_current():
            self._outside = torch.zeros(pixels, dtype=torch.bool, device=device)
        self._host = DeviceBatch.allocate(partial(pinned_tensor, device=device), cameras, info)
        self._download = TorchDownload(device, point_step(COLOR_FIELDS) * math.prod(pixels))

    def upload(self, image: RawImage, sampling: Sampling) -> TorchUpload:
        return self._uploader.upload(image, sampling)

    def infer(self, uploads: Sequence[TorchUpload], focal: NDArray[np.float32]) -> HostResult:
        count = len(uploads)
        if count > len(self._outside) or self._batch is not self._engine.batch:
            self._reserve(max(count, len(self._outside)))
        stream, rgb_stream = self._stream, self._rgb_stream
        part, host, outside = self._batch.first(count), self._host.first(count), self._outside[:count]
        np.copyto(host.focal.numpy(), focal)
        with stream.as_current():
            stream.wait_events(upload.buffer.sampled for upload in uploads)
            start = stream.record_event()
            torch.stack([upload.buffer.rgb for upload in uploads], out=part.images)
            stacked = stream.record_event()
            torch.stack([upload.outside for upload in uploads], out=outside)
            part.focal.copy_(host.focal, non_blocking=True)
            self._engine.run(count)
            part.depth.masked_fill_(outside, float("nan"))
            inferred = stream.record_event()
            host.depth.copy_(part.depth, non_blocking=True)
            host.sigma.copy_(part.sigma, non_blocking=True)
            downloaded = stream.record_event()
        rgb_stream.wait_events([stacked])
        with rgb_stream.as_current():
            host.images.copy_(part.images, non_blocking=True)
        rgb_stream.synchronize()
        downloaded.synchronize()
        self._stage_ms = {
            "upload": sum(upload.buffer.copy_start.elapsed_ms(upload.buffer.copied) for upload in uploads),
            "sample": sum(upload.buffer.sample_start.elapsed_ms(upload.buffer.sampled) for upload in uploads),
            "infer": start.elapsed_ms(inferred),
            "download": inferred.elapsed_ms(downloaded),
        }
        return HostResult(host.images.numpy(), host.depth.numpy(), host.sigma.numpy(), self._stage_ms)

    def pack(self, cameras: Sequence[Camera], settings: CloudSettings) -> PackedCloud:
        with self._stream.as_current():
            if self._packer is None or self._packer.settings != settings:
                self._packer = TorchPacker(self._stream, self._batch, settings)
            start = self._stream.record_event()
            self._batch.depth[len(cameras) :].fill_(float("nan"))
            records = self._packer.pack(*pinhole_geometry(tuple(cameras), settings.stride))
            packed = self._stream.record_event()
            data, download_ms = self._download.fetch_tensor(records.view(torch.uint8).reshape(-1), self._stream)
        self._stage_ms |= {"pack": start.elapsed_ms(packed), **download_ms}
        return PackedCloud(data, 1, len(records), self._packer.fields, is_dense=True)

    def close(self) -> None:
        """Release the backend's memory; the engine stays open."""
        self._uploader.synchronize()
        self._download.close()
        del self._uploader, self._packer
