"""The demo's pictures: written, of a sane size, and showing what they are given."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fsmde_core.errors import FsmdeError
from fsmde_core.views.matplotlib import birds_eye, depth_colors, surround_sheet

NAMES = ("front", "front_right", "back_right", "back", "back_left", "front_left")


@pytest.mark.parametrize("count", [1, 6])
def test_sheet_shows_views_and_depth(tmp_path: Path, count: int) -> None:
    images = {name: np.full((90, 160, 3), (200, 30, 30), np.uint8) for name in NAMES[:count]}
    depth = {name: np.full((32, 64), 10.0, np.float32) for name in images}
    surround_sheet(tmp_path / "sheet.png", images, depth, "six views")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))[:, :, ::-1].astype(int)
    assert 1500 < sheet.shape[1] < 2500
    colors, norm = depth_colors()
    for wanted in ((200, 30, 30), tuple(int(255 * v) for v in colors(norm(10.0))[:3])):
        share = (np.abs(sheet - wanted).max(axis=2) <= 3).mean()
        assert share > 0.09 * count / 2, wanted


def test_depth_colours_tell_near_far_and_nothing_apart() -> None:
    colors, norm = depth_colors()
    near, far = (np.array(colors(norm(v))[:3]) for v in (2.0, 80.0))
    assert near[0] > near[2]
    assert far[2] > far[0]
    assert np.ptp(colors.get_bad()[:3]) < 0.1


def test_sheet_wants_depth_of_every_view(tmp_path: Path) -> None:
    with pytest.raises(FsmdeError, match="same cameras"):
        surround_sheet(tmp_path / "sheet.png", {"front": np.zeros((4, 4, 3), np.uint8)}, {}, "")


def test_birds_eye_puts_ahead_on_top_and_left_on_the_left(tmp_path: Path) -> None:
    grid = np.stack(np.meshgrid(np.arange(-1, 1, 0.05), np.arange(-1, 1, 0.05)), axis=-1).reshape(-1, 2)
    ahead = np.column_stack([grid + np.array([25, 0]), np.zeros(len(grid))]).astype(np.float32)
    left = np.column_stack([grid + np.array([0, 25]), np.zeros(len(grid))]).astype(np.float32)
    colors = np.zeros((2 * len(grid), 3), np.uint8)
    colors[: len(grid), 0] = colors[len(grid) :, 2] = 255  # red ahead, blue to the left
    birds_eye(tmp_path / "top.png", np.concatenate([ahead, left]), colors, "cloud")
    picture = cv2.imread(str(tmp_path / "top.png"))[:, :, ::-1].astype(int)
    height, width = picture.shape[:2]
    red = np.argwhere((picture[..., 0] > 200) & (picture[..., 1:].max(axis=2) < 60)).mean(axis=0)
    blue = np.argwhere((picture[..., 2] > 200) & (picture[..., :2].max(axis=2) < 60)).mean(axis=0)
    assert red[0] < 0.35 * height
    assert abs(red[1] - width / 2) < 0.03 * width
    assert blue[1] < 0.3 * width


def test_picture_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FsmdeError, match="cannot be written"):
        birds_eye(tmp_path / "nowhere" / "top.png", np.zeros((1, 3), np.float32), np.zeros((1, 3), np.uint8), "")
