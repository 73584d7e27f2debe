"""Sends a Rerun recording to the viewer on this screen, to a file, or to a page for browsers."""

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
def open_stream(names: tuple[str, ...], live: bool, save: Path | None, serve: bool) -> Iterator[tuple[Any, str]]:
    """Open a Rerun stream; without `save` and `serve` the viewer is started.

    Args:
        names: Cameras in ring order.
        live: Whether to follow the newest data.
        save: File to write. It holds what was logged until an interrupt; none is left after an error.
        serve: Whether to serve a page.

    Yields:
        The rerun.RecordingStream, and where it is seen. FsmdeError without Rerun, or where it cannot write or serve.
    """
    rerun = load_rerun()
    stream = rerun.RecordingStream(APPLICATION)
    layout = blueprint(names, following=live)
    if save is not None:
        place = _save(stream, layout, save)
    elif serve:
        place = _serve(rerun, stream, layout)
    else:
        place = _spawn(rerun, stream, layout)
    try:
        yield stream, place
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
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise FsmdeError("there is no screen here to open the viewer on; write a file with --save, or use --serve")


def _spawn(rerun: Any, stream: Any, layout: Any) -> str:
    viewer = Path(sys.executable).with_name("rerun")  # where no virtual environment is activated
    path = str(viewer) if viewer.exists() else None
    try:
        rerun.spawn(recording=stream, default_blueprint=layout, executable_path=path)
    except RuntimeError as error:
        raise FsmdeError(f"the Rerun viewer does not start: {error}") from error
    return "the Rerun viewer"
