"""Evaluations that stream their results: interrupted, killed, gone on with, refused."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsmde_core.errors import FsmdeError, NothingJudgedError
from fsmde_core.evaluation.evaluate import check_judged, result_document
from fsmde_core.evaluation.predictors.predictors import MODEL, ConstantDepth, Prediction, Predictor
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.protocols.registry import make_protocol
from fsmde_core.evaluation.protocols.surrounddepth import SurroundDepthProtocol
from fsmde_core.evaluation.records import frame_records
from fsmde_core.evaluation.results.partial import PartialResult
from fsmde_core.evaluation.results.record import FrameRecord
from fsmde_core.evaluation.results.summary import Summary
from fsmde_core.frames import Frame
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Rig
from fsmde_ros.cli.app import main
from support.small_rig import SmallRig

SETTINGS = {"source": "small", "environment": {"python": "3"}}


class Noise(Predictor):
    """Random depth and sigma, the same for the same frame."""

    name = MODEL

    def predict(self, frame: Frame) -> dict[str, Prediction]:
        rng = np.random.default_rng(frame.index)
        maps = {name: rng.uniform(1, 5, (2, 10, 16)).astype(np.float32) for name in frame.images}
        self.latency_ms = 1.0 + frame.index
        return {name: Prediction(depth, sigma / 5) for name, (depth, sigma) in maps.items()}


class Drive(SmallRig):
    """The small rig with views that overlap and lidar that they see; ends in an error before frame `at`."""

    def __init__(self, frames: int = 14, at: int | None = None) -> None:
        super().__init__(frames)
        wide = np.array([[14.0, 0, 15.5], [0, 14.0, 9.5], [0, 0, 1]])
        mounts = [rigid(camera.T_base_camera[:3, :3], (0, 0, 1)) for camera in self.rig.cameras]
        cameras = zip(self.rig.cameras, mounts, strict=True)
        self.rig = Rig(tuple(replace(camera, K=wide, T_base_camera=mount) for camera, mount in cameras))
        self.at = at

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        for frame in super().frames(start, stop):
            if frame.index == self.at:
                raise FsmdeError("the disk is gone")
            points = 4 * np.random.default_rng(frame.index).normal(size=(1000, 3)).astype(np.float32)
            yield replace(frame, lidar=frame.lidar and replace(frame.lidar, points=points))


PROTOCOLS = [make_protocol(name, "small", 8.0, scaling) for name, scaling in (
    ("surrounddepth", "none"), ("surrounddepth", "median"), ("vfdepth", "none"), ("vfdepth", "median"))]  # fmt: skip


def run(
    source: Drive, protocol: EvaluationProtocol, result: Path | None = None, span: tuple[int, int | None] = (0, None)
) -> dict[str, Any]:
    kept = None if result is None else PartialResult(result, SETTINGS)
    make_records = partial(frame_records, source, [Noise(), ConstantDepth(3.0)], protocol)
    records = make_records(span, None) if kept is None else kept.resume(span, make_records)
    return result_document(source, protocol, span, SETTINGS, records, kept)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: f"{p.name}-{p.scaling}")
@pytest.mark.parametrize("at", [3, 4, 9])
def test_what_was_interrupted_goes_on_to_the_same_document(
    protocol: EvaluationProtocol, at: int, tmp_path: Path
) -> None:
    whole = run(Drive(14), protocol)
    assert whole["steadiness"] and whole["sigma"] and whole["consistency"]["lidar"]  # there is something to get wrong
    out = tmp_path / "result.json"
    with pytest.raises(FsmdeError, match="the disk is gone"):
        run(Drive(14, at), protocol, out)
    assert not out.exists()
    kept = (tmp_path / "result.json.partial.jsonl").read_text().splitlines()
    assert len(kept) == 1 + at  # what was asked, and every frame before the error
    resumed = run(Drive(14), protocol, out)
    assert resumed["notes"].pop().startswith(f"an interrupted run had read {at} frames")
    assert resumed == whole
    assert {**json.loads(out.read_text()), "notes": resumed["notes"]} == whole
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_torn_last_line_is_made_again(tmp_path: Path) -> None:
    out, protocol = tmp_path / "result.json", SurroundDepthProtocol(8.0)
    whole = run(Drive(8), protocol)
    with pytest.raises(FsmdeError):
        run(Drive(8, 7), protocol, out)
    path = tmp_path / "result.json.partial.jsonl"
    complete_lines = path.read_bytes()
    path.write_bytes(complete_lines[:-20])
    assert {**run(Drive(8), protocol, out), "notes": whole["notes"]} == whole


def test_of_another_evaluation_nothing_is_taken(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    with pytest.raises(FsmdeError, match="the disk is gone"):
        run(Drive(8, 7), SurroundDepthProtocol(8.0), out)
    with pytest.raises(FsmdeError, match=r"another evaluation \(source small instead of other\).*--fresh"):
        PartialResult(out, {**SETTINGS, "source": "other"})
    with pytest.raises(FsmdeError, match="other versions or another machine"):
        PartialResult(out, {**SETTINGS, "environment": {"python": "4"}})
    fresh = PartialResult(out, {**SETTINGS, "source": "other"}, fresh=True)
    assert list(fresh.records()) == [] and not fresh.path.exists()
    fresh.path.write_text("my shopping list\n")
    with pytest.raises(FsmdeError, match="something that is no evaluation"):
        PartialResult(out, SETTINGS)


def flipped(line: bytes, bit: int) -> bytes:
    middle = len(line) // 2
    return line[:middle] + bytes([line[middle] ^ bit]) + line[middle + 1 :]


@pytest.mark.parametrize("damage", [lambda _: b"{}", lambda line: flipped(line, 1), lambda line: flipped(line, 128)])
@pytest.mark.parametrize("protocol", PROTOCOLS[::3], ids=lambda p: f"{p.name}-{p.scaling}")
def test_a_damaged_line_is_named(
    protocol: EvaluationProtocol, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    out = tmp_path / "result.json"
    with pytest.raises(FsmdeError):
        run(Drive(8, 7), protocol, out)
    path = tmp_path / "result.json.partial.jsonl"
    asked, first, *others = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([asked, damage(first), *others]) + b"\n")
    with pytest.raises(FsmdeError, match="damaged in line 2; begin anew with --fresh"):
        run(Drive(8), protocol, out)


def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    kept = PartialResult(out, SETTINGS)
    kept.path.symlink_to("/dev/full")
    with pytest.raises(FsmdeError, match=r"partial.jsonl cannot be written \(No space left on device\); make room"):
        for record in frame_records(Drive(3), [Noise()], SurroundDepthProtocol(8.0)):
            kept.append(record)
    out.with_name("result.json.part").symlink_to("/dev/full")
    with pytest.raises(FsmdeError, match=r"result.json cannot be written \(No space left on device\)"):
        kept.finish({})


def test_where_nothing_was_measured_the_document_says_so(tmp_path: Path) -> None:
    document = run(Drive(8), SurroundDepthProtocol(8.0), tmp_path / "result.json", (1, 2))
    with pytest.raises(NothingJudgedError, match=r"frames 1:2 of small: 1 read, 0 with lidar"):
        check_judged(document)
    assert json.loads((tmp_path / "result.json").read_text()) == document
    assert (document["samples"], document["mean"]) == (0, None)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: f"{p.name}-{p.scaling}")
def test_records_come_back_from_json_to_the_last_digit(protocol: EvaluationProtocol) -> None:
    for record in frame_records(Drive(3), [Noise(), ConstantDepth()], protocol):
        line = record.to_json()
        assert "\n" not in line
        assert FrameRecord.from_json(line).to_json() == line


@pytest.mark.parametrize("protocol", PROTOCOLS[2:], ids=lambda p: f"{p.name}-{p.scaling}")
def test_samples_that_do_not_fill_a_batch_count_for_no_measure(protocol: EvaluationProtocol) -> None:
    """Of 14 frames 7 have lidar, of 8 the first 4 of them."""
    longer, shorter = run(Drive(14), protocol), run(Drive(8), protocol)
    assert longer["samples"] == shorter["samples"] == 4
    assert {key for key in longer if longer[key] != shorter[key]} == {"frames", "notes"}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: f"{p.name}-{p.scaling}")
def test_what_a_summary_keeps_does_not_grow(protocol: EvaluationProtocol) -> None:
    source = Drive()
    summary, sizes = Summary(protocol, source.rig), []
    records = list(frame_records(source, [Noise(), ConstantDepth()], protocol))
    for _ in range(40):
        for record in records:
            summary.add(record)
        sizes.append(len(pickle.dumps(summary)))
    assert summary.frames == 560
    assert max(sizes[20:]) < 1.05 * max(sizes[4:20])


def evaluate(*options: str | Path) -> list[str]:
    return [sys.executable, "-c", "from fsmde_ros.cli.app import main; main()", "evaluate", *map(str, options)]


def test_a_killed_command_goes_on_where_it_was(
    pandaset_root: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole = tmp_path / "killed.json", tmp_path / "whole.json"
    options = ["--source", "pandaset", "--root", pandaset_root, "--frames", "20:50", "--model", tiny_model]
    options += ["--engine", "onnxruntime", "--threads", "1"]
    path = tmp_path / "killed.json.partial.jsonl"
    with subprocess.Popen(evaluate(*options, "--json", out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as p:
        while p.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") > 4):
            time.sleep(0.005)
        p.send_signal(signal.SIGKILL)
    assert not out.exists() and path.exists()
    for file in (out, whole):
        monkeypatch.setattr(sys, "argv", ["fsmde", *evaluate(*options, "--json", file)[3:]])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    documents = [json.loads(file.read_text()) for file in (out, whole)]
    for document in documents:
        del document["latency_ms"]
    interrupted = documents[0]["notes"].pop()
    assert interrupted.startswith("an interrupted run had read ")
    assert documents[0].pop("read")["images"]["read"] < documents[1].pop("read")["images"]["read"] == 180
    assert [document.pop("notes")[0].partition("sweeps")[2][:39] for document in documents] == 2 * [
        " left out: the file is absent, such as "
    ]
    assert documents[0] == documents[1] and documents[0]["frames"] == 30
    assert sorted(file.name for file in tmp_path.iterdir()) == ["killed.json", "whole.json"]
