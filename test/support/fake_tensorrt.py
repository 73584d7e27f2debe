"""A module `tensorrt` made from a real release's bindings: their names and signatures and no others.

What is called is recorded. What the calls do is in `fake_tensorrt_acts`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import support.fake_tensorrt_acts as acts
from support.fake_gpu import FakeDriver


class Call(NamedTuple):
    """A name that our code used: Class.name, how (`method`, `get`, `set`, `value`), and the arguments given."""

    name: str
    kind: str
    positional: int = 0
    keywords: tuple[str, ...] = ()


def fits(api: dict[str, Any], call: Call) -> bool:
    """Whether a release has that name with that signature."""
    owner, _, name = call.name.rpartition(".")
    for cls in lineage(api, owner):
        spec = api["classes"][cls]
        if call.kind == "method" and name in spec["methods"]:
            return any(_accepts(overload["parameters"], call) for overload in spec["methods"][name])
        if call.kind in ("get", "set") and name in spec["properties"]:
            return call.kind == "get" or bool(spec["properties"][name])
        if call.kind == "value" and name in spec["members"]:
            return True
    return False


def lineage(api: dict[str, Any], cls: str) -> list[str]:
    """A class and its bases, nearest first."""
    spec = api["classes"].get(cls)
    return [] if spec is None else [cls, *(b for base in spec["bases"] for b in lineage(api, base))]


def _accepts(parameters: list[list[Any]], call: Call) -> bool:
    names = [name for name, _ in parameters]
    given = set(names[: call.positional]) | set(call.keywords)
    needed = {name for name, has_default in parameters if not has_default}
    return call.positional <= len(names) and needed <= given <= set(names)


class FakeTensorRt:
    """failing: Class.method -> `returns` (what it returns when it fails) or `raises`. made: objects of each class."""

    def __init__(self, api: dict[str, Any], gpu: FakeDriver) -> None:
        self.api, self.gpu = api, gpu
        self.calls: set[Call] = set()
        self.failing: dict[str, str] = {}
        self.made: dict[str, list[Any]] = {}
        self.logger: Any = None
        self.module = ModuleType("tensorrt")
        self.module.__dict__["__version__"] = api["version"]
        self._classes: dict[str, type] = {}
        for name in api["classes"]:
            self._class(name)

    def make(self, cls: str, *arguments: Any) -> Any:
        """An object that the library itself makes."""
        thing = object.__new__(self._classes[cls])
        return self._bring_to_life(thing, cls, arguments)

    def error(self, message: str) -> None:
        """What the library logs when something fails."""
        severity = self.module.__dict__["ILogger"].Severity
        self.logger.log(severity.ERROR, message)

    def _bring_to_life(self, thing: Any, cls: str, arguments: tuple[Any, ...]) -> Any:
        act = getattr(acts, cls, None)
        assert act is not None, f"{cls} is not acted out"
        object.__setattr__(thing, "_act", act(self, *arguments))
        self.made.setdefault(cls, []).append(thing)
        return thing

    def _class(self, name: str) -> type:
        if name in self._classes:
            return self._classes[name]
        spec = self.api["classes"][name]
        bases = tuple(self._class(base) for base in spec["bases"] if base in self.api["classes"]) or (object,)
        body: dict[str, Any] = {"__slots__": ("_act",)} if bases == (object,) else {}
        body |= {method: self._method(name, method, overloads) for method, overloads in spec["methods"].items()}
        body |= {prop: self._property(name, prop) for prop in spec["properties"] if not prop.startswith("_")}
        if name == "IHostMemory":
            body["__bytes__"] = lambda this: this._act.data  # stands for the buffer protocol
        made = self._classes[name] = type(name.rpartition(".")[2], bases, body)
        for member, number in spec["members"].items():
            setattr(made, member, _Member(self, f"{name}.{member}", number))
        owner, _, inner = name.rpartition(".")
        if owner:
            setattr(self._class(owner), inner, made)
        else:
            setattr(self.module, name, made)
        return made

    def _method(self, cls: str, name: str, overloads: list[dict[str, Any]]) -> Callable[..., Any]:
        def method(this: Any, *positional: Any, **keywords: Any) -> Any:
            call = Call(f"{cls}.{name}", "method", len(positional), tuple(sorted(keywords)))
            if not fits(self.api, call):
                raise TypeError(f"{call}: incompatible function arguments")
            self.calls.add(call)
            self._use(*positional)
            if call.name in self.failing:
                self.error(f"{call.name} was told to fail")
                if self.failing[call.name] == "raises":
                    raise RuntimeError("told to fail")
                return {"bool": False, "int": -1}.get(overloads[0]["returns"])
            if name == "__init__":
                return None if hasattr(acts, f"{cls}Base") else self._bring_to_life(this, cls, positional) and None
            return getattr(this._act, name)(*positional, **keywords)

        method.__name__ = name
        return method

    def _property(self, cls: str, name: str) -> property:
        def get(this: Any) -> Any:
            self.calls.add(Call(f"{cls}.{name}", "get"))
            return getattr(this._act, name)

        def put(this: Any, value: Any) -> None:
            call = Call(f"{cls}.{name}", "set")
            if not fits(self.api, call):
                raise AttributeError(f"{call}: can't set attribute")
            self.calls.add(call)
            setattr(this._act, name, value)

        return property(get, put)

    def _use(self, *values: Any) -> None:
        self.calls |= {Call(value.name, "value") for value in values if isinstance(value, _Member)}


class _Member:
    """A member of an enumeration."""

    def __init__(self, fake: FakeTensorRt, name: str, number: int) -> None:
        self._fake, self.name, self._number = fake, name, number

    def __int__(self) -> int:
        self._fake.calls.add(Call(self.name, "value"))
        return self._number

    def __hash__(self) -> int:
        self._fake.calls.add(Call(self.name, "value"))
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Member) and self.name == other.name
