"""The rules of the house find what they are for, and nothing in what keeps them."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import house_rules

GOOD = '''"""Packs clouds."""

class Packer:
    """Packs depth into points."""

    def pack(self, depth: int, sigma: int) -> int:
        """Pack depth.

        Args:
            depth, sigma: Metres.

        Returns:
            The number of points.
        """

    def close(self) -> None:
        """Release the memory."""

    def _gate(self, a: int, b: int) -> int:
        """riddle"""
'''


def findings(source: str, is_command: bool = False) -> list[str]:
    return [text for _, text in house_rules.docstring_findings(ast.parse(source), is_command)]


def test_what_keeps_the_rules_passes() -> None:
    assert findings(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"""Packs clouds."""', '"""The clouds."""', "the module's docstring is no sentence"),
        ("Packs depth into points.", "A packer.", "Packer: the docstring is no sentence"),
        ("Packs depth into points.", "Packs depth into points", "Packer: the docstring is no sentence"),
        ("Release the memory.", "See Base.close.", "close: a docstring that only points elsewhere"),
        ("depth, sigma: Metres.", "depth: Metres.", "pack: Args leaves out sigma"),
        ("        Returns:\n            The number of points.\n", "", "pack: no Returns"),
    ],
)
def test_what_breaks_a_rule_is_found(old: str, new: str, message: str) -> None:
    assert old in GOOD
    (found,) = findings(GOOD.replace(old, new))
    assert found.startswith(message)


def test_options_of_commands_are_described_by_their_help_texts() -> None:
    source = GOOD.replace("        Args:\n            depth, sigma: Metres.\n", "")
    assert findings(source) and not findings(source, is_command=True)


def test_full_folders_and_doubled_names_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house_rules, "ROOT", tmp_path)
    files = [tmp_path / "room" / f"module_{number}.py" for number in range(house_rules.MOST_MODULES + 1)]
    assert list(house_rules.full_folders(files[1:])) == []
    assert "13 modules, at most 12" in next(house_rules.full_folders(files))
    twice = {file: ast.parse("class Group: ...") for file in files[:2]}
    assert "class Group stands in" in next(house_rules.repeated_classes(twice))
