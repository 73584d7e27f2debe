"""Camera images on their way to the GPU: page-locked and device memory that goes round, one slot per image in use."""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from fsmde_core.cuda.driver import Driver
from fsmde_core.images.encodings import RawImage
from fsmde_core.pipeline.gpu.backend import Sampling
from fsmde_core.pipeline.gpu.cuda.sampling_maps import DeviceSampling


class UploadSlot:
    """Memory of one image on both sides. started, arrived: events around its copy."""

    def __init__(self, driver: Driver, nbytes: int) -> None:
        self.staging = driver.pinned((nbytes,), np.uint8)
        self.memory = driver.device(nbytes)
        self.started, self.arrived = driver.event(), driver.event()

    def close(self) -> None:
        """Give the memory back, and the events, which can only be destroyed in a current context."""
        self.memory.free()
        del self.staging, self.started, self.arrived


@dataclass(frozen=True, eq=False)
class DeviceImage:
    """One uploaded image; its slot is used again when the object goes. step: bytes per row."""

    slot: UploadSlot
    encoding: str
    width: int
    height: int
    step: int
    sampling: Sampling
    maps: DeviceSampling


class CudaUploads:
    """Copies images to the GPU on a stream of its own; any thread.

    Slots are kept by size: with cameras of fixed sizes nothing is allocated once enough images have been in use at a
    time.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.stream = driver.stream()
        self._slots: list[UploadSlot] = []
        self._free: defaultdict[int, list[UploadSlot]] = defaultdict(list)
        self._order = threading.Lock()

    def upload(self, image: RawImage, sampling: Sampling, maps: DeviceSampling) -> DeviceImage:
        """Start the copy of an image's rows, padding included.

        A slot whose last image was dropped on its way is written over at once: nobody reads that image any more, and
        its copy is over before that of the new one, which comes later on the same stream.
        """
        nbytes = image.step * image.height
        slot = self._take(nbytes)
        uploaded = DeviceImage(slot, image.encoding, image.width, image.height, image.step, sampling, maps)
        weakref.finalize(uploaded, self._free[nbytes].append, slot)
        np.copyto(slot.staging, np.frombuffer(image.data, np.uint8)[:nbytes])  # without the GIL
        with self._order:  # nothing else between the events of one copy
            self._driver.record(slot.started, self.stream)
            self._driver.to_device(int(slot.memory), slot.staging, self.stream)
            self._driver.record(slot.arrived, self.stream)
        return uploaded

    def _take(self, nbytes: int) -> UploadSlot:
        try:
            return self._free[nbytes].pop()
        except IndexError:
            slot = UploadSlot(self._driver, nbytes)  # by name: the last of the list may be another thread's by now
            self._slots.append(slot)
            return slot

    def close(self) -> None:
        """Give all memory back; no image is used afterwards."""
        for slot in self._slots:
            slot.close()
        self._slots.clear()
        self._free.clear()
        del self.stream
