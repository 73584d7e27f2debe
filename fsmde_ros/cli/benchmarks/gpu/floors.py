"""What the device and the bus could do at best: the same copies alone, and plain multiplication."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from fsmde_core.engines.torch.stream import DeviceStream, pinned_tensor
from fsmde_core.pipeline.gpu.torch.download import TorchDownload

_RUNS = 50
_LARGE = 256 << 20  # bytes
_SIDE = 8192


def device_floors(device: torch.device) -> dict[str, float]:
    """Bandwidths in GB/s, of page-locked copies and of one within the device (bytes read and written), and TFLOP/s."""
    lane = DeviceStream(device)
    host = pinned_tensor((_LARGE,), torch.uint8, device)
    there, other = (torch.empty(_LARGE, dtype=torch.uint8, device=device) for _ in range(2))
    a, b = (torch.randn((_SIDE, _SIDE), device=device, dtype=torch.float16) for _ in range(2))
    return {
        "host_to_device_gb_s": _rate(lane, lambda: there.copy_(host, non_blocking=True), _LARGE),
        "device_to_host_gb_s": _rate(lane, lambda: host.copy_(there, non_blocking=True), _LARGE),
        "device_copy_gb_s": _rate(lane, lambda: there.copy_(other), 2 * _LARGE),
        "matmul_f16_tflop_s": _rate(lane, lambda: torch.mm(a, b), 2 * _SIDE**3 / 1e3),
    }


def _rate(lane: DeviceStream, work: Callable[[], object], units: float) -> float:
    """Billions of units per second, the median of ten."""
    times = []
    with lane.current():
        for _ in range(10):
            begun = lane.mark()
            work()
            done = lane.mark()
            done.reached()
            times.append(done.ms_since(begun))
    return float(f"{units / np.median(times) / 1e6:.3g}")


def copies_ms(device: torch.device, up: list[int], down: int, cloud: int) -> float:
    """The frame's copies alone, through the same memory by the same number of threads: median milliseconds.

    up: bytes of each raw image, from ordinary memory to the device. down: bytes of depth, sigma and RGB, to page-locked
    memory. cloud: bytes of the cloud, to an array of ordinary memory.
    """
    lane = DeviceStream(device)
    sources = [np.ones(size, np.uint8) for size in up]
    staging = [pinned_tensor((size,), torch.uint8, device) for size in up]
    there = [torch.empty(size, dtype=torch.uint8, device=device) for size in up]
    result, host = torch.empty(down, dtype=torch.uint8, device=device), pinned_tensor((down,), torch.uint8, device)
    records = torch.empty(cloud, dtype=torch.uint8, device=device)
    download, times = TorchDownload(lane, cloud), []

    def send(index: int) -> None:
        np.copyto(staging[index].numpy(), sources[index])
        with lane.current():
            there[index].copy_(staging[index], non_blocking=True)

    with ThreadPoolExecutor(len(up)) as pool:
        for _ in range(_RUNS):
            start = time.perf_counter()
            list(pool.map(send, range(len(up))))
            with lane.current():
                host.copy_(result, non_blocking=True)
                lane.finish()
                download(records)
            times.append(1e3 * (time.perf_counter() - start))
    download.close()
    return round(float(np.median(times)), 3)
