"""`fsmde report`: its page, and bad input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fsmde_core.report.documents import load_results
from fsmde_core.report.page import render
from fsmde_ros.cli.app import main
from support.result_documents import document, write


def page(folder: Path, *documents: dict[str, Any]) -> str:
    """The page of these documents, called a, b, c, ..."""
    return render(load_results([write(folder / f"{'abc'[i]}.json", d) for i, d in enumerate(documents)]), None)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Exit code of `fsmde report` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["fsmde", "report", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_command_without_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, result = tmp_path / "report.html", write(tmp_path / "a.json", document())
    assert run(monkeypatch, result, "--html", out, "--no-pictures") == 0
    assert out.read_text(encoding="utf-8") == page(tmp_path, document())
    assert out.stat().st_size < 250_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is not JSON"),
        ("[1]", "is not a result of 'fsmde evaluate --json'"),
        (json.dumps({"protocol": "surrounddepth"}), "it lacks ['source', 'samples'"),
        (json.dumps(document(mean={"abs_rel": 1})), "has scores without"),
        (json.dumps(document(model_sha256="cd" * 32)), "is of model fsmde_student.onnx with sha256 cdcdcdcdcdcd"),
        (json.dumps(document(kind="kitti")), "source 'kitti' is unknown"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    content: str | None,
    words: str,
    pandaset_root: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, result = tmp_path / "report.html", tmp_path / "a.json"
    if content is not None:
        result.write_text(content)
    assert run(monkeypatch, result, "--html", out, "--root", pandaset_root, "--model", tiny_model) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert not out.exists()


def test_page_must_have_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = write(tmp_path / "a.json", document())
    assert run(monkeypatch, result, "--html", tmp_path / "nowhere" / "report.html") == 2
