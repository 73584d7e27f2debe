"""Finds a ROS domain in which nobody is, for a program whose topics are to meet nobody else's."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

DOMAINS = range(1, 101)  # 0 is everybody's; above 100 the ports leave the range that Linux keeps free
FIRST_PORT, PORTS_PER_DOMAIN = 7400, 250  # of DDS, over UDP
# Plus the domain: the TCP port that is bound as long as a domain is taken. ROS's own domain_coordinator, which the
# tests of other packages use, binds the same ones.
FIRST_CLAIM = 32768


@cache
def claim_domain() -> int:
    """Take a domain that nobody uses or has taken, until this process ends; the same one at every call."""
    used = _udp_ports()
    first = os.getpid()  # programs that start at once rather try different ones
    order = [DOMAINS[(first + step) % len(DOMAINS)] for step in range(len(DOMAINS))]
    for domain in order:
        begin = FIRST_PORT + domain * PORTS_PER_DOMAIN
        if not used & set(range(begin, begin + PORTS_PER_DOMAIN)) and _claim(domain):
            return domain
    return order[0]


def isolate_domain() -> None:
    """Keep what this process starts from here on apart from everything else on this machine and in the network."""
    os.environ["ROS_DOMAIN_ID"] = str(claim_domain())
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


_claims: list[socket.socket] = []  # no child inherits them


def _claim(domain: int) -> bool:
    claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        claim.bind(("", FIRST_CLAIM + domain))
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def _udp_ports() -> set[int]:
    """Read the UDP ports that somebody on this machine has bound."""
    table = Path("/proc/net/udp").read_text().splitlines()[1:]
    return {int(line.split()[1].rpartition(":")[2], 16) for line in table}
