"""Keeps built engines on disk, one file per key; an engine of another key, or a damaged file, is built anew."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from fsmde_core.errors import FsmdeError
from fsmde_core.paths import user_cache

REVISION = 1
"""Version of what we ask of TensorRT; to be raised with every change in `network` or `build` that changes engines."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineKey:
    """Holds all that decides whether an engine may serve. cameras: it takes 1 to so many images of height x width.

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
        """16 hexadecimal digits, which differ for every other key."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]


class UnfitEngineError(Exception):
    """Says why an engine on disk may not serve; for instance which field differs: found, expected."""


class EngineCache:
    """Keeps engines in one folder, each beside a JSON file that describes it; any number of processes may use it."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def path(self, model: str, key: EngineKey) -> Path:
        shape = f"{key.cameras}x{key.height}x{key.width}"
        return self.folder / f"{model}-{key.precision}-{shape}-{key.digest}.engine"

    def timing_path(self, key: EngineKey) -> Path:
        """Return the path of the kernel times that all engines of this GPU and TensorRT share."""
        machine = json.dumps([key.gpu, key.compute_capability, key.multiprocessors, key.memory_gib, key.tensorrt])
        return self.folder / f"timing-{hashlib.sha256(machine.encode()).hexdigest()[:16]}.cache"

    def load_or_build(
        self, model: str, key: EngineKey, build: Callable[[], bytes], refused: bytes | None = None
    ) -> bytes:
        """Return an engine from disk, or build and keep it; one log line says why it is built.

        Of several processes that want the same engine one builds it, the others wait for it. Nothing is kept when
        `build` raises, and nothing lost.

        Args:
            model: The model's name.
            key: What the engine must be.
            build: Builds it.
            refused: An engine from here that TensorRT refused; one on disk is returned only if it is another by now.

        Returns:
            The serialised engine.

        Raises:
            FsmdeError: The folder cannot be written to.
        """
        path = self.path(model, key)
        with suppress(UnfitEngineError):
            return read_engine(path, key, refused)  # no lock: prepared folders may be read-only
        with self._locked(path):
            try:
                return read_engine(path, key, refused)
            except UnfitEngineError as reason:
                log.info("engine %s is built: %s", path, reason)
            plan = build()
            sidecar = {"key": asdict(key), "engine_sha256": hashlib.sha256(plan).hexdigest(), "bytes": len(plan)}
            write_atomically(path, plan)
            write_atomically(_sidecar(path), json.dumps(sidecar, indent=2).encode() + b"\n")
        return plan

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Only one process at a time is inside for this engine."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = path.with_suffix(".lock").open("w")
        except OSError as error:
            raise self._error("written to", error) from error
        with file:  # closing it unlocks
            try:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    log.info("engine %s is being built by another process; waiting for it", path)
                    fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:  # some network file systems have no locks
                raise self._error("locked", error) from error
            yield

    def _error(self, action: str, error: OSError) -> FsmdeError:
        problem = f"engine folder {self.folder} cannot be {action} ({error.strerror})"
        return FsmdeError(f"{problem}; set FSMDE_ENGINES to another")


def default_folder() -> Path:
    """Return $FSMDE_ENGINES, else fsmde/engines in the user's cache folder."""
    chosen = os.environ.get("FSMDE_ENGINES")
    return Path(chosen) if chosen else user_cache() / "engines"


def read_engine(path: Path, key: EngineKey, refused: bytes | None = None) -> bytes:
    # UnfitEngineError unless the file is whole, by the description beside it the engine of the key, and not `refused`.
    try:
        plan = path.read_bytes()
    except FileNotFoundError:
        raise UnfitEngineError(_nearest(path.parent, key)) from None
    except OSError as error:
        raise UnfitEngineError(f"the file cannot be read ({error.strerror})") from error
    description = _read_sidecar(path)
    if difference := _difference(description, key):
        raise UnfitEngineError(f"the file is another engine's: {difference}")
    found, expected = hashlib.sha256(plan).hexdigest(), description.get("engine_sha256")
    if found != expected:
        raise UnfitEngineError(f"the file is damaged: its sha256 is {found[:16]}, expected {str(expected)[:16]}")
    if plan == refused:
        raise UnfitEngineError("TensorRT refused what is there")
    return plan


def write_atomically(path: Path, data: bytes) -> None:
    # Other processes see the file whole or not at all; the last of several writers wins. A failure leaves nothing.
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            scratch = Path(file.name)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                scratch.chmod(0o644)  # temporary files are the user's own; engines may be another's to read
                scratch.replace(path)
            except BaseException:
                scratch.unlink()
                raise
    except OSError as error:
        raise FsmdeError(f"{path} cannot be written ({error.strerror}); set FSMDE_ENGINES to another folder") from error


def _nearest(folder: Path, key: EngineKey) -> str:
    """Say which engine in the folder fits best, and what keeps it from serving."""
    differences = []
    for path in sorted(folder.glob("*.engine")):
        try:
            differences.append((_difference(_read_sidecar(path), key), path.name))
        except UnfitEngineError:
            continue
    if not differences:
        return "there is none yet"
    difference, name = min(differences, key=lambda pair: (pair[0].count(", expected "), pair[1]))
    return f"of those there, {name} comes nearest: {difference}"


def _difference(description: dict[str, object], key: EngineKey) -> str:
    """Return 'FIELD is FOUND, expected EXPECTED' for every field that differs; empty where none does."""
    found, expected = description.get("key"), asdict(key)
    found = found if isinstance(found, dict) else {}
    differing = [name for name in expected if found.get(name) != expected[name]]
    return "; ".join(f"{name} is {found.get(name)}, expected {expected[name]}" for name in differing)


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
