"""The real node as a child process: started with a rig and parameters of its own, its log kept, ended in order."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.rig import Rig, save_rig

if TYPE_CHECKING:
    from fsmde_ros.client.listener import NodeListener
    from fsmde_ros.client.player import Player

NODE_NAME = "surround_depth"
LOG_LINES = 8
START_SECONDS = 90
STOP_SECONDS = 10
PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None)  # here, since nothing may be loaded between fork and exec


def _end_with_parent() -> None:
    """Linux: the child gets SIGTERM when its parent ends, however that ends."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def keep_apart() -> None:
    """What this process starts from here on meets nothing else on this machine or in the network."""
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


def node_parameters(rig: Rig, folder: Path, engine: str, model: Path | None, threads: int) -> dict[str, Any]:
    """Of a node for `rig`, which is saved in `folder`. model: None is the shipped student."""
    save_rig(rig, folder / "rig.yaml")
    return {
        "rig": str(folder / "rig.yaml"),
        "engine": engine,
        "model": str(model.resolve()) if model else "",
        "threads": threads,
    }


class NodeProcess:
    """`surround_depth` with `parameters` (names as in config/surround_depth.yaml); its output goes to `log`."""

    def __init__(self, folder: Path, parameters: Mapping[str, Any], log: Path) -> None:
        self._log = log
        self._parameters = folder / "parameters.yaml"
        # JSON is YAML; so every type arrives as it is.
        self._parameters.write_text(json.dumps({NODE_NAME: {"ros__parameters": dict(parameters)}}))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> NodeProcess:
        command = [sys.executable, "-m", "fsmde_ros", "--ros-args", "--params-file", str(self._parameters)]
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C at the terminal reaches the command alone, which then ends the node.
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=dict(os.environ),
                preexec_fn=_end_with_parent,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        assert process is not None
        impatient = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave the node behind
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if process.poll() is not None:
                break
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        signal.signal(signal.SIGINT, impatient)

    @property
    def returncode(self) -> int | None:
        """Exit code of the node, None while it runs."""
        return self._process.poll() if self._process else None

    def check(self) -> None:
        """FsmdeError with the last lines of the log when the node has ended."""
        code = self.returncode
        if code is not None:
            raise FsmdeError(f"the node ended with exit code {code}; the end of its log {self._log}:\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of the node's log."""
        return "\n".join(self._log.read_text(errors="replace").strip().splitlines()[-LOG_LINES:])


def wait_until_ready(player: Player, listener: NodeListener, node: NodeProcess | None) -> None:
    """Until a node has subscribed to every image topic; FsmdeError when it fails to, or none does.

    node: the one that was started for it; None for whichever is there.
    """
    deadline = time.monotonic() + START_SECONDS
    while player.subscribers() < 1:
        if node is not None:
            node.check()
        state = listener.statuses.get("node")
        if state is not None and state.is_error:
            raise FsmdeError(f"the node does not start: {state.message}")
        if time.monotonic() > deadline:
            why = "no node listens to an image topic of every camera of the rig"
            if node is not None:
                why = f"the end of its log:\n{node.tail()}"
            raise FsmdeError(f"the node was not ready after {START_SECONDS} s; {why}")
        time.sleep(0.1)
    time.sleep(0.5)  # every other topic finds its peer
