"""Two ways to replay, the same numbers: the evaluation through the real node over DDS beside the offline one."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from sensor_msgs.msg import CompressedImage, Image

from fsmde_core.engines import load_engine
from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.predictors.predictors import MODEL, ConstantDepth, ModelPredictor
from fsmde_core.evaluation.protocols.surrounddepth import SurroundDepthProtocol
from fsmde_core.evaluation.records import frame_records
from fsmde_core.evaluation.results.drops import DropCounter
from fsmde_core.evaluation.results.summary import Summary
from fsmde_core.pipeline.pipeline import CpuPipeline
from fsmde_core.sources.source import Source
from fsmde_ros.cli.app import main
from fsmde_ros.client import listener, replay
from fsmde_ros.client.depth_images import depth_metres
from fsmde_ros.client.node_process import NodeProcess, node_parameters
from fsmde_ros.client.replay import NodeSettings, ReplaySettings, open_replay
from fsmde_ros.client.replay_score import published_records
from fsmde_ros.client.session import ros_node
from fsmde_ros.middleware.conversions import depth_image, header
from fsmde_ros.middleware.domain import isolate_domain
from support.small_rig import Scanned, SmallRig

RULES = SurroundDepthProtocol()


@pytest.fixture(autouse=True)
def own_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE"):
        monkeypatch.setenv(name, "")  # so that the variable is put back in the end
        monkeypatch.delenv(name)
    isolate_domain()


@contextmanager
def offline(model: Path) -> Iterator[ModelPredictor]:
    with closing(CpuPipeline(load_engine("onnxruntime", model, 1, len(SmallRig().rig.names)), 1)) as pipeline:
        yield ModelPredictor(pipeline)


def settings(model: Path, **others: Any) -> ReplaySettings:
    return ReplaySettings(node=NodeSettings("onnxruntime", model, 1), **others)


def through_node(source: Source, given: ReplaySettings) -> tuple[dict[str, Any], dict[str, Any]]:
    """(document of all records, drops)."""
    summary, drops = Summary(RULES, source.rig), DropCounter(source.rig.names)
    with open_replay(source, given) as found:
        for record in published_records(found.frames(), [ConstantDepth()], RULES, drops):
            summary.add(record)
    summary.finish()
    return summary.document(), drops.document(given.hz)


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """Without what differs by nature: published depth has no sigma, and takes another way."""
    return {key: value for key, value in document.items() if key not in ("sigma", "latency_ms", "drops")}


def test_both_ways_agree_to_the_last_bit(tiny_model: Path) -> None:
    """The recording lacks an image, which is no drop."""
    source = Scanned(6, missing=(2, "left"))
    document, drops = through_node(source, settings(tiny_model))
    summary = Summary(RULES, source.rig)
    with offline(tiny_model) as model:
        for record in frame_records(source, [model, ConstantDepth()], RULES):
            summary.add(record)
    summary.finish()
    expected = summary.document()
    assert expected["samples"] == 3 and all(camera["n"] > 100 for camera in expected["cameras"].values())
    assert expected["steadiness"] is not None
    assert comparable(document) == comparable(expected)
    assert document["sigma"] is None and 0 < document["latency_ms"]["p50"] < 5000
    sent = {name: {"sent": 6 - (name == "left"), "received": 6 - (name == "left")} for name in source.rig.names}
    assert drops["cameras"] == sent
    assert (drops["sets_sent"], drops["sets_complete"], drops["hz"]) == (6, 6, None)


def test_a_node_that_is_overrun_drops_and_what_it_publishes_is_told_apart(tiny_model: Path) -> None:
    source = Scanned(60)
    with open_replay(source, settings(tiny_model, hz=1000)) as found:
        frames = list(found.frames())
    drops = DropCounter(source.rig.names)
    records = list(published_records(frames, [], RULES, drops))
    told = drops.document(1000)
    assert [replayed.frame.index for replayed in frames] == list(range(60))
    assert told["sets_sent"] == 60 == told["sets_complete"] + told["sets_partial"] + told["sets_lost"]
    assert told["sets_lost"] > 0
    received = {name: sum(name in replayed.answers for replayed in frames) for name in source.rig.names}
    assert told["cameras"] == {name: {"sent": 60, "received": count} for name, count in received.items()}
    assert 0 < sum(received.values()) < 240

    with offline(tiny_model) as model:
        alone = list(frame_records(source, [model], RULES))
        for frame, replayed in zip(source.frames(), frames, strict=True):
            expected = model.predict(frame)
            for name in set(replayed.answers) & set(expected):
                assert np.array_equal(replayed.answers[name].depth, expected[name].depth), (frame.index, name)
    for ours, whole, replayed in zip(records, alone, frames, strict=True):
        there = {name for name in replayed.answers if name in source.rig.names} if whole.sampled else set()
        assert ours.sampled == bool(there)
        assert set(ours.images.get(MODEL, {})) == there & set(whole.images.get(MODEL, {}))
        for name, image in ours.images.get(MODEL, {}).items():
            assert np.array_equal(image.sums, whole.images[MODEL][name].sums)  # type: ignore[union-attr]


@pytest.mark.parametrize(("encoding", "exactness"), [("32FC1", 0), ("16UC1", 0.0005)])
def test_depth_images_are_metres_in_both_encodings(encoding: str, exactness: float) -> None:
    depth = np.array([[0.5, 12.3456, np.nan], [60, 1.0004, 3]], np.float32)
    message = depth_image(header(1, "front"), depth, encoding)
    assert (np.isnan(depth_metres(message)) == np.isnan(depth)).all()
    assert np.allclose(depth_metres(message), depth, rtol=1e-6, atol=exactness, equal_nan=True)


@contextmanager
def running_node(folder: Path, model: Path, **others: Any) -> Iterator[NodeProcess]:
    parameters = node_parameters(SmallRig().rig, folder, "onnxruntime", model, 1)
    parameters |= {"sync.deadline_ms": 900.0, **others}  # the machine may be busy
    with NodeProcess(folder, parameters, folder / "log") as node:
        yield node


def test_a_node_that_runs_already_is_found_and_its_end_is_noticed(tiny_model: Path, tmp_path: Path) -> None:
    with running_node(tmp_path, tiny_model) as node, open_replay(Scanned(2000), ReplaySettings(node=None)) as found:
        assert found.engine.engine == "onnxruntime" and found.engine.model == tiny_model.name
        frames = found.frames()
        assert all(len(replayed.answers) == 5 for replayed in islice(frames, 3))
        assert node._process is not None
        node._process.send_signal(signal.SIGINT)
        with pytest.raises(FsmdeError, match="the node is gone"):
            list(frames)


def test_a_node_that_is_started_and_ends_is_an_error(tiny_model: Path) -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = set(children.read_text().split())
    with open_replay(Scanned(2000), settings(tiny_model)) as found:
        frames = found.frames()
        next(frames)
        (node,) = set(children.read_text().split()) - before
        os.kill(int(node), signal.SIGINT)
        with pytest.raises(FsmdeError, match="the node ended with exit code 0"):
            list(frames)


def test_a_node_that_publishes_no_depth_is_an_error(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "ANSWER_SECONDS", 2)
    with (
        running_node(tmp_path, tiny_model, **{"publish.depth": False}),
        pytest.raises(FsmdeError, match=r"has not answered .* on \['back', 'front', 'left', 'right'\]"),
        open_replay(Scanned(), ReplaySettings(node=None)),
    ):
        pass


def test_without_a_node_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "START_SECONDS", 1)
    with (
        pytest.raises(FsmdeError, match="no node listens to an image topic of every camera"),
        open_replay(Scanned(), ReplaySettings(node=None)),
    ):
        pass


@pytest.mark.parametrize(("compressed", "other"), [(False, "/front/image_raw/compressed"), (True, "/front/image_raw")])
def test_a_node_that_listens_to_the_other_kind_of_images_is_named(
    monkeypatch: pytest.MonkeyPatch, compressed: bool, other: str
) -> None:
    monkeypatch.setattr(listener, "START_SECONDS", 1)
    with ros_node("neighbour") as neighbour:
        neighbour.create_subscription(Image if compressed else CompressedImage, other, lambda message: None, 5)
        words = rf"no node listens .*, but one to {other}; give --raw or --compressed"
        with (
            pytest.raises(FsmdeError, match=words),
            open_replay(Scanned(), ReplaySettings(node=None, compressed=compressed)),
        ):
            pass


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit code of `fsmde` with these arguments."""
    monkeypatch.setattr("sys.argv", ["fsmde", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def both_ways(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: object) -> tuple[dict[str, Any], ...]:
    """Documents of `fsmde evaluate` and `fsmde replay`."""
    documents = []
    for command in ("evaluate", "replay"):
        file = folder / f"{command}.json"
        assert run(monkeypatch, command, *options, "--json", file) == 0
        documents.append(json.loads(file.read_text()))
    return tuple(documents)


def test_commands_write_the_same_document_of_recorded_jpegs(
    nuscenes_root: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--source", "nuscenes", "--root", nuscenes_root, "--model", tiny_model, "--engine", "onnxruntime"]
    alone, published = both_ways(monkeypatch, tmp_path, *options, "--protocol", "vfdepth", "--scaling", "median")
    assert comparable(published) == comparable(alone)
    assert published["drops"]["sets_complete"] == 1 and "drops" not in alone
    assert "of 1 sets played (each waited for) 1 came back complete" in " ".join(capsys.readouterr().out.split())
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.slow
def test_both_ways_agree_on_pandaset_with_the_shipped_model(
    pandaset_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To float rounding, 1e-6 of each number: engines may sum in another order when threads are few."""
    options = ["--source", "pandaset", "--root", pandaset_root, "--frames", "40:50"]
    alone, published = both_ways(monkeypatch, tmp_path, *options)
    assert published["samples"] == 5 and published["drops"]["sets_complete"] == 10
    for key in ("cameras", "mean", "baselines", "bands", "thirds"):
        assert _numbers(published[key]) == pytest.approx(_numbers(alone[key]), rel=1e-6), key
    for key in ("lidar", "overlap"):
        assert published["consistency"][key]["edges"] == pytest.approx(alone["consistency"][key]["edges"], rel=1e-6)
    assert published["steadiness"]["cameras"] == pytest.approx(alone["steadiness"]["cameras"], rel=1e-6)


def _numbers(tree: dict[str, Any], path: str = "") -> dict[str, float]:
    """Leaves by their path."""
    found: dict[str, float] = {}
    for key, value in tree.items():
        found |= _numbers(value, f"{path}/{key}") if isinstance(value, dict) else {f"{path}/{key}": value}
    return found


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "/nonexistent.onnx"], "the node does not start: cannot configure: model file /nonexistent.onnx"),
        (["--frames", "9:"], "no frames in the range"),
        (["--frames", "x"], "frames 'x' must look like"),
        (["--hz", "0"], "hz must be greater than 0"),
        (["--running", "--threads", "2"], "leave out --running"),
        (["--namespace", "car"], "add --running"),
        (["--json", "/nonexistent/x.json"], "must name a file in an existing folder"),
        (["--cap", "0"], "cap is 0"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_no_result(
    options: list[str],
    words: str,
    nuscenes_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "scores.json"
    command = ["replay", "--source", "nuscenes", "--root", nuscenes_root, "--json", out, *options]
    assert run(monkeypatch, *command) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())
