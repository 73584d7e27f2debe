"""The one exception for everything a user can put right, and how programs end with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class FsmdeError(ValueError):
    """Bad input or configuration; the message is one sentence: the value seen, the value expected, what to change."""


@contextmanager
def one_sentence(program: str) -> Iterator[None]:
    """What a user can put right ends the program with one sentence and exit code 2."""
    try:
        yield
    except FsmdeError as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(2)
