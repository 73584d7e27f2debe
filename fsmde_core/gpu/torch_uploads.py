"""Raw images on their way to the network's input in torch: page-locked memory, copy, sampling; from several threads."""

from __future__ import annotations

import threading
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import torch

from fsmde_core.encodings import RawImage
from fsmde_core.engines.torch_lane import Lane, host_tensor
from fsmde_core.gpu.backend import Sampling
from fsmde_core.gpu.torch_sampling import Resampling

_Layout = tuple[int, int, int, str]


class _Room:
    """Memory and recorded work for one image of one layout and sampling; used again and again."""

    def __init__(self, sampler: Lane, sampling: Sampling, layout: _Layout) -> None:
        device = sampler.device
        width, height, step, encoding = layout
        rows, columns = (size // sampling.supersample for size in sampling.maps.shape[:2])
        self._staging = host_tensor((step * height,), torch.uint8, device)
        self._raw = torch.zeros(step * height, dtype=torch.uint8, device=device)
        self.rgb = torch.zeros((rows, columns, 3), dtype=torch.uint8, device=device)
        outside = np.zeros((rows, columns), np.bool_) if sampling.outside is None else sampling.outside
        self.outside = torch.from_numpy(outside).to(device)
        resampling = Resampling(sampling, width, height, step, encoding, device)
        self._sample = sampler.recorded(partial(resampling, self._raw, self.rgb))
        self._begun = self.copied = self._sampling = self.sampled = sampler.mark()

    def stage_ms(self) -> dict[str, float]:
        """Of the device, once `sampled` is reached."""
        return {"upload": self.copied.ms_since(self._begun), "sample": self.sampled.ms_since(self._sampling)}

    def fill(self, image: RawImage) -> None:
        """Take the image's bytes; waits for the copy of the ones before."""
        self.copied.reached()
        np.copyto(self._staging.numpy(), np.frombuffer(image.data, np.uint8, self._staging.numel()))

    def send(self, copier: Lane, sampler: Lane) -> None:
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


class Upload:
    """One image on the device: hold it as long as it is needed.

    rgb: (H, W, 3) uint8. outside: (H, W) bool. sampled: when both are there.
    """

    def __init__(self, room: _Room, free: list[_Room]) -> None:
        self._room, self._free = room, free
        self.rgb, self.outside, self.sampled = room.rgb, room.outside, room.sampled

    def stage_ms(self) -> dict[str, float]:
        """Of the device, once `sampled` is reached."""
        return self._room.stage_ms()

    def __del__(self) -> None:
        self._free.append(self._room)


class Uploads:
    """Any thread may upload. Memory grows with the number of images held at once, and is kept."""

    def __init__(self, device: torch.device) -> None:
        self._copier, self._sampler = Lane(device), Lane(device)
        self._free: WeakKeyDictionary[Sampling, dict[_Layout, list[_Room]]] = WeakKeyDictionary()
        self._sending = threading.Lock()

    def upload(self, image: RawImage, sampling: Sampling) -> Upload:
        """See `GpuBackend.upload`."""
        layout = (image.width, image.height, image.step, image.encoding)
        with self._sending:
            free = self._free.setdefault(sampling, {}).setdefault(layout, [])
            with self._sampler.current():
                room = free.pop() if free else _Room(self._sampler, sampling, layout)
        room.fill(image)
        with self._sending:
            room.send(self._copier, self._sampler)
        return Upload(room, free)

    def finish(self) -> None:
        """Wait for all images on their way."""
        self._copier.finish()
        self._sampler.finish()
