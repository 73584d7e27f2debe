"""Uploads raw images and samples the network's input from them, in torch; from several threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from fsmde_core.engines.torch.stream import DeviceStream, pinned_tensor
from fsmde_core.images.encodings import RawImage
from fsmde_core.pipeline.gpu.backend import Sampling
from fsmde_core.pipeline.gpu.torch.sampling import TorchSampler
from fsmde_core.pipeline.gpu.uploads import BufferPool

_Layout = tuple[int, int, int, str]


class _LayoutPool(BufferPool["_UploadBuffer"]):
    """The buffers for images of one layout and sampling, and what they have in common."""

    def __init__(self, stream: DeviceStream, sampling: Sampling, layout: _Layout) -> None:
        super().__init__()
        self.sampler = TorchSampler(sampling, *layout, stream.device)
        outside = np.zeros(self.sampler.shape, np.bool_) if sampling.outside is None else sampling.outside
        self.outside = torch.from_numpy(outside).to(stream.device)


class _UploadBuffer:
    """Memory of one image on both sides, and its sampling, recorded where the device is a GPU.

    rgb: (H, W, 3) uint8. copy_start, copied, sample_start, sampled: events around the copy and around the sampling.
    """

    def __init__(self, stream: DeviceStream, pool: _LayoutPool) -> None:
        device = stream.device
        self._staging = pinned_tensor((pool.sampler.nbytes,), torch.uint8, device)
        self._raw = torch.zeros(pool.sampler.nbytes, dtype=torch.uint8, device=device)
        self.rgb = torch.zeros((*pool.sampler.shape, 3), dtype=torch.uint8, device=device)
        self._sample = stream.capture_graph(partial(pool.sampler.sample, self._raw, self.rgb))
        self.copy_start = self.copied = self.sample_start = self.sampled = stream.record_event()

    def fill(self, image: RawImage) -> None:
        """Copy the image's bytes, once those before are on the device."""
        self.copied.synchronize()
        np.copyto(self._staging.numpy(), np.frombuffer(image.data, np.uint8, self._staging.numel()))

    def start(self, copy_stream: DeviceStream, sample_stream: DeviceStream) -> None:
        """Put copy and sampling on their streams."""
        copy_stream.wait_events([self.sampled])
        with copy_stream.as_current():
            self.copy_start = copy_stream.record_event()
            self._raw.copy_(self._staging, non_blocking=True)
            self.copied = copy_stream.record_event()
        sample_stream.wait_events([self.copied])
        with sample_stream.as_current():
            self.sample_start = sample_stream.record_event()
            self._sample()
            self.sampled = sample_stream.record_event()


@dataclass(frozen=True, eq=False)
class TorchUpload:
    """Holds one image on the device; its buffer is used again when the object goes. outside: (H, W) bool."""

    buffer: _UploadBuffer
    outside: Tensor


class TorchUploader:
    """Copies images to the device and samples them as soon as they are there; any thread may call it.

    Memory grows with the number of images held at once and is kept as long as their `Sampling` lives.
    """

    def __init__(self, device: torch.device) -> None:
        self._copy_stream, self._sample_stream = DeviceStream(device), DeviceStream(device)
        self._pools: WeakKeyDictionary[Sampling, dict[_Layout, _LayoutPool]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def upload(self, image: RawImage, sampling: Sampling) -> TorchUpload:
        layout = (image.width, image.height, image.step, image.encoding)
        with self._lock, self._sample_stream.as_current():
            pools = self._pools.setdefault(sampling, {})
            if layout not in pools:
                pools[layout] = _LayoutPool(self._sample_stream, sampling, layout)
            pool = pools[layout]
            buffer = pool.acquire(partial(_UploadBuffer, self._sample_stream, pool))
        buffer.fill(image)
        with self._lock:
            buffer.start(self._copy_stream, self._sample_stream)
        uploaded = TorchUpload(buffer, pool.outside)
        pool.release_with(uploaded, buffer)
        return uploaded

    def synchronize(self) -> None:
        self._copy_stream.synchronize()
        self._sample_stream.synchronize()
