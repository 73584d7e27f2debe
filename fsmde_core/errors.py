"""Defines the one exception for everything a user can put right, and how programs end with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class FsmdeError(ValueError):
    """Reports bad input or configuration in one sentence: the value seen, the value expected, and what to change."""


@contextmanager
def exit_on_user_error(program: str) -> Iterator[None]:
    """End the program with the sentence of an FsmdeError and exit code 2."""
    try:
        yield
    except FsmdeError as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(2)
