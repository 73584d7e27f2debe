"""Built engines on disk, one file per key; what does not fit its key to the last byte is built anew."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from fsmde_core.engines.tensorrt.files import write_whole
from fsmde_core.errors import FsmdeError
from fsmde_core.paths import user_cache

REVISION = 1
"""Of what we ask of TensorRT; to be raised with every change in `network` or `build` that changes engines."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineKey:
    """Everything that decides whether an engine may serve. cameras: it takes 1 to so many images of height x width.

    Boards of one name differ in multiprocessors and memory: every Jetson of its generation is called Orin.
    """

    model_sha256: str
    gpu: str
    compute_capability: str
    multiprocessors: int
    memory_gib: int
    tensorrt: str
    precision: str
    cameras: int
    height: int
    width: int
    revision: int = REVISION

    @property
    def digest(self) -> str:
        """16 hexadecimal digits, other ones for every other key."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]


class UnfitEngineError(Exception):
    """An engine on disk that may not serve; the message says which field differs: found, expected."""


class EngineCache:
    """Engines in one folder, each beside a JSON file that says what it is. Any number of processes may share it."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def path(self, model: str, key: EngineKey) -> Path:
        """Where the engine of a model of this name lies, or would."""
        shape = f"{key.cameras}x{key.height}x{key.width}"
        return self.folder / f"{model}-{key.precision}-{shape}-{key.digest}.engine"

    def timing(self, key: EngineKey) -> Path:
        """The file of kernel times that all engines of this GPU and TensorRT share."""
        machine = json.dumps([key.gpu, key.compute_capability, key.multiprocessors, key.memory_gib, key.tensorrt])
        return self.folder / f"timing-{hashlib.sha256(machine.encode()).hexdigest()[:16]}.cache"

    def fetch(self, model: str, key: EngineKey, build: Callable[[], bytes], refused: bytes | None = None) -> bytes:
        """The engine of `key`, from disk, or made by `build` and kept; one log line says why it is built.

        Of several processes that want the same engine one builds it, the others wait for it. Nothing is kept when
        `build` raises, and nothing lost. refused: an engine from here that did not serve; what is on disk is returned
        only if it is another by now. Raises FsmdeError when the folder cannot be written to.
        """
        path = self.path(model, key)
        try:
            return _other_than(refused, read_engine(path, key))  # no lock: prepared folders may be read-only
        except UnfitEngineError:
            pass
        with self._locked(path):
            try:
                return _other_than(refused, read_engine(path, key))
            except UnfitEngineError as reason:
                log.info("engine %s is built: %s", path, reason)
            plan = build()
            sidecar = {"key": asdict(key), "engine_sha256": hashlib.sha256(plan).hexdigest(), "bytes": len(plan)}
            write_whole(path, plan)
            write_whole(_sidecar(path), json.dumps(sidecar, indent=2).encode() + b"\n")
        return plan

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Only one process at a time is inside for this engine."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = path.with_suffix(".lock").open("w")
        except OSError as error:
            raise FsmdeError(
                f"engine folder {self.folder} cannot be written to ({error.strerror}); set FSMDE_ENGINES to another"
            ) from error
        with file:  # closing it unlocks
            self._lock(file, path)
            yield

    def _lock(self, file: IO[str], path: Path) -> None:
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("engine %s is being built by another process; waiting for it", path)
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:  # some network file systems have no locks
            raise FsmdeError(
                f"engine folder {self.folder} cannot be locked ({error.strerror}); set FSMDE_ENGINES to another"
            ) from error


def default_folder() -> Path:
    """$FSMDE_ENGINES, else fsmde/engines in the user's cache folder."""
    chosen = os.environ.get("FSMDE_ENGINES")
    return Path(chosen) if chosen else user_cache() / "engines"


def read_engine(path: Path, key: EngineKey) -> bytes:
    """The engine at `path` if it is the one of `key`, whole; else Unfit."""
    try:
        path.stat()
    except FileNotFoundError:
        raise UnfitEngineError(_nearest(path.parent, key)) from None
    except OSError as error:
        raise UnfitEngineError(f"the file cannot be read ({error.strerror})") from error
    difference = _difference(_key_of(path), key)
    if difference:
        raise UnfitEngineError(f"the file is another engine's: {difference}")
    try:
        plan = path.read_bytes()
    except OSError as error:
        raise UnfitEngineError(f"the file cannot be read ({error.strerror})") from error
    found, expected = hashlib.sha256(plan).hexdigest(), _read_sidecar(path).get("engine_sha256")
    if found != expected:
        raise UnfitEngineError(f"the file is damaged: its sha256 is {found[:16]}, expected {str(expected)[:16]}")
    return plan


def _other_than(refused: bytes | None, plan: bytes) -> bytes:
    if plan == refused:
        raise UnfitEngineError("TensorRT refused what is there")
    return plan


def _nearest(folder: Path, key: EngineKey) -> str:
    """Of the engines in the folder the one that fits best, and what keeps it from serving."""
    differences = []
    for path in sorted(folder.glob("*.engine")):
        try:
            differences.append((_difference(_key_of(path), key), path.name))
        except UnfitEngineError:
            continue
    if not differences:
        return "there is none yet"
    difference, name = min(differences, key=lambda pair: (pair[0].count(", expected "), pair[1]))
    return f"of those there, {name} comes nearest: {difference}"


def _difference(found: dict[str, object], key: EngineKey) -> str:
    """'FIELD is FOUND, expected EXPECTED' for every field that differs; empty where none does."""
    expected = asdict(key)
    differing = [name for name in expected if found.get(name) != expected[name]]
    return "; ".join(f"{name} is {found.get(name)}, expected {expected[name]}" for name in differing)


def _key_of(path: Path) -> dict[str, object]:
    key = _read_sidecar(path).get("key")
    return key if isinstance(key, dict) else {}


def _read_sidecar(path: Path) -> dict[str, object]:
    try:
        sidecar = json.loads(_sidecar(path).read_bytes())
    except (OSError, ValueError) as error:
        raise UnfitEngineError(
            f"its description {_sidecar(path).name} cannot be read ({type(error).__name__})"
        ) from error
    return sidecar if isinstance(sidecar, dict) else {}


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".json")
