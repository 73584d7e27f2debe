"""The report's pictures: what they show is where the data say, and browsers show the page as it is meant."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fsmde_core.engines.model import read_model_info
from fsmde_core.evaluation.measures.metrics import depth_metrics
from fsmde_core.evaluation.measures.pixels import SparseDepth
from fsmde_core.frames import Frame
from fsmde_core.lidar.projection import depth_map
from fsmde_core.report import views
from fsmde_core.report.birds_eye import MEASURED, PREDICTED, birds_eye_view
from fsmde_core.rig.rig import Camera
from fsmde_core.sources.datasets.nuscenes import NuScenesSource
from fsmde_ros.cli.app import main
from support.page_reader import Page
from support.result_documents import document, write
from support.tiny_model import HEIGHT, WIDTH, write_tiny_model


def nuscenes_document(frame: Frame, model: Path, **changes: Any) -> dict[str, Any]:
    """A result of the keyframe, whose worst images are the first two cameras' and the best the third's."""
    extremes = [
        {"frame": 0, "stamp_ns": image.stamp_ns, "camera": name, "abs_rel": 0.9 - 0.1 * i, "n": 9}
        for i, (name, image) in enumerate(frame.images.items())
    ]
    return document(
        kind="nuscenes", source="nuscenes", samples=1, span=[0, None], cameras=frame.rig.names, model=model.name,
        model_sha256=read_model_info(model).sha256, extremes={"worst": extremes[:2], "best": extremes[2:3]}, **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def frame(nuscenes_root: Path) -> Frame:
    return NuScenesSource(nuscenes_root).frame(0)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Exit code of `fsmde report` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["fsmde", "report", *map(str, arguments), "--engine", "onnxruntime"])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def tiny_depth(frame: Frame, name: str) -> np.ndarray:
    """(H, W) metres at native size that the tiny model predicts, computed with OpenCV alone."""
    rgb = frame.images[name].rgb()
    small = cv2.resize(rgb, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
    focal = frame.rig[name].fx * WIDTH / rgb.shape[1]
    depth = (1 + small.mean(axis=2)) * focal / 100
    return cv2.resize(depth, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_LINEAR)


def test_pictures_of_a_recording(
    nuscenes_root: Path, frame: Frame, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = write(tmp_path / "a.json", nuscenes_document(frame, tiny_model))
    out = tmp_path / "report.html"
    assert run(monkeypatch, result, "--html", out, "--root", nuscenes_root, "--model", tiny_model) == 0
    text = out.read_text()
    found = Page(text)
    assert found.tags["img"] == 3 * 5 and len(text) < 2e6
    assert all(link.startswith(("#", "data:image/jpeg;base64,")) for link in found.links if link != "data:,")
    names = [name.replace("_", " ") for name in frame.images][:3]
    assert [alt for alt in found.alts if "error against lidar" in alt] == [
        f"{name}, frame 0: error against lidar" for name in names
    ]
    assert text.index("Worst images") < text.index(f"{names[1]}, frame 0") < text.index("Best images")
    assert '<data value="0.8">0.800</data>' in text  # the document's number of the second worst
    pictures = [base64.b64decode(link.partition(",")[2]) for link in found.links if link.startswith("data:image")]
    photograph = cv2.imdecode(np.frombuffer(pictures[0], np.uint8), cv2.IMREAD_COLOR)
    expected = cv2.resize(frame.images[next(iter(frame.images))].rgb(), photograph.shape[1::-1], cv2.INTER_AREA)
    assert np.abs(photograph[..., ::-1].astype(int) - expected).mean() < 6


def test_two_models_beside_each_other(
    nuscenes_root: Path, frame: Frame, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_tiny_model(tmp_path / "other.onnx", {**read_metadata(tiny_model), "training_data": "other"})
    paths = [
        write(tmp_path / f"{name}.json", nuscenes_document(frame, model))
        for name, model in (("a", tiny_model), ("b", other), ("c", tiny_model))
    ]
    out = tmp_path / "report.html"
    options = ["--html", out, "--root", nuscenes_root, "--model", tiny_model]
    assert run(monkeypatch, *paths, *options) == 2 and not out.exists()
    assert run(monkeypatch, *paths, *options, "--model", other) == 0
    text = out.read_text()
    shown = re.findall(r'<h5>([^<]*), AbsRel <data value="([^"]+)">', text)
    assert [name for name, _ in shown] == ["a and c", "b"] * 3
    for (name, image), (_, value) in zip(list(frame.images.items())[:3], shown[::2], strict=True):
        assert image is frame.images[name]
        truth, depth = depth_map(frame, name), tiny_depth(frame, name)
        valid = (truth > 0.1) & (truth < 80)
        expected = depth_metrics(truth[valid], np.clip(depth[valid], 0.1, 80)).abs_rel
        assert float(value) == pytest.approx(expected, rel=0.01)


def read_metadata(model: Path) -> dict[str, str]:
    """The ONNX file's metadata."""
    import onnx

    return {entry.key: entry.value for entry in onnx.load(model).metadata_props}


def test_another_recording_is_refused(
    nuscenes_root: Path,
    frame: Frame,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "report.html"
    options = ["--html", out, "--root", nuscenes_root, "--model", tiny_model]
    for change, words in ({"stamp_ns": 5}, "has stamp 5"), ({"frame": 7}, "frame 7 of"), ({"camera": "top"}, "'top'"):
        changed = nuscenes_document(frame, tiny_model)
        changed["extremes"]["worst"][0] |= change
        assert run(monkeypatch, write(tmp_path / "a.json", changed), *options) == 2
        error = capsys.readouterr().err
        assert words in error and "--no-pictures" in error and not out.exists()


def test_errors_are_blue_where_too_near_and_red_where_too_far() -> None:
    rgb = np.full((100, 200, 3), 128, np.uint8)
    truth = SparseDepth(200, 400, np.array([20, 100, 180]), np.array([100, 200, 300]), np.full(3, 10, np.float32))
    view = views.error_view(rgb, truth, np.array([5, 10, 15], np.float32)).astype(int)
    near, right, far = view[10, 50], view[50, 100], view[90, 150]
    assert near[2] > near[0] + 100 and far[0] > far[2] + 100
    assert right.min() > 240
    assert np.array_equal(view[50, 20], [57, 57, 57])  # 0.45 of the photograph's grey elsewhere


def test_near_points_cover_far_ones() -> None:
    truth = SparseDepth(50, 50, np.array([25, 25]), np.array([25, 25]), np.array([5, 50], np.float32))
    view = views.error_view(np.zeros((50, 50, 3), np.uint8), truth, np.array([10, 20], np.float32))
    assert view[25, 25, 0] > 200 and view[25, 25, 2] < 100  # the near one's red


def test_cloud_from_above_lies_where_it_is() -> None:
    pose = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]], float)  # 1.5 m up, looking ahead
    camera = Camera("front", 64, 32, np.array([[32, 0, 31.5], [0, 32, 15.5], [0, 0, 1]]), pose)
    depth = np.full((32, 64), 12, np.float32)
    depth[:, 32:] = np.nan  # a wall in the left half of the view
    across = np.linspace(4, 6, 50)  # lidar: the right, as near as the wall
    lidar = np.stack([across, np.zeros(50), np.full(50, 12.0)], axis=1)
    road = np.stack([across - 10, np.full(50, 1.5), np.full(50, 6.0)], axis=1)
    view = birds_eye_view(camera, depth, 0.1 * depth, np.concatenate([lidar, road])).astype(int)

    def middle(color: str) -> tuple[float, float, int]:
        wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        rows, columns = np.nonzero(np.abs(view - wanted).max(axis=2) < 12)
        inside = rows < 0.8 * view.shape[0]  # without the legend
        return rows[inside].mean() / view.shape[0], columns[inside].mean() / view.shape[1], int(inside.sum())

    orange, blue = middle(PREDICTED), middle(MEASURED)
    assert orange[2] > 50 and blue[2] > 20
    assert orange[0] == pytest.approx(blue[0], abs=0.01)
    assert orange[1] < 0.4 and blue[1] > 0.6
    farthest = 20.0  # the least range that is drawn, 1.15 times as high as 20 m
    assert blue[0] == pytest.approx(1 - (12 + 0.05 * farthest) / (1.15 * farthest), abs=0.01)
    unsure = birds_eye_view(camera, depth, depth, lidar).astype(int)  # above the gate of the node's cloud
    assert np.count_nonzero(np.abs(unsure[:600] - [255, 159, 28]).max(axis=2) < 12) == 0


@pytest.mark.slow
def test_browser_shows_it_without_overflow_or_requests(
    nuscenes_root: Path, frame: Frame, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("neither chromium nor google-chrome is installed")
    paths = [write(tmp_path / f"{name}.json", nuscenes_document(frame, tiny_model)) for name in "ab"]
    out = tmp_path / "report.html"
    assert run(monkeypatch, *paths, "--html", out, "--root", nuscenes_root, "--model", tiny_model) == 0
    probe = """<script>addEventListener("load", () => {
        const images = [...document.images], root = document.documentElement
        parent.postMessage(JSON.stringify({
          overflow: root.scrollWidth - root.clientWidth,
          broken: images.filter(image => !image.naturalWidth).length, images: images.length,
          requests: performance.getEntriesByType("resource").filter(e => !e.name.startsWith("data:")).length,
        }), "*")})</script>"""
    out.write_text(out.read_text().replace("</body>", probe + "</body>"))
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += f" --disable-component-update --disable-sync --user-data-dir={tmp_path / 'profile'}"
    for width in (360, 420, 800, 1280):  # in a frame, as a window is never narrower than 500 pixels
        frame_page = tmp_path / f"{width}.html"
        frame_page.write_text(
            '<script>addEventListener("message", event => { document.title = event.data })</script>'
            f'<iframe src="{out.name}" style="border: 0; width: {width}px; height: 900px"></iframe>'
        )
        command = [chromium, *flags.split(), "--virtual-time-budget=20000", "--dump-dom", frame_page.as_uri()]
        dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        title = re.search(r"<title>(\{.*?\})</title>", dom)
        assert title, dom[:2000]
        assert json.loads(title[1]) == {"overflow": 0, "broken": 0, "images": 15, "requests": 0}, width
