"""Every name and signature of a release of TensorRT's bindings, read from the module itself and its docstrings."""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import Any


def dump(module: ModuleType) -> str:
    """JSON of {"version", "classes": {name: see `_class`}, "values": other names}."""
    classes: dict[str, Any] = {}
    for name in dir(module):
        value = getattr(module, name)
        if isinstance(value, type) and not name.startswith("_"):
            classes[name] = _class(value)
            nested = {inner: x for inner, x in vars(value).items() if isinstance(x, type) and not inner.startswith("_")}
            classes |= {f"{name}.{inner}": _class(x) for inner, x in nested.items()}
    values = [name for name in dir(module) if not isinstance(getattr(module, name), type)]
    return json.dumps({"version": module.__version__, "classes": classes, "values": values})


def _class(cls: type) -> dict[str, Any]:
    """bases; members: of an enumeration, name -> number; methods: name -> overloads; properties: name -> settable.

    An overload is {"parameters": [[name, has a default], ...] without self, "returns": type as text}.
    """
    members = {name: int(member) for name, member in getattr(cls, "__members__", {}).items()}
    methods, properties = {}, {}
    for name, value in vars(cls).items():
        if isinstance(value, property):
            properties[name] = value.fset is not None
        elif callable(value) and not isinstance(value, type) and (not name.startswith("_") or name == "__init__"):
            overloads = _overloads(name, value.__doc__ or "")
            if overloads:
                methods[name] = overloads
    bases = [base.__name__ for base in cls.__bases__]
    return {"bases": bases, "members": members, "methods": methods, "properties": properties}


def _overloads(name: str, doc: str) -> list[dict[str, Any]]:
    lines = re.findall(rf"^(?:\d+\. )?{re.escape(name)}\((self: .*)\) -> (.*)$", doc, re.MULTILINE)
    return [{"parameters": _parameters(inside), "returns": returns} for inside, returns in lines]


def _parameters(text: str) -> list[list[Any]]:
    """'self: A, name: B[C, D] = <E.F: 2>' -> [['name', True]]."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[(<") - (character in "])>")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [[part.split(":")[0].strip(), " = " in part] for part in parts[1:]]
