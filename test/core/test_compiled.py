"""Compiled functions: where nothing can be cached, and what is not of the stated types."""

from __future__ import annotations

import numpy as np
import pytest

from fsmde_core.compiled import F32, INT, NOTHING, compile_loop, read_array, written_array

SOURCE = """
def double(values, doubled):
    for i in range(values.size):
        doubled[i] = 2 * values[i]
"""


def test_a_function_that_cannot_be_cached_works_all_the_same() -> None:
    """It has no source file, so there is no place beside it either."""
    names: dict[str, object] = {}
    exec(SOURCE, names)
    double = compile_loop(NOTHING, read_array(F32, 1), written_array(F32, 1))(names["double"])  # type: ignore[type-var]
    values, doubled = np.array([1, 2.5], np.float32), np.zeros(2, np.float32)
    values.flags.writeable = False
    double(values, doubled)  # type: ignore[operator]
    assert doubled.tolist() == [2, 5]


def test_other_types_are_refused_instead_of_compiled_for() -> None:
    @compile_loop(INT, read_array(F32, 1))
    def count(values: np.ndarray) -> int:
        return values.size

    assert count(np.zeros(3, np.float32)) == 3
    for other in (np.zeros(3), np.zeros(6, np.float32)[::2]):
        with pytest.raises(TypeError, match="No matching definition"):
            count(other)
