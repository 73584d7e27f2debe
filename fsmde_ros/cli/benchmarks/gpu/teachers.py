"""Depth Anything V2 with random weights in float16, as one CUDA graph: what the student is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from fsmde_core.engines.torch.stream import DeviceStream

SIZES = ("small", "base", "large")
_RUNS = 20


@torch.inference_mode()
def teacher_ms(
    size: str, cameras: int, pixels: Sequence[tuple[int, int]], device: torch.device
) -> dict[tuple[int, int], float]:
    """Median milliseconds of one batch for each (height, width) in `pixels`, multiples of 14."""
    from fsmde_training.teachers.depth_anything import build

    lane = DeviceStream(device)
    with torch.device(device):
        network = build(size).half()
    found = {}
    for height, width in pixels:
        images = torch.zeros((cameras, 3, height, width), dtype=torch.float16, device=device)
        run = lane.recorded(partial(network, pixel_values=images))
        times = []
        with lane.current():
            for _ in range(_RUNS):
                begun = lane.mark()
                run()
                done = lane.mark()
                done.reached()
                times.append(done.ms_since(begun))
        found[height, width] = round(float(np.median(times)), 3)
    return found
