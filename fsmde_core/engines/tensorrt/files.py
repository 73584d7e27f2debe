"""Files that several processes share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fsmde_core.errors import FsmdeError


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that other processes see whole or not at all; the last of several writers wins.

    Raises FsmdeError where it cannot be written, and leaves nothing behind then.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            scratch = Path(file.name)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                scratch.chmod(0o644)  # temporary files are the user's own; engines may be another's to read
                scratch.replace(path)
            except BaseException:
                scratch.unlink()
                raise
    except OSError as error:
        raise FsmdeError(f"{path} cannot be written ({error.strerror}); set FSMDE_ENGINES to another folder") from error
