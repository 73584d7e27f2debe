"""Raw images on their way to the network's input in torch: page-locked memory, copy, sampling; from several threads."""

from __future__ import annotations

import threading
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import torch

from fsmde_core.engines.torch.stream import DeviceStream, pinned_tensor
from fsmde_core.images.encodings import RawImage
from fsmde_core.pipeline.gpu.backend import Sampling
from fsmde_core.pipeline.gpu.torch.sampling import TorchSampler

_Layout = tuple[int, int, int, str]


class _Kind:
    """Images of one layout and sampling: what they have in common, and the rooms that no image is in."""

    def __init__(self, sampler: DeviceStream, sampling: Sampling, layout: _Layout) -> None:
        self.bytes = layout[2] * layout[1]
        self.resampling = TorchSampler(sampling, *layout, sampler.device)
        outside = np.zeros(self.resampling.shape, np.bool_) if sampling.outside is None else sampling.outside
        self.outside = torch.from_numpy(outside).to(sampler.device)
        self.free: list[_Room] = []


class _Room:
    """Memory and recorded work for one image; used again and again."""

    def __init__(self, sampler: DeviceStream, kind: _Kind) -> None:
        device = sampler.device
        self._staging = pinned_tensor((kind.bytes,), torch.uint8, device)
        self._raw = torch.zeros(kind.bytes, dtype=torch.uint8, device=device)
        self.rgb = torch.zeros((*kind.resampling.shape, 3), dtype=torch.uint8, device=device)
        self._sample = sampler.recorded(partial(kind.resampling, self._raw, self.rgb))
        self._begun = self.copied = self._sampling = self.sampled = sampler.mark()

    def stage_ms(self) -> dict[str, float]:
        """Of the device, once `sampled` is reached."""
        return {"upload": self.copied.ms_since(self._begun), "sample": self.sampled.ms_since(self._sampling)}

    def fill(self, image: RawImage) -> None:
        """Take the image's bytes; waits for the copy of the ones before."""
        self.copied.reached()
        np.copyto(self._staging.numpy(), np.frombuffer(image.data, np.uint8, self._staging.numel()))

    def send(self, copier: DeviceStream, sampler: DeviceStream) -> None:
        """Put copy and sampling in their lanes."""
        copier.after([self.sampled])
        with copier.current():
            self._begun = copier.mark()
            self._raw.copy_(self._staging, non_blocking=True)
            self.copied = copier.mark()
        sampler.after([self.copied])
        with sampler.current():
            self._sampling = sampler.mark()
            self._sample()
            self.sampled = sampler.mark()


class TorchUpload:
    """One image on the device: hold it as long as it is needed.

    rgb: (H, W, 3) uint8. outside: (H, W) bool. sampled: when both are there.
    """

    def __init__(self, room: _Room, kind: _Kind) -> None:
        self._room, self._kind = room, kind
        self.rgb, self.outside, self.sampled = room.rgb, kind.outside, room.sampled

    def stage_ms(self) -> dict[str, float]:
        """Of the device, once `sampled` is reached."""
        return self._room.stage_ms()

    def __del__(self) -> None:
        self._kind.free.append(self._room)


class TorchUploads:
    """Any thread may upload. Memory grows with the number of images held at once, and is kept."""

    def __init__(self, device: torch.device) -> None:
        self._copier, self._sampler = DeviceStream(device), DeviceStream(device)
        self._kinds: WeakKeyDictionary[Sampling, dict[_Layout, _Kind]] = WeakKeyDictionary()
        self._sending = threading.Lock()

    def upload(self, image: RawImage, sampling: Sampling) -> TorchUpload:
        """See `GpuBackend.upload`."""
        layout = (image.width, image.height, image.step, image.encoding)
        with self._sending, self._sampler.current():
            kinds = self._kinds.setdefault(sampling, {})
            if layout not in kinds:
                kinds[layout] = _Kind(self._sampler, sampling, layout)
            kind = kinds[layout]
            room = kind.free.pop() if kind.free else _Room(self._sampler, kind)
        room.fill(image)
        with self._sending:
            room.send(self._copier, self._sampler)
        return TorchUpload(room, kind)

    def finish(self) -> None:
        """Wait for all images on their way."""
        self._copier.finish()
        self._sampler.finish()
