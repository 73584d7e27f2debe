"""Tables of PandaSet, pickled by several versions of pandas: read as numbers, and nothing in a file is run."""

from __future__ import annotations

import base64
import gzip
import json
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsmde_core.sources.datasets import table_pickle
from fsmde_core.sources.datasets.files import RecordingFileError
from fsmde_core.sources.datasets.table_pickle import read_table
from support.repository import ROOT

SAMPLES: dict[str, bytes] = {
    name: base64.b64decode(text)
    for name, text in json.loads((ROOT / "test" / "support" / "pandas_tables.json").read_text()).items()
}
"""The same small table, written by `DataFrame.to_pickle` of these versions."""
TABLE = {
    "x": [1.5, 4.0, 7.0],
    "y": [-2.25, 5.5, 8.0],
    "z": [0.125, -6.0, 9.75],
    "i": [10.0, 20.0, 30.0],
    "t": [1557539924.5] * 3,
    "d": [0, 1, 0],
}


class Asks:
    """Is pickled as a call, which unpickling would make."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("version", SAMPLES)
def test_table_is_the_one_that_was_written(version: str, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "00.pkl"
    path.write_bytes(SAMPLES[version] if packed else gzip.decompress(SAMPLES[version]))
    table = read_table(path)
    assert {name: values.tolist() for name, values in table.items()} == TABLE
    assert all(table[name].dtype == np.float64 for name in "xyzit") and table["d"].dtype == np.int64


@pytest.mark.parametrize("protocol", [0, 2, 4, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize(
    "function", [os.system, subprocess.call, eval, exec, open, getattr, __import__, np.load, np.fromfile, pickle.loads]
)
def test_nothing_that_a_file_names_is_called(function: Any, protocol: int, tmp_path: Path) -> None:
    path, mark = tmp_path / "00.pkl", tmp_path / "called"
    path.write_bytes(pickle.dumps(Asks(function, f"touch {mark}"), protocol))
    with pytest.raises(RecordingFileError, match=rf"{path} .*names .*, which no table of numbers needs"):
        read_table(path)
    assert not mark.exists()


def test_call_within_a_table_is_refused(tmp_path: Path) -> None:
    path, mark = tmp_path / "00.pkl", tmp_path / "called"
    content = gzip.decompress(SAMPLES["pandas 1.2.5 protocol 2"])
    call = pickle.dumps(Asks(os.system, f"touch {mark}"), 2)[2:-1]  # without its head and its end
    path.write_bytes(content[:2] + call + b"0" + content[2:])
    with pytest.raises(RecordingFileError, match="system, which no table of numbers needs"):
        read_table(path)
    assert not mark.exists()


def test_all_that_may_be_named_only_remembers() -> None:
    """The table of names leads to classes that keep arguments, never to the thing itself."""
    for piece in table_pickle._PIECES.values():
        made = piece("rm -rf", 1)
        made.__setstate__({"x": 2})
        assert issubclass(piece, table_pickle.PicklePiece) and (made.args, made.state) == (("rm -rf", 1), {"x": 2})
        assert not callable(made)


@pytest.mark.parametrize(
    "content", [b"", b"\x1f\x8b", b"\x80\x05.", pickle.dumps({"x": 1}), pickle.dumps([1, 2]), b"PK\x03\x04", b"text"]
)
def test_other_content_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "00.pkl.gz"
    path.write_bytes(content)
    with pytest.raises(RecordingFileError, match=str(path)):
        read_table(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(version=st.sampled_from(sorted(SAMPLES)), data=st.data())
def test_damage_is_a_sentence_or_costs_numbers_alone(version: str, data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(gzip.decompress(SAMPLES[version]))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.sampled_from([1, 4, 32, 64]))
    path = tmp_path / "00.pkl"
    path.write_bytes(content)
    try:
        table = read_table(path)
    except RecordingFileError as error:
        assert "\n" not in str(error)
    else:
        assert all(values.dtype.kind in "biuf" for values in table.values())
