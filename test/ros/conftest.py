"""The stage on which the node and a client meet, for all tests over DDS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.ros_harness import Stage


@pytest.fixture
def stage(tmp_path: Path, tiny_model: Path) -> Iterator[Stage]:
    from support.ros_harness import open_stage

    with open_stage(tmp_path, tiny_model) as opened:
        yield opened
