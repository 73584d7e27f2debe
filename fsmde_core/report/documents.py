"""Reads and checks result documents of `fsmde evaluate --json`, and refuses to compare what is not comparable."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsmde_core.engines.model import read_model_info
from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.metrics import MEASURES

REQUIRED = ("protocol", "source", "samples", "cap_m", "scaling", "cameras", "mean", "model", "model_sha256")
CONDITIONS = ("protocol", "source", "cap_m", "scaling", "samples")


@dataclass(frozen=True, eq=False)
class LoadedResult:
    """Holds one document. The name is what tables and plots call it: of several the file's name without its ending."""

    name: str
    document: Mapping[str, Any]

    def at(self, *keys: str) -> Any:
        """Look up the entry under these keys; None where a section is null or absent."""
        entry: Any = self.document
        for key in keys:
            entry = entry.get(key) if isinstance(entry, Mapping) else None
        return entry

    @property
    def samples(self) -> str:
        count = self.at("samples")
        return f"{count} sample{'' if count == 1 else 's'}"


def conditions(results: Sequence[LoadedResult]) -> str:
    """Describe what every number of these comparable results was measured under."""
    first = results[0]
    words = [
        f"protocol {first.at('protocol')}",
        first.samples,
        f"cap {first.at('cap_m'):g} m",
        f"scaling {first.at('scaling')}",
        *(["masks"] if first.at("masks") else []),
        *(["flip averaging"] if all(result.at("flip") for result in results) else []),
    ]
    return ", ".join(words)


def load_results(paths: Sequence[Path]) -> list[LoadedResult]:
    """Read documents under different names; FsmdeError when one is no result, or when they must not be compared."""
    names = [path.stem for path in paths]
    labels = [f"{name} ({names[:i].count(name) + 1})" if name in names[:i] else name for i, name in enumerate(names)]
    if len(paths) == 1:
        labels = ["model"]
    results = [LoadedResult(label, _read(path)) for label, path in zip(labels, paths, strict=True)]
    for other in results[1:]:
        _check_comparable(results[0], other)
    return results


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)  # NaN
    except OSError as error:
        raise FsmdeError(f"the result {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise FsmdeError(f"the result {path} is not JSON: {error}") from error
    missing = [key for key in REQUIRED if key not in document] if isinstance(document, dict) else list(REQUIRED)
    if missing:
        raise FsmdeError(f"{path} is not a result of 'fsmde evaluate --json': it lacks {missing}")
    if document["mean"] is None:
        raise FsmdeError(f"in the result {path} nothing was measured: {document['notes'][-1]}")
    groups = [document, *(entry for key in ("baselines", "bands", "thirds") for entry in _entries(document.get(key)))]
    for group in groups:
        for scores in (group.get("mean"), *_entries(group.get("cameras"))):
            if not isinstance(scores, dict) or not {*MEASURES, "n"} <= set(scores):
                raise FsmdeError(f"the result {path} has scores without {[*MEASURES, 'n']}: {scores!r:.80}")
    return document


def _entries(group: Any) -> list[Any]:
    return list(group.values()) if isinstance(group, dict) else []


def _check_comparable(first: LoadedResult, other: LoadedResult) -> None:
    """Raise FsmdeError when the two were not measured on the same frames under the same rules."""
    pairs = {key: (first.at(key), other.at(key)) for key in CONDITIONS}
    pairs["first frame"] = tuple((result.at("span") or [None])[0] for result in (first, other))  # type: ignore[assignment]
    pairs["masks"] = (first.at("masks") or [], other.at("masks") or [])
    pairs["cameras"] = (sorted(first.at("cameras")), sorted(other.at("cameras")))
    for what, (a, b) in pairs.items():
        if a != b and not (what == "first frame" and None in (a, b)):
            raise FsmdeError(
                f"'{first.name}' and '{other.name}' cannot be compared: {what} is {a} in one and {b} in the other; "
                "evaluate both on the same frames under the same protocol, cap and scaling"
            )


def match_models(results: Sequence[LoadedResult], paths: Sequence[Path]) -> dict[str, Path]:
    """Find the model file of each result.

    Args:
        results: The results.
        paths: Model files, in any order.

    Returns:
        The file by `model_sha256`.

    Raises:
        FsmdeError: The model of a result is not among the files, or a file is no model.
    """
    files = {read_model_info(path).sha256: path for path in paths}
    for result in results:
        wanted = result.at("model_sha256")
        if wanted not in files:
            found = ", ".join(f"{path} has {sha256[:12]}" for sha256, path in files.items())
            raise FsmdeError(
                f"result '{result.name}' is of model {result.at('model')} with sha256 {wanted[:12]}, {found}; give the "
                "model that was evaluated with --model, or leave the pictures out with --no-pictures"
            )
    return {result.at("model_sha256"): files[result.at("model_sha256")] for result in results}
