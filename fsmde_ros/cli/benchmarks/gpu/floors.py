"""Measures what the device and the bus can do at best: the same copies alone, and plain multiplication."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from fsmde_core.engines.torch.stream import DeviceStream, pinned_tensor
from fsmde_core.pipeline.gpu.torch.packing import TorchDownload

_RUNS = 50
_LARGE = 256 << 20  # bytes
_SIDE = 8192


def device_floors(device: torch.device) -> dict[str, float]:
    """Measure GB/s of page-locked copies and of one within the device (bytes read and written), and TFLOP/s."""
    stream = DeviceStream(device)
    host = pinned_tensor((_LARGE,), torch.uint8, device)
    there, other = (torch.empty(_LARGE, dtype=torch.uint8, device=device) for _ in range(2))
    a, b = (torch.randn((_SIDE, _SIDE), device=device, dtype=torch.float16) for _ in range(2))
    return {
        "host_to_device_gb_s": _rate(stream, lambda: there.copy_(host, non_blocking=True), _LARGE),
        "device_to_host_gb_s": _rate(stream, lambda: host.copy_(there, non_blocking=True), _LARGE),
        "device_copy_gb_s": _rate(stream, lambda: there.copy_(other), 2 * _LARGE),
        "matmul_f16_tflop_s": _rate(stream, lambda: torch.mm(a, b), 2 * _SIDE**3 / 1e3),
    }


def _rate(stream: DeviceStream, work: Callable[[], object], units: float) -> float:
    """Return billions of units per second, by the median of ten runs."""
    return float(f"{units / median_device_ms(stream, work, 10) / 1e6:.3g}")


def median_device_ms(stream: DeviceStream, work: Callable[[], object], runs: int) -> float:
    times = []
    with stream.as_current():
        for _ in range(runs):
            start = stream.record_event()
            work()
            end = stream.record_event()
            end.synchronize()
            times.append(start.elapsed_ms(end))
    return float(np.median(times))


def copies_ms(device: torch.device, up: list[int], down: int, cloud: int) -> float:
    """Measure the frame's copies alone, through the same memory by the same number of threads.

    Args:
        device: The GPU.
        up: Bytes of each raw image, from ordinary memory to the device.
        down: Bytes of depth, sigma and RGB, to page-locked memory.
        cloud: Bytes of the cloud, to an array of ordinary memory.

    Returns:
        The median, milliseconds.
    """
    stream = DeviceStream(device)
    sources = [np.ones(size, np.uint8) for size in up]
    staging = [pinned_tensor((size,), torch.uint8, device) for size in up]
    there = [torch.empty(size, dtype=torch.uint8, device=device) for size in up]
    result, host = torch.empty(down, dtype=torch.uint8, device=device), pinned_tensor((down,), torch.uint8, device)
    records = torch.empty(cloud, dtype=torch.uint8, device=device)
    download, times = TorchDownload(device, cloud), []

    def send(index: int) -> None:
        np.copyto(staging[index].numpy(), sources[index])
        with stream.as_current():
            there[index].copy_(staging[index], non_blocking=True)

    with ThreadPoolExecutor(len(up)) as pool:
        for _ in range(_RUNS):
            start = time.perf_counter()
            list(pool.map(send, range(len(up))))
            with stream.as_current():
                host.copy_(result, non_blocking=True)
                stream.synchronize()
                download.fetch_tensor(records, stream)
            times.append(1e3 * (time.perf_counter() - start))
    download.close()
    return round(float(np.median(times)), 3)
