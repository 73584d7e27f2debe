"""Where a Rerun recording goes: the viewer on this screen, a file, or a page for browsers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.views.rerun import blueprint, load_rerun

APPLICATION = "fsmde_view"
SERVED_MEMORY = "25%"  # of the machine's, for browsers that come late; the oldest data go first


@contextmanager
def opened(names: tuple[str, ...], live: bool, save: Path | None, serve: bool) -> Iterator[tuple[Any, str]]:
    """(rerun.RecordingStream, where it is seen); without `save` and `serve` the viewer is started.

    names: cameras in ring order. A file holds what was logged until an interrupt; none is left after an error.
    Raises FsmdeError where there is no Rerun or no way to write or serve.
    """
    rerun = load_rerun()
    stream = rerun.RecordingStream(APPLICATION)
    layout = blueprint(names, following=live)
    if save is not None:
        where = _save(stream, layout, save)
    elif serve:
        where = _serve(rerun, stream, layout)
    else:
        where = _spawn(rerun, stream, layout)
    try:
        yield stream, where
    except Exception:
        if save is not None:
            save.unlink(missing_ok=True)
        raise
    finally:
        stream.flush()
        stream.disconnect()


def _save(stream: Any, layout: Any, path: Path) -> str:
    try:
        stream.save(path, default_blueprint=layout)
    except (OSError, RuntimeError) as error:
        raise FsmdeError(f"the file {path} cannot be written: {error}") from error
    return str(path)


def _serve(rerun: Any, stream: Any, layout: Any) -> str:
    try:
        url = stream.serve_grpc(default_blueprint=layout, server_memory_limit=SERVED_MEMORY)
        rerun.serve_web_viewer(open_browser=False, connect_to=url)
    except RuntimeError as error:
        raise FsmdeError(f"the page cannot be served, is another viewer running? {error}") from error
    return f"http://localhost:9090/?url={url}"


def check_screen() -> None:
    """FsmdeError where no viewer can be opened."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise FsmdeError("there is no screen here to open the viewer on; write a file with --save, or use --serve")


def _spawn(rerun: Any, stream: Any, layout: Any) -> str:
    beside = Path(sys.executable).with_name("rerun")  # where no virtual environment is activated
    try:
        rerun.spawn(
            recording=stream, default_blueprint=layout, executable_path=str(beside) if beside.exists() else None
        )
    except RuntimeError as error:
        raise FsmdeError(f"the Rerun viewer does not start: {error}") from error
    return "the Rerun viewer"
