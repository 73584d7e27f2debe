"""The command lines of training: what a user can put right is one sentence; files that hold no network are named."""

from __future__ import annotations

import io
import runpy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fsmde_core.errors import FsmdeError
from fsmde_training.distill.data import RingsDataModule, RingSet
from fsmde_training.distill.dataset import RingAugmentation
from fsmde_training.networks.checkpoint import load_student, trained_size
from fsmde_training.sets import cache
from fsmde_training.supervised.augment import Augmentation
from fsmde_training.supervised.data import ViewsDataModule
from fsmde_training.teachers import load_teacher
from fsmde_training.teachers.binned import load_binned_teacher
from support.repository import ROOT

CONFIGS = ROOT / "training" / "configs"


def saved(content: Any) -> bytes:
    """A file of torch.save."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


NETWORKS = {f"{name}.weight": torch.ones(100) for name in ("student", "teacher", "binned")}
OTHER = saved({"state_dict": NETWORKS, "hyper_parameters": {"architecture": {"colour": "red"}}})


@pytest.mark.parametrize("load", [load_student, load_teacher, load_binned_teacher])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged or not a checkpoint"),
        (b"\x08\x0a another kind of file", "is damaged or not a checkpoint"),
        (OTHER[: len(OTHER) // 2], "is damaged or not a checkpoint"),
        (saved([1.0]), "is not a checkpoint"),
        (saved({"epoch": 3}), "holds no"),
        (saved({"state_dict": NETWORKS}), "holds no"),
        (OTHER, "holds another"),
    ],
)
def test_a_file_without_the_network_is_named(
    load: Callable[[Path], Any], content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(FsmdeError, match=rf"a\.ckpt {message}.*(fsmde_training\.|train it anew)"):
        load(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    ("module", "configuration", "arguments", "message"),
    [
        ("supervised.fit", "stages/1_real", ["--model.encoder_weights=null"], "no training set in "),
        ("supervised.fit", "stages/2_mixed", [], "runs/1_real/last.ckpt does not exist"),
        ("supervised.fit_teacher", "teacher", ["--model.encoder_weights=gone.npz"], "gone.npz do not exist"),
        ("distill.stage0", "distill/stage0", [], "runs/teacher/last.ckpt does not exist; make it with"),
        ("distill.fit", "distill", ["--model.encoder_weights=null"], "runs/stage0/binned_teacher.pt does not exist"),
    ],
)
def test_mistakes_are_one_sentence(
    module: str,
    configuration: str,
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = [CONFIGS / "student.yaml"] * (module == "supervised.fit") + [CONFIGS / f"{configuration}.yaml"]
    monkeypatch.chdir(tmp_path)
    last_line = run_as_a_program(
        module, ["fit", *(f"--config={file}" for file in files), *arguments], monkeypatch, capsys
    )
    assert last_line.startswith(
        (f"{module}: ", "error: ")
    )  # the latter is the parser's, where a link needs the teacher
    assert message in last_line


def make_set(folder: Path, width: int, height: int) -> None:
    depth = np.full((height, width), 9, np.float16)
    cache.save(folder, [(np.zeros((height, width, 3), np.uint8), depth, 50.0)] * 6, 6, width, height)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": (100, 96)}, r"data\.crop 96x100 must be multiples of 32"),
        ({"samples": 3, "batch_size": 4}, r"data\.samples=3, expected at least data\.batch_size=4"),
        ({"validation": ["even", "odd"]}, "validation set odd, 80x64 must be multiples of 32"),
    ],
)
def test_views_that_the_network_cannot_take_are_refused_early(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    make_set(tmp_path / "even", 96, 64)
    make_set(tmp_path / "odd", 80, 64)
    with pytest.raises(FsmdeError, match=message):
        ViewsDataModule(tmp_path, {"even": 1.0}, **{"validation": []} | settings, augmentation=Augmentation()).setup(
            "fit"
        )


def test_rings_are_of_one_size_that_the_network_takes(tmp_path: Path) -> None:
    make_set(tmp_path / "small", 96, 64)
    make_set(tmp_path / "large", 192, 128)
    make_set(tmp_path / "odd", 80, 64)
    rings = partial(RingsDataModule, tmp_path, augmentation=RingAugmentation())
    rings(train={"small": RingSet()}, validation=["small"]).setup("fit")
    with pytest.raises(FsmdeError, match=r"different sizes \(large 192x128, small 96x64\), expected one"):
        rings(train={"large": RingSet()}, validation=["small"]).setup("fit")
    with pytest.raises(FsmdeError, match="80x64 must be multiples of 32"):
        rings(train={"odd": RingSet()}, validation=[]).setup("fit")


def test_the_networks_size_is_what_validates_or_a_whole_training_image(tmp_path: Path) -> None:
    make_set(tmp_path / "train", 672, 384)
    make_set(tmp_path / "val", 640, 352)
    views = partial(ViewsDataModule, tmp_path, {"train": 1.0}, augmentation=Augmentation())
    assert views(validation=["val"]).network_size == (352, 640)
    assert views(validation=[]).network_size == (256, 448)
    assert RingsDataModule(tmp_path, {"val": RingSet()}, [], RingAugmentation()).network_size == (352, 640)


def test_a_checkpoint_says_for_which_size_it_was_trained(tmp_path: Path) -> None:
    for settings, size in (({"size": [352, 640]}, (352, 640)), ({}, (256, 448))):
        (tmp_path / "a.ckpt").write_bytes(saved({"hyper_parameters": settings}))
        assert trained_size(tmp_path / "a.ckpt") == size


def test_densify_without_its_set_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    last_line = run_as_a_program("sets.densify", ["gone", "dense"], monkeypatch, capsys)
    assert last_line.startswith("sets.densify: no training set in gone")


def run_as_a_program(
    module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Last line on stderr of `python -m fsmde_training.MODULE`, which must end with exit code 2."""
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    monkeypatch.delitem(sys.modules, f"fsmde_training.{module}", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"fsmde_training.{module}", run_name="__main__")
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]
