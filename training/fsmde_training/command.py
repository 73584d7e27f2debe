"""How the command lines of training end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fsmde_core.errors import FsmdeError


@contextmanager
def one_sentence(program: str) -> Iterator[None]:
    """What a user can put right ends the program with one sentence and exit code 2, as in `fsmde`."""
    try:
        yield
    except FsmdeError as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(2)
