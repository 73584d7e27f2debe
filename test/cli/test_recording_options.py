"""The options with which every command that reads a recording chooses what is read, and how."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import typer

from fsmde_core.errors import FsmdeError
from fsmde_core.sources import open_source
from fsmde_core.sources.registry import FLAGS, READERS, parse_names
from fsmde_ros.cli.app import app, main
from fsmde_ros.cli.options import RecordingOptions
from support.small_datasets import write_ddad

READING = {"evaluate", "replay", "mounts", "bench", "play", "bag", "demo", "view"}


def test_every_command_that_reads_a_recording_has_all_of_them() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    found = {name: {option for p in command.params for option in p.opts} for name, command in commands.items()}
    assert {name for name, options in found.items() if "--source" in options} == READING
    assert all({"--source", "--root", *FLAGS.values()} <= found[name] for name in READING)


def test_options_that_are_not_given_are_left_to_the_reader() -> None:
    assert RecordingOptions().reading == {}
    given = RecordingOptions(rig="ddad", cameras=" a, b,", lidar="/top", base_frame="body", data_version="v", split="1")
    rig = given.reading.pop("rig")
    assert rig.name == "ddad.yaml" and rig.is_file()
    expected = {"cameras": ["a", "b"], "lidar": "/top", "base_frame": "body", "version": "v", "split": "1"}
    assert {name: value for name, value in given.reading.items() if name != "rig"} == expected
    with pytest.raises(FsmdeError, match="' , ' names no camera"):
        parse_names(" , ")


@pytest.mark.parametrize("kind", [kind for kind in READERS if kind != "rosbag"])
@pytest.mark.parametrize("option", FLAGS)
def test_option_that_does_not_apply_is_one_sentence(kind: str, option: str, tmp_path: Path) -> None:
    taken = {
        "pandaset": {"rig", "cameras", "lidar"},
        "nuscenes": {"rig", "cameras", "version"},
        "ddad": {"rig", "cameras", "split"},
        "synthetic": {"rig", "cameras"},
    }[kind]
    if option not in taken:
        flags = ", ".join(flag for name, flag in FLAGS.items() if name in taken)
        with pytest.raises(FsmdeError, match=rf"'{kind}' takes no {FLAGS[option]}, only {flags}$"):
            open_source(kind, None if kind == "synthetic" else tmp_path, **{option: "x"})


def test_synthetic_street_shows_the_cameras_chosen() -> None:
    street = open_source("synthetic", cameras=["back", "front"], frames=1, width=64, height=32)
    assert street.rig.names == ("front", "back")
    (frame,) = street.frames()
    assert set(frame.images) == {"front", "back"}
    assert street.counts.document()["images"] == {"read": 2, "used": 2, "left_out": {}}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["fsmde", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_bag_of_the_cameras_chosen_says_what_it_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_ddad(tmp_path / "set", cameras=("camera_01", "camera_06", "camera_08"))
    options = ["--source", "ddad", "--root", root, "--cameras", "camera_08,camera_01", "--split", "val"]
    assert run(monkeypatch, "bag", tmp_path / "bag", *options) == 0
    said = capsys.readouterr().out
    assert "2 frames of ddad" in said
    for line in ("images: 4 read, 4 used", "sweeps: 2 read, 2 used", "poses: 6 read, 6 used"):
        assert line in said.splitlines()
    assert run(monkeypatch, "bag", tmp_path / "other", *options[:4], "--cameras", "camera_09") == 2
    assert "no camera ['camera_09'], only ['camera_01', 'camera_06', 'camera_08']" in capsys.readouterr().err


def test_mounts_that_nothing_can_judge_are_no_pass(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = write_ddad(tmp_path / "set"), tmp_path / "mounts.json"
    min(root.rglob("LIDAR/*")).unlink()
    options = ["--source", "ddad", "--root", root, "--model", tiny_model, "--engine", "onnxruntime", "--json", out]
    assert run(monkeypatch, "mounts", *options) == 3
    captured = capsys.readouterr()
    assert "no camera of ddad could be judged in 4 frames and 3 sweeps" in captured.err
    reason = "8 frames are needed to compare neighbours, 4 were read; 6 sweeps are needed, 3 were read"
    assert f"camera 'camera_09' is not judged: {reason}" in captured.out and "images: 24 read, 24 used" in captured.out
    document = json.loads(out.read_text())
    assert (document["frames"], document["sweeps"], document["misaligned"]) == (4, 3, [])
    assert document["cameras"]["camera_09"] == {"overlap": False, "lidar": None, "unjudged": reason}
    assert document["read"]["sweeps"]["left_out"] == {"the file is absent": 1}
