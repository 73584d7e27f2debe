"""Runs the node as a child process with a rig, parameters and a log of its own, and ends it in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.rig import Rig, save_rig
from fsmde_ros.middleware.process import PARENT

NODE_NAME = "surround_depth"
LOG_LINES = 8
STOP_SECONDS = 10


def node_parameters(rig: Rig, folder: Path, engine: str, model: Path | None, threads: int) -> dict[str, Any]:
    """Save the rig and make the parameters of a node for it.

    Args:
        rig: The rig.
        folder: Where the rig file is written.
        engine: Name of the engine, or `auto`.
        model: ONNX file; None for the shipped student.
        threads: Of engine and preprocessing, 0 for their own choice.

    Returns:
        Parameters by name, as in config/surround_depth.yaml.
    """
    save_rig(rig, folder / "rig.yaml")
    return {
        "rig": str(folder / "rig.yaml"),
        "engine": engine,
        "model": str(model.resolve()) if model else "",
        "threads": threads,
    }


class NodeProcess:
    """Runs `surround_depth` with `parameters` while the context lasts; its output goes to the file `log`.

    Enter it on the main thread: Linux takes the end of the thread that started a process for the parent's.
    """

    def __init__(self, folder: Path, parameters: Mapping[str, Any], log: Path) -> None:
        self._log = log
        self._parameters = folder / "parameters.yaml"
        # JSON is YAML, in which every type arrives as it is.
        self._parameters.write_text(json.dumps({NODE_NAME: {"ros__parameters": dict(parameters)}}))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> NodeProcess:
        command = [sys.executable, "-m", "fsmde_ros", "--ros-args", "--params-file", str(self._parameters)]
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C at the terminal reaches the command alone, which then ends the node. No
            # preexec_fn: it would fork, and OpenBLAS waits before a fork until no thread multiplies, at times for ever.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, PARENT: str(os.getpid())},
            )
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process is not None
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave the node behind
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if process.poll() is not None:
                break
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        signal.signal(signal.SIGINT, before)

    @property
    def returncode(self) -> int | None:
        """The node's exit code, None while it runs."""
        return self._process.poll() if self._process else None

    def check(self) -> None:
        """Raise FsmdeError with the last lines of the log when the node has ended."""
        code = self.returncode
        if code is not None:
            raise FsmdeError(
                f"the node ended with exit code {code}; the end of its log {self._log}:\n{self.log_tail()}"
            )

    def log_tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").strip().splitlines()[-LOG_LINES:])
