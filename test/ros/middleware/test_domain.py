"""Domains that are taken: by a socket of DDS, or by another program that took one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fsmde_ros.middleware import domain
from fsmde_ros.middleware.domain import claim_domain, isolate_domain

CLAIM = "from fsmde_ros.middleware.domain import claim_domain; print(claim_domain(), flush=True); input()"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """The sockets of a process that has claimed nothing yet, closed in the end."""
    claims: list[socket.socket] = []
    monkeypatch.setattr(domain, "_claims", claims)
    monkeypatch.setattr(domain, "claim_domain", claim_domain.__wrapped__)  # without its cache
    yield claims
    for claim in claims:
        claim.close()


def test_programs_that_run_at_once_take_different_domains() -> None:
    """Three whose process ids would lead them to the same one, and this one."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", f"import os; os.getpid = lambda: 7; {CLAIM}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    try:
        taken = [int(process.stdout.readline()) for process in processes if process.stdout]
        taken.append(domain.claim_domain())
    finally:
        for process in processes:
            process.communicate("\n")
    assert len(set(taken)) == 4
    assert all(1 <= one <= 100 for one in taken)


@pytest.mark.parametrize("offset", [0, 11, 249])
def test_a_domain_in_which_somebody_listens_is_left_alone(monkeypatch: pytest.MonkeyPatch, offset: int) -> None:
    """DDSI-RTPS: domain d has the UDP ports from 7400 + 250 d on."""
    free = domain.claim_domain()
    following = 1 + free % 100
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        try:
            listener.bind(("127.0.0.1", 7400 + 250 * following + offset))
        except OSError:
            pytest.skip("somebody else listens there")
        monkeypatch.setattr(os, "getpid", lambda: following - 1)
        assert domain.claim_domain() not in (free, following)


def test_a_domain_that_is_given_back_can_be_taken_again(
    monkeypatch: pytest.MonkeyPatch, fresh: list[socket.socket]
) -> None:
    first = domain.claim_domain()
    fresh.pop().close()
    monkeypatch.setattr(os, "getpid", lambda: first - 1)
    assert domain.claim_domain() == first


def test_a_process_stays_in_its_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    isolate_domain()
    first = os.environ["ROS_DOMAIN_ID"]
    isolate_domain()
    assert os.environ["ROS_DOMAIN_ID"] == first == str(claim_domain())
    assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
