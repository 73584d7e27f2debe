"""The node on the pipeline of a GPU; its arithmetic on the CPU where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("rclpy")

from rclpy.parameter import Parameter

from fsmde_core.engines.model import read_model_info
from fsmde_core.engines.torch.engine import TorchEngine
from fsmde_core.pipeline.gpu.torch.backend import TorchBackend
from fsmde_core.pipeline.gpu_pipeline import GpuPipeline
from fsmde_ros.client.depth_images import CvBridge
from fsmde_ros.node import node as node_module
from support.ros_harness import NAMES, Stage, open_stage, start_node


@pytest.fixture
def stage(tmp_path: Path, tiny_model: Path) -> Iterator[Stage]:
    with open_stage(tmp_path, tiny_model) as opened:
        yield opened


STAMP = 5_000_000_000
GREYS = {name: 20 + 10 * index for index, name in enumerate(NAMES)}


def test_depth_and_cloud_over_dds(stage: Stage, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six cameras, then five, then a stride: what the node publishes is what the tiny model says of grey images."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    engine = TorchEngine(read_model_info(tiny_model), 1, 6, device)
    monkeypatch.setattr(node_module, "open_pipeline", lambda *_: GpuPipeline(engine, TorchBackend(engine), 2))
    node = stage.node()
    stage.client.listen_to_all()
    received = stage.client.received
    stage.client.send_set(GREYS, STAMP)
    assert stage.spin_until(lambda: received["points"] and all(received[f"{n}/depth/image"] for n in NAMES))
    for name in NAMES:
        depth = CvBridge().imgmsg_to_cv2(received[f"{name}/depth/image"][0])
        fx = 80.0 * engine.info.width / 160
        np.testing.assert_allclose(depth, (1 + GREYS[name]) * fx / 100, rtol=1e-5)
    whole: Any = received["points"][0]
    assert whole.width == 6 * engine.info.width * engine.info.height == len(whole.data) / whole.point_step

    stage.client.send_set(dict.fromkeys(NAMES[1:], 30), STAMP + 10**8)
    assert stage.spin_until(lambda: len(received["points"]) == 2)
    assert received["points"][1].width == 5 * engine.info.width * engine.info.height

    assert node.set_parameters([Parameter("cloud.stride", value=2)])[0].successful
    stage.client.send_set(GREYS, STAMP + 2 * 10**8)
    assert stage.spin_until(lambda: len(received["points"]) == 3)
    assert received["points"][2].width == 6 * engine.info.width * engine.info.height // 4


def test_providers_reach_the_engine(stage: Stage) -> None:
    node = stage.node(start=False, onnxruntime__providers=["CPUExecutionProvider", "NoSuchProvider"])
    assert not start_node(node)
    assert stage.spin_until(lambda: stage.client.diagnosis("node"))
    assert "no provider 'NoSuchProvider'" in stage.client.diagnosis("node").message  # type: ignore[union-attr]
    right = Parameter("onnxruntime.providers", value=["CPUExecutionProvider"])
    assert node.set_parameters([right])[0].successful and start_node(node)
