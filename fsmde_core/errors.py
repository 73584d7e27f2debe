"""Defines the one exception for everything a user can put right, and how programs end with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class FsmdeError(ValueError):
    """Reports bad input or configuration in one sentence: the value seen, the value expected, and what to change.

    exit_code: with which a program ends.
    """

    exit_code: ClassVar[int] = 2


class NothingJudgedError(FsmdeError):
    """Says why a recording let nothing be judged, which is neither good nor bad."""

    exit_code = 3


@contextmanager
def exit_on_user_error(program: str) -> Iterator[None]:
    """End the program with the sentence of an FsmdeError and its exit code."""
    try:
        yield
    except FsmdeError as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
