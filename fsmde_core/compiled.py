"""Loops that NumPy cannot express in one pass, compiled by Numba for fixed types when their module is imported."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

NOTHING = numba.void
INT, BOOL = numba.int64, numba.boolean
F32, F64 = numba.float32, numba.float64
U8 = numba.uint8


def read_array(dtype: Any, ndim: int) -> Any:
    """Type of a C-contiguous array that a function only reads."""
    return numba.types.Array(dtype, ndim, "C", readonly=True)


def written_array(dtype: Any, ndim: int) -> Any:
    """Type of a C-contiguous array that a function writes to."""
    return numba.types.Array(dtype, ndim, "C")


def compile_loop(returns: Any, *arguments: Any) -> Callable[[Function], Function]:
    """Compile a function for these types, to run without the GIL; a call with other types is a TypeError.

    Importing compiles it, so that no call ever waits for the compiler. The machine code is kept beside the source or,
    where that is read-only, in the user's cache folder; where neither can be written every start compiles anew.
    """
    compiler: Any = partial(numba.njit, returns(*arguments), nogil=True)

    def compile_(function: Function) -> Function:
        try:
            fast: Function = compiler(cache=True)(function)
        except Exception:  # no folder for the cache, no room in it, or a damaged one; a mistake in the code comes again
            fast = compiler()(function)
        return fast

    return compile_


def inline(function: Function) -> Function:
    """A helper of compiled functions, compiled into each of its callers."""
    compiler: Any = numba.njit
    helper: Function = compiler(function)
    return helper
