"""Masks of the own vehicle: polygons and PNG files of a rig file, by hand, and what is wrong with malformed ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.rig import Camera, Rig, load_rig, save_rig

POSE = {"translation": [1, 0, 1.5], "rotation_wxyz": [0.5, -0.5, 0.5, -0.5]}


def rig_with(folder: Path, mask: Any) -> Path:
    """A rig file with one camera of 8x4."""
    path = folder / "rig.yaml"
    entry = {"size": [8, 4], "intrinsics": [6, 6, 3.5, 1.5], "T_base_camera": POSE, "mask": mask}
    path.write_text(yaml.safe_dump({"cameras": {"front": entry}}))
    return path


def visible(path: Path) -> list[str]:
    """Rows of the mask of the only camera, `.` what is seen and `#` the vehicle."""
    mask = load_rig(path)["front"].mask
    assert mask is not None and not mask.visible.flags.writeable
    return ["".join(".#"[not seen] for seen in row) for row in mask.visible]


@pytest.mark.parametrize(
    ("polygons", "rows"),
    [
        # Pixel centres are at integers; what an edge touches is hidden.
        ([[0, 2], [7, 2], [7, 3], [0, 3]], ["........", "........", "########", "########"]),
        ([[-5, 3], [20, 3], [20, 9], [-5, 9]], ["........", "........", "........", "########"]),
        ([[0, 0], [3, 3], [0, 3]], ["#.......", "##......", "###.....", "####...."]),
        # Two that overlap hide both.
        (
            [[[0, 0], [4, 0], [4, 1], [0, 1]], [[3, 1], [7, 1], [7, 3], [3, 3]]],
            ["#####...", "########"] + ["...#####"] * 2,
        ),
    ],
)
def test_polygons_by_hand(tmp_path: Path, polygons: Any, rows: list[str]) -> None:
    assert visible(rig_with(tmp_path, polygons)) == rows


@pytest.mark.parametrize("white", [np.uint8(255), np.uint8(1), np.uint16(1), np.uint16(65535)])
def test_black_of_a_png_beside_the_rig_file_is_the_vehicle(tmp_path: Path, white: Any) -> None:
    (tmp_path / "masks").mkdir()
    pixels = np.full((4, 8), white)
    pixels[3, 2:6] = 0
    cv2.imwrite(str(tmp_path / "masks" / "front.png"), pixels)
    assert visible(rig_with(tmp_path, "masks/front.png")) == ["........"] * 3 + ["..####.."]


def test_colours_and_transparency_do_not_matter(tmp_path: Path) -> None:
    pixels = np.full((4, 8, 4), (0, 0, 200, 255), np.uint8)
    pixels[3] = 0, 0, 0, 255
    cv2.imwrite(str(tmp_path / "front.png"), pixels)
    assert visible(rig_with(tmp_path, str(tmp_path / "front.png"))) == ["........"] * 3 + ["########"]


def test_saved_rigs_keep_polygons_and_paths(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "front.png"), np.repeat(np.array([[255], [255], [0], [0]], np.uint8), 8, axis=1))
    (tmp_path / "elsewhere").mkdir()
    for mask, kept in (
        ("front.png", {"rig.yaml": "front.png", "elsewhere/rig.yaml": str(tmp_path / "front.png")}),
        ([[0, 2], [7.5, 2], [7.5, 3], [0, 3]], {"rig.yaml": [[[0, 2], [7.5, 2], [7.5, 3], [0, 3]]]}),
    ):
        rig = load_rig(rig_with(tmp_path, mask))
        for name, entry in kept.items():
            save_rig(rig, tmp_path / name)
            assert yaml.safe_load((tmp_path / name).read_text())["cameras"]["front"]["mask"] == entry
            assert visible(tmp_path / name) == ["........"] * 2 + ["########"] * 2


def test_a_mask_stays_with_the_original_image(tmp_path: Path) -> None:
    camera = load_rig(rig_with(tmp_path, [[0, 2], [7, 2], [7, 3]]))["front"]
    assert replace(camera, D=np.full(4, 0.1)).mask is camera.mask
    assert camera.rectified(4, 2).mask is None
    with pytest.raises(
        FsmdeError, match="camera 'front': its mask is 8x4, its image 16x8; a mask has its camera's size"
    ):
        replace(camera, width=16, height=8)


def test_cameras_without_a_mask_have_none(tmp_path: Path) -> None:
    path = rig_with(tmp_path, None)
    assert load_rig(path)["front"].mask is None
    save_rig(Rig((Camera("front", 8, 4, np.diag([6.0, 6, 1])),)), path)
    assert "mask" not in path.read_text()


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        ("front.png", "front.png is missing or not a PNG; camera 'front' needs one, black on the vehicle"),
        ("photo.png", "photo.png is missing or not a PNG"),
        ("small.png", "small.png is 4x2, camera 'front' is 8x4; a mask has its camera's size"),
        ("black.png", "camera 'front': 'mask' hides the whole image"),
        ([[-1, -1], [9, -1], [9, 9], [-1, 9]], "camera 'front': 'mask' hides the whole image"),
        ([[0, 0], [1, 1]], "'mask' must be the path of a PNG file, a polygon"),
        ([[0, 0], [1, 1], [2]], "must be the path of a PNG file"),
        ([[0, 0], [1, 1], [2, "a"]], "must be the path of a PNG file"),
        ([[0, 0], [1, 1], [2, float("nan")]], "must be the path of a PNG file"),
        ({"u": 1}, "must be the path of a PNG file"),
        ([], "must be the path of a PNG file"),
        ([[8, 0], [9, 0], [9, 3]], "covers nothing of the 8x4 image; give points as"),
        ([[0, 0.5], [1, 0.5], [1, 1]], "in pixels of the original image, not as fractions of it"),
        ([[0, 0], [1e9, 0], [9, 3]], "covers nothing of the 8x4 image"),
    ],
)
def test_malformed_masks_say_what_is_wrong_in_one_line(tmp_path: Path, mask: Any, sentence: str) -> None:
    cv2.imwrite(str(tmp_path / "photo.jpg"), np.zeros((4, 8), np.uint8))
    (tmp_path / "photo.jpg").rename(tmp_path / "photo.png")
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((2, 4), np.uint8))
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((4, 8), np.uint8))
    path = rig_with(tmp_path, mask)
    with pytest.raises(FsmdeError, match=sentence) as caught:
        load_rig(path)
    assert str(caught.value).startswith(f"rig file {path}: ") and "\n" not in str(caught.value)
