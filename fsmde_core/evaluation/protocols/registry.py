"""Makes protocols by name, and loads the masks that they need."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.metrics import DEFAULT_CAP_M
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.protocols.surrounddepth import SurroundDepthProtocol
from fsmde_core.evaluation.protocols.vfdepth import SIZES, VfDepthProtocol
from fsmde_core.rig.mask import read_mask_png
from fsmde_core.rig.rig import Rig

CAPS_M = {"ddad": 200.0}
PROTOCOLS = ("surrounddepth", "vfdepth")


def make_protocol(
    name: str,
    source: str,
    cap_m: float | None = None,
    scaling: str = "none",
    masks: Mapping[str, NDArray[np.bool_]] | None = None,
) -> EvaluationProtocol:
    """Make the protocol for a recording.

    Args:
        name: One of PROTOCOLS.
        source: The recording's name.
        cap_m: Metres; None for 80 m, on DDAD 200 m, as published figures have it.
        scaling: One of `protocol.SCALINGS`.
        masks: As `load_masks` returns them.

    Returns:
        The protocol.

    Raises:
        FsmdeError: The name or the scaling is unknown, or the cap is out of range.
    """
    if name not in PROTOCOLS:
        raise FsmdeError(f"protocol '{name}' is unknown; use one of {list(PROTOCOLS)}")
    cap_m = CAPS_M.get(source, DEFAULT_CAP_M) if cap_m is None else cap_m
    if name == "vfdepth":
        return VfDepthProtocol(cap_m, scaling, masks or {}, size=SIZES.get(source, SIZES["nuscenes"]))
    return SurroundDepthProtocol(cap_m, scaling, masks or {})


def load_masks(folder: Path | None, rig: Rig) -> dict[str, NDArray[np.bool_]]:
    """Read masks of the rectified views, beside those of the rig's original images, which need no folder.

    Args:
        folder: Holds `<camera>.png`, black on the vehicle, for each camera; None for no masks.
        rig: The rig of the recording.

    Returns:
        By camera (H, W) bool at native size, of the rectified view, False on the vehicle; empty for no masks.

    Raises:
        FsmdeError: A mask is missing, no PNG, or not of its camera's size.
    """
    cameras = rig.cameras if folder else ()
    path = Path(folder or "")
    return {
        camera.name: read_mask_png(path / f"{camera.name}.png", camera.name, (camera.width, camera.height))
        for camera in cameras
    }
