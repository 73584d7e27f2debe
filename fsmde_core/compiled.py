"""Compiles loops that NumPy cannot express in one pass: by Numba, for fixed types, when their module is imported."""

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


# Arguments of `compile_loop`: C-contiguous arrays that the function only reads, and those that it writes to.
def read_array(dtype: Any, ndim: int) -> Any:
    return numba.types.Array(dtype, ndim, "C", readonly=True)


def written_array(dtype: Any, ndim: int) -> Any:
    return numba.types.Array(dtype, ndim, "C")


def compile_loop(returns: Any, *arguments: Any) -> Callable[[Function], Function]:
    """Compile a function for these types, to run without the GIL; a call with other types is a TypeError.

    Importing compiles it, so that no call ever waits for the compiler. The machine code is kept beside the source or,
    where that is read-only, in the user's cache folder; where neither can be written every start compiles anew.

    Args:
        returns: The type of the result, `NOTHING` for none.
        *arguments: The types of the arguments.

    Returns:
        The decorator.
    """
    compiler: Any = partial(numba.njit, returns(*arguments), nogil=True)

    def compile_(function: Function) -> Function:
        try:
            return compiler(cache=True)(function)
        except Exception:  # the cache has no folder or no room, or is damaged; a mistake in the code raises again
            return compiler()(function)

    return compile_


def inline(function: Function) -> Function:
    """Compile a helper of compiled functions into each of its callers."""
    return numba.njit(function)  # type: ignore[return-value]
