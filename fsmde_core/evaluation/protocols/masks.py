"""Self-occlusion masks: which pixels of each camera show the vehicle itself."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.rig import Rig


def load_masks(folder: Path, rig: Rig) -> dict[str, NDArray[np.bool_]]:
    """Per camera (H, W) bool at native size from `folder/<camera>.png`: what is black, the vehicle itself, is False.

    Of the rectified view, where the camera has distortion. FsmdeError when one is missing or of another size.
    """
    masks = {}
    for camera in rig.cameras:
        path = folder / f"{camera.name}.png"
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
        if grey is None:
            raise FsmdeError(f"the mask {path} is missing or no PNG; --masks takes one PNG per camera of {rig.names}")
        if grey.shape != (camera.height, camera.width):
            raise FsmdeError(
                f"the mask {path} is {grey.shape[1]}x{grey.shape[0]}, camera '{camera.name}' is "
                f"{camera.width}x{camera.height}; a mask has its camera's size"
            )
        masks[camera.name] = grey > 0
    return masks
