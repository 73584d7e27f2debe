"""Reads numeric tables out of pickles of pandas, as PandaSet's lidar files are, without running what a pickle asks for.

A pickle names classes and functions and says what to call them with. The few names that a table of numbers needs are
replaced by pieces that only remember their arguments; any other name is refused. The arrays are then taken out of the
pieces. So pandas is not needed, and no code of the file is run. Known are the layouts of pandas 1.0 to 3.1.
"""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.sources.datasets.files import read_bytes, reading

_GZIP = b"\x1f\x8b"
_NUMERIC = "biuf"
_OLD_LAYOUT = "0.14.1"
"""The key under which pandas before 1.3 has axes and blocks."""


class PicklePiece:
    """Remembers what a pickle wanted to make, and does nothing: `args` of the call, and `state` set afterwards."""

    __slots__ = ("args", "state")
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> PicklePiece:
        piece = super().__new__(cls)
        piece.args, piece.state = args, None
        return piece

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Table(PicklePiece): ...


class _Manager(PicklePiece): ...


class _Block(PicklePiece): ...


class _Index(PicklePiece): ...


class _Strings(PicklePiece): ...


class _ArrowStrings(PicklePiece): ...


class _Slice(PicklePiece): ...


class _DataType(PicklePiece): ...


class _Buffer(PicklePiece): ...


class _Array(PicklePiece): ...


class _Bytes(PicklePiece): ...


class _Name(PicklePiece): ...


_NUMPY = ("numpy.core", "numpy._core")
_PIECES: dict[tuple[str, str], type[PicklePiece]] = {
    ("pandas.core.frame", "DataFrame"): _Table,
    ("pandas", "DataFrame"): _Table,
    ("pandas.core.internals.managers", "BlockManager"): _Manager,
    ("pandas.core.internals", "BlockManager"): _Manager,
    ("pandas._libs.internals", "_unpickle_block"): _Block,
    ("pandas.core.indexes.base", "_new_Index"): _Index,
    ("pandas.core.indexes.base", "Index"): _Name,
    ("pandas", "Index"): _Name,
    ("pandas.core.indexes.range", "RangeIndex"): _Name,
    ("pandas", "RangeIndex"): _Name,
    ("pandas.core.indexes.numeric", "Int64Index"): _Name,
    ("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"): _Strings,
    ("pandas.arrays", "StringArray"): _Name,
    ("pandas.core.arrays.string_", "StringArray"): _Name,
    ("pandas", "StringDtype"): _Name,
    ("pandas.core.arrays.string_", "StringDtype"): _Name,
    ("pandas.arrays", "ArrowStringArray"): _ArrowStrings,
    ("pyarrow.lib", "_restore_array"): _Name,
    ("pyarrow.lib", "type_for_alias"): _Name,
    ("pyarrow.lib", "py_buffer"): _Name,
    ("builtins", "slice"): _Slice,
    ("__builtin__", "slice"): _Slice,
    ("_codecs", "encode"): _Bytes,
    ("builtins", "bytearray"): _Bytes,
    ("__builtin__", "bytearray"): _Bytes,
    ("numpy", "dtype"): _DataType,
    ("numpy", "ndarray"): _Name,
    **{(f"{root}.numeric", "_frombuffer"): _Buffer for root in _NUMPY},
    **{(f"{root}.multiarray", "_reconstruct"): _Array for root in _NUMPY},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[PicklePiece]:
        try:
            return _PIECES[module, name]
        except KeyError:
            raise FsmdeError(f"it names {module}.{name}, which no table of numbers needs") from None


def read_table(path: Path) -> dict[str, NDArray[Any]]:
    """Read the columns of a table that pandas pickled, packed with gzip or not.

    Args:
        path: The file.

    Returns:
        Column -> (N,) numbers. Raises RecordingFileError for any other content.
    """
    content = read_bytes(path)
    with reading(path):
        table = _Unpickler(BytesIO(gzip.decompress(content) if content[:2] == _GZIP else content)).load()
        if not isinstance(table, _Table):
            raise FsmdeError("it holds no DataFrame of pandas")
        manager = table.state["_mgr" if "_mgr" in table.state else "_data"]
        return dict(_columns(*_axes_and_blocks(manager)))


def _axes_and_blocks(manager: _Manager) -> tuple[list[Any], Iterable[tuple[Any, Any]]]:
    """Return the axes, and (values, place) of each block of columns."""
    if manager.args:
        blocks, axes = manager.args[:2]
        return axes, [block.args[:2] for block in blocks]
    layout = manager.state[3][_OLD_LAYOUT]
    return layout["axes"], [(block["values"], block["mgr_locs"]) for block in layout["blocks"]]


def _columns(axes: list[Any], blocks: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    names = _labels(axes[0])
    for values, place in blocks:
        rows = _numbers(values)
        chosen = names[slice(*place.args)] if isinstance(place, _Slice) else [names[i] for i in _numbers(place)]
        if rows.ndim != 2 or len(rows) != len(chosen):
            raise FsmdeError(f"a block of {len(chosen)} columns has the shape {rows.shape}")
        yield from zip(chosen, rows, strict=True)


def _labels(index: _Index) -> list[str]:
    data = index.args[1]["data"]
    if isinstance(data, _ArrowStrings):
        return _arrow_texts(*data.state["_pa_array"].args[0])
    if isinstance(data, _Strings):
        data = next(part for part in data.state if isinstance(part, _Array))
    _, (count,), _, _, labels = data.state
    if not isinstance(labels, list) or len(labels) != count or not all(isinstance(name, str) for name in labels):
        raise FsmdeError(f"names of columns must be {count} texts, found {labels!r:.80}")
    return labels


def _arrow_texts(kind: PicklePiece, count: int, _nulls: int, first: int, buffers: list[Any], *_: Any) -> list[str]:
    """Read `count` texts from number `first` on: a buffer of where they begin, and one of their bytes."""
    begins, text = (_raw(buffer.args[0]) for buffer in buffers[1:])
    ends = np.frombuffer(begins, "<i8" if kind.args[0] == "large_string" else "<i4")[first : first + count + 1]
    return [text[begin:end].decode() for begin, end in pairwise(ends.tolist())]


def _numbers(piece: PicklePiece) -> NDArray[Any]:
    """Make the array of numbers that a piece stands for."""
    if isinstance(piece, _Buffer):
        data, kind, shape, order = piece.args[:4]
    else:
        _, shape, kind, by_columns, data = piece.state
        order = "F" if by_columns else "C"
    return np.frombuffer(_raw(data), _dtype(kind)).reshape(shape, order=order)


def _raw(data: Any) -> Any:
    """Unwrap bytes, which pickles of protocol 2 hold as text."""
    while isinstance(data, _Bytes):
        data = data.args[0]
    return data.encode("latin1") if isinstance(data, str) else data


def _dtype(piece: _DataType) -> np.dtype[Any]:
    code, byte_order = piece.args[0], piece.state[1]
    if code[:1] not in _NUMERIC or not code[1:].isdecimal():
        raise FsmdeError(f"columns of type '{code}' are no numbers")
    return np.dtype(code).newbyteorder(byte_order)
