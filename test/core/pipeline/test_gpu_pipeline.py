"""The GPU pipeline in torch against the CPU's, from raw images to the cloud; on a GPU too with `make test-gpu`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fsmde_core.clouds.packer import CloudPacker, CloudSettings
from fsmde_core.engines.model import read_model_info
from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import EncodedImage, RawImage
from fsmde_core.pipeline.gpu_pipeline import GpuPipeline, open_pipeline
from fsmde_core.pipeline.pipeline import CpuPipeline
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.mask import mask_from_entry
from fsmde_core.rig.rig import Rig
from support.tiny_model import HEIGHT, WIDTH

torch = pytest.importorskip("torch")

from fsmde_core.engines.torch.engine import TorchEngine
from fsmde_core.engines.torch.stream import DeviceStream, StreamEvent
from fsmde_core.pipeline.gpu.torch.backend import TorchBackend
from support.gpu_cases import DEVICES, OPEN, RIG, raw, texture, torch_device

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module", params=DEVICES)
def device(request: pytest.FixtureRequest) -> Any:
    return torch_device(request.param)


@pytest.fixture
def pipelines(device: Any, tiny_model: Path) -> Iterator[tuple[GpuPipeline, CpuPipeline]]:
    """On `device` through the backend, and on the CPU with the same engine's arithmetic."""
    info = read_model_info(tiny_model)
    engine = TorchEngine(info, 1, 4, device.type)
    ours, reference = GpuPipeline(engine, TorchBackend(engine), 2), CpuPipeline(TorchEngine(info, 1), 2)
    yield ours, reference
    ours.close()
    reference.close()


@pytest.mark.parametrize("names", [RIG.names, ("back",), ("left", "front"), ("back", "right", "left")])
def test_depth_and_cloud_of_any_subset(pipelines: tuple[GpuPipeline, CpuPipeline], names: tuple[str, ...]) -> None:
    ours, reference = pipelines
    images = {name: raw(RIG[name], i) for i, name in enumerate(names)}
    wanted = replace(OPEN, stride=2)
    for _ in range(2):
        found, expected = ours.run(images, RIG), reference.run(images, RIG)
        assert found.names == expected.names and set(found.names) == set(names)
        assert np.abs(found.rgb.astype(int) - expected.rgb).max() <= 2
        # depth = (1 + mean grey) * fx / 100: two grey levels
        unit = np.array([c.fx for c in found.cameras], np.float32)[:, None, None] / 100
        np.testing.assert_array_equal(np.isnan(found.depth), np.isnan(expected.depth))
        np.testing.assert_allclose(found.depth / unit, expected.depth / unit, atol=2.01, rtol=1e-5)
        cloud = ours.pack(found, wanted)
        again = CloudPacker(wanted).pack(found.cameras, found.rgb, found.depth, found.sigma)
        assert cloud.fields == again.fields and len(cloud.data) == len(again.data) == 20 * cloud.count > 0
        np.testing.assert_allclose(cloud.records()[:, :3], again.records()[:, :3], rtol=1e-5, atol=1e-4)
        np.testing.assert_array_equal(cloud.records()[:, 3:].view(np.uint32), again.records()[:, 3:].view(np.uint32))


def test_the_own_vehicle_has_no_depth_and_no_points(pipelines: tuple[GpuPipeline, CpuPipeline]) -> None:
    """One lens without corners of its own, one with; the third camera has no mask."""
    masked = [
        replace(c, mask=mask_from_entry([[0, h], [w // 2, h // 2], [w, h]], Path(), c.name, (w, h)))
        for c, w, h in ((c, c.width, c.height) for c in (RIG["front"], RIG["back"]))
    ]
    rig = Rig((*masked, RIG["left"]))
    images = {name: raw(rig[name], i) for i, name in enumerate(rig.names)}
    found, expected, plain = pipelines[0].run(images, rig), pipelines[1].run(images, rig), pipelines[1].run(images, RIG)
    np.testing.assert_array_equal(np.isnan(found.depth), np.isnan(expected.depth))
    order = [plain.names.index(name) for name in rig.names]
    hidden = np.isnan(expected.depth) & ~np.isnan(plain.depth[order])
    # A triangle of half the width and half the height is a quarter of the image.
    np.testing.assert_allclose(hidden[:2].mean(axis=(1, 2)), 1 / 4, atol=0.04)
    assert not hidden[2].any()
    assert pipelines[0].pack(found, OPEN).count == np.isfinite(expected.depth).sum()


def test_stage_times_are_there(pipelines: tuple[GpuPipeline, CpuPipeline]) -> None:
    result = pipelines[0].run({"front": raw(RIG["front"], 0), "left": raw(RIG["left"], 1)}, RIG)
    of_infer = {"preprocess", "infer", *(f"gpu_{stage}" for stage in ("upload", "sample", "infer", "download"))}
    assert set(result.stage_ms) == of_infer and min(result.stage_ms.values()) >= 0
    pipelines[0].pack(result, OPEN)
    assert set(result.stage_ms) == of_infer | {"gpu_pack", "gpu_cloud_down", "gpu_cloud_copied"}


@pytest.mark.parametrize("wanted", [OPEN, replace(OPEN, min_range=999.0)], ids=["all", "none"])
def test_a_cloud_of_any_number_of_points(pipelines: tuple[GpuPipeline, CpuPipeline], wanted: CloudSettings) -> None:
    ours, _ = pipelines
    result = ours.run({"front": raw(RIG["front"], 0)}, RIG)
    cloud = ours.pack(result, wanted)
    assert cloud.count == len(cloud.data) / 20 == (HEIGHT * WIDTH if wanted is OPEN else 0)
    assert result.stage_ms["gpu_cloud_down"] >= 0


class Event:
    """What CUDA keeps of its events: the time between two is known only once both were waited for."""

    recorded = reached = 0

    def __init__(self) -> None:
        Event.recorded += 1
        self._number = Event.recorded

    def synchronize(self) -> None:
        Event.reached = max(Event.reached, self._number)

    def elapsed_time(self, later: Event) -> float:
        if max(self._number, later._number) > Event.reached:
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return 0.1


@pytest.mark.parametrize("wanted", [OPEN, replace(OPEN, min_range=999.0)], ids=["all", "none"])
def test_times_are_asked_of_events_that_were_waited_for(
    tiny_model: Path, wanted: CloudSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TorchEngine(read_model_info(tiny_model), 1, 2)
    monkeypatch.setattr(DeviceStream, "record_event", lambda _: StreamEvent(Event()))  # type: ignore[arg-type]
    ours = GpuPipeline(engine, TorchBackend(engine), 1)
    ours.pack(ours.run({"front": raw(RIG["front"], 0)}, RIG), wanted)
    ours.close()


def test_warm_up_and_more_cameras_than_expected(pipelines: tuple[GpuPipeline, CpuPipeline]) -> None:
    ours, _ = pipelines
    ours.warm_up(5)
    result = ours.run({"left": raw(RIG["left"], 0)}, RIG)
    assert result.depth.shape == (1, HEIGHT, WIDTH) and ours.pack(result, OPEN).count > 0


def test_a_jpeg_is_decoded_and_sampled(pipelines: tuple[GpuPipeline, CpuPipeline]) -> None:
    """Also where the decoder halves it: `front` is four times the network's size."""
    ours, reference = pipelines
    for name in ("front", "back"):
        data = cv2.imencode(".jpg", texture(RIG[name].width, RIG[name].height), [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        image = EncodedImage(data.tobytes(), "jpeg")
        found, expected = ours.run({name: image}, RIG), reference.run({name: image}, RIG)
        assert np.abs(found.rgb.astype(int) - expected.rgb).max() <= 2


def test_changed_calibration_and_mounts(pipelines: tuple[GpuPipeline, CpuPipeline]) -> None:
    ours, reference = pipelines
    front, image = RIG["front"], raw(RIG["front"], 0)
    bent = replace(front, D=np.array([0.4, 0, 0, 0]))
    for source in (front, bent, front):
        found, expected = ours.run({"front": image}, Rig((source,))), reference.run({"front": image}, Rig((source,)))
        np.testing.assert_array_equal(np.isnan(found.depth), np.isnan(expected.depth))
        assert np.isnan(found.depth).any() == source.is_distorted
    taken = ours.rectify(image, front)
    before = ours.pack(ours.infer([taken]), OPEN).records()[:, :3].copy()
    moved = replace(front, T_base_camera=rigid(np.eye(3), [5, 0, 0]) @ front.T_base_camera)
    result = ours.infer([ours.with_mount(taken, moved)])
    np.testing.assert_allclose(ours.pack(result, OPEN).records()[:, :3] - before, [[5, 0, 0]] * len(before), atol=1e-4)


def test_images_come_from_several_threads_and_the_sender_reuses_his_memory(
    pipelines: tuple[GpuPipeline, CpuPipeline],
) -> None:
    ours, _ = pipelines

    def send(level: int) -> Any:
        memory = np.full((64, 112, 3), level, np.uint8)
        taken = ours.rectify(RawImage.from_rgb(memory), RIG["left"])
        memory[:] = 255
        return taken

    with ThreadPoolExecutor(4) as pool:
        for start in (0, 40, 80):
            taken = list(pool.map(send, range(start, start + 20)))
            for first in range(0, 20, 4):
                result = ours.infer(taken[first : first + 4])
                levels = result.rgb.reshape(4, -1)
                assert (levels == np.arange(start + first, start + first + 4)[:, None]).all()


def test_clouds_that_somebody_looks_at_are_left_alone(pipelines: tuple[GpuPipeline, CpuPipeline]) -> None:
    ours, _ = pipelines
    first = ours.pack(ours.run({"left": raw(RIG["left"], 0)}, RIG), OPEN).records()
    before = first.copy()
    images = {name: raw(RIG[name], 1) for name in ("left", "front")}
    second = ours.pack(ours.run(images, RIG), OPEN)
    np.testing.assert_array_equal(first, before)
    assert second.count == 2 * len(first) == 2 * WIDTH * HEIGHT


def test_the_pipeline_is_that_of_the_engine(tiny_model: Path) -> None:
    engine = TorchEngine(read_model_info(tiny_model))
    pipeline = open_pipeline(engine, 2)
    assert type(pipeline) is CpuPipeline
    engine.device = "some GPU"
    on_gpu = open_pipeline(engine, 2)
    assert type(on_gpu) is GpuPipeline
    on_gpu.close()


def test_without_the_gpus_kernels_the_engine_serves_all_the_same(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_compiler(engine: TorchEngine, cameras: int) -> None:
        raise FsmdeError("nvcc is needed")

    monkeypatch.setattr("fsmde_core.pipeline.gpu_pipeline._open_backend", no_compiler)
    pipeline = open_pipeline(TorchEngine(read_model_info(tiny_model)), 2)
    assert type(pipeline) is CpuPipeline and "packed on the CPU: nvcc is needed" in caplog.text
    pipeline.close()


def test_bad_images_leave_the_pipeline_usable(pipelines: tuple[GpuPipeline, CpuPipeline]) -> None:
    ours, _ = pipelines
    small = RawImage.from_rgb(np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(FsmdeError, match="calibration is for 448x256"):
        ours.run({"front": small, "left": raw(RIG["left"], 0)}, RIG)
    with pytest.raises(FsmdeError, match=r"\['rear'\]"):
        ours.run({"rear": small}, RIG)
    assert ours.run({"left": raw(RIG["left"], 0)}, RIG).depth.shape[0] == 1
