"""The command lines of training: what a user can put right is one sentence; files that hold no network are named."""

from __future__ import annotations

import io
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fsmde_core.errors import FsmdeError
from fsmde_training.checkpoint import load_student
from fsmde_training.teachers import load_teacher
from fsmde_training.teachers.binned import load_binned_teacher

CONFIGS = Path(__file__).resolve().parents[1] / "training" / "configs"


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
        (b"", "is damaged or no checkpoint"),
        (b"\x08\x0a another kind of file", "is damaged or no checkpoint"),
        (OTHER[: len(OTHER) // 2], "is damaged or no checkpoint"),
        (saved([1.0]), "is no checkpoint"),
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
        ("fit", "stages/1_real", ["--model.encoder_weights=null"], "no training set in "),
        ("fit", "stages/2_mixed", [], "runs/1_real/last.ckpt does not exist"),
        ("teach", "teacher", ["--model.encoder_weights=gone.npz"], "gone.npz do not exist"),
        ("stage0", "distill/stage0", [], "runs/teacher/last.ckpt does not exist; make it with"),
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
    files = [CONFIGS / "student.yaml"] * (module == "fit") + [CONFIGS / f"{configuration}.yaml"]
    monkeypatch.chdir(tmp_path)
    said = run_as_a_program(module, ["fit", *(f"--config={file}" for file in files), *arguments], monkeypatch, capsys)
    assert said.startswith((f"{module}: ", "error: "))  # the latter is the parser's, where a link needs the teacher
    assert message in said


def test_densify_without_its_set_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run_as_a_program("densify", ["gone", "dense"], monkeypatch, capsys)
    assert said.startswith("densify: no training set in gone")


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
