"""`fsmde evaluate` from its command line to its JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fsmde_core.engines import load_engine
from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation import throughput
from fsmde_core.evaluation.measures.metrics import MEASURES
from fsmde_core.evaluation.predictors.predictors import ModelPredictor
from fsmde_core.evaluation.protocols.surrounddepth import SurroundDepthProtocol
from fsmde_core.frames import Frame
from fsmde_core.messages.encode import BagWriter, MessageEncoder
from fsmde_core.pipeline.pipeline import CpuPipeline
from fsmde_core.report.documents import load_results
from fsmde_core.rig.rig import Rig, save_rig
from fsmde_core.sources.datasets.nuscenes import NuScenesSource
from fsmde_ros.cli.app import main
from support.bags import write_messages
from support.faulty_bag import FRAMES, LOST_IMAGES, LOST_SWEEPS, NOTES, faulty_messages
from support.small_datasets import write_nuscenes
from support.small_rig import SmallRig

MEASURED = {*MEASURES, "n"}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Exit code of `fsmde evaluate` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["fsmde", "evaluate", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "140")
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def check_document(document: dict[str, Any], cameras: int) -> None:
    keys = (
        "protocol source kind root_name options read span frames samples cap_m scaling flip masks engine device "
        "precision model model_sha256 environment cameras mean latency_ms baselines bands thirds sigma consistency "
        "steadiness extremes notes"
    )
    assert set(document) == set(keys.split())
    assert (document["protocol"], document["scaling"]) == ("surrounddepth", "none")
    assert set(document["latency_ms"]) == {"p50", "p95", "p99"}
    for scores in (document, *document["baselines"].values()):
        assert len(scores["cameras"]) == cameras
        assert all(set(measured) == MEASURED for measured in (*scores["cameras"].values(), scores["mean"]))
        for name in MEASURES:
            values = [measured[name] for measured in scores["cameras"].values()]
            assert scores["mean"][name] == pytest.approx(sum(values) / len(values))
    counts = {scores["mean"]["n"] for scores in (document, *document["baselines"].values())}
    assert len(counts) == 1 and counts.pop() > 0


def test_a_bag_of_many_faults_gives_one_result_that_names_them_all(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bag, out = write_messages(tmp_path / "bag", faulty_messages()), tmp_path / "scores.json"
    options = ["--source", "rosbag", "--root", bag, "--model", tiny_model, "--engine", "onnxruntime"]
    assert run(monkeypatch, *options, "--json", out) == 0
    document = json.loads(out.read_text())
    check_document(document, cameras=4)
    assert document["samples"] == FRAMES // 2 - len(LOST_SWEEPS)
    assert document["read"]["images"]["used"] == 4 * FRAMES - len(LOST_IMAGES)
    assert [fault for fault, words in NOTES.items() if not any(re.search(words, n) for n in document["notes"])] == []
    shown = capsys.readouterr().out
    assert "images: 161 read, 153 used" in shown and "sweeps: 20 read, 16 used" in shown


def test_nuscenes_keyframe(
    nuscenes_root: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "scores.json"
    options = ["--source", "nuscenes", "--root", nuscenes_root, "--model", tiny_model, "--engine", "onnxruntime"]
    assert run(monkeypatch, *options, "--json", out) == 0
    document = json.loads(out.read_text())
    check_document(document, cameras=6)
    assert (document["samples"], document["cap_m"], document["engine"]) == (1, 80, "onnxruntime")
    assert (document["model"], set(document["baselines"])) == ("tiny.onnx", {"constant", "ground_plane"})
    shown = capsys.readouterr().out
    for text in ("back_left", "ground_plane", "surrounddepth, 1 sample, cap 80 m, scaling none"):
        assert text in shown
    assert f"{document['mean']['abs_rel']:.3f}" in shown

    assert run(monkeypatch, *options, "--json", out, "--no-baselines", "--cap", "20", "--threads", "1") == 0
    nearer = json.loads(out.read_text())
    assert nearer["baselines"] == {} and nearer["cap_m"] == 20
    assert nearer["mean"]["n"] < document["mean"]["n"]


def test_protocol_b_with_masks_and_median_scaling(
    nuscenes_root: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--source", "nuscenes", "--root", nuscenes_root, "--model", tiny_model, "--engine", "onnxruntime"]
    masks = tmp_path / "masks"
    masks.mkdir()
    mask = np.full((900, 1600), 255, np.uint8)
    mask[450:] = 0
    for camera in NuScenesSource(nuscenes_root).rig.names:
        cv2.imwrite(str(masks / f"{camera}.png"), mask)
    found = {}
    for extra in ((), ("--masks", masks), ("--scaling", "median"), ("--flip",)):
        out = tmp_path / "scores.json"
        protocol = "surrounddepth" if "--flip" in extra else "vfdepth"
        assert run(monkeypatch, *options, "--json", out, "--protocol", protocol, *extra) == 0
        found["".join(map(str, extra[:1]))] = json.loads(out.read_text())
    assert found[""]["protocol"] == "vfdepth" and found["--flip"]["flip"]
    assert set(found["--masks"]["thirds"]) == {"middle", "top"}
    assert set(found[""]["thirds"]) == {"bottom", "middle", "top"}
    assert found["--masks"]["mean"]["n"] < found[""]["mean"]["n"] == found["--scaling"]["mean"]["n"]
    # The tiny model's depth has another scale than the world's.
    assert found["--scaling"]["mean"]["abs_rel"] < 0.5 * found[""]["mean"]["abs_rel"]
    shown = capsys.readouterr().out
    for text in ("vfdepth, 1 sample, cap 80 m, scaling none, masks", "scaling median", "scaling none, flip averaging"):
        assert text in shown


def test_throughput_is_measured_where_it_is_asked_for(
    pandaset_root: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "scores.json"
    options = ["--source", "pandaset", "--root", pandaset_root, "--frames", "40:44", "--model", tiny_model]
    assert run(monkeypatch, *options, "--engine", "onnxruntime", "--json", out, "--throughput") == 0
    found = json.loads(out.read_text())["throughput"]
    assert found["frames_per_s"] == pytest.approx(2 * found["samples_per_s"])  # every second frame has lidar
    assert found["ratio"] == pytest.approx(found["frames_per_s"] / found["engine_frames_per_s"])
    assert found["ratio"] > 0


@pytest.mark.parametrize(
    ("span", "read"), [((0, -1), (0, 20)), ((-10, None), (20, 30)), ((-10, -5), (20, 25)), ((5, None), (5, 25))]
)
def test_throughput_is_that_of_the_first_frames_of_any_span(
    span: tuple[int, int | None], read: tuple[int, int], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Counted(SmallRig):
        def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
            asked.append((start, stop))
            return super().frames(start, stop)

    monkeypatch.setattr(throughput, "ROUNDS", 1)
    with closing(CpuPipeline(load_engine("onnxruntime", tiny_model, 1), 1)) as pipeline:
        throughput.measure_throughput(Counted(30), [ModelPredictor(pipeline)], SurroundDepthProtocol(), span)
    assert asked == [read, read]


def test_ddad_is_capped_at_200_m_and_pandaset_takes_the_frames_asked_for(
    ddad_root: Path, pandaset_root: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "scores.json"
    common = ["--model", tiny_model, "--engine", "onnxruntime", "--json", out]
    assert run(monkeypatch, "--source", "ddad", "--root", ddad_root, "--frames", ":1", *common) == 0
    assert json.loads(out.read_text())["cap_m"] == 200
    assert run(monkeypatch, "--source", "pandaset", "--root", pandaset_root, "--frames", "40:43", *common) == 0
    document = json.loads(out.read_text())
    check_document(document, cameras=6)
    assert document["samples"] == 2  # every second frame has lidar


def test_a_bag_of_a_recording_scores_as_the_recording(
    nuscenes_root: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = NuScenesSource(nuscenes_root)
    encoder = MessageEncoder(source.rig)
    with BagWriter(tmp_path / "bag") as writer:
        for frame in source.frames():
            messages = encoder.frame(frame)
            for message in (encoder.static_transforms(messages[0].stamp_ns), *messages):
                writer.write(message)
    scores = []
    for kind, root in (("nuscenes", nuscenes_root), ("rosbag", tmp_path / "bag")):
        out = tmp_path / f"{kind}.json"
        common = ["--model", tiny_model, "--engine", "onnxruntime", "--json", out]
        assert run(monkeypatch, "--source", kind, "--root", root, *common) == 0
        scores.append(json.loads(out.read_text()))
    for name, measured in scores[0]["cameras"].items():
        assert scores[1]["cameras"][name] == pytest.approx(measured, rel=1e-3)


def test_synthetic_street(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "scores.json"
    options = ["--source", "synthetic", "--frames", ":1", "--model", tiny_model, "--engine", "onnxruntime"]
    assert run(monkeypatch, *options, "--json", out) == 0
    document = json.loads(out.read_text())
    check_document(document, cameras=6)
    # On its road the plane is exact: of all pixels a clear share is right within 25 %.
    assert document["baselines"]["ground_plane"]["mean"]["a1"] > 0.25


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--frames", "3"], "frames '3' must look like"),
        (["--frames", "7:9"], "has no frames in the range (7, 9), of 1"),
        (["--source", "kitti"], "kitti"),
        (["--root", "/nonexistent"], "/nonexistent does not exist"),
        (["--protocol", "x"], "protocol 'x' is unknown"),
        (["--engine", "x"], "'x'"),
        (["--cap", "0"], "cap is 0"),
        (["--model", "/nonexistent.onnx"], "/nonexistent.onnx does not exist"),
        (["--json", "/nonexistent/x.json"], "--json /nonexistent/x.json must name a file"),
        (["--json", "/proc/x.json"], "--json /proc/x.json cannot be written (No such file or directory)"),
        (["--json", "/tmp/" + 300 * "x"], "x cannot be written (File name too long)"),
        (["--scaling", "mean"], "scaling 'mean' is unknown"),
        (["--protocol", "vfdepth", "--flip", ""], "vfdepth has no flip averaging"),
        (["--masks", "/nonexistent"], "the mask /nonexistent/front.png is missing"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    options: list[str],
    words: str,
    nuscenes_root: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "scores.json"
    given = {"--source": "nuscenes", "--root": str(nuscenes_root), "--model": str(tiny_model), "--json": str(out)}
    given |= {"--engine": "onnxruntime"} | dict(zip(options[::2], options[1::2], strict=True))
    assert run(monkeypatch, *(word for pair in given.items() for word in pair if word)) == 2
    assert not list(tmp_path.iterdir())
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


def test_frames_without_lidar_say_so(
    pandaset_root: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "scores.json"
    options = ["--source", "pandaset", "--root", pandaset_root, "--model", tiny_model, "--frames", "1:2"]
    assert run(monkeypatch, *options, "--json", out) == 3
    said = capsys.readouterr().err
    assert "1 read, 0 with lidar" in said and "1 of 1 sweeps left out: the file is absent" in said
    document = json.loads(out.read_text())
    assert (document["samples"], document["mean"], document["cameras"]) == (0, None, {})
    assert document["read"]["sweeps"] == {"read": 1, "used": 0, "left_out": {"the file is absent": 1}}
    with pytest.raises(FsmdeError, match=r"scores.json nothing was measured: nothing to measure in frames 1:2"):
        load_results([out])


def test_options_of_reading_reach_the_recording_and_the_document(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_nuscenes(tmp_path / "set", ("v1.0-mini", "v1.0-trainval"))
    save_rig(Rig(NuScenesSource(root, "v1.0-mini").rig.cameras[:3]), tmp_path / "three.yaml")
    out = tmp_path / "scores.json"
    options = ["--source", "nuscenes", "--root", root, "--model", tiny_model, "--engine", "onnxruntime", "--json", out]
    options += ["--data-version", "v1.0-mini", "--cameras", "back_right, front", "--rig", tmp_path / "three.yaml"]
    assert run(monkeypatch, *options) in (0, 3)  # the few points may be in no view
    document = json.loads(out.read_text())
    assert document["read"]["images"] == {"read": 4, "used": 4, "left_out": {}}
    expected = {"version": "v1.0-mini", "cameras": ["back_right", "front"], "rig": "three.yaml"}
    assert document["options"] == expected
    assert any("cameras ['front_right'] of the rig file are not read" in note for note in document["notes"])
    assert run(monkeypatch, *options, "--split", "train") == 2
    assert "'nuscenes' takes no --split, only --rig, --cameras, --data-version" in capsys.readouterr().err


def test_baseline_that_beats_the_model_is_said_first(
    pandaset_root: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--source", "pandaset", "--root", pandaset_root, "--frames", "40:41", "--model", tiny_model]
    assert run(monkeypatch, *options, "--engine", "onnxruntime") == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("the baseline constant, which sees no image, beats the model here: AbsRel 0.")
