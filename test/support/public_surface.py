"""Lists what others build on: commands, options, executables, make targets, launch arguments, parameters, topics, keys.

Import paths of Python modules are not among it: they may move, and CHANGELOG.md says where to.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

NAMED_AFTER_DATA = {"cameras": "<camera>", "edges": "<edge>"}
"""Keys under which a document has entries per camera and per pair of cameras."""


def commands(app: typer.Typer) -> dict[str, list[str]]:
    """Every command of the command line with the names of its options and arguments."""
    found: dict[str, list[str]] = {}

    def visit(name: str, command: Any) -> None:
        if hasattr(command, "commands"):
            for child, entry in command.commands.items():
                visit(f"{name} {child}".strip(), entry)
        else:
            names = [option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)]
            found[name] = sorted(names)

    visit("", typer.main.get_command(app))
    return dict(sorted(found.items()))


def executables(root: Path) -> list[str]:
    """The console scripts of setup.py."""
    return sorted(re.findall(r'"(\w+) = [\w.]+:\w+"', (root / "setup.py").read_text()))


def make_targets(root: Path) -> list[str]:
    """The phony targets of the Makefile."""
    return sorted((re.search(r"^\.PHONY: (.*)$", (root / "Makefile").read_text(), re.MULTILINE) or ["", ""])[1].split())


def launch_arguments(root: Path) -> dict[str, list[str]]:
    """The arguments that each launch file lists, in its dictionary ARGUMENTS or OPTIONS."""
    found = {}
    for file in sorted((root / "launch").glob("*.launch.py")):
        for statement in ast.parse(file.read_text()).body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) in ("ARGUMENTS", "OPTIONS"):
                assert isinstance(statement.value, ast.Dict)
                found[file.name] = sorted(ast.literal_eval(key) for key in statement.value.keys if key)
    return found


def parameters(table: Any) -> dict[str, str]:
    """Every parameter of the node with the type of its default."""
    return {spec.name: type(spec.default).__name__ for spec in sorted(table, key=lambda spec: spec.name)}


def key_paths(document: Any, prefix: str = "") -> set[str]:
    """Paths of a JSON document's keys; one stands for all cameras, edges and entries of a list."""
    if isinstance(document, list):
        return key_paths(document[0], f"{prefix}[]") if document else set()
    if not isinstance(document, Mapping):
        return set()
    found: set[str] = set()
    group = NAMED_AFTER_DATA.get(prefix.rpartition(".")[2])
    for key, value in document.items():
        path = f"{prefix}.{group or key}".lstrip(".")
        found |= {path} | key_paths(value, path)
    return found


def topics(node: Any, cameras: Iterable[str]) -> dict[str, list[str]]:
    """What a node publishes, subscribes to and serves, with types; its namespace and what rclpy adds are left out."""
    camera = re.compile(rf"/({'|'.join(cameras)})(?=/)")
    name, namespace = node.get_name(), node.get_namespace()
    graph = {
        "publishes": node.get_publisher_names_and_types_by_node(name, namespace),
        "subscribes": node.get_subscriber_names_and_types_by_node(name, namespace),
        "serves": node.get_service_names_and_types_by_node(name, namespace),
    }
    own = ("/parameter_events", "/rosout", "_parameters", "_parameter_types", "_parameters_atomically", "_description")
    return {
        kind: sorted(
            {
                f"{camera.sub('/<camera>', topic.removeprefix(namespace.rstrip('/')))} {types[0]}"
                for topic, types in entries
                if not topic.endswith(own)
            }
        )
        for kind, entries in graph.items()
    }
