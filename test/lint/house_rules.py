"""Checks what ruff and import-linter do not: sizes of folders, names of classes, and sentences in docstrings.

`python test/lint/house_rules.py [FOLDER ...]` looks at the three packages, or at the folders given, and fails with one
line per finding.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("fsmde_core", "fsmde_ros", "training/fsmde_training")
COMMANDS = ROOT / "fsmde_ros" / "cli" / "commands"
"""Docstrings of the functions in it are help texts: their parameters are options, each with a text of its own."""
MOST_MODULES = 12
"""In one folder, `__init__` and `__main__` not counted."""
VERBS = frozenset((Path(__file__).parent / "verbs.txt").read_text().split())
"""What makes a sentence of a class's docstring; those of functions begin with a verb, which ruff's D401 holds."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main(folders: list[str]) -> int:
    """Print the findings; 1 where there are any."""
    files = [file for folder in folders or PACKAGES for file in sorted((ROOT / folder).rglob("*.py"))]
    trees = {file: ast.parse(file.read_text()) for file in files}
    findings = [*full_folders(files), *repeated_classes(trees)]
    for file, tree in trees.items():
        is_command = COMMANDS in file.parents
        findings += [f"{file.relative_to(ROOT)}:{line}: {text}" for line, text in docstring_findings(tree, is_command)]
    print(*findings, sep="\n", end="\n" if findings else "")
    return bool(findings)


def full_folders(files: list[Path]) -> Iterator[str]:
    """Folders with more modules than a reader holds in mind."""
    for folder, count in Counter(file.parent for file in files if not file.name.startswith("__")).items():
        if count > MOST_MODULES:
            yield f"{folder.relative_to(ROOT)}: {count} modules, at most {MOST_MODULES}; divide the folder"


def repeated_classes(trees: dict[Path, ast.Module]) -> Iterator[str]:
    """Public names that two classes of the three packages bear."""
    places = defaultdict(list)
    for file, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(file.relative_to(ROOT)))
    for name, found in places.items():
        if len(found) > 1:
            yield f"class {name} stands in {' and '.join(found)}; a public name has one meaning"


def docstring_findings(tree: ast.Module, is_command: bool) -> Iterator[tuple[int, str]]:
    """(line, finding) of every docstring of a public name that is no sentence or leaves out a parameter."""
    if (text := ast.get_docstring(tree)) is not None and not is_sentence(text):
        yield 1, f"the module's docstring is no sentence: {text.splitlines()[0]!r}"
    yield from _body_findings(tree.body, within_class=False, is_command=is_command)


def _body_findings(body: list[ast.stmt], within_class: bool, is_command: bool) -> Iterator[tuple[int, str]]:
    for node in body:
        if not isinstance(node, (ast.ClassDef, Function)) or node.name.startswith("_"):
            continue
        text = ast.get_docstring(node)
        if text is not None and re.fullmatch(r"(See|As|Like) \S+", text):
            yield node.lineno, f"{node.name}: a docstring that only points elsewhere; say it, or leave it out"
        elif text is not None and isinstance(node, ast.ClassDef) and not is_sentence(text):
            yield node.lineno, f"{node.name}: the docstring is no sentence: {text.splitlines()[0]!r}"
        elif text is not None and isinstance(node, Function):
            yield from _function_findings(node, text, within_class, is_command)
        if isinstance(node, ast.ClassDef):
            yield from _body_findings(node.body, within_class=True, is_command=is_command)


def _function_findings(node: Function, text: str, within_class: bool, is_command: bool) -> Iterator[tuple[int, str]]:
    if not is_sentence(text, verb=False):
        yield node.lineno, f"{node.name}: the docstring is no sentence: {text.splitlines()[0]!r}"
    names = _parameters(node, within_class)
    if len(names) < 2 or is_command:
        return
    described = {name for line in _section(text, "Args").splitlines() for name in _described(line)}
    if missing := [name for name in names if name not in described]:
        yield node.lineno, f"{node.name}: Args leaves out {', '.join(missing)}"
    returns = ast.unparse(node.returns) if node.returns else "None"
    gives = returns not in ("None", "NoReturn") and not _is_property(node)
    if gives and not _section(text, "Returns") and not _section(text, "Yields"):
        yield node.lineno, f"{node.name}: no Returns"


def _described(line: str) -> list[str]:
    """The parameters that a line of Args begins to describe; several may share one description."""
    match = re.match(r" {4}((?:\*{0,2}\w+)(?:, \*{0,2}\w+)*):", line)
    return [name.lstrip("*") for name in match[1].split(", ")] if match else []


def _section(text: str, name: str) -> str:
    match = re.search(rf"^{name}:\n((?: .*\n?|\n)*)", text, re.MULTILINE)
    return match[1] if match else ""


def _parameters(node: Function, within_class: bool) -> list[str]:
    arguments = node.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    is_static = any(isinstance(entry, ast.Name) and entry.id == "staticmethod" for entry in node.decorator_list)
    names += [argument.arg for argument in (arguments.vararg, arguments.kwarg) if argument]
    return [name for name in names[within_class and not is_static :] if not name.startswith("_")]


def _is_property(node: Function) -> bool:
    return any(isinstance(entry, ast.Name) and "property" in entry.id for entry in node.decorator_list)


def is_sentence(text: str, verb: bool = True) -> bool:
    """Whether the first paragraph begins like a sentence, ends like one and has a verb.

    Args:
        text: The docstring.
        verb: Whether to look for the verb.

    Returns:
        True for a sentence.
    """
    first = " ".join(text.split("\n\n")[0].split())
    if not re.match(r"[A-Z`$'\"(\d]", first) or first[-1] not in ".:?!`)":
        return False
    return not verb or any(word.strip("`,.;:()'\"").lower() in VERBS for word in first.split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
