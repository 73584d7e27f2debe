"""A process that ends with its parent, also where the parent was quicker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from fsmde_ros.middleware.process import PARENT

CHILD = """
import os
from fsmde_ros.middleware.process import PARENT, end_with_parent
end_with_parent()
print("lives, and tells its own children", os.environ.get(PARENT), flush=True)
input()
"""
LIVES = "lives, and tells its own children None\n"


def end_of_child(parent: str | None) -> tuple[int, str]:
    """Exit code and output of a child that finds `parent` in its environment."""
    environment = {name: value for name, value in os.environ.items() if name != PARENT}
    if parent is not None:
        environment[PARENT] = parent
    done = subprocess.run([sys.executable, "-c", CHILD], env=environment, input="\n", capture_output=True, text=True)
    return done.returncode, done.stdout


def test_a_child_lives_as_long_as_its_parent() -> None:
    assert end_of_child(str(os.getpid())) == (0, LIVES)
    assert end_of_child(None) == (0, LIVES)


def test_a_child_whose_parent_ended_before_it_could_ask_ends() -> None:
    assert end_of_child("1") == (-signal.SIGTERM, "")
