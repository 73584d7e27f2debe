"""The picture of the architecture names rooms that exist, and the documents files that do."""

from __future__ import annotations

import re
from runpy import run_path

import pytest

from support.repository import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])
PATHS = re.compile(
    r"\b(?:fsmde_core|fsmde_ros|training|test|config|docs|launch|models)/[\w./-]+\.(?:py|md|yaml|cu|json|svg|xml)\b"
)


def test_every_box_stands_for_rooms_that_exist() -> None:
    boxes = run_path(str(ROOT / "docs" / "draw_architecture.py"))["BOXES"]
    assert not [room for box in boxes.values() for room in box.rooms if not (ROOT / room).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_documents_name_files_that_exist(document: object) -> None:
    named = set(PATHS.findall((ROOT / str(document)).read_text()))
    assert not [path for path in named if not (ROOT / path).exists()]
