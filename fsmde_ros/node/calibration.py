"""Holds the rig in force: the cameras of the rig file, updated by camera_info and /tf as these arrive."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.read import camera_from_info
from fsmde_core.rig.geometry import Matrix
from fsmde_core.rig.mask import mask_misfit
from fsmde_core.rig.plausibility import rig_doubts
from fsmde_core.rig.rig import Camera, Rig


class Calibration:
    """Keeps `rig`, an immutable snapshot: one thread updates, any thread reads. Unchanged cameras stay the same object.

    Frame ids stay those of the rig file, whatever camera_info says, so that all outputs agree with one /tf tree; so do
    masks, as long as camera_info has their size. refused: per camera whose latest camera_info cannot be used, why.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.refused: dict[str, str] = {}
        self._infos: dict[str, tuple[Any, ...]] = {}
        self._masks = {camera.name: camera.mask for camera in rig.cameras}
        self._judged: tuple[Rig | None, Collection[str], tuple[str, ...]] = None, (), ()

    def update(self, name: str, info: Any) -> bool:
        """Set a camera's intrinsics.

        Args:
            name: The camera.
            info: sensor_msgs/CameraInfo.

        Returns:
            True when they differ from the last good ones.

        Raises:
            FsmdeError: They cannot be used; the last good ones stay in force.
        """
        key = _intrinsics(info)
        if self._infos.get(name) == key:
            self.refused.pop(name, None)
            return False
        known, mask = self.rig[name], self._masks[name]
        try:
            camera = replace(camera_from_info(info, name, known.T_base_camera), frame_id=known.frame_id)
        except FsmdeError as error:
            kept = "last good camera_info" if name in self._infos else "rig file"
            self.refused[name] = f"{error}; the intrinsics of the {kept} stay in force"
            raise FsmdeError(self.refused[name]) from error
        self.refused.pop(name, None)
        self._replace(replace(camera, mask=None if mask_misfit(mask, (camera.width, camera.height)) else mask))
        self._infos[name] = key
        return True

    def set_mount(self, name: str, T_base_camera: Matrix) -> None:
        if not (self.rig[name].T_base_camera == T_base_camera).all():
            self._replace(replace(self.rig[name], T_base_camera=T_base_camera))

    def unused_mask(self, name: str) -> str:
        """Say why the camera's mask of the rig file is not in use; empty where it is, or where there is none."""
        camera = self.rig[name]
        return mask_misfit(self._masks[name], (camera.width, camera.height))

    def doubts(self, unknown: Collection[str] = ()) -> tuple[str, ...]:
        """Return the `rig_doubts` of the rig in force, but for cameras whose mounts are `unknown`."""
        rig, names, doubts = self._judged
        if rig is not self.rig or names != tuple(unknown):
            rig, names = self.rig, tuple(unknown)
            known = tuple(camera for camera in rig.cameras if camera.name not in names)
            doubts = rig_doubts(replace(rig, cameras=known)) if known else ()
            self._judged = rig, names, doubts
        return doubts

    def intrinsics_source(self, name: str) -> str:
        """Return where the camera's intrinsics come from: `camera_info` or `rig`."""
        return "camera_info" if name in self._infos else "rig"

    def _replace(self, camera: Camera) -> None:
        cameras = tuple(camera if known.name == camera.name else known for known in self.rig.cameras)
        self.rig = replace(self.rig, cameras=cameras)


def _intrinsics(info: Any) -> tuple[Any, ...]:
    """Return everything of a CameraInfo that a Camera is made of."""
    roi = info.roi
    region = (roi.x_offset, roi.y_offset, roi.width, roi.height)
    binning = (info.binning_x, info.binning_y)
    return (info.width, info.height, info.distortion_model, tuple(info.k), tuple(info.d), binning, region)
