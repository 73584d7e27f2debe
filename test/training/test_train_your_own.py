"""docs/train_your_own.md as a new user follows it: own drives in the documented tables, the documented commands."""

from __future__ import annotations

import json
import re
import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fsmde_core.engines import load_engine
from fsmde_core.images.encodings import RawImage
from fsmde_core.pipeline.pipeline import CpuPipeline
from fsmde_core.rig.rig import load_rig
from fsmde_core.sources import open_source
from fsmde_ros.cli import app
from fsmde_training.distill import fit as distill
from fsmde_training.distill import stage0
from fsmde_training.networks.checkpoint import load_student
from fsmde_training.sets import cache, prepare
from fsmde_training.supervised import fit
from support.repository import ROOT
from support.tiny_teachers import depth_anything

pytestmark = pytest.mark.data

GUIDE = (ROOT / "docs" / "train_your_own.md").read_text()
HOUR_US = 3_600_000_000
TWO_STEPS = (
    "--trainer.max_epochs 1 --trainer.accelerator cpu --trainer.precision 32-true --trainer.enable_progress_bar false"
    " --trainer.enable_model_summary false --data.samples 2 --data.batch_size 1 --data.pixels 64 --data.workers 0"
)
MODULES = {
    "fsmde_training.supervised.fit": fit.main,
    "fsmde_training.distill.stage0": stage0.main,
    "fsmde_training.distill.fit": distill.main,
}
SHRINK = {
    "fsmde_training.sets.prepare": "--validation 0.5 --size 64x64 --network-size 64x64 --processes 1",
    "fsmde_training.supervised.fit": f"{TWO_STEPS} --data.network_width 64 --data.crop [64,64]",
    "fsmde_training.distill.stage0": TWO_STEPS,
    "fsmde_training.distill.fit": TWO_STEPS,
    "export": "",
    "evaluate": "--frames 0:1 --threads 1",
}
"""What is appended to a command so that it takes a second."""


def commands(begin: str, end: str | None = None) -> list[list[str]]:
    """What the guide's bash blocks say, in order, from one heading to another."""
    part = GUIDE[GUIDE.index(begin) : None if end is None else GUIDE.index(end)]
    blocks = "".join(re.findall(r"```bash\n(.*?)```", part, re.DOTALL))
    return [shlex.split(line) for line in blocks.replace("\\\n", "").splitlines()]


def documented_fields() -> dict[str, list[str]]:
    """Table -> the fields that the guide asks for."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|(.*)\|$", GUIDE, re.MULTILINE)
    return {table: re.findall(r"`(\w+)`", fields) for table, fields in rows}


@pytest.fixture
def workplace(nuscenes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `my_data`: the keyframe as two drives an hour apart, in no more than the documented fields."""
    tables = tmp_path / "my_data" / "v1.0-mine"
    tables.mkdir(parents=True)
    (tmp_path / "my_data" / "samples").symlink_to(nuscenes_root.resolve() / "samples")
    (tmp_path / "training").symlink_to(ROOT / "training")
    for table, fields in documented_fields().items():
        rows = json.loads(next(nuscenes_root.glob(f"v1.0-*/{table}.json")).read_text())
        rows = [{field: row[field] for field in fields} for row in rows]
        later = [drive_later(row) for row in rows] if table in ("sample", "sample_data") else []
        (tables / f"{table}.json").write_text(json.dumps(rows + later))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def drive_later(row: dict[str, Any]) -> dict[str, Any]:
    """The same moment of a second drive."""
    changed = {name: row[name] + "-2" for name in ("token", "scene_token", "sample_token") if name in row}
    return row | changed | {"timestamp": row["timestamp"] + HOUR_US}


def execute(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command of the guide, shrunk, in this process: starting PyTorch six times would take most of a minute."""
    if words[:2] == ["python", "-c"]:
        exec(words[2], {})
    elif words[:2] == ["python", "-m"] and words[2] in MODULES:
        MODULES[words[2]]([*words[3:], *shlex.split(SHRINK[words[2]])])
    elif words[:3] == ["python", "-m", "fsmde_training.sets.prepare"]:
        with pytest.raises(SystemExit, match=r"^0$"):
            prepare.main([*words[3:], *shlex.split(SHRINK[words[2]])])
    else:
        assert words[0] == "fsmde"
        with monkeypatch.context() as context, pytest.raises(SystemExit, match=r"^0$"):
            context.setattr(sys, "argv", [*words, *shlex.split(SHRINK[words[1]])])
            app.main()


def test_the_guide_leads_from_own_recordings_to_depth(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in commands("## 1.", "## With a teacher"):
        execute(words, monkeypatch)

    for name in ("mine_train", "mine_val"):
        views = cache.load(workplace / "runs" / "cache" / name)
        assert len(views) == 6  # a drive each
        assert all(np.isfinite(depth).any() for depth in views.depth)
    assert load_rig("my_rig.yaml").names == open_source("nuscenes", "my_data").rig.names

    frame = next(iter(open_source("nuscenes", "my_data").frames()))
    images = {name: RawImage.from_rgb(image.rgb()) for name, image in frame.images.items()}
    with closing(CpuPipeline(load_engine("onnxruntime", Path("mine.onnx"), 1, 6))) as pipeline:
        result = pipeline.run(images, load_rig("my_rig.yaml"))
        assert result.names == frame.rig.names
        assert result.depth.shape == (6, 64, 64)
        assert np.isfinite(result.depth).all()
        assert (result.depth > 0).all()
        assert np.isfinite(result.sigma).all()


def test_the_guide_distils_from_a_foundation_model(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depth_anything().save_pretrained(workplace / "teacher")
    for words in commands("## With a teacher"):
        execute(words, monkeypatch)
    student = load_student(Path("runs/distilled/best.ckpt"))
    depth, _ = student(torch.zeros(6, 64, 64, 3, dtype=torch.uint8), torch.full((6,), 60.0))
    assert depth.isfinite().all()


def test_the_guide_names_launch_arguments_that_exist() -> None:
    launch = (ROOT / "launch" / "surround_depth.launch.py").read_text()
    (arguments,) = re.findall(r"ros2 launch fsmde_ros surround_depth\.launch\.py (.*)", GUIDE)
    for argument in shlex.split(arguments):
        assert f'"{argument.split(":=")[0]}": (' in launch
